package api

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// deliveryOut is a delivery as callers read it.
type deliveryOut struct {
	MsgID       postern.MessageID  `json:"msgId"`
	EndpointID  postern.EndpointID `json:"endpointId"`
	EndpointUID *string            `json:"endpointUid"`
	State       string             `json:"state" api:"pending|sending|retrying|delivered|dead|canceled"`
	Reason      *string            `json:"reason"`
	Status      int                `json:"status" api:"0|1|2|3|4"`
	StatusText  string             `json:"statusText" api:"success|pending|fail|sending|canceled"`
	// Attempts counts those made so far.
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"nextAttempt"`
	// Timestamp is when the message was accepted.
	Timestamp time.Time `json:"timestamp"`
}

// deliveryQuery is what the list can be narrowed down by.
type deliveryQuery struct {
	// state selects one; any for all of them.
	state postern.State
	any   bool
	// endpoint is nil for all.
	endpoint *EndpointView
	// due selects deliveries whose next try is before it; zero for all.
	due          time.Time
	since, until time.Time
	expanded     bool
}

// place is where a delivery stands in the list: by its message, or by its
// attempt in the list of delivered ones, and by its endpoint.
type place struct {
	id       [20]byte
	endpoint postern.EndpointID
}

// delivery is an entry of the list.
type delivery struct {
	at       place
	message  postern.MessageID
	endpoint *EndpointView
	standing store.Standing
}

// listDeliveries lists the deliveries of an application over all endpoints, the
// newest first: by message and endpoint, or by endpoint and message where the
// state asked for is kept by endpoint. A page may have fewer entries than asked
// for without being the last: a bounded number is looked at for each.
func (h *handler) listDeliveries(c *call, _ none) (listing[deliveryOut], error) {
	var list listing[deliveryOut]
	w, err := c.window(true)
	if err != nil {
		return list, err
	}
	q, err := h.deliveryQuery(c)
	if err != nil {
		return list, err
	}
	walk := deliveryWalk{h: h, c: c, q: q, limit: w.limit, ascending: w.descending == w.back, budget: deliveryBudget}
	if w.after != "" {
		if walk.from, err = parsePlace(w.after, q.kept()); err != nil {
			return list, wrongIterator()
		}
	}
	if q.byEndpoint() {
		err = walk.byEndpoint()
	} else {
		err = walk.byMessage()
	}
	if err != nil {
		return list, err
	}
	next := ""
	if len(walk.found) > w.limit {
		walk.found, walk.done = walk.found[:w.limit], false
	} else if !walk.done {
		next = walk.next.text(q.kept())
	}
	return listed(w, walk.found, walk.done, next,
		func(d delivery) string { return d.at.text(q.kept()) },
		func(d delivery) deliveryOut { return renderDelivery(&d, q.expanded) }), nil
}

// deliveryQuery reads the query of the list.
func (h *handler) deliveryQuery(c *call) (q deliveryQuery, err error) {
	state, err := c.value("state")
	if err != nil {
		return q, err
	}
	if q.any = state == ""; !q.any {
		if q.state, err = postern.ParseState(state); err != nil || q.state == postern.Sending {
			return q, postern.InvalidField("must be one of "+strings.Join(storedStates(), ", "), "query", "state")
		}
	}
	if q.due, err = c.moment("next_before"); err != nil {
		return q, err
	}
	if !q.due.IsZero() {
		if !q.any && q.state != postern.Retrying {
			return q, postern.InvalidField("only retrying deliveries have a next try", "query", "next_before")
		}
		q.any, q.state = false, postern.Retrying
	}
	if q.since, err = c.moment("since"); err != nil {
		return q, err
	}
	if q.until, err = c.moment("until"); err != nil {
		return q, err
	}
	if q.expanded, err = c.flag("expanded_statuses", false); err != nil {
		return q, err
	}
	ref, err := c.value("endpoint_id")
	if ref != "" {
		q.endpoint, err = h.Endpoints.Endpoint(c.app.Number, ref)
	}
	return q, notFound(err)
}

// deliveryFilters is what deliveryQuery reads.
func deliveryFilters() params {
	return params{
		withText("state", "Only deliveries of this state; those under way are pending until their first try ends.", storedStates()...),
		withText("endpoint_id", "Only deliveries to this endpoint, an id or uid."),
		withMoment("next_before", "Only deliveries whose next try is before this time."),
		withMoment("since", "Only messages accepted later; of delivered ones, attempts made later."),
		withMoment("until", "Only messages accepted earlier; of delivered ones, attempts made earlier."),
		withFlag("expanded_statuses", "Tell canceled deliveries from successful ones.", false),
	}
}

// storedStates are the names of the states that can be asked for: what is being
// tried is known to nobody but the one who tries it.
func storedStates() []string {
	var names []string
	for _, state := range postern.States() {
		if state != postern.Sending {
			names = append(names, state.String())
		}
	}
	return names
}

// byEndpoint tells states that have a place by endpoint in the store from those
// that are looked for message by message.
func (q *deliveryQuery) byEndpoint() bool {
	return !q.any && (q.state == postern.Retrying || q.state == postern.Dead || q.state == postern.Delivered)
}

// kept is the prefix of the ids that the list goes by.
func (q *deliveryQuery) kept() string {
	if !q.any && q.state == postern.Delivered {
		return postern.AttemptID{}.Prefix()
	}
	return postern.MessageID{}.Prefix()
}

// text is a place as an iterator.
func (p place) text(prefix string) string {
	id := postern.MessageID(p.id).String()
	if prefix == (postern.AttemptID{}).Prefix() {
		id = postern.AttemptID(p.id).String()
	}
	return id + "." + p.endpoint.String()
}

// parsePlace reads what text writes.
func parsePlace(text, prefix string) (p place, err error) {
	id, endpoint, _ := strings.Cut(text, ".")
	if prefix == (postern.AttemptID{}).Prefix() {
		p.id, err = attemptCursor(id)
	} else {
		p.id, err = messageCursor(id)
	}
	if err != nil {
		return p, err
	}
	p.endpoint, err = postern.ParseEndpointID(endpoint)
	return p, err
}

// renderDelivery shows a delivery in both vocabularies.
func renderDelivery(d *delivery, expanded bool) deliveryOut {
	status := statusOf(d.standing, expanded)
	out := deliveryOut{
		MsgID: d.message, EndpointID: d.endpoint.ID, EndpointUID: null(d.endpoint.UID),
		State: d.standing.State.String(), Reason: null(string(d.standing.Reason)),
		Status: status, StatusText: statusText(status),
		Attempts: d.standing.Attempts, Timestamp: d.message.Time(),
	}
	if d.standing.Row != nil {
		out.NextAttempt = nullTime(d.standing.Row.Next)
	}
	return out
}

// deliveryBudget is how many deliveries and messages a page looks at. An endpoint
// costs as much as endpointCost of them.
const (
	deliveryBudget = 2000
	endpointCost   = 20
	// lookedAtOnce is how many deliveries of messages are read together.
	lookedAtOnce = 250
)

// deliveryWalk fills one page.
type deliveryWalk struct {
	h         *handler
	c         *call
	q         deliveryQuery
	limit     int
	ascending bool
	from      place // behind which the page lies; zero for the list's start
	budget    int
	// found has one more than limit once there is another page.
	found []delivery
	// next is how far the walk came, done that it came to the end.
	next place
	done bool
}

// page is the store's window.
func (d *deliveryWalk) page(limit int) store.Page {
	return store.Page{Ascending: d.ascending, Limit: limit, Since: d.q.since, Until: d.q.until}
}

// over reports that the page is full, or that enough was looked at.
func (d *deliveryWalk) over() bool { return len(d.found) > d.limit || d.budget <= 0 }

// last is an id behind all others in the walk's direction.
func (d *deliveryWalk) last() (id [20]byte) {
	if !d.ascending {
		return [20]byte{19: 1}
	}
	for i := range id {
		id[i] = 0xff
	}
	return id
}

// candidate is a delivery that is about to be looked at.
type candidate struct {
	at       place
	endpoint *EndpointView
	message  postern.MessageID
	attempts int // what it must have come to; 0 for any
}

// look reads how deliveries stand, and keeps those that are asked for.
func (d *deliveryWalk) look(list []candidate) error {
	keys := make([]store.Placed, len(list))
	for i := range list {
		keys[i] = store.Placed{Endpoint: list[i].endpoint.Number, Message: list[i].message}
	}
	standings, err := d.h.Outcomes.Standings(d.c.r.Context(), d.c.app.Number, keys)
	d.budget -= len(standings)
	for i, standing := range standings {
		c := &list[i]
		d.next = c.at
		if (d.q.any || standing.State == d.q.state) && (c.attempts == 0 || standing.Attempts == c.attempts) {
			d.found = append(d.found, delivery{at: c.at, message: c.message, endpoint: c.endpoint, standing: standing})
		}
	}
	return err
}

// byEndpoint takes one endpoint after the other.
func (d *deliveryWalk) byEndpoint() error {
	for v := range d.endpoints {
		page := d.page(d.limit + 1)
		if v.ID == d.from.endpoint {
			page.After = d.from.id
		}
		for more := true; more; {
			next, done, err := d.read(v, page)
			if err != nil {
				return err
			}
			if more = !done; more {
				page.After, d.next = next, place{next, v.ID}
			} else {
				d.next = place{d.last(), v.ID}
			}
			if d.over() {
				return nil
			}
		}
		d.budget -= endpointCost
	}
	d.done = true
	return nil
}

// endpoints goes over those that the page may have something of.
func (d *deliveryWalk) endpoints(yield func(*EndpointView) bool) {
	if d.q.endpoint != nil {
		yield(d.q.endpoint)
		return
	}
	page := postern.ListPage{Descending: !d.ascending, Limit: maxLimit}
	if !d.from.endpoint.IsZero() {
		page.After = d.from.endpoint.String()
		if v, err := d.h.Endpoints.Endpoint(d.c.app.Number, page.After); err == nil && !yield(v) {
			return
		}
	}
	for more := true; more; {
		var views []*EndpointView
		views, more = d.h.Endpoints.Endpoints(d.c.app.Number, page)
		for _, v := range views {
			if !yield(v) {
				return
			}
			page.After = v.ID.String()
		}
	}
}

// read takes a page of what the store keeps of an endpoint in the state.
func (d *deliveryWalk) read(v *EndpointView, page store.Page) (next [20]byte, done bool, err error) {
	switch d.q.state {
	case postern.Retrying:
		return d.readRows(v, page)
	case postern.Dead:
		return d.readDead(v, page)
	}
	return d.readDelivered(v, page)
}

func (d *deliveryWalk) readRows(v *EndpointView, page store.Page) ([20]byte, bool, error) {
	found, err := d.h.Deliveries.Waiting(d.c.r.Context(), d.c.app.Number, v.Number, page)
	d.budget -= len(found.Rows)
	for i := range found.Rows {
		row := &found.Rows[i]
		if d.q.due.IsZero() || row.Next.Before(d.q.due) {
			d.found = append(d.found, delivery{
				at: place{row.Message, v.ID}, message: row.Message, endpoint: v,
				standing: store.Standing{State: postern.Retrying, Attempts: row.Attempts, Row: row},
			})
		}
	}
	return found.Next, found.Done, err
}

func (d *deliveryWalk) readDead(v *EndpointView, page store.Page) ([20]byte, bool, error) {
	found, err := d.h.History.Dead(d.c.r.Context(), d.c.app.Number, v.Number, page)
	if err != nil {
		return found.Next, false, err
	}
	list := make([]candidate, len(found.Messages))
	for i, id := range found.Messages {
		list[i] = candidate{at: place{id, v.ID}, endpoint: v, message: id}
	}
	return found.Next, found.Done, d.look(list)
}

// readDelivered reads attempts: a delivered one is the last of its delivery,
// unless that was resent.
func (d *deliveryWalk) readDelivered(v *EndpointView, page store.Page) ([20]byte, bool, error) {
	succeeded := true
	found, err := d.h.History.EndpointAttempts(d.c.r.Context(), d.c.app.Number, v.Number, store.AttemptFilter{Succeeded: &succeeded}, page)
	if len(found.Attempts) < page.Limit && !found.Done {
		d.budget = 0 // the store has looked at as much as it does for a page
	}
	if err != nil {
		return found.Next, false, err
	}
	list := make([]candidate, len(found.Attempts))
	for i := range found.Attempts {
		a := &found.Attempts[i]
		list[i] = candidate{at: place{a.ID, v.ID}, endpoint: v, message: a.Message, attempts: a.N}
	}
	return found.Next, found.Done, d.look(list)
}

// byMessage takes one message after the other, with the endpoints it was routed
// to. It begins with what the page before left of its last message.
func (d *deliveryWalk) byMessage() error {
	page := d.page(d.limit + 1)
	if !d.q.any {
		page.Limit = maxLimit + 1 // few of them may be in that state
	}
	if d.from != (place{}) {
		page.After = d.from.id
		m, err := d.h.History.Message(d.c.r.Context(), d.c.app.Number, d.from.id)
		if err == nil {
			err = d.routes([]*postern.Message{m})
		}
		if err != nil && !errors.Is(err, postern.ErrNotFound) {
			return err
		}
	}
	var filter store.MessageFilter
	if d.q.endpoint != nil {
		filter.Endpoint = d.q.endpoint.Number
	}
	for !d.over() {
		found, err := d.h.History.Messages(d.c.r.Context(), d.c.app.Number, filter, page)
		if err != nil {
			return err
		}
		if err := d.routes(found.Messages); err != nil || d.over() {
			return err
		}
		if d.done = found.Done; d.done {
			return nil
		}
		page.After, d.next = found.Next, place{found.Next, postern.EndpointID(d.last())}
		if len(found.Messages) < page.Limit {
			return nil // the store has looked at as much as it does for a page
		}
	}
	return nil
}

// routes looks at messages' deliveries in the order of endpoints, those behind
// where the page begins.
func (d *deliveryWalk) routes(messages []*postern.Message) error {
	var list []candidate
	for _, m := range messages {
		d.budget--
		for _, v := range d.routed(m) {
			if m.ID == d.from.id && !d.behind(v.ID) {
				continue
			}
			if list = append(list, candidate{at: place{m.ID, v.ID}, endpoint: v, message: m.ID}); len(list) < lookedAtOnce {
				continue
			}
			if err := d.look(list); err != nil || d.over() {
				return err
			}
			list = list[:0]
		}
	}
	return d.look(list)
}

// behind reports whether an endpoint comes after the one where the page before
// ended.
func (d *deliveryWalk) behind(id postern.EndpointID) bool {
	if d.ascending {
		return id.Compare(d.from.endpoint) > 0
	}
	return id.Compare(d.from.endpoint) < 0
}

// routed are the endpoints of a message that are still there, sorted by id.
func (d *deliveryWalk) routed(m *postern.Message) []*EndpointView {
	if d.q.endpoint != nil {
		return []*EndpointView{d.q.endpoint}
	}
	views := make([]*EndpointView, 0, len(m.Routes))
	for _, number := range m.Routes {
		if v := d.h.Endpoints.EndpointByNumber(number); v != nil && !v.Deleted {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b *EndpointView) int {
		if d.ascending {
			return a.ID.Compare(b.ID)
		}
		return b.ID.Compare(a.ID)
	})
	return views
}
