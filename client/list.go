package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// List is a page of a list.
type List[T any] struct {
	Data []T `json:"data"`
	// Iterator is where the next page begins, PrevIterator where the one before
	// does; "" on an empty page.
	Iterator     string `json:"iterator"`
	PrevIterator string `json:"prevIterator"`
	// Done: nothing follows in the direction walked.
	Done bool `json:"done"`
}

// Order of a list.
type Order string

// The orders. Each list has a default of its own.
const (
	Ascending  Order = "ascending"
	Descending Order = "descending"
)

// Page says which part of a list is wanted. The zero value is its first 50
// entries.
type Page struct {
	// Limit is 1 to 250; 0 for 50.
	Limit int
	// Iterator is a List's, to go on from there; "" for the list's start.
	Iterator string
	// Order is the list's own when "".
	Order Order
}

// values are the page as a query.
func (p Page) values() url.Values {
	query := url.Values{}
	if p.Limit != 0 {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	set(query, "iterator", p.Iterator)
	set(query, "order", string(p.Order))
	return query
}

// History is a page of what happened, which can be narrowed down. Zero fields
// narrow nothing.
type History struct {
	Page
	// After and Before bound when it happened.
	After, Before time.Time
	// EventTypes are exact names.
	EventTypes   []string
	Channel, Tag string
	// WithoutContent leaves out payloads, and responses of attempts.
	WithoutContent bool
}

// values are the page as a query.
func (h History) values() url.Values {
	query := h.Page.values()
	setTime(query, "after", h.After)
	setTime(query, "before", h.Before)
	for _, name := range h.EventTypes {
		query.Add("event_types", name)
	}
	set(query, "channel", h.Channel)
	set(query, "tag", h.Tag)
	if h.WithoutContent {
		query.Set("with_content", "false")
	}
	return query
}

// Span is a stretch of time. Each call says which Since it needs or what the zero
// one stands for; a zero Until is now.
type Span struct {
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// values are the span as a query.
func (s Span) values() url.Values {
	query := url.Values{}
	setTime(query, "since", s.Since)
	setTime(query, "until", s.Until)
	return query
}

// set leaves out what is empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// setTime leaves out the zero time.
func setTime(query url.Values, name string, t time.Time) {
	if !t.IsZero() {
		query.Set(name, t.Format(time.RFC3339Nano))
	}
}

// list reads a page.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) (*List[T], error) {
	return call[List[T]](ctx, c, request{method: http.MethodGet, path: path, query: query})
}

// all walks a list from a page to its end. An error is the last thing it
// yields.
func all[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := list[T](ctx, c, path, query)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, entry := range page.Data {
				if !yield(entry, nil) {
					return
				}
			}
			if page.Done || page.Iterator == "" {
				return
			}
			if page.Iterator == query.Get("iterator") {
				var none T
				yield(none, fmt.Errorf("client: GET %s: not an answer of Postern's: the list does not go on", path))
				return
			}
			query.Set("iterator", page.Iterator)
		}
	}
}
