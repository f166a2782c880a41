package api

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/pull"
)

// lanes stand in for the dispatcher before the real book of leases: a queue for
// each pull endpoint, of what the world accepts. A delivery that failed does not
// come back, its row says when it would.
type lanes struct {
	w *world

	mu      sync.Mutex
	waiting map[postern.EndpointNumber][]*postern.Message
}

// newLeases makes the world's book and lanes.
func (w *world) newLeases() *pull.Book {
	w.lanes = &lanes{w: w, waiting: map[postern.EndpointNumber][]*postern.Message{}}
	book := pull.New(pull.Config{
		Take: w.lanes.take, Attend: w.cat.Attend,
		IDs: &postern.IDSource{Now: w.clock, Random: rand.Reader}, Now: w.clock,
	})
	w.t.Cleanup(book.Close)
	return book
}

// accepted queues a message for the pull endpoints that it goes to.
func (l *lanes) accepted(m *postern.Message) {
	for _, n := range m.Routes {
		if l.w.cat.EndpointByNumber(n).Kind == postern.PullEndpoint {
			l.push(n, m)
		}
	}
}

func (l *lanes) push(n postern.EndpointNumber, m *postern.Message) {
	l.mu.Lock()
	l.waiting[n] = append(l.waiting[n], m)
	l.mu.Unlock()
	l.w.leases.Waiting(n)
}

// count is how many deliveries wait at an endpoint.
func (l *lanes) count(n postern.EndpointNumber) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting[n])
}

// take is pull.Config's.
func (l *lanes) take(ctx context.Context, n postern.EndpointNumber) (pull.Taken, *postern.Content) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[n]) == 0 {
		return nil, nil
	}
	m := l.waiting[n][0]
	content, err := l.w.store.Content(ctx, m.Application, m.ID)
	if err != nil {
		l.w.t.Error(err)
		return nil, nil
	}
	l.waiting[n] = l.waiting[n][1:]
	return &taken{l: l, m: m, a: postern.Attempt{
		ID: l.w.newID(), Message: m.ID, Application: m.Application, Endpoint: n, N: 1, Started: l.w.now,
	}}, content
}

// taken is a delivery that a consumer holds.
type taken struct {
	l *lanes
	m *postern.Message
	a postern.Attempt
}

func (t *taken) Message() *postern.Message { return t.m }
func (t *taken) Attempt() *postern.Attempt { return &t.a }
func (t *taken) Return()                   { t.l.push(t.a.Endpoint, t.m) }

// Settle decides as the committer does, and stores.
func (t *taken) Settle() <-chan error {
	out := postern.Settle(postern.Delivery{State: postern.Sending}, t.a, postern.Policy{Schedule: postern.RetrySchedule{time.Minute}}, t.l.w.now)
	t.a.State, t.a.Reason = out.State, out.Reason
	if out.PutRow {
		t.a.Next = out.Next
	}
	t.l.w.settle(t.a)
	stored := make(chan error, 1)
	stored <- nil
	return stored
}

// addWorker gives an application a pull endpoint, a lease of a message, and
// three that wait. It returns the ids of the first two.
func (w *world) addWorker(app, uid string) (endpoint, lease string) {
	w.t.Helper()
	endpoint = w.must("/app/"+app+"/endpoint", `{"kind":"pull","uid":"`+uid+`","eventTypes":["job.*"]}`)
	for range 4 {
		w.must("/app/"+app+"/msg", `{"eventType":"job.made","payload":{"n": 1.0}}`)
	}
	return endpoint, leaseID(w.t, w.want(200, "POST", "/app/"+app+"/endpoint/"+uid+"/lease", `{"limit":1,"leaseSeconds":3600}`), 0)
}

// leaseID is the id of an answer's nth lease.
func leaseID(t testing.TB, answer map[string]any, n int) string {
	t.Helper()
	if list := ids(t, answer); n < len(list) {
		return list[n]
	}
	t.Fatalf("no lease %d in %v", n, answer)
	return ""
}

// addWorker has the story tell of leases, as {worker} and {lease}.
func (s *story) addWorker() {
	s.t.Helper()
	s.names["worker"], s.names["lease"] = s.world.addWorker("shop", "worker")
}

// consumed has {endpoint} name the pull endpoint for the rows that ask for one.
func (s *story) consumed(o *operation) {
	s.t.Helper()
	if strings.HasPrefix(o.name, "lease.") {
		s.addWorker()
		s.names["endpoint"] = s.names["worker"]
	}
}

// leases are those of a store of one process.
type leases struct{ *pull.Book }

// Extend implements Leases.
func (l leases) Extend(_ context.Context, n postern.EndpointNumber, ids []postern.LeaseID, d time.Duration) (time.Time, []postern.LeaseID, error) {
	return l.Book.Extend(n, ids, d)
}

// Release implements Leases.
func (l leases) Release(_ context.Context, n postern.EndpointNumber, ids []postern.LeaseID) ([]postern.LeaseID, error) {
	return l.Book.Release(n, ids)
}
