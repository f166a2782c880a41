package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/store/postgres"
)

// together are nodes on one database, and an endpoint that they deliver to.
type together struct {
	t        *testing.T
	database string
	secrets  engine.Secrets
	schedule []time.Duration // of retries, nil for the default
	receiver *httptest.Server

	mu    sync.Mutex
	got   map[string][]time.Time // when each body came
	fails map[string]bool        // bodies that are refused the first time they come
	news  chan struct{}          // capacity 1
}

// member is one of the nodes.
type member struct {
	*world
	name string
	stop func()
	// fenced: another node takes the journal away, so that Run ends with an error.
	fenced bool
}

func newTogether(t *testing.T) *together {
	t.Helper()
	cluster := pgtest.New(pgtest.Config{Prepare: postgres.Migrate})
	cluster.Run(t)
	g := &together{t: t, database: cluster.Database(t), got: map[string][]time.Time{}, fails: map[string]bool{}, news: make(chan struct{}, 1)}
	var err error
	if g.secrets, err = engine.LoadSecrets(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	g.receiver = httptest.NewServer(http.HandlerFunc(g.receive))
	t.Cleanup(g.receiver.Close)
	return g
}

func (g *together) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // half a request is none
	}
	g.mu.Lock()
	failed := g.fails[string(body)] && len(g.got[string(body)]) == 0
	g.got[string(body)] = append(g.got[string(body)], time.Now())
	g.mu.Unlock()
	if failed {
		w.WriteHeader(http.StatusInternalServerError)
	}
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// await waits until a body has come so often, and returns when it came.
func (g *together) await(body string, times int) []time.Time {
	g.t.Helper()
	for {
		g.mu.Lock()
		came := slices.Clone(g.got[body])
		g.mu.Unlock()
		n := len(came)
		if n > times {
			g.t.Fatalf("%s came %d times, want %d", body, n, times)
		}
		if n == times {
			return came
		}
		select {
		case <-g.news:
		case <-g.t.Context().Done():
			g.t.Fatalf("%s came %d times, want %d", body, n, times)
		}
	}
}

// fail has the first try of a body fail.
func (g *together) fail(body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails[body] = true
}

// join starts a node, which a test may stop before its end.
func (g *together) join(name string) *member { return g.joinAhead(name, 0) }

// joinAhead starts one on a machine whose clock is ahead.
func (g *together) joinAhead(name string, ahead time.Duration) *member {
	g.t.Helper()
	return g.open(postgres.Options{Node: name, Now: func() time.Time { return time.Now().Add(ahead) }})
}

// open is join with options, and with handlers of the application "a".
func (g *together) open(o postgres.Options, handlers ...func(*engine.Engine) error) *member {
	g.t.Helper()
	st, err := postgres.Open(g.t.Context(), g.database, o)
	if err != nil {
		g.t.Fatal(err)
	}
	eng, err := engine.New(g.t.Context(), engine.Config{
		Store: st, AdminKey: "admin", Secrets: g.secrets, RetrySchedule: g.schedule, EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, register := range handlers {
		if err := register(eng); err != nil {
			g.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	server := httptest.NewServer(eng.Handler())
	m := &member{world: &world{g.t, eng, server}, name: o.Node}
	m.stop = sync.OnceFunc(func() {
		server.Close()
		cancel()
		if err := <-ran; err != nil && !m.fenced {
			g.t.Errorf("%s: Run: %v", o.Node, err)
		}
		if err := st.Close(); err != nil && !m.fenced {
			g.t.Errorf("%s: Close: %v", o.Node, err)
		}
	})
	g.t.Cleanup(m.stop)
	if len(handlers) > 0 {
		m.want(200, "GET", "/app/a", nil, nil) // which waits until they are stored
	}
	return m
}

func (m *member) want(status int, method, path string, in, out any) {
	m.t.Helper()
	if got := m.call(method, path, in, out); got != status {
		m.t.Fatalf("%s: %s %s: %d, want %d", m.name, method, path, got, status)
	}
}

// publish returns the message's id.
func (m *member) publish(eventType, body string) string {
	m.t.Helper()
	var out struct{ ID string }
	m.want(202, "POST", "/app/a/msg", map[string]any{"eventType": eventType, "payload": map[string]any{"n": body}}, &out)
	return out.ID
}

func payload(n string) string { return fmt.Sprintf(`{"n":%q}`, n) }

// What one node is told of the catalogue, the next publish on another goes by;
// a delivery is resent and canceled wherever that is asked for; and whoever stops
// leaves what waits to the other.
func TestTwoNodes(t *testing.T) {
	g := newTogether(t)
	g.schedule = []time.Duration{time.Hour} // nothing is tried again by itself
	a, b := g.join("a"), g.join("b")
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	for i := range 20 {
		on, other := a, b
		if i%2 == 1 {
			on, other = b, a
		}
		uid, eventType := fmt.Sprintf("e%d", i), fmt.Sprintf("made.n%d", i)
		on.want(201, "POST", "/event-type", map[string]any{"name": eventType, "description": "d"}, nil)
		on.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": uid, "filterTypes": []string{eventType}}, nil)
		body := fmt.Sprint("first ", i)
		id := other.publish(eventType, body)
		g.await(payload(body), 1)
		on.want(202, "POST", "/app/a/msg/"+id+"/endpoint/"+uid+"/resend", map[string]any{}, nil)
		g.await(payload(body), 2)
	}

	g.fail(payload("waits"))
	id := a.publish("made.n0", "waits")
	g.await(payload("waits"), 1)
	var got struct{ Data []struct{ Status int } }
	b.want(200, "GET", "/app/a/attempt/msg/"+id, nil, &got)
	a.stop()
	b.want(202, "POST", "/app/a/msg/"+id+"/endpoint/e0/resend", map[string]any{}, nil)
	g.await(payload("waits"), 2)

	c := g.join("c")
	c.publish("made.n1", "last")
	g.await(payload("last"), 1)
}

// Two copies of one event that come to two nodes at once become one message.
func TestCopiesOnTwoNodes(t *testing.T) {
	g := newTogether(t)
	a, b := g.join("a"), g.join("b")
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	b.want(200, "GET", "/app/a", nil, nil)
	for i := range 50 {
		var all sync.WaitGroup
		answers := make([]int, 2)
		for k, m := range []*member{a, b} {
			all.Go(func() {
				body := fmt.Sprintf(`{"eventType":"t","eventId":"copy%d","payload":{}}`, i)
				req, _ := http.NewRequest("POST", m.server.URL+"/api/v1/app/a/msg", strings.NewReader(body))
				req.Header.Set("Authorization", "Bearer admin")
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				answers[k] = resp.StatusCode
				_ = resp.Body.Close()
			})
		}
		all.Wait()
		if answers[0]+answers[1] != 202+409 {
			t.Fatalf("copy %d: %v, want 202 and 409", i, answers)
		}
	}
}
