package embedded

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// examineBudget is how many entries a page looks at when its filter has no
// index. One that another key is looked up for counts as nearCost, and as seekCost
// where that key did not lie next to the one before.
const (
	examineBudget = 10_000
	nearCost      = 4
	seekCost      = 40
)

// Message implements store.History.
func (s *Store) Message(_ context.Context, app postern.ApplicationNumber, id postern.MessageID) (m *postern.Message, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	if m, err = v.header(app, id); err == nil && m == nil {
		err = postern.ErrNotFound
	}
	return m, err
}

// Content implements store.History.
func (s *Store) Content(_ context.Context, app postern.ApplicationNumber, id postern.MessageID) (c *postern.Content, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	value, err := v.get(contentKey(nil, app, id))
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, postern.ErrNotFound
	}
	return decodeContent(value)
}

// list walks one page. visit looks at the entry under the cursor and reports
// whether it belongs on the page; list stops when the page is full and another
// entry for it was found, or the budget is used up.
func list(w *walk, limit int, visit func(id [20]byte) (bool, error), keep func()) (next [20]byte, done bool, err error) {
	kept := 0
	for ok := w.first(); ok; ok = w.next() {
		if w.examined >= examineBudget {
			return next, false, nil
		}
		w.examined++
		id := w.id()
		found, err := visit(id)
		if err != nil {
			return next, false, err
		}
		if found && kept == limit {
			return next, false, nil
		}
		if found {
			kept++
			keep()
		}
		if kept < limit || found {
			next = id
		}
	}
	return next, true, nil
}

// page begins a walk over one owner's entries of a kind.
func (v *view) page(kind byte, owner []byte, p store.Page) (*walk, error) {
	it, err := v.keys(kind)
	if err != nil {
		return nil, err
	}
	w := &walk{it: it, kind: kind, owner: owner, down: !p.Ascending}
	w.lo, w.hi = window(p)
	return w, nil
}

// Messages implements store.History.
func (s *Store) Messages(_ context.Context, app postern.ApplicationNumber, filter store.MessageFilter, p store.Page) (page store.MessagePage, err error) {
	v, err := s.view()
	if err != nil {
		return page, err
	}
	defer v.close(&err)
	w, err := v.page(kindHeader, appendApp(nil, app), p)
	if err != nil {
		return page, err
	}
	var attempts near
	if filter.Endpoint != 0 {
		if attempts.it, err = v.keys(kindAttempt); err != nil {
			return page, err
		}
	}
	var m *postern.Message
	page.Next, page.Done, err = list(w, p.Limit, func(id [20]byte) (bool, error) {
		if !attempts.reached(w, app, id, filter.Endpoint) {
			return false, nil
		}
		if ok, err := selects(filter, w.it.Value()); !ok || err != nil {
			return false, err
		}
		m, err = decodeHeader(app, id, w.it.Value())
		return err == nil, err
	}, func() { page.Messages = append(page.Messages, m) })
	return page, err
}

// reached reports whether the message under a walk's cursor was routed to an
// endpoint or tried there, as one that was resent by hand is; always for none.
func (n *near) reached(w *walk, app postern.ApplicationNumber, id postern.MessageID, endpoint postern.EndpointNumber) bool {
	if endpoint == 0 || routesTo(w.it.Value(), endpoint) {
		return true
	}
	var buf [maxKey]byte
	return n.get(w, attemptKey(buf[:0], store.DeliveryKey{Application: app, Endpoint: endpoint, Message: id}, 1)) != nil
}

// selects reports whether an encoded header passes the filter. Most that are
// looked at do not, and are not worth decoding.
func selects(f store.MessageFilter, header []byte) (bool, error) {
	d := newDecoder(header)
	for range d.count() {
		d.varint()
	}
	eventType := d.take(d.count())
	d.take(d.count()) // content type
	d.take(d.count()) // event id
	wanted := len(f.EventTypes) == 0
	for _, name := range f.EventTypes {
		wanted = wanted || string(eventType) == name
	}
	for _, name := range [...]string{f.Channel, f.Tag} {
		found := name == ""
		for range d.count() {
			found = string(d.take(d.count())) == name || found
		}
		wanted = wanted && found
	}
	return wanted, d.err
}

// EachAttempt implements store.History.
func (s *Store) EachAttempt(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID, fn func(*postern.Attempt) bool) (finals []postern.Final, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	if ok, err := v.has(headerKey(nil, app, id)); err != nil || !ok {
		if err == nil {
			err = postern.ErrNotFound
		}
		return nil, err
	}
	it, err := v.keys(attemptsKey(nil, app, id)...)
	if err != nil {
		return nil, err
	}
	examined := 0
	for it.First(); it.Valid(); it.Next() {
		if examined++; examined%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		endpoint, n := splitAttempt(it.Key())
		d := store.DeliveryKey{Application: app, Endpoint: endpoint, Message: id}
		if n == finalN {
			final, err := decodeFinal(d, it.Value())
			if err != nil {
				return nil, err
			}
			finals = append(finals, final)
			continue
		}
		attempt, err := decodeAttempt(d, it.Value())
		if err != nil {
			return nil, err
		}
		if !fn(&attempt) {
			break
		}
	}
	return finals, nil
}

// EndpointAttempts implements store.History. Entries whose attempt went with
// an earlier day, or with its application, are passed over.
func (s *Store) EndpointAttempts(_ context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, filter store.AttemptFilter, p store.Page) (page store.AttemptPage, err error) {
	v, err := s.view()
	if err != nil {
		return page, err
	}
	defer v.close(&err)
	w, err := v.page(kindByEndpoint, appendEndpoint(nil, endpoint), p)
	if err != nil {
		return page, err
	}
	var headers near
	if filter.OfMessages() {
		if headers.it, err = v.keys(kindHeader); err != nil {
			return page, err
		}
	}
	var attempt *postern.Attempt
	page.Next, page.Done, err = list(w, p.Limit, func([20]byte) (bool, error) {
		o, err := decodeOutcome(w.it.Value())
		if err != nil || !selectsOutcome(filter, o) {
			return false, err
		}
		if ok, err := headers.passes(w, app, filter, o.message); !ok || err != nil {
			return false, err
		}
		attempt, err = v.listed(app, endpoint, o)
		return attempt != nil, err
	}, func() { page.Attempts = append(page.Attempts, *attempt) })
	return page, err
}

// EachOutcome implements store.Outcomes. Entries hold the outcome, so that no
// attempt is read.
func (s *Store) EachOutcome(ctx context.Context, endpoint postern.EndpointNumber, since, until time.Time, fn func(store.Outcome) bool) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	w, err := v.page(kindByEndpoint, appendEndpoint(nil, endpoint), store.Page{Since: since, Until: until})
	if err != nil {
		return err
	}
	looked := 0
	for ok := w.first(); ok; ok = w.next() {
		if looked++; looked%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		o, err := decodeOutcome(w.it.Value())
		if err != nil {
			return err
		}
		if !fn(store.Outcome{At: postern.AttemptID(w.id()).Time(), Succeeded: o.succeeded, State: o.state, Took: o.took}) {
			return nil
		}
	}
	return nil
}

func selectsOutcome(f store.AttemptFilter, o outcome) bool {
	return (f.Succeeded == nil || *f.Succeeded == o.succeeded) && (f.CodeClass == nil || *f.CodeClass == o.class)
}

// passes reports whether an attempt's message is there and passes the filter, if
// that asks for anything of it.
func (n *near) passes(w *walk, app postern.ApplicationNumber, f store.AttemptFilter, id postern.MessageID) (bool, error) {
	if !f.OfMessages() {
		return true, nil
	}
	var buf [maxKey]byte
	header := n.get(w, headerKey(buf[:0], app, id))
	if header == nil {
		return false, nil
	}
	return selects(store.MessageFilter{EventTypes: f.EventTypes, Channel: f.Channel, Tag: f.Tag}, header)
}

// listed reads the attempt of a list entry; nil when it is gone.
func (v *view) listed(app postern.ApplicationNumber, endpoint postern.EndpointNumber, o outcome) (*postern.Attempt, error) {
	d := store.DeliveryKey{Application: app, Endpoint: endpoint, Message: o.message}
	value, err := v.get(attemptKey(nil, d, o.n))
	if value == nil || err != nil {
		return nil, err
	}
	attempt, err := decodeAttempt(d, value)
	return &attempt, err
}

// Dead implements store.History.
func (s *Store) Dead(_ context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, p store.Page) (page store.DeadPage, err error) {
	v, err := s.view()
	if err != nil {
		return page, err
	}
	defer v.close(&err)
	w, err := v.page(kindDead, appendEndpoint(appendApp(nil, app), endpoint), p)
	if err != nil {
		return page, err
	}
	var found postern.MessageID
	page.Next, page.Done, err = list(w, p.Limit, func(id [20]byte) (bool, error) {
		found = id
		return true, nil
	}, func() { page.Messages = append(page.Messages, found) })
	return page, err
}
