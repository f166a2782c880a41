package api

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Sizes of a page of a list.
const (
	defaultLimit = 50
	maxLimit     = 250
	// pageBytes is how much of payloads a page shows: the message with which it comes
	// to that is its last.
	pageBytes = 8 << 20
)

// listing is a page of a list. Iterator is the last id of the page, also at
// the list's end, and PrevIterator "-" and the first one; both are there even
// when they are null.
type listing[T any] struct {
	Data         []T     `json:"data" api:"list"`
	Iterator     *string `json:"iterator"`
	PrevIterator *string `json:"prevIterator"`
	// Done: there is nothing behind the page in the direction walked.
	Done bool `json:"done"`
}

// window is which page was asked for.
type window struct {
	// after is the id that the page lies behind, or before when back; "" for
	// the list's start.
	after      string
	back       bool
	descending bool
	limit      int
}

// window reads limit, iterator and order from the query.
func (c *call) window(descending bool) (window, error) {
	w := window{descending: descending, limit: defaultLimit}
	limit, err := c.value("limit")
	if err != nil {
		return w, err
	}
	if limit != "" {
		if w.limit, err = strconv.Atoi(limit); err != nil {
			return w, badQuery("limit is not a number")
		}
		if w.limit < 1 || w.limit > maxLimit {
			return w, postern.InvalidField("must be 1 to "+strconv.Itoa(maxLimit), "query", "limit")
		}
	}
	iterator, err := c.value("iterator")
	if err != nil {
		return w, err
	}
	w.after, w.back = strings.CutPrefix(iterator, "-")
	order, err := c.value("order")
	if err != nil {
		return w, err
	}
	switch order {
	case "":
	case "ascending":
		w.descending = false
	case "descending":
		w.descending = true
	default:
		return w, postern.InvalidField("must be ascending or descending", "query", "order")
	}
	return w, nil
}

// catalogue is the window into a list of the catalogue. Walking back is walking
// forth in the other direction, turned round at the end.
func (w window) catalogue() postern.ListPage {
	return postern.ListPage{After: w.after, Descending: w.descending != w.back, Limit: w.limit}
}

// listPage is the window into a list of the catalogue whose records have ids,
// which parse reads. What is no such id is refused: an empty page would say that
// the list ends there.
func listPage[ID any](w window, parse func(string) (ID, error)) (postern.ListPage, error) {
	if w.after != "" {
		if _, err := parse(w.after); err != nil {
			return postern.ListPage{}, wrongIterator()
		}
	}
	return w.catalogue(), nil
}

func wrongIterator() error {
	return postern.InvalidField("is not an iterator of this list", "query", "iterator")
}

// history is the window into a list of the store, whose ids parse reads.
func (w window) history(c *call, parse func(string) ([20]byte, error)) (store.Page, error) {
	page := store.Page{Ascending: w.descending == w.back, Limit: w.limit}
	var err error
	if w.after != "" {
		if page.After, err = parse(w.after); err != nil {
			return page, wrongIterator()
		}
	}
	if page.Since, err = c.moment("after"); err != nil {
		return page, err
	}
	page.Until, err = c.moment("before")
	return page, err
}

// listed renders records that were read through the window; next is where an
// unfinished list goes on, "" for behind the last record.
func listed[R, T any](w window, records []R, done bool, next string, id func(R) string, out func(R) T) listing[T] {
	list := listing[T]{Data: make([]T, 0, len(records)), Done: done}
	if w.back {
		records = slices.Clone(records)
		slices.Reverse(records)
	}
	for _, record := range records {
		list.Data = append(list.Data, out(record))
	}
	if len(records) > 0 {
		list.PrevIterator = null("-" + id(records[0]))
		list.Iterator = null(id(records[len(records)-1]))
	}
	switch {
	case done || next == "":
	case w.back:
		list.PrevIterator = null("-" + next)
	default:
		list.Iterator = null(next)
	}
	return list
}

// fitting ends a page that shows payloads where there is enough of them; size is a
// record's, in bytes. The list goes on behind the page then.
func fitting[R any](records []R, done bool, next string, size func(R) int) ([]R, bool, string) {
	bytes := 0
	for i := range records {
		if bytes += size(records[i]); bytes >= pageBytes && i+1 < len(records) {
			return records[:i+1], false, ""
		}
	}
	return records, done, next
}

// cut takes a page out of records that are all in memory, sorted by id in
// ascending order. It reports whether that is the end.
func cut[R any](w window, records []R, id func(R) string) ([]R, bool) {
	if w.descending != w.back {
		records = slices.Clone(records)
		slices.Reverse(records)
	}
	if w.after != "" {
		start := slices.IndexFunc(records, func(r R) bool {
			if w.descending != w.back {
				return id(r) < w.after
			}
			return id(r) > w.after
		})
		if start < 0 {
			return nil, true
		}
		records = records[start:]
	}
	if len(records) > w.limit {
		return records[:w.limit], false
	}
	return records, true
}
