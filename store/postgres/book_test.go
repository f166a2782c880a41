package postgres

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// book fills a store: it gives out ids and keeps the head, as a committer does.
type book struct {
	t    *testing.T
	s    *Store
	now  time.Time
	head store.Head
}

func newBook(t *testing.T, s *Store) *book {
	return &book{t: t, s: s, now: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC), head: store.Head{Next: 1, Low: 1}}
}

// accept makes the next message.
func (b *book) accept(app postern.ApplicationNumber, routes ...postern.EndpointNumber) store.Accept {
	b.now = b.now.Add(time.Millisecond)
	m := &postern.Message{
		ID: postern.NewMessageID(b.now, 0, b.head.Next, b.head.Next), Application: app, EventType: "invoice.paid",
		ContentType: "application/json", Routes: routes, Size: 2,
	}
	b.head.Next++
	return store.Accept{Message: m, Content: &postern.Content{Payload: []byte("{}")}}
}

// attempt makes the n-th try of a delivery.
func (b *book) attempt(m *postern.Message, e postern.EndpointNumber, n int, state postern.State) *postern.Attempt {
	b.now = b.now.Add(time.Millisecond)
	return &postern.Attempt{
		ID: postern.NewAttemptID(b.now, 0, b.head.Batch+1, n, e), Message: m.ID, Application: m.Application, Endpoint: e, N: n,
		State: state, Succeeded: state == postern.Delivered, Code: 200, URL: "https://example.com/hook", Started: b.now,
		Timings: postern.Timings{Total: time.Duration(n) * time.Millisecond},
	}
}

// row makes a row that is due after a while.
func (b *book) row(m *postern.Message, e postern.EndpointNumber, in time.Duration) store.RowChange {
	return store.RowChange{Put: &postern.Row{
		Endpoint: e, Application: m.Application, Message: m.ID, Generation: 1, Tries: 1, Attempts: 1, Next: b.now.Add(in), Wait: in,
	}}
}

func (b *book) commit(batch store.Batch) {
	b.t.Helper()
	b.head.Batch++
	b.head.LastTime = b.now
	batch.Head = b.head
	if err := b.s.Commit(b.t.Context(), &batch); err != nil {
		b.t.Fatal(err)
	}
}
