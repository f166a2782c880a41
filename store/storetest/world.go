package storetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// world is a committer reduced to what a test needs: it gives out ids and
// positions, keeps the head, and knows the store that is open now.
type world struct {
	t    *testing.T
	h    Harness
	s    store.Store
	rnd  *rand.Rand
	now  time.Time
	head store.Head
	// journal is the one that ids are made with.
	journal uint16
}

// start is noon, so that a test has half a day to either side in one bucket.
func start() time.Time { return time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC) }

func newWorld(t *testing.T, h Harness) *world {
	return &world{
		t: t, h: h, s: h.Open(t), now: start(),
		rnd:  rand.New(rand.NewPCG(7, 7)), //nolint:gosec // repeatable on purpose
		head: store.Head{Next: 1, Low: 1}, journal: 1,
	}
}

// advance moves the clock that ids are made by.
func (w *world) advance(d time.Duration) { w.now = w.now.Add(d) }

// id makes an id of no message.
func (w *world) id() [20]byte {
	w.advance(time.Millisecond)
	return postern.NewMessageID(w.now, uint16(w.rnd.Uint32()), w.rnd.Uint64()&postern.MaxPosition, w.rnd.Uint64())
}

// message makes the next message of an application.
func (w *world) message(app postern.ApplicationNumber, routes ...postern.EndpointNumber) *postern.Message {
	w.advance(time.Millisecond)
	m := &postern.Message{
		ID: postern.NewMessageID(w.now, w.journal, w.head.Next, w.rnd.Uint64()), Application: app,
		EventType: "invoice.paid", ContentType: "application/json", Routes: routes, Size: 2,
	}
	w.head.Next++
	return m
}

// accept makes the next message with a small content.
func (w *world) accept(app postern.ApplicationNumber, routes ...postern.EndpointNumber) store.Accept {
	return store.Accept{Message: w.message(app, routes...), Content: &postern.Content{Payload: []byte("{}")}}
}

// publish commits one message by itself.
func (w *world) publish(app postern.ApplicationNumber, routes ...postern.EndpointNumber) *postern.Message {
	w.t.Helper()
	a := w.accept(app, routes...)
	w.commit(store.Batch{Accepts: []store.Accept{a}})
	return a.Message
}

// seal writes the head into a batch.
func (w *world) seal(b *store.Batch) {
	w.head.Batch++
	w.head.LastTime = w.now
	b.Head = w.head
}

func (w *world) commit(b store.Batch) {
	w.t.Helper()
	w.seal(&b)
	if err := w.s.Commit(w.t.Context(), &b); err != nil {
		w.t.Fatalf("Commit: %v", err)
	}
}

// attempt makes a try of a delivery that led to a state.
func (w *world) attempt(m *postern.Message, e postern.EndpointNumber, n int, state postern.State) *postern.Attempt {
	a := &postern.Attempt{
		ID: w.id(), Message: m.ID, Application: m.Application, Endpoint: e, N: n, State: state,
		URL: "https://example.com/hook", Started: w.now, Timings: postern.Timings{Total: 12 * time.Millisecond},
	}
	a.Succeeded, a.Code = state == postern.Delivered, 200
	if !a.Succeeded {
		a.Code, a.Response = 503, []byte("try later")
	}
	return a
}

// row makes a row that is due after a while.
func (w *world) row(m *postern.Message, e postern.EndpointNumber, generation uint64, in time.Duration) *postern.Row {
	return &postern.Row{
		Endpoint: e, Application: m.Application, Message: m.ID, Generation: generation,
		Tries: 1, Attempts: 1, Next: w.now.Add(in), Wait: in,
	}
}

func (w *world) reopen(how How) {
	w.t.Helper()
	w.s = w.h.Reopen(w.t, w.s, how)
}

// everywhere runs a check now and after each way of ending the store.
func (w *world) everywhere(check func(t *testing.T)) {
	w.t.Helper()
	check(w.t)
	for _, how := range w.h.ends(w.s) {
		w.reopen(how)
		check(w.t)
	}
}

// equal compares; what is empty may be nil.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func key(m *postern.Message, e postern.EndpointNumber) store.DeliveryKey {
	return store.DeliveryKey{Application: m.Application, Endpoint: e, Message: m.ID}
}

func ids(messages ...*postern.Message) []postern.MessageID {
	list := make([]postern.MessageID, len(messages))
	for i, m := range messages {
		list[i] = m.ID
	}
	return list
}

// must fails the test for an error of a read.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
