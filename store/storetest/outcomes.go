package storetest

import (
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
		}
		equal(t, "of nobody", []postern.MessageID{}, messagePages(t, w.s, 5, store.MessageFilter{Endpoint: 3}, store.Page{Limit: 5}))
	})
}

// testCountAttempts: outcomes are counted within their window, the newest
// first, and no more are looked at than was said.
func testCountAttempts(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var batch store.Batch
	var moments []time.Time
	for i := range 40 {
		if i%10 == 0 {
			w.advance(20 * time.Hour)
		}
		a := w.accept(5, 1, 2)
		state := postern.Delivered
		if i%4 == 0 {
			state = postern.Retrying
		}
		attempt := w.attempt(a.Message, 1, 1, state)
		moments = append(moments, attempt.ID.Time())
		batch.Accepts = append(batch.Accepts, a)
		batch.Attempts = append(batch.Attempts, attempt, w.attempt(a.Message, 2, 1, postern.Delivered))
	}
	w.commit(batch)
	count := func(since, until time.Time, examine int) store.AttemptCount {
		return must[store.AttemptCount](t)(w.s.CountAttempts(t.Context(), 1, since, until, examine))
	}
	w.everywhere(func(t *testing.T) {
		equal(t, "all", store.AttemptCount{Succeeded: 30, Failed: 10}, count(time.Time{}, time.Time{}, 1000))
		equal(t, "exactly all", store.AttemptCount{Succeeded: 30, Failed: 10}, count(time.Time{}, time.Time{}, 40))
		equal(t, "a window, exclusive", store.AttemptCount{Succeeded: 15, Failed: 5}, count(moments[9], moments[30], 1000))
		equal(t, "the newest", store.AttemptCount{Succeeded: 6, Failed: 2, Oldest: moments[32]}, count(time.Time{}, time.Time{}, 8))
		equal(t, "nothing", store.AttemptCount{}, count(moments[39], time.Time{}, 8))
	})
}
