package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testRows: a delivery has one row, under both its orders, which moves and
// goes as a whole.
func testRows(t *testing.T, h Harness) {
	w := newWorld(t, h)
	m := w.publish(1, 1, 2)
	first := w.row(m, 1, 1, time.Minute)
	w.commit(store.Batch{Rows: []store.RowChange{{Put: first}}})
	check := func(want ...postern.Row) func(t *testing.T) {
		return func(t *testing.T) {
			t.Helper()
			due := must[[]postern.Row](t)(w.s.Due(t.Context(), 1, store.DueCursor{}, 10))
			equal(t, "rows due", want, due)
			standing := must[store.Standing](t)(w.s.Standing(t.Context(), key(m, 1)))
			if (standing.Row != nil) != (len(want) == 1) {
				t.Fatalf("standing has row %v, want %v", standing.Row, want)
			}
			if standing.Row != nil {
				equal(t, "row of the delivery", want[0], *standing.Row)
			}
		}
	}
	w.everywhere(check(*first))
	moved := w.row(m, 1, 2, time.Second)
	moved.Tries, moved.Attempts, moved.Trigger = 0, 3, postern.Manual
	moved.Replay = postern.ReplayID(w.id())
	w.commit(store.Batch{Rows: []store.RowChange{{Delete: first, Put: moved}}})
	w.everywhere(check(*moved))
	later := *moved
	later.Generation++ // a new generation in the same place
	w.commit(store.Batch{Rows: []store.RowChange{{Delete: moved, Put: &later}}})
	w.everywhere(check(later))
	w.commit(store.Batch{Rows: []store.RowChange{{Delete: &later}}})
	w.everywhere(check())
}

// testDue: an endpoint's rows come by time, then by id, page after page, also from a
// place where none is; and each endpoint's earliest tells when to look.
func testDue(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var puts []store.RowChange
	var accepts []store.Accept
	for i := range 30 {
		a := w.accept(1, 1, 7)
		accepts = append(accepts, a)
		// Every third is due at the same moment: the id breaks the tie.
		puts = append(puts, store.RowChange{Put: w.row(a.Message, 1, 1, time.Duration(30-i/3)*time.Second)})
		puts[i].Put.Next = start().Add(time.Hour - time.Duration(i/3)*time.Second)
	}
	late := w.row(accepts[0].Message, 7, 1, time.Hour)
	w.commit(store.Batch{Accepts: accepts, Rows: append(puts, store.RowChange{Put: late})})

	var cursor store.DueCursor
	var got []postern.Row
	for {
		rows := must[[]postern.Row](t)(w.s.Due(t.Context(), 1, cursor, 7))
		if len(rows) == 0 {
			break
		}
		got = append(got, rows...)
		last := rows[len(rows)-1]
		cursor = store.DueCursor{Next: last.Next, Message: last.Message}
	}
	if len(got) != 30 {
		t.Fatalf("%d rows over all pages, want 30", len(got))
	}
	for i := 1; i < len(got); i++ {
		if before, row := got[i-1], got[i]; row.Next.Before(before.Next) || (row.Next.Equal(before.Next) && row.Message.Compare(before.Message) <= 0) {
			t.Fatalf("row %d (%v, %s) comes after (%v, %s)", i, row.Next, row.Message, before.Next, before.Message)
		}
	}
	// A cursor between rows, where none is, is a place as well.
	rows := must[[]postern.Row](t)(w.s.Due(t.Context(), 1, store.DueCursor{Next: start().Add(time.Hour - time.Second)}, 100))
	if len(rows) != 6 {
		t.Errorf("%d rows from the last but one moment on, want 6", len(rows))
	}
	var first []postern.Row
	must[any](t)(nil, w.s.Schedules(t.Context(), func(row postern.Row) error {
		first = append(first, row)
		return nil
	}))
	equal(t, "earliest rows", []postern.Row{got[0], *late}, first)
	stop := errors.New("stop")
	if err := w.s.Schedules(t.Context(), func(postern.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Schedules with a failing callback: %v", err)
	}
}

// testBehind: a lane has one behind row, which moves and goes with a batch.
func testBehind(t *testing.T, h Harness) {
	w := newWorld(t, h)
	one := store.BehindRow{Endpoint: 1, Application: 1, From: w.message(1).ID}
	two := store.BehindRow{Endpoint: 2, Application: 1, From: postern.NewMessageID(w.now, 1, w.head.Next, 0)}
	w.commit(store.Batch{Behind: []store.BehindChange{{Row: one}, {Row: two}}})
	check := func(want ...store.BehindRow) func(t *testing.T) {
		return func(t *testing.T) {
			equal(t, "behind rows", want, must[[]store.BehindRow](t)(w.s.Behind(t.Context())))
		}
	}
	w.everywhere(check(one, two))
	moved := one
	moved.From = two.From
	w.commit(store.Batch{Behind: []store.BehindChange{{Row: moved}, {Row: two, Delete: true}}})
	w.everywhere(check(moved))
}

// testStanding: how a delivery stands follows from attempts, final record and row, in
// whatever order they came: a row counts before all, the later of the others before the
// earlier, and another application has none of it.
func testStanding(t *testing.T, h Harness) {
	w := newWorld(t, h)
	m := w.publish(1, 1, 2, 3)
	expect := func(what string, e postern.EndpointNumber, want store.Standing) {
		t.Helper()
		got := must[store.Standing](t)(w.s.Standing(t.Context(), key(m, e)))
		got.Row = nil
		equal(t, what, want, got)
	}
	expect("never tried", 1, store.Standing{Message: true, State: postern.Pending})

	w.commit(store.Batch{Attempts: []*postern.Attempt{w.attempt(m, 1, 1, postern.Delivered)}})
	delivered := store.Standing{Message: true, Attempts: 1, State: postern.Delivered, Final: true}
	expect("delivered", 1, delivered)
	expect("its neighbour", 2, store.Standing{Message: true, State: postern.Pending})

	row := w.row(m, 1, 1, 0)
	w.commit(store.Batch{Rows: []store.RowChange{{Put: row}}})
	expect("resent", 1, store.Standing{Message: true, Attempts: 1, State: postern.Retrying, Final: true})

	failed := w.attempt(m, 1, 2, postern.Dead)
	failed.Reason = postern.ReasonExhausted
	w.commit(store.Batch{Attempts: []*postern.Attempt{failed}, Rows: []store.RowChange{{Delete: row}}})
	expect("dead after all", 1, store.Standing{Message: true, Attempts: 2, State: postern.Dead, Reason: postern.ReasonExhausted, Final: true})

	row = w.row(m, 2, 1, time.Minute)
	w.commit(store.Batch{Attempts: []*postern.Attempt{w.attempt(m, 2, 1, postern.Retrying)}, Rows: []store.RowChange{{Put: row}}})
	expect("retrying", 2, store.Standing{Message: true, Attempts: 1, State: postern.Retrying})

	w.advance(time.Second)
	cancel := postern.Final{Endpoint: 2, Application: 1, Message: m.ID, State: postern.Canceled, Reason: postern.ReasonCanceled, Attempts: 1, At: w.now}
	w.commit(store.Batch{Finals: []postern.Final{cancel}, Rows: []store.RowChange{{Delete: row}}})
	expect("canceled", 2, store.Standing{Message: true, Attempts: 1, State: postern.Canceled, Reason: postern.ReasonCanceled, Final: true})

	w.commit(store.Batch{Attempts: []*postern.Attempt{w.attempt(m, 2, 2, postern.Delivered)}}) // in the same millisecond
	again := store.Standing{Message: true, Attempts: 2, State: postern.Delivered, Final: true}
	expect("resent after cancel, and delivered", 2, again)

	gone := store.DeliveryKey{Application: 1, Endpoint: 1, Message: w.message(1).ID}
	equal(t, "of no message", store.Standing{}, must[store.Standing](t)(w.s.Standing(t.Context(), gone)))
	foreign := key(m, 1)
	foreign.Application = 2
	equal(t, "in another application", store.Standing{}, must[store.Standing](t)(w.s.Standing(t.Context(), foreign)))
}

// recovered is what Recover gave for one message.
type recovered struct {
	Message *postern.Message
	Open    []postern.EndpointNumber
}

// recoverAll copies what the callback is lent.
func recoverAll(t *testing.T, s store.Store, from uint64) []recovered {
	t.Helper()
	var list []recovered
	err := s.Recover(t.Context(), from, func(m *postern.Message, open []postern.EndpointNumber) error {
		copied := *m
		list = append(list, recovered{&copied, append([]postern.EndpointNumber(nil), open...)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// testRecover: from a position on come the messages in order, with the routes that
// neither a final record nor a row covers. Before Low a driver may forget positions.
func testRecover(t *testing.T, h Harness) {
	w := newWorld(t, h)
	untried := w.publish(1, 1, 2)
	mixed := w.publish(2, 3, 4, 5, 6)
	nobody := w.publish(1)
	w.commit(store.Batch{
		Attempts: []*postern.Attempt{w.attempt(mixed, 3, 1, postern.Delivered), w.attempt(mixed, 4, 1, postern.Retrying)},
		Finals:   []postern.Final{{Endpoint: 5, Application: 2, Message: mixed.ID, State: postern.Canceled, At: w.now}},
		Rows:     []store.RowChange{{Put: w.row(mixed, 4, 1, time.Minute)}},
	})
	want := []recovered{
		{untried, []postern.EndpointNumber{1, 2}},
		{mixed, []postern.EndpointNumber{6}},
		{nobody, nil},
	}
	w.everywhere(func(t *testing.T) {
		equal(t, "from the start", want, recoverAll(t, w.s, 0))
		equal(t, "from the second position", want[1:], recoverAll(t, w.s, 2))
		equal(t, "from the end", []recovered(nil), recoverAll(t, w.s, w.head.Next))
	})
	stop := errors.New("stop")
	err := w.s.Recover(t.Context(), 0, func(*postern.Message, []postern.EndpointNumber) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("Recover with a failing callback: %v", err)
	}
	// What lies before Low may go, what lies behind must stay.
	for range 3 {
		var batch store.Batch
		for range 5000 {
			batch.Accepts = append(batch.Accepts, w.accept(1, 1))
		}
		w.head.Low = w.head.Next - 10
		w.commit(batch)
	}
	if n := len(recoverAll(t, w.s, w.head.Low)); n != 10 {
		t.Errorf("%d messages from Low on, want 10", n)
	}
}

// testScan: an endpoint's open deliveries come in order, over days and bounds, and what
// a bound ends goes on where it ended.
func testScan(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var routed []*postern.Message
	var batch store.Batch
	for i := range 60 {
		if i%20 == 0 {
			w.advance(40 * time.Hour) // over days, one of them empty
		}
		a := w.accept(1, 1)
		switch i % 4 {
		case 1:
			a.Message.Routes = []postern.EndpointNumber{2, 3}
		case 2:
			a = w.accept(2, 1) // another application
		default:
			a.Message.Routes = []postern.EndpointNumber{1, 2}
		}
		batch.Accepts = append(batch.Accepts, a)
		if a.Message.Application == 1 && a.Message.Routes[0] == 1 {
			routed = append(routed, a.Message)
		}
	}
	w.commit(batch)
	// Some are settled, in each of the ways; a first try that failed leaves the
	// delivery open where its row is gone.
	settled := store.Batch{
		Attempts: []*postern.Attempt{w.attempt(routed[0], 1, 1, postern.Delivered), w.attempt(routed[4], 1, 1, postern.Retrying), w.attempt(routed[6], 2, 1, postern.Delivered)},
		Finals:   []postern.Final{{Endpoint: 1, Application: 1, Message: routed[2].ID, State: postern.Dead, Reason: postern.ReasonExpired, At: w.now}},
		Rows:     []store.RowChange{{Put: w.row(routed[3], 1, 1, time.Minute)}},
	}
	w.commit(settled)
	want := append([]*postern.Message{routed[1]}, routed[4:]...)
	w.everywhere(func(t *testing.T) {
		for _, bound := range []struct{ limit, examine int }{{100, 1000}, {1, 1000}, {100, 1}, {3, 7}} {
			got := scanAll(t, w.s, store.ScanQuery{Application: 1, Endpoint: 1, Before: w.head.Next, Limit: bound.limit, Examine: bound.examine})
			equal(t, "scan", ids(want...), ids(got...))
		}
	})
	middle := want[10]
	got := scanAll(t, w.s, store.ScanQuery{Application: 1, Endpoint: 1, From: middle.ID, Before: want[20].ID.Position(), Limit: 4, Examine: 9})
	equal(t, "from one id to before a position", ids(want[10:20]...), ids(got...))
	equal(t, "header", middle, got[0])
}

// scanAll goes on until done, and finds scans that do not get on.
func scanAll(t *testing.T, s store.Store, q store.ScanQuery) []*postern.Message {
	t.Helper()
	var list []*postern.Message
	for range 1000 {
		result := must[store.ScanResult](t)(s.Scan(t.Context(), q))
		if len(result.Messages) > q.Limit {
			t.Fatalf("%d messages, limit %d", len(result.Messages), q.Limit)
		}
		list = append(list, result.Messages...)
		if result.Done {
			return list
		}
		if result.Next.Compare(q.From) <= 0 {
			t.Fatalf("scan from %s goes on at %s", q.From, result.Next)
		}
		q.From = result.Next
	}
	t.Fatal("a scan without end")
	return nil
}

// What behind rows cover of a day and before, and nobody ended.
func testCovered(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var batch store.Batch
	var all []*postern.Message
	for i := range 30 {
		if i%10 == 0 {
			w.advance(24 * time.Hour)
		}
		a := w.accept(postern.ApplicationNumber(1+i%2), 1, 2)
		if i%2 == 1 {
			a.Message.Routes = []postern.EndpointNumber{3}
		}
		batch.Accepts, all = append(batch.Accepts, a), append(all, a.Message)
	}
	batch.Attempts = []*postern.Attempt{w.attempt(all[2], 1, 1, postern.Delivered), w.attempt(all[4], 1, 1, postern.Retrying), w.attempt(all[4], 2, 1, postern.Delivered)}
	batch.Finals = []postern.Final{{Endpoint: 2, Application: 1, Message: all[6].ID, State: postern.Canceled, Reason: postern.ReasonCanceled, At: w.now}}
	batch.Rows = []store.RowChange{{Put: w.row(all[8], 1, 1, time.Minute)}}
	w.commit(batch)
	rows := []store.BehindRow{
		{Endpoint: 1, Application: 1},
		{Endpoint: 2, Application: 1, From: all[4].ID},
		{Endpoint: 3, Application: 2, From: all[17].ID},
		{Endpoint: 4, Application: 2},
	}
	want := map[store.DeliveryKey]int{}
	for _, i := range []int{0, 4, 6, 10, 12, 14, 16, 18} {
		want[key(all[i], 1)] = 1
	}
	for _, i := range []int{8, 10, 12, 14, 16, 18} {
		want[key(all[i], 2)] = 1
	}
	want[key(all[17], 3)], want[key(all[19], 3)] = 1, 1
	w.everywhere(func(t *testing.T) {
		got := map[store.DeliveryKey]int{}
		must[any](t)(nil, w.s.Covered(t.Context(), rows, store.DayOf(all[19].ID.Time()), func(d store.DeliveryKey) error {
			got[d]++
			return nil
		}))
		equal(t, "covered", want, got)
	})
	enough := errors.New("enough")
	if err := w.s.Covered(t.Context(), rows, store.DayOf(w.now), func(store.DeliveryKey) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of who is told is returned as %v", err)
	}
}
