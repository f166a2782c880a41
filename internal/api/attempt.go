package api

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Svix's numbers of a status, each with its text twin. SDKs refuse any other.
const (
	statusSuccess  = 0
	statusPending  = 1
	statusFail     = 2
	statusSending  = 3
	statusCanceled = 4
)

// statusText is a status in words.
func statusText(status int) string {
	return [...]string{"success", "pending", "fail", "sending", "canceled"}[status]
}

// attemptOut is an attempt as callers read it. What follows Timestamp is our
// own.
type attemptOut struct {
	ID                 postern.AttemptID  `json:"id"`
	EndpointID         postern.EndpointID `json:"endpointId"`
	MsgID              postern.MessageID  `json:"msgId"`
	Msg                messageOut         `json:"msg,omitempty"`
	URL                string             `json:"url"`
	Response           string             `json:"response"`
	ResponseStatusCode int                `json:"responseStatusCode"`
	ResponseDurationMs int64              `json:"responseDurationMs"`
	Status             int                `json:"status" api:"0|2"`
	StatusText         string             `json:"statusText" api:"success|fail"`
	TriggerType        int                `json:"triggerType" api:"0|1"`
	Timestamp          time.Time          `json:"timestamp"`

	Number  int        `json:"number"`
	Failure *string    `json:"failure"`
	Timings timingsOut `json:"timings"`
	// State, Reason and NextAttempt are what the attempt caused.
	State       string     `json:"state" api:"pending|sending|retrying|delivered|dead|canceled"`
	Reason      *string    `json:"reason"`
	NextAttempt *time.Time `json:"nextAttempt"`
}

// timingsOut are the phases of an attempt in microseconds.
type timingsOut struct {
	DNS       int64 `json:"dns"`
	Connect   int64 `json:"connect"`
	TLS       int64 `json:"tls"`
	FirstByte int64 `json:"firstByte"`
	Total     int64 `json:"total"`
}

// renderAttempt shows an attempt, which is a success or a failure: that it will
// be retried is said of the message at the endpoint.
func (h *handler) renderAttempt(a *postern.Attempt, withResponse bool) attemptOut {
	status := statusFail
	if a.Succeeded {
		status = statusSuccess
	}
	out := attemptOut{
		ID: a.ID, MsgID: a.Message, URL: a.URL,
		ResponseStatusCode: a.Code, ResponseDurationMs: a.Timings.Total.Milliseconds(),
		Status: status, StatusText: statusText(status), TriggerType: int(a.Trigger), Timestamp: a.Started.UTC(),
		Number: a.N, Failure: null(a.Failure),
		Timings: timingsOut{
			a.Timings.DNS.Microseconds(), a.Timings.Connect.Microseconds(), a.Timings.TLS.Microseconds(),
			a.Timings.FirstByte.Microseconds(), a.Timings.Total.Microseconds(),
		},
		State: a.State.String(), Reason: null(string(a.Reason)), NextAttempt: nullTime(a.Next),
	}
	if withResponse {
		out.Response = strings.ToValidUTF8(string(a.Response), "\uFFFD")
	}
	// A deleted endpoint's id is gone with it; its attempts stay.
	if v := h.Endpoints.EndpointByNumber(a.Endpoint); v != nil {
		out.EndpointID = v.ID
	}
	return out
}

// nullTime makes the zero time null.
func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// attemptQuery is what lists of attempts can be narrowed down by.
type attemptQuery struct {
	store.AttemptFilter
	// never: the status asked for is one that no attempt has.
	never                    bool
	withContent, withMessage bool
}

// attemptQuery reads the query of a list of attempts.
func (c *call) attemptQuery() (q attemptQuery, err error) {
	messages, err := c.messageFilter()
	if err != nil {
		return q, err
	}
	q.EventTypes, q.Channel, q.Tag = messages.EventTypes, messages.Channel, messages.Tag
	if q.withContent, err = c.flag("with_content", true); err != nil {
		return q, err
	}
	// An attempt is never canceled, so that both settings say the same.
	if _, err = c.flag("expanded_statuses", false); err != nil {
		return q, err
	}
	if q.withMessage, err = c.flag("with_msg", false); err != nil {
		return q, err
	}
	status, err := c.number("status", statusCanceled)
	if err != nil {
		return q, err
	}
	if status != nil {
		succeeded := *status == statusSuccess
		q.Succeeded, q.never = &succeeded, !succeeded && *status != statusFail
	}
	class, err := c.number("status_code_class", 500)
	if class != nil {
		*class /= 100
		q.CodeClass = class
	}
	return q, err
}

// number is an integer of the query from 0 to highest; nil for none.
func (c *call) number(name string, highest int) (*int, error) {
	text, err := c.value(name)
	if err != nil || text == "" {
		return nil, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, badQuery(name + " is not a number")
	}
	if n < 0 || n > highest {
		return nil, postern.InvalidField("must be 0 to "+strconv.Itoa(highest), "query", name)
	}
	return &n, nil
}

// attemptWindow reads which page of attempts is asked for, and which of them.
func (c *call) attemptWindow() (w window, page store.Page, q attemptQuery, err error) {
	if w, err = c.window(true); err != nil {
		return w, page, q, err
	}
	if page, err = w.history(c, attemptCursor); err != nil {
		return w, page, q, err
	}
	q, err = c.attemptQuery()
	return w, page, q, err
}

// listMessageAttempts lists what was tried for one message, which is read whole.
func (h *handler) listMessageAttempts(c *call, _ none) (listing[attemptOut], error) {
	endpoint, err := h.endpointFilter(c)
	if err != nil {
		return listing[attemptOut]{}, err
	}
	return h.attemptsOf(c, endpoint)
}

// attemptsOf lists the attempts of the path's message, at one endpoint or, for
// 0, at all.
func (h *handler) attemptsOf(c *call, endpoint postern.EndpointNumber) (listing[attemptOut], error) {
	var list listing[attemptOut]
	w, page, q, err := c.attemptWindow()
	if err != nil {
		return list, err
	}
	m, err := h.message(c)
	if err != nil {
		return list, err
	}
	found := nearest{page: page}
	_, err = h.History.EachAttempt(c.r.Context(), c.app.Number, m.ID, func(a *postern.Attempt) bool {
		if (endpoint == 0 || a.Endpoint == endpoint) && q.matches(a, m) && within(page, a.ID.Time()) {
			found.add(a)
		}
		return true
	})
	if err != nil {
		return list, err
	}
	attempts, done := found.cut()
	return h.renderAttempts(c, w, attempts, done, "", q)
}

// endpointFilter is the endpoint that the query narrows down to; 0 for none.
func (h *handler) endpointFilter(c *call) (postern.EndpointNumber, error) {
	ref, err := c.value("endpoint_id")
	if err != nil || ref == "" {
		return 0, err
	}
	v, err := h.Endpoints.Endpoint(c.app.Number, ref)
	if err != nil {
		return 0, notFound(err)
	}
	return v.Number, nil
}

// matches is the store's filter for attempts that were read whole.
func (q *attemptQuery) matches(a *postern.Attempt, m *postern.Message) bool {
	return !q.never &&
		(q.Succeeded == nil || *q.Succeeded == a.Succeeded) &&
		(q.CodeClass == nil || *q.CodeClass == a.Code/100) &&
		(q.EventTypes == nil || slices.Contains(q.EventTypes, m.EventType)) &&
		(q.Channel == "" || slices.Contains(m.Channels, q.Channel)) &&
		(q.Tag == "" || slices.Contains(m.Tags, q.Tag))
}

// nearest are the attempts of a page, out of any number that come in any order: it
// holds no more than twice the page, since each can have a large response.
type nearest struct {
	page     store.Page
	attempts []postern.Attempt
}

// add takes an attempt that is behind the page's start.
func (n *nearest) add(a *postern.Attempt) {
	if n.page.After != [20]byte{} && n.order(a.ID, n.page.After) <= 0 {
		return
	}
	if n.attempts = append(n.attempts, *a); len(n.attempts) > 2*n.page.Limit {
		n.sort()
		clear(n.attempts[n.page.Limit+1:])
		n.attempts = n.attempts[:n.page.Limit+1]
	}
}

// cut returns the page in its order, and whether that is the end.
func (n *nearest) cut() (attempts []postern.Attempt, done bool) {
	n.sort()
	if len(n.attempts) > n.page.Limit {
		return n.attempts[:n.page.Limit], false
	}
	return n.attempts, true
}

func (n *nearest) sort() {
	slices.SortFunc(n.attempts, func(a, b postern.Attempt) int { return n.order(a.ID, b.ID) })
}

// order is that of the page.
func (n *nearest) order(a, b postern.AttemptID) int {
	if n.page.Ascending {
		return a.Compare(b)
	}
	return b.Compare(a)
}

// within reports whether a time lies inside a page's bounds.
func within(page store.Page, t time.Time) bool {
	return (page.Since.IsZero() || t.After(page.Since)) && (page.Until.IsZero() || t.Before(page.Until))
}

// listEndpointAttempts lists the newest first over all messages.
func (h *handler) listEndpointAttempts(c *call, _ none) (listing[attemptOut], error) {
	var list listing[attemptOut]
	w, page, q, err := c.attemptWindow()
	if err != nil {
		return list, err
	}
	v, err := h.endpoint(c)
	if err != nil {
		return list, err
	}
	if q.never {
		return h.renderAttempts(c, w, nil, true, "", q)
	}
	found, err := h.History.EndpointAttempts(c.r.Context(), c.app.Number, v.Number, q.AttemptFilter, page)
	if err != nil {
		return list, err
	}
	next := goOn[postern.AttemptID](found.Next, found.Done)
	return h.renderAttempts(c, w, found.Attempts, found.Done, next, q)
}

// tried is an attempt with its message, where that is wanted and still there.
type tried struct {
	postern.Attempt
	message *postern.Message
}

// renderAttempts reads the messages where they are wanted, one by one.
func (h *handler) renderAttempts(c *call, w window, attempts []postern.Attempt, done bool, next string, q attemptQuery) (listing[attemptOut], error) {
	records := make([]tried, len(attempts))
	for i, a := range attempts {
		records[i].Attempt = a
		if !q.withMessage {
			continue
		}
		m, err := h.History.Message(c.r.Context(), c.app.Number, a.Message)
		if err != nil && !errors.Is(err, postern.ErrNotFound) { // retention takes them between two reads
			return listing[attemptOut]{}, err
		}
		records[i].message = m
	}
	if q.withContent {
		records, done, next = fitting(records, done, next, func(t tried) int { return sizeOf(t.message) })
	}
	var err error
	list := listed(w, records, done, next,
		func(t tried) string { return t.ID.String() },
		func(t tried) attemptOut {
			out := h.renderAttempt(&t.Attempt, q.withContent)
			if t.message != nil {
				msg, failed := h.renderMessage(c, t.message, q.withContent)
				out.Msg, err = msg, errors.Join(err, failed)
			}
			return out
		})
	return list, err
}

// getAttempt shows one with its response.
func (h *handler) getAttempt(c *call, _ none) (attemptOut, error) {
	if _, err := c.flag("expanded_statuses", false); err != nil { // as in lists
		return attemptOut{}, err
	}
	a, err := h.attempt(c)
	if err != nil {
		return attemptOut{}, err
	}
	return h.renderAttempt(a, true), nil
}

// attempt finds the attempt in the path among its message's: attempts have no
// index of their own.
func (h *handler) attempt(c *call) (*postern.Attempt, error) {
	id, err := postern.ParseAttemptID(c.param("attempt"))
	if err != nil {
		return nil, postern.ErrNotFound
	}
	m, err := h.message(c)
	if err != nil {
		return nil, err
	}
	var found *postern.Attempt
	_, err = h.History.EachAttempt(c.r.Context(), c.app.Number, m.ID, func(a *postern.Attempt) bool {
		if a.ID == id {
			found = a
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = postern.ErrNotFound
	}
	return found, err
}

// attemptCursor reads an iterator of a list of attempts.
func attemptCursor(text string) ([20]byte, error) {
	id, err := postern.ParseAttemptID(text)
	return id, err
}
