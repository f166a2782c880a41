package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/postgres"
)

// called are the calls of a handler, on whatever nodes.
type called struct {
	mu   sync.Mutex
	by   map[string]string // the node's name, by the payload
	news chan struct{}     // capacity 1
	do   func(ctx context.Context, msg *engine.Message) error
}

func newCalled(do func(ctx context.Context, msg *engine.Message) error) *called {
	return &called{by: map[string]string{}, news: make(chan struct{}, 1), do: do}
}

// on registers the handler as a node's, for messages of type "t" of application "a".
func (c *called) on(name string) func(*engine.Engine) error {
	return func(e *engine.Engine) error {
		o := engine.HandlerOptions{EventTypes: []string{"t"}, Application: "a", RetrySchedule: postern.RetrySchedule{time.Second}, Concurrency: 2}
		return e.OnWith(o, func(ctx context.Context, msg *engine.Message) error {
			c.mu.Lock()
			c.by[fmt.Sprint(msg.Attempt, " ", string(msg.Payload))] += name
			c.mu.Unlock()
			select {
			case c.news <- struct{}{}:
			default:
			}
			return c.do(ctx, msg)
		})
	}
}

// await waits for a try of a message, and returns on which nodes it was made.
func (c *called) await(t *testing.T, attempt int, n string) string {
	t.Helper()
	for {
		c.mu.Lock()
		by := c.by[fmt.Sprint(attempt, " ", payload(n))]
		c.mu.Unlock()
		if by != "" {
			return by
		}
		select {
		case <-c.news:
		case <-t.Context().Done():
			t.Fatal("no call")
		}
	}
}

// tries are what the history has of a message's, the last first, once there are so
// many that ended.
func (m *member) tries(id string, n int) (list []try) {
	m.t.Helper()
	for {
		var out struct{ Data []try }
		m.want(200, "GET", "/app/a/attempt/msg/"+id, nil, &out)
		if len(out.Data) >= n {
			return out.Data
		}
		if m.t.Context().Err() != nil {
			m.t.Fatal("not so many tries")
		}
	}
}

type try struct {
	URL                string
	Response           string
	ResponseStatusCode int
}

func succeeds(context.Context, *engine.Message) error { return nil }

// A function that one node has is called for what others accepted, and what it
// returns decides and is kept as if it had been called there. Nodes that have it
// themselves call it themselves.
func TestAHandlerOnOneNode(t *testing.T) {
	g := newTogether(t)
	calls := newCalled(func(_ context.Context, msg *engine.Message) error {
		switch {
		case string(msg.Payload) == payload("never"):
			return postern.Permanent(errors.New("nonsense"))
		case msg.Attempt == 1 && string(msg.Payload) == payload("later"):
			return errors.New("no luck")
		}
		return nil
	})
	a := g.join("a")
	g.open(postgres.Options{Node: "b"}, calls.on("b"))
	c := g.open(postgres.Options{Node: "c"}, calls.on("c"))
	once, later, never := a.publish("t", "once"), a.publish("t", "later"), a.publish("t", "never")
	own := c.publish("t", "own")
	if by := calls.await(t, 1, "own"); by != "c" {
		t.Errorf("what c accepted was handled on %s", by)
	}
	for _, n := range []string{"once", "later", "never"} {
		if by := calls.await(t, 1, n); by != "b" && by != "c" {
			t.Errorf("%s was handled on %s", n, by)
		}
	}
	url := "postern:handler/t"
	for _, test := range []struct {
		id  string
		got []try
	}{
		{once, []try{{url, "", 200}}},
		{later, []try{{url, "", 200}, {url, "no luck", 500}}},
		{never, []try{{url, "nonsense", 500}}},
		{own, []try{{url, "", 200}}},
	} {
		if got := a.tries(test.id, len(test.got)); fmt.Sprint(got) != fmt.Sprint(test.got) {
			t.Errorf("%+v, want %+v", got, test.got)
		}
	}
}

// What comes while no node has a handler's function waits for one that joins, on
// the node that accepted it, and is handled once.
func TestAHandlerThatJoinsLater(t *testing.T) {
	g := newTogether(t)
	calls := newCalled(succeeds)
	g.open(postgres.Options{Node: "b"}, calls.on("b")).stop()
	a := g.join("a")
	var e struct{ Unattended bool }
	if a.want(200, "GET", "/app/a/endpoint/t", nil, &e); !e.Unattended {
		t.Error("somebody has the function")
	}
	const many = 40
	var last string
	for i := range many {
		last = a.publish("t", fmt.Sprint(i))
	}
	g.open(postgres.Options{Node: "c"}, calls.on("c"))
	for i := range many {
		calls.await(t, 1, fmt.Sprint(i))
	}
	a.tries(last, 1)
	if a.want(200, "GET", "/app/a/endpoint/t", nil, &e); e.Unattended {
		t.Error("nobody has the function")
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	if len(calls.by) != many {
		t.Errorf("%d tries of %d messages", len(calls.by), many)
	}
	for n, by := range calls.by {
		if by != "c" {
			t.Errorf("%s was handled on %q", n, by)
		}
	}
}

// A node that stops waits for what another one's function has of it, and stores
// what comes of that: nobody calls it again.
func TestStoppingWaitsForAnotherNodesHandler(t *testing.T) {
	g := newTogether(t)
	proceed := make(chan struct{})
	calls := newCalled(func(context.Context, *engine.Message) error { <-proceed; return nil })
	a := g.join("a")
	b := g.open(postgres.Options{Node: "b"}, calls.on("b"))
	id := a.publish("t", "one")
	calls.await(t, 1, "one")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.stop()
	}()
	for { // until it stops
		if _, _, err := a.engine.Publish(t.Context(), postern.Publish{EventType: "u", Payload: []byte("{}")}); errors.Is(err, postern.ErrUnavailable) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	close(proceed)
	<-stopped
	if got := b.tries(id, 1); len(got) != 1 || got[0].ResponseStatusCode != 200 {
		t.Errorf("%+v", got)
	}
	if by := calls.await(t, 1, "one"); by != "b" {
		t.Errorf("called on %s", by)
	}
}

// Copies of a program that start at the same moment on a new database store each
// handler once, and all of them run.
func TestProgramsThatStartAtOnce(t *testing.T) {
	g := newTogether(t)
	register := func(e *engine.Engine) error {
		for i := range 10 {
			o := engine.HandlerOptions{EventTypes: []string{fmt.Sprint("t", i)}, Application: "a"}
			if err := e.OnWith(o, succeeds); err != nil {
				return err
			}
		}
		return nil
	}
	var nodes [6]*member
	var starting sync.WaitGroup
	for i := range nodes {
		starting.Go(func() { nodes[i] = g.open(postgres.Options{Node: fmt.Sprint("n", i)}, register) })
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	var out struct{ Data []struct{ UID string } }
	if nodes[0].want(200, "GET", "/app/a/endpoint", nil, &out); len(out.Data) != 10 {
		t.Errorf("%+v", out)
	}
}
