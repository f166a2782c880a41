package accept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/postgres"
)

// node is one of several on a database: a publisher with its committer, and as much
// of a catalogue and of lanes as they need.
type node struct {
	t  *testing.T
	st *postgres.Store
	c  *journal.Committer
	p  *Publisher

	version atomic.Uint64
	routes  atomic.Pointer[[]postern.EndpointNumber]
	reading sync.Mutex // held while others' changes are taken over

	mu sync.Mutex
	// counts are the deliveries that positions count for, which are none in the end.
	counts   map[uint64]int
	rerouted int
	accepted map[postern.MessageID][]postern.EndpointNumber
	withdrew int
}

func newNode(t *testing.T, url string) *node {
	st, err := postgres.Open(t.Context(), url, postgres.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	head, err := st.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, st: st, counts: map[uint64]int{}, accepted: map[postern.MessageID][]postern.EndpointNumber{}}
	n.routes.Store(&[]postern.EndpointNumber{})
	if err := n.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.c = journal.New(journal.Config{Store: st, Cover: n, Version: n.version.Load, Refresh: n.refresh}, head)
	n.p = New(Config{
		Router: n, Lanes: n, Store: st, Version: n.version.Load,
		Accept: func(p Part, size int) error { return n.c.Enqueue(journal.Accept, p, size) },
	})
	ran := make(chan error, 1)
	go func() { ran <- n.c.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		n.c.Close()
		if err := errors.Join(<-ran, st.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// refresh takes over what others changed. It waits for own changes, as who holds a
// catalogue's locks does.
func (n *node) refresh(ctx context.Context) error {
	n.reading.Lock()
	defer n.reading.Unlock()
	version, err := n.st.Changed(ctx, n.version.Load(), func(change any) error {
		if e, ok := change.(store.Change).Put.(*postern.Endpoint); ok {
			n.show(e.Number)
		}
		return nil
	})
	if err == nil {
		n.version.Store(version)
	}
	return err
}

func (n *node) show(e postern.EndpointNumber) {
	all := append(slices.Clone(*n.routes.Load()), e)
	slices.Sort(all)
	all = slices.Compact(all)
	n.routes.Store(&all)
}

// endpoint is a change of the catalogue.
type endpoint struct {
	record  *postern.Endpoint
	version uint64
	done    chan error
}

func (e *endpoint) Build(b *store.Batch) {
	b.Version = min(b.Version, e.version)
	b.Changes = append(b.Changes, store.Change{Put: e.record})
}

func (e *endpoint) Done(err error) { e.done <- err }

// create makes an endpoint, and holds what refreshing waits for over its commit.
func (n *node) create(number postern.EndpointNumber) {
	try := func() error {
		n.reading.Lock()
		defer n.reading.Unlock()
		e := &endpoint{record: &postern.Endpoint{Number: number, Application: 1}, version: n.version.Load(), done: make(chan error, 1)}
		if err := n.c.Enqueue(journal.Change, e, 1); err != nil {
			return err
		}
		err := <-e.done
		if err == nil {
			n.show(number)
		}
		return err
	}
	for {
		err := try()
		if err == nil {
			return
		}
		if known, ok := errors.AsType[*postern.Error](err); !ok || known.Code != store.CodeMoved {
			n.t.Error(err)
			return
		}
		if err := n.refresh(context.WithoutCancel(n.t.Context())); err != nil {
			n.t.Error(err)
			return
		}
	}
}

func (n *node) Match(postern.ApplicationNumber, string, []string) ([]postern.EndpointNumber, bool) {
	return *n.routes.Load(), true
}

func (n *node) count(m *postern.Message, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts[m.ID.Position()] += by
}

func (n *node) Accepting(m *postern.Message) { n.count(m, len(m.Routes)) }

func (n *node) Rerouted(m *postern.Message, before []postern.EndpointNumber) {
	n.count(m, len(m.Routes)-len(before))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rerouted++
}

func (n *node) Withdrawn(m *postern.Message) {
	n.count(m, -len(m.Routes))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.withdrew++
}

func (n *node) Accepted(m *postern.Message, _ *postern.Content) {
	n.count(m, -len(m.Routes))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted[m.ID] = m.Routes
}

func (n *node) Hold()    {}
func (n *node) Release() {}

// Close sets Low as lanes that hand everything over at once would.
func (n *node) Close(b *store.Batch) { b.Head.Low = b.Head.Next }

func (n *node) Reopen(uint64) {}
func (n *node) Synced()       {}

// Two nodes publish copies of the same events while endpoints are made on both: each
// event becomes one message, of which everybody is told, and each message goes to
// all endpoints that were there when it was published, on whichever node.
func TestTwoNodes(t *testing.T) {
	url := cluster.Database(t)
	nodes := []*node{newNode(t, url), newNode(t, url)}
	const publishers, events, endpoints = 4, 60, 25
	var mu sync.Mutex
	made := []postern.EndpointNumber{} // answered
	told := map[string]postern.MessageID{}
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			for j := range endpoints {
				number := postern.EndpointNumber(1 + 2*j + i)
				n.create(number)
				mu.Lock()
				made = append(made, number)
				mu.Unlock()
			}
		})
		for range publishers {
			all.Go(func() {
				for e := range events {
					mu.Lock()
					before := slices.Clone(made)
					mu.Unlock()
					event := fmt.Sprint(e)
					m, duplicate, err := n.p.Publish(t.Context(), postern.Publish{Application: 1, EventType: "a", EventID: event, Payload: []byte("{}")})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if first, known := told[event]; known && first != m.ID {
						t.Errorf("event %s is both %v and %v", event, first, m.ID)
					}
					told[event] = m.ID
					mu.Unlock()
					for _, number := range before {
						if !duplicate && !slices.Contains(m.Routes, number) {
							t.Errorf("event %s, published after endpoint %d was made, goes to %v", event, number, m.Routes)
						}
					}
				}
			})
		}
	}
	all.Wait()
	for i, n := range nodes {
		t.Logf("node %d accepted %d, rerouted %d, withdrew %d", i, len(n.accepted), n.rerouted, n.withdrew)
		for position, left := range n.counts {
			if left != 0 {
				t.Errorf("position %d of node %d counts for %d", position, i, left)
			}
		}
		for id, routes := range n.accepted {
			m, err := nodes[1-i].st.Message(t.Context(), 1, id)
			if err != nil || !slices.Equal(m.Routes, routes) {
				t.Errorf("%v was accepted for %v, stored %+v: %v", id, routes, m, err)
			}
		}
	}
	if len(nodes[0].accepted)+len(nodes[1].accepted) != events {
		t.Errorf("%d and %d messages of %d events", len(nodes[0].accepted), len(nodes[1].accepted), events)
	}
}
