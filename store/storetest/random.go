package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// testRandom commits random batches, ends the store between any two calls in
// any way, and compares every list with a naive copy.
func testRandom(t *testing.T, h Harness) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(2, 300) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := newWorld(t, h)
			w.rnd = rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // repeatable on purpose
			o := newOracle(w)
			for range 45 {
				o.step()
				if ends := w.h.ends(w.s); len(ends) > 0 && w.rnd.IntN(8) == 0 {
					w.reopen(ends[w.rnd.IntN(len(ends))])
				}
				if w.rnd.IntN(6) == 0 {
					o.compare(t)
				}
			}
			o.compare(t)
		})
	}
}

// oracle is the store as a reader of the seam's words would write it, without
// a thought to speed.
type oracle struct {
	*world
	messages map[postern.MessageID]*postern.Message
	attempts map[store.DeliveryKey][]postern.Attempt
	finals   map[store.DeliveryKey]postern.Final
	rows     map[store.DeliveryKey]*postern.Row
	dead     map[store.DeliveryKey]bool
	behind   map[postern.EndpointNumber]store.BehindRow
	next     uint64 // generation
}

const (
	oracleApps      = 3
	oracleEndpoints = 6 // two for each application
)

// newOracle begins with the applications and endpoints that all batches are about.
func newOracle(w *world) *oracle {
	o := &oracle{
		world: w, messages: map[postern.MessageID]*postern.Message{}, attempts: map[store.DeliveryKey][]postern.Attempt{},
		finals: map[store.DeliveryKey]postern.Final{}, rows: map[store.DeliveryKey]*postern.Row{},
		dead: map[store.DeliveryKey]bool{}, behind: map[postern.EndpointNumber]store.BehindRow{},
	}
	var batch store.Batch
	for app := range postern.ApplicationNumber(oracleApps) {
		batch.Changes = append(batch.Changes, store.Change{Put: &postern.Application{Number: app + 1}})
	}
	for e := range postern.EndpointNumber(oracleEndpoints) {
		batch.Changes = append(batch.Changes, store.Change{Put: &postern.Endpoint{Number: e + 1, Application: ownerOf(e + 1)}})
	}
	w.commit(batch)
	return o
}

func ownerOf(e postern.EndpointNumber) postern.ApplicationNumber {
	return postern.ApplicationNumber((e + 1) / 2)
}

// step builds a batch out of everything that can be in one.
func (o *oracle) step() {
	var b store.Batch
	if o.rnd.IntN(5) == 0 {
		o.advance(time.Duration(o.rnd.IntN(30)) * time.Hour)
	}
	for range o.rnd.IntN(6) {
		o.accept(&b)
	}
	for _, d := range o.deliveries() {
		if o.rnd.IntN(6) == 0 {
			o.change(&b, d)
		}
	}
	for e := range postern.EndpointNumber(oracleEndpoints) {
		if o.rnd.IntN(15) == 0 {
			o.goBehind(&b, e+1)
		}
	}
	if o.rnd.IntN(25) == 0 {
		o.drop(&b)
	}
	o.head.Low = max(o.head.Low, o.low())
	o.commit(b)
}

func (o *oracle) accept(b *store.Batch) {
	app := postern.ApplicationNumber(1 + o.rnd.IntN(oracleApps))
	var routes []postern.EndpointNumber
	for _, e := range []postern.EndpointNumber{postern.EndpointNumber(2*app - 1), postern.EndpointNumber(2 * app)} {
		if o.rnd.IntN(4) > 0 {
			routes = append(routes, e)
		}
	}
	a := o.world.accept(app, routes...)
	b.Accepts = append(b.Accepts, a)
	o.messages[a.Message.ID] = a.Message
}

// deliveries are all there are, in a fixed order.
func (o *oracle) deliveries() []store.DeliveryKey {
	var list []store.DeliveryKey
	for _, m := range o.sorted() {
		for _, e := range m.Routes {
			list = append(list, key(m, e))
		}
	}
	return list
}

func (o *oracle) sorted() []*postern.Message {
	list := make([]*postern.Message, 0, len(o.messages))
	for _, m := range o.messages {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *postern.Message) int { return a.ID.Compare(b.ID) })
	return list
}

// change settles, resends or cancels one delivery.
func (o *oracle) change(b *store.Batch, d store.DeliveryKey) {
	m, row := o.messages[d.Message], o.rows[d]
	var put *postern.Row
	switch what := o.rnd.IntN(6); {
	case what == 0: // cancel or expire
		f := postern.Final{Endpoint: d.Endpoint, Application: d.Application, Message: d.Message, State: postern.Canceled, Reason: postern.ReasonCanceled, Attempts: len(o.attempts[d]), At: o.now}
		b.Finals = append(b.Finals, f)
		o.finals[d] = f
	case what == 1 && o.final(d): // resend
		put = o.put(m, d, postern.Manual)
	case row == nil && o.final(d):
		return // nothing is under way
	default:
		state := []postern.State{postern.Delivered, postern.Retrying, postern.Dead}[o.rnd.IntN(3)]
		a := o.attempt(m, d.Endpoint, len(o.attempts[d])+1, state)
		b.Attempts = append(b.Attempts, a)
		o.attempts[d] = append(o.attempts[d], *a)
		if state == postern.Retrying {
			put = o.put(m, d, postern.Scheduled)
		}
		if dead := state == postern.Dead; dead != o.dead[d] {
			b.Dead = append(b.Dead, store.DeadChange{Key: d, Delete: !dead})
			o.dead[d] = dead
		}
	}
	if row != nil || put != nil {
		b.Rows = append(b.Rows, store.RowChange{Delete: row, Put: put})
	}
	delete(o.rows, d)
	if put != nil {
		o.rows[d] = put
	}
}

func (o *oracle) put(m *postern.Message, d store.DeliveryKey, trigger postern.Trigger) *postern.Row {
	o.next++
	row := o.row(m, d.Endpoint, o.next, time.Duration(o.rnd.IntN(4))*time.Second)
	row.Trigger, row.Attempts = trigger, len(o.attempts[d])
	return row
}

func (o *oracle) final(d store.DeliveryKey) bool {
	if _, ok := o.finals[d]; ok {
		return true
	}
	return slices.ContainsFunc(o.attempts[d], func(a postern.Attempt) bool { return a.State.Final() })
}

// open reports a delivery that only its place or a behind row covers.
func (o *oracle) open(d store.DeliveryKey) bool { return o.rows[d] == nil && !o.final(d) }

// goBehind puts a behind row at the endpoint's oldest open delivery, or takes
// one away that covers nothing which is not covered by Low.
func (o *oracle) goBehind(b *store.Batch, e postern.EndpointNumber) {
	row := store.BehindRow{Endpoint: e, Application: ownerOf(e), From: postern.NewMessageID(o.now, 1, o.head.Next, 0)}
	before := false
	for _, d := range o.deliveries() {
		if d.Endpoint == e && o.open(d) {
			row.From = d.Message
			before = d.Message.Position() < o.head.Low
			break
		}
	}
	if _, ok := o.behind[e]; ok && !before {
		b.Behind = append(b.Behind, store.BehindChange{Row: row, Delete: true})
		delete(o.behind, e)
		return
	}
	b.Behind = append(b.Behind, store.BehindChange{Row: row})
	o.behind[e] = row
}

// drop removes the oldest day but keeps the last two.
func (o *oracle) drop(b *store.Batch) {
	list := o.sorted()
	if len(list) == 0 {
		return
	}
	day := store.DayOf(list[0].CreatedAt())
	if day+2 > store.DayOf(o.now) {
		return
	}
	b.DropDay = day
	for _, m := range list {
		if store.DayOf(m.CreatedAt()) > day {
			continue
		}
		delete(o.messages, m.ID)
		for _, e := range m.Routes {
			d := key(m, e)
			if row := o.rows[d]; row != nil { // the lane would meet it lazily
				b.Rows = append(b.Rows, store.RowChange{Delete: row})
			}
			delete(o.rows, d)
			delete(o.attempts, d)
			delete(o.finals, d)
			delete(o.dead, d)
		}
	}
}

// low is the first position with a delivery that nothing else covers.
func (o *oracle) low() uint64 {
	for _, d := range o.deliveries() {
		row, ok := o.behind[d.Endpoint]
		if o.open(d) && (!ok || row.From.Compare(d.Message) > 0) {
			return d.Message.Position()
		}
	}
	return o.head.Next
}

// compare reads everything.
func (o *oracle) compare(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	equal(t, "head", o.head, must[store.Head](t)(o.s.Head(ctx)))
	o.compareRecovery(t)
	o.compareDeliveries(t)
	for app := range postern.ApplicationNumber(oracleApps) {
		o.compareMessages(t, app+1)
	}
	for e := range postern.EndpointNumber(oracleEndpoints) {
		o.compareEndpoint(t, e+1)
	}
	if err := CheckCover(ctx, o.s); err != nil {
		t.Fatal(err)
	}
}

func (o *oracle) compareRecovery(t *testing.T) {
	t.Helper()
	var list []recovered
	for _, m := range o.sorted() {
		if m.ID.Position() < o.head.Low {
			continue
		}
		r := recovered{Message: m}
		for _, e := range m.Routes {
			if o.open(key(m, e)) {
				r.Open = append(r.Open, e)
			}
		}
		list = append(list, r)
	}
	equal(t, "recover", list, recoverAll(t, o.s, o.head.Low))
	var behind []store.BehindRow
	for _, row := range o.behind {
		behind = append(behind, row)
	}
	slices.SortFunc(behind, func(a, b store.BehindRow) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	equal(t, "behind", behind, must[[]store.BehindRow](t)(o.s.Behind(t.Context())))
}

func (o *oracle) compareDeliveries(t *testing.T) {
	t.Helper()
	keys, standings := map[postern.ApplicationNumber][]store.Placed{}, map[postern.ApplicationNumber][]store.Standing{}
	for _, d := range o.deliveries() {
		got := must[store.Standing](t)(o.s.Standing(t.Context(), d))
		keys[d.Application] = append(keys[d.Application], store.Placed{Endpoint: d.Endpoint, Message: d.Message})
		standings[d.Application] = append(standings[d.Application], got)
		if !got.Message || got.Attempts != len(o.attempts[d]) || got.Final != o.final(d) || (got.Row == nil) != (o.rows[d] == nil) {
			t.Fatalf("standing of %v: %+v; want %d attempts, final %t, row %v", d, got, len(o.attempts[d]), o.final(d), o.rows[d])
		}
		if got.Row != nil {
			equal(t, "row", *o.rows[d], *got.Row)
		}
		if want := o.state(d); got.State != want {
			t.Fatalf("state of %v: %v, want %v", d, got.State, want)
		}
	}
	for app, list := range keys {
		equal(t, "standings", standings[app], must[[]store.Standing](t)(o.s.Standings(t.Context(), app, list)))
	}
}

// state is that of the row, else of what ended the delivery last.
func (o *oracle) state(d store.DeliveryKey) postern.State {
	if o.rows[d] != nil {
		return postern.Retrying
	}
	state, last := postern.Pending, 0
	for _, a := range o.attempts[d] {
		last = max(last, a.N)
		if a.State.Final() {
			state = a.State
		}
	}
	if f, ok := o.finals[d]; ok && (!state.Final() || last <= f.Attempts) {
		state = f.State
	}
	return state
}

func (o *oracle) compareMessages(t *testing.T, app postern.ApplicationNumber) {
	t.Helper()
	var list []postern.MessageID
	for _, m := range o.sorted() {
		if m.Application == app {
			list = append(list, m.ID)
		}
	}
	p := store.Page{Limit: 1 + o.rnd.IntN(20), Ascending: o.rnd.IntN(2) == 0}
	if !p.Ascending {
		slices.Reverse(list)
	}
	equal(t, "messages", list, messagePages(t, o.s, app, store.MessageFilter{}, p))
	if len(list) == 0 {
		return
	}
	id := list[o.rnd.IntN(len(list))]
	attempts, finals, err := attemptsOf(t.Context(), o.s, app, id)
	if err != nil {
		t.Fatal(err)
	}
	var wantAttempts []postern.Attempt
	var wantFinals []postern.Final
	for _, e := range o.messages[id].Routes {
		d := key(o.messages[id], e)
		wantAttempts = append(wantAttempts, o.attempts[d]...)
		if f, ok := o.finals[d]; ok {
			wantFinals = append(wantFinals, f)
		}
	}
	equal(t, "attempts", wantAttempts, attempts)
	equal(t, "finals", wantFinals, finals)
}

func (o *oracle) compareEndpoint(t *testing.T, e postern.EndpointNumber) {
	t.Helper()
	ctx, app := t.Context(), ownerOf(e)
	var open, dead []postern.MessageID
	var rows []postern.Row
	var attempts []postern.Attempt
	for _, d := range o.deliveries() {
		if d.Endpoint != e {
			continue
		}
		if o.open(d) {
			open = append(open, d.Message)
		}
		if o.dead[d] {
			dead = append(dead, d.Message)
		}
		if o.rows[d] != nil {
			rows = append(rows, *o.rows[d])
		}
		attempts = append(attempts, o.attempts[d]...)
	}
	q := store.ScanQuery{Application: app, Endpoint: e, Before: o.head.Next, Limit: 1 + o.rnd.IntN(9), Examine: 1 + o.rnd.IntN(30)}
	equal(t, "scan", open, ids(scanAll(t, o.s, q)...))
	slices.SortFunc(rows, func(a, b postern.Row) int {
		return cmp.Or(a.Next.Compare(b.Next), a.Message.Compare(b.Message))
	})
	equal(t, "due", rows, must[[]postern.Row](t)(o.s.Due(ctx, e, store.DueCursor{}, 1000)))
	page := must[store.DeadPage](t)(o.s.Dead(ctx, app, e, store.Page{Limit: 1000, Ascending: true}))
	equal(t, "dead", dead, page.Messages)
	slices.SortFunc(attempts, func(a, b postern.Attempt) int { return a.ID.Compare(b.ID) })
	p := store.Page{Limit: 1 + o.rnd.IntN(9), Ascending: true}
	var got []postern.Attempt
	for {
		page := must[store.AttemptPage](t)(o.s.EndpointAttempts(ctx, app, e, store.AttemptFilter{}, p))
		got = append(got, page.Attempts...)
		if p.After = page.Next; page.Done {
			break
		}
	}
	// The list of a dropped day goes with the attempt's own day, not with its
	// message's: what is left of it names nothing that is kept.
	equal(t, "attempts of the endpoint", attempts, got)
}
