package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testMessagesOfEndpoint: an endpoint's messages are those routed to it and
// those that were only tried there.
func testMessagesOfEndpoint(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var batch store.Batch
	var want []postern.MessageID
	for i := range 30 {
		routes := []postern.EndpointNumber{2}
		if i%3 == 0 {
			routes = []postern.EndpointNumber{1, 2, 900_000}
		}
		a := w.accept(5, routes...)
		batch.Accepts = append(batch.Accepts, a, w.accept(6, 1))
		if i%5 == 0 && i%3 != 0 {
			batch.Attempts = append(batch.Attempts, w.attempt(a.Message, 1, 1, postern.Delivered))
		}
		if i%3 == 0 || i%5 == 0 {
			want = append(want, a.Message.ID)
		}
	}
	w.commit(batch)
	w.everywhere(func(t *testing.T) {
		for _, limit := range []int{1, 4, 100} {
			got := messagePages(t, w.s, 5, store.MessageFilter{Endpoint: 1}, store.Page{Limit: limit, Ascending: true})
			equal(t, "messages of an endpoint", want, got)
			got = messagePages(t, w.s, 5, store.MessageFilter{Endpoint: 1}, store.Page{Limit: limit})
			slices.Reverse(got)
			equal(t, "the newest first", want, got)
		}
		equal(t, "of nobody", []postern.MessageID{}, messagePages(t, w.s, 5, store.MessageFilter{Endpoint: 3}, store.Page{Limit: 5}))
	})
}

// testEachOutcome: what came of attempts is told within their window, the
// newest first, until the reader has enough.
func testEachOutcome(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var batch store.Batch
	var want []store.Outcome // the newest first
	for i := range 40 {
		if i%10 == 0 {
			w.advance(20 * time.Hour)
		}
		a := w.accept(5, 1, 2)
		state := []postern.State{postern.Retrying, postern.Delivered, postern.Dead, postern.Delivered}[i%4]
		attempt := w.attempt(a.Message, 1, 1, state)
		attempt.Timings.Total = time.Duration(i*i) * time.Millisecond
		want = append([]store.Outcome{{
			At: attempt.ID.Time(), Succeeded: attempt.Succeeded, State: state, Took: attempt.Timings.Total,
		}}, want...)
		batch.Accepts = append(batch.Accepts, a)
		batch.Attempts = append(batch.Attempts, attempt, w.attempt(a.Message, 2, 1, postern.Delivered))
	}
	w.commit(batch)
	all := time.Time{}
	w.everywhere(func(t *testing.T) {
		equal(t, "all", want, outcomes(t, w.s, 1, all, all, 1000))
		equal(t, "a window, exclusive", want[10:30], outcomes(t, w.s, 1, want[30].At, want[9].At, 1000))
		equal(t, "the newest", want[:8], outcomes(t, w.s, 1, all, all, 8))
		equal(t, "nothing", []store.Outcome{}, outcomes(t, w.s, 1, want[0].At, all, 8))
	})
}

// outcomes are what is told of an endpoint's attempts, as many as wanted.
func outcomes(t *testing.T, s store.Store, endpoint postern.EndpointNumber, since, until time.Time, enough int) (list []store.Outcome) {
	t.Helper()
	err := s.EachOutcome(t.Context(), endpoint, since, until, func(o store.Outcome) bool {
		list = append(list, o)
		return len(list) < enough
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// testStandings: many deliveries stand as each does by itself, in whatever order
// they are asked for, and however many messages lie between them.
func testStandings(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var keys []store.Placed
	var absent []store.Placed
	for i := range 120 {
		if i%50 == 0 {
			w.advance(20 * time.Hour)
		}
		a := w.accept(5, 1, 2, 3)
		batch := store.Batch{Accepts: []store.Accept{a, w.accept(6, 4)}}
		for n := range i % 4 {
			batch.Attempts = append(batch.Attempts, w.attempt(a.Message, 1, n+1, []postern.State{postern.Retrying, postern.Dead, postern.Delivered}[n]))
		}
		if i%3 == 0 {
			batch.Rows = append(batch.Rows, store.RowChange{Put: w.row(a.Message, 2, 1, time.Minute)})
		}
		if i%7 == 0 {
			batch.Rows = append(batch.Rows, store.RowChange{Put: w.row(a.Message, 1, uint64(i), time.Minute)})
			batch.Finals = append(batch.Finals, postern.Final{Endpoint: 3, Application: 5, Message: a.Message.ID, State: postern.Canceled, At: w.now})
		}
		w.commit(batch)
		absent = append(absent, store.Placed{Endpoint: 1, Message: w.message(5).ID})
		if i%5 == 4 {
			continue // a gap
		}
		for _, e := range []postern.EndpointNumber{3, 1, 2} {
			keys = append(keys, store.Placed{Endpoint: e, Message: a.Message.ID})
		}
	}
	slices.SortFunc(keys, func(a, b store.Placed) int { return cmp.Compare(a.Message[19], b.Message[19]) }) // at random
	each := func(keys []store.Placed) (list []store.Standing) {
		for _, key := range keys {
			d := store.DeliveryKey{Application: 5, Endpoint: key.Endpoint, Message: key.Message}
			list = append(list, must[store.Standing](t)(w.s.Standing(t.Context(), d)))
		}
		return list
	}
	many := func(app postern.ApplicationNumber, keys []store.Placed) []store.Standing {
		return must[[]store.Standing](t)(w.s.Standings(t.Context(), app, keys))
	}
	w.everywhere(func(t *testing.T) {
		equal(t, "all", each(keys), many(5, keys))
		equal(t, "one", each(keys[7:8]), many(5, keys[7:8]))
		equal(t, "one twice", each([]store.Placed{keys[7], keys[7]}), many(5, []store.Placed{keys[7], keys[7]}))
		equal(t, "of no message", make([]store.Standing, len(absent)), many(5, absent))
		equal(t, "of another application", make([]store.Standing, len(keys)), many(6, keys))
		equal(t, "none", []store.Standing{}, many(5, nil))
	})
}
