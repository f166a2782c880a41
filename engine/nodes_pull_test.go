package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/store/postgres"
)

// given is what a consumer is answered.
type given struct {
	Data []struct {
		ID      string
		Attempt int
		Message struct {
			ID      string
			Payload struct{ N string }
		}
	}
}

// pulling is nodes whose application "a" has the pull endpoint "worker".
func pulling(t *testing.T, names ...string) (g *together, nodes []*member) {
	t.Helper()
	g = newTogether(t)
	for _, name := range names {
		nodes = append(nodes, g.join(name))
	}
	nodes[0].want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	nodes[0].want(201, "POST", "/app/a/endpoint", map[string]any{"kind": "pull", "uid": "worker", "retrySchedule": []int{1, 1}}, nil)
	return g, nodes
}

// lease asks a node until it is given something, for as long as the test may run.
func (m *member) lease(limit, seconds int) (g given) {
	m.t.Helper()
	for len(g.Data) == 0 {
		if m.t.Context().Err() != nil {
			m.t.Fatal("nothing was given")
		}
		m.want(200, "POST", "/app/a/endpoint/worker/lease", map[string]any{"limit": limit, "waitSeconds": 20, "leaseSeconds": seconds}, &g)
	}
	return g
}

// nothing is given by a node.
func (m *member) nothing() {
	m.t.Helper()
	var g given
	m.want(200, "POST", "/app/a/endpoint/worker/lease", map[string]any{"limit": 10, "waitSeconds": 0}, &g)
	if len(g.Data) > 0 {
		m.t.Errorf("%s gives out what somebody holds: %+v", m.name, g)
	}
}

// end tells a node what became of a lease, and returns how many are missing.
func (m *member) end(how, id string, more map[string]any) int {
	m.t.Helper()
	in := map[string]any{"leases": []string{id}}
	for name, value := range more {
		in[name] = value
	}
	var out struct{ Missing []string }
	m.want(200, "POST", "/app/a/endpoint/worker/lease/"+how, in, &out)
	return len(out.Missing)
}

// What one node accepted is leased, extended, released, refused and acknowledged
// at any node, and is in one hand at a time.
func TestConsumersAtAnyNode(t *testing.T) {
	_, nodes := pulling(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	waits := make(chan given)
	go func() {
		defer close(waits)
		waits <- b.lease(1, 60)
	}()
	b.nothing()
	begun := time.Now()
	id := a.publish("t", "one")
	first := <-waits
	if took := time.Since(begun); took > 15*time.Second { // milliseconds, unless the machine is busy
		t.Errorf("it came after %v", took)
	}
	if len(first.Data) != 1 {
		t.Fatalf("%+v", first)
	}
	lease := first.Data[0]
	if lease.Message.ID != id || lease.Attempt != 1 || lease.Message.Payload.N != "one" {
		t.Fatalf("%+v", first)
	}
	for _, m := range nodes {
		m.nothing()
		if n := m.end("extend", lease.ID, map[string]any{"leaseSeconds": 120}); n != 0 {
			t.Errorf("%s does not know the lease", m.name)
		}
	}
	for _, m := range []*member{a, b, c} { // each gives back what another one was given
		if n := m.end("release", lease.ID, nil); n != 0 {
			t.Errorf("%s cannot release", m.name)
		}
		if n := c.end("ack", lease.ID, nil); n != 1 {
			t.Error("a lease that was released is acknowledged")
		}
		if lease = m.lease(1, 60).Data[0]; lease.Attempt != 1 {
			t.Errorf("release used up a try: %+v", lease)
		}
	}
	if n := b.end("nack", lease.ID, map[string]any{"error": "no"}); n != 0 {
		t.Error("b cannot refuse")
	}
	if lease = c.lease(1, 60).Data[0]; lease.Attempt != 2 {
		t.Errorf("%+v", lease)
	}
	if n := b.end("ack", lease.ID, nil); n != 0 {
		t.Error("b cannot acknowledge")
	}
	var attempts struct {
		Data []struct{ ResponseStatusCode int }
	}
	a.want(200, "GET", "/app/a/attempt/msg/"+id, nil, &attempts)
	if len(attempts.Data) != 2 || attempts.Data[0].ResponseStatusCode != 200 || attempts.Data[1].ResponseStatusCode != 500 {
		t.Errorf("%+v", attempts)
	}
}

// However many consumers ask at whatever node, each message of any node comes to
// one of them.
func TestEachMessageIsTakenOnce(t *testing.T) {
	_, nodes := pulling(t, "a", "b")
	const many = 120
	var mu sync.Mutex
	taken := map[string]int{}
	ctx, done := context.WithCancel(t.Context())
	defer done()
	var consumers sync.WaitGroup
	for i := range 6 {
		consumers.Go(func() {
			m, other := nodes[i%2], nodes[i/2%2]
			for ctx.Err() == nil {
				var g given
				if m.call("POST", "/app/a/endpoint/worker/lease", map[string]any{"limit": 5, "waitSeconds": 1}, &g) != http.StatusOK {
					t.Error("not given")
					return
				}
				for _, l := range g.Data {
					mu.Lock()
					if taken[l.Message.ID]++; len(taken) == many {
						done()
					}
					mu.Unlock()
					if n := other.end("ack", l.ID, nil); n != 0 {
						t.Errorf("%s lost a lease of %s", other.name, m.name)
					}
				}
			}
		})
	}
	for i := range many {
		nodes[i%2].publish("t", fmt.Sprint(i))
	}
	consumers.Wait()
	if len(taken) != many {
		t.Errorf("%d of %d were taken", len(taken), many)
	}
	for id, times := range taken {
		if times != 1 {
			t.Errorf("%s was taken %d times", id, times)
		}
	}
}

// What a node gave is given out again when it is gone, as the same try; the old
// lease is missing.
func TestLeasesOfANodeThatIsGone(t *testing.T) {
	g, nodes := pulling(t, "a", "b")
	a, b := nodes[0], nodes[1]
	id := b.publish("t", "one")
	lease := a.lease(1, 600).Data[0]
	again := func(of string, last string) string {
		t.Helper()
		got := a.lease(1, 600).Data[0]
		if got.Message.ID != id || got.Attempt != 1 || got.ID == last {
			t.Errorf("after %s: %+v", of, got)
		}
		if n := a.end("ack", last, nil); n != 1 {
			t.Errorf("after %s: the old lease is known", of)
		}
		return got.ID
	}
	b.fenced = true
	c := g.open(postgres.Options{Node: "b", Reclaim: true}) // as after b was killed: nothing was released
	second := again("a crash", lease.ID)
	c.stop()
	third := again("a stop", second)
	if n := a.end("ack", third, nil); n != 0 {
		t.Error("what the journal's next holder gave is not known")
	}
}
