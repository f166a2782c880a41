package api

import (
	"fmt"
	"slices"
)

// param is a query parameter that an operation reads.
type param struct {
	name string
	// doc says what it does, as a sentence.
	doc  string
	kind paramKind
	// values are what it may be, nil for any of its kind.
	values []string
	// low and high bound a number.
	low, high int
	// otherwise is its value when it is absent, as text.
	otherwise string
}

// paramKind says how a parameter is read.
type paramKind uint8

const (
	textParam   paramKind = iota // call.value
	flagParam                    // call.flag
	momentParam                  // call.moment
	numberParam                  // call.number
	listParam                    // call.list
)

// params are what an operation reads of the query. Rows name them with asks,
// which is what documents them; one that a row does not name cannot be read.
type params []param

// withText and its like are parameters of their kinds.
func withText(name, doc string, values ...string) param {
	return param{name: name, doc: doc, kind: textParam, values: values}
}

func withFlag(name, doc string, otherwise bool) param {
	return param{name: name, doc: doc, kind: flagParam, otherwise: fmt.Sprint(otherwise)}
}

func withMoment(name, doc string) param {
	return param{name: name, doc: doc, kind: momentParam}
}

func withNumber(name, doc string, low, high int) param {
	return param{name: name, doc: doc, kind: numberParam, low: low, high: high}
}

func withList(name, doc string) param {
	return param{name: name, doc: doc, kind: listParam}
}

// paging is what call.window reads.
func paging() params {
	limit := withNumber("limit", "How many entries a page has at most.", 1, maxLimit)
	limit.otherwise = fmt.Sprint(defaultLimit)
	return params{
		limit,
		withText("iterator", "Where the page begins: the iterator of the page before, or its prevIterator to walk back."),
		withText("order", "The order of the list; each has its own default.", "ascending", "descending"),
	}
}

// span is paging, and what window.history reads.
func span() params {
	return append(paging(),
		withMoment("after", "Only what is younger."),
		withMoment("before", "Only what is older."))
}

// messageFilters is what call.messageFilter reads.
func messageFilters() params {
	return params{
		withList("event_types", "Only these event types, separated by commas or repeated."),
		withText("channel", "Only messages of this channel."),
		withText("tag", "Only messages with this tag."),
	}
}

// attemptFilters is what call.attemptQuery reads.
func attemptFilters() params {
	return append(messageFilters(),
		withContents(true), withExpanded(), withFlag("with_msg", "Whether each attempt brings its message.", false),
		withNumber("status", "Only attempts of this status: 0 success, 2 failure; no attempt has another.", 0, statusCanceled),
		withNumber("status_code_class", "Only attempts answered with such a code: 100, 200, 300, 400 or 500.", 0, 500))
}

// withExpanded is for answers that tell a status.
func withExpanded() param {
	return withFlag("expanded_statuses", "Tell canceled deliveries from successful ones.", false)
}

// withStatuses selects by a delivery's status.
func withStatuses() param {
	return withNumber("status", "Only deliveries of this status: 0 success, 1 pending, 2 failure, 3 sending, 4 canceled.", 0, statusCanceled)
}

// withContents is what call.withContent reads.
func withContents(otherwise bool) param {
	return withFlag("with_content", "Whether payloads, responses or schemas are part of the answer.", otherwise)
}

// declared refuses to read a parameter that the call's row does not name: a
// mistake in the table, which the first test of the operation meets.
func (c *call) declared(name string) error {
	if c.operation == nil || slices.ContainsFunc(c.operation.query, func(p param) bool { return p.name == name }) {
		return nil
	}
	return fmt.Errorf("api: %s reads %q of the query: its row in table.go has to say so with asks", c.operation.name, name)
}
