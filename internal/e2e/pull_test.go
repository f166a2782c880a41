package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ours "github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/internal/testkit"
)

// Consumers of a pull endpoint, each a process of its own that is this very
// binary: TestMain sees the variable. They tell a ledger in the test's process,
// which is never killed, when they begin with a message and when they are done,
// and wait until it has taken that down.

// consumerVariable holds a consumer's order as JSON.
const consumerVariable = "POSTERN_E2E_CONSUMER"

// order is what a consumer process is to do.
type order struct {
	Server, Key, App, Endpoint, Ledger, Name string
	Seed                                     uint64
	Concurrency                              int
	Lease                                    time.Duration
}

// consumeLease is short: what a killed consumer held comes back soon. The full
// count has the shortest that Consume takes; a busy machine may extend one too late.
func consumeLease() time.Duration { return time.Duration(testkit.Count(6, 2)) * time.Second }

// consume is a consumer's main function. Now and then a message takes longer
// than its lease, and now and then it fails.
func consume(text string) int {
	var o order
	err := json.Unmarshal([]byte(text), &o)
	var c *ours.Client
	if err == nil {
		c, err = ours.New(ours.Options{URL: o.Server, Key: o.Key})
	}
	if err == nil {
		ledger := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.Concurrency}}
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(o.Seed, 3))
		throw := func() int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(1000)
		}
		err = c.Consume(context.Background(), o.App, o.Endpoint, ours.ConsumeOptions{Concurrency: o.Concurrency, Lease: o.Lease},
			func(ctx context.Context, l *ours.Lease) error { return o.work(ctx, ledger, l, throw()) })
	}
	fmt.Fprintln(os.Stderr, err)
	return 1 // a consumer works until it is killed
}

var errUnlucky = errors.New("unlucky")

// work handles one message; thrown is 0 to 999.
func (o *order) work(ctx context.Context, ledger *http.Client, l *ours.Lease, thrown int) error {
	if err := o.tell(ctx, ledger, "begin", l); err != nil {
		return err
	}
	switch {
	case thrown < 5:
		<-time.After(o.Lease + o.Lease/2)
	case thrown < 50:
		<-time.After(time.Duration(thrown) * 4 * time.Millisecond)
	}
	what := "done"
	if thrown >= 990 {
		what = "failed"
	}
	if err := o.tell(ctx, ledger, what, l); err != nil {
		return err
	}
	if what == "failed" {
		return errUnlucky
	}
	return nil
}

func (o *order) tell(ctx context.Context, ledger *http.Client, what string, l *ours.Lease) error {
	at := o.Ledger + "/" + what + "?" + url.Values{"consumer": {o.Name}, "message": {l.Message.ID.String()}, "payload": {string(l.Payload)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return err
	}
	res, err := ledger.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, res.Body) // for the connection's next use
	return res.Body.Close()
}

// ledger is what the test knows of who holds what.
type ledger struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	holder  map[string]string // messages that are being handled
	dead    map[string]bool   // consumers that were killed
	done    map[string]int    // how often a message was
	failed  int
	changed chan struct{} // closed and replaced by each done
}

func newLedger(t *testing.T) *ledger {
	g := &ledger{t: t, holder: map[string]string{}, dead: map[string]bool{}, done: map[string]int{}, changed: make(chan struct{})}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	return g
}

// ServeHTTP implements http.Handler.
func (g *ledger) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	consumer, message := q.Get("consumer"), q.Get("message")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead[consumer] {
		return // sent before the kill, read after it: nobody hears the answer, so nothing was taken down
	}
	if !strings.HasPrefix(q.Get("payload"), `{"n": `) {
		g.t.Errorf("the payload of %s came as %q", message, q.Get("payload"))
	}
	if r.URL.Path == "/begin" {
		if other, held := g.holder[message]; held {
			g.t.Errorf("%s is given to %s while %s has it", message, consumer, other)
		}
		g.holder[message] = consumer
		return
	}
	if g.holder[message] != consumer {
		g.t.Errorf("%s ends with %s, which %q has", consumer, message, g.holder[message])
	}
	delete(g.holder, message)
	if r.URL.Path == "/failed" {
		g.failed++
		return
	}
	g.done[message]++
	close(g.changed)
	g.changed = make(chan struct{})
}

// died forgets what a consumer held that was killed, and hears it no more.
func (g *ledger) died(consumer string) (held int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead[consumer] = true
	for message, holder := range g.holder {
		if holder == consumer {
			delete(g.holder, message)
			held++
		}
	}
	return held
}

// await waits until so many messages were handled.
func (g *ledger) await(n int, within time.Duration) {
	g.t.Helper()
	deadline := time.After(within)
	for {
		g.mu.Lock()
		count, changed := len(g.done), g.changed
		g.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			g.t.Fatalf("%d of %d messages were handled within %v", count, n, within)
		}
	}
}

// pullWorld is a server with a pull endpoint, and its consumers.
type pullWorld struct {
	t       *testing.T
	server  *server
	order   order
	ledger  *ledger
	started int
}

// consumer starts a consumer. It is killed at the test's end.
func (w *pullWorld) consumer() (name string, kill func()) {
	w.t.Helper()
	w.started++
	o := w.order
	o.Name, o.Seed = fmt.Sprint("consumer ", w.started), o.Seed+uint64(w.started)
	text, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(environment(), consumerVariable+"="+string(text))
	said := newOutput()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	exited, killed := make(chan struct{}), new(atomic.Bool)
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it ends with an error in any case
		if !killed.Load() {
			w.t.Errorf("%s ended by itself: %s", o.Name, said)
		}
	}()
	kill = func() {
		killed.Store(true)
		_ = cmd.Process.Kill()
		<-exited
	}
	w.t.Cleanup(kill)
	return o.Name, kill
}

// publish publishes messages by some publishers at once; wait returns when all
// are accepted.
func (w *pullWorld) publish(messages int) (wait func()) {
	var left atomic.Int64
	left.Store(int64(messages))
	var publishers sync.WaitGroup
	for range 16 {
		publishers.Go(func() {
			c := newClient(w.t, w.server.base)
			for {
				n := left.Add(-1)
				if n < 0 {
					return
				}
				// The space shows that payloads arrive byte by byte.
				body := fmt.Sprintf(`{"eventType":"pulled","payload":{"n": %d}}`, n)
				if r, err := c.try("POST", "/app/"+w.order.App+"/msg", body); err != nil || r.status != 202 {
					w.t.Errorf("publishing: %v, %v", r, err)
					return
				}
			}
		})
	}
	return publishers.Wait
}

// TestSoakPull has three consumers share an endpoint's messages, one of which is
// killed now and then and replaced. Each message is handled, by one at a time.
func TestSoakPull(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	messages, kills := testkit.Count(2_000, 100_000), testkit.Count(2, 20)
	w := &pullWorld{t: t, ledger: newLedger(t)}
	w.server = serve(t, "file:"+t.TempDir()+"/store", crashSchedule)
	w.order = order{Server: w.server.base, Key: adminKey, Ledger: w.ledger.server.URL, Seed: seed, Concurrency: 64, Lease: consumeLease()}
	w.order.App = w.server.application("pull")
	var made struct{ ID string }
	w.server.want(201, "POST", "/app/"+w.order.App+"/endpoint", object{"kind": "pull"}, &made)
	w.order.Endpoint = made.ID

	accepted := w.publish(messages)
	type running struct {
		name string
		kill func()
	}
	var consumers [3]running
	for i := range consumers {
		consumers[i].name, consumers[i].kill = w.consumer()
	}
	lost, most := 0, 0
	for k := range kills {
		w.ledger.await((k+1)*messages/(kills+2), time.Duration(testkit.Count(120, 300))*time.Second)
		i := random.IntN(len(consumers))
		consumers[i].kill()
		held := w.ledger.died(consumers[i].name)
		lost, most = lost+held, max(most, held)
		consumers[i].name, consumers[i].kill = w.consumer()
	}
	accepted()
	w.ledger.await(messages, time.Duration(testkit.Count(120, 300))*time.Second)
	await(t, "everything is acknowledged", func() bool {
		samples, err := w.server.metrics()
		return err == nil && samples[`postern_deliveries_ended_total{state="delivered"}`] == float64(messages)
	})
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	again := 0
	for _, times := range w.ledger.done {
		again += times - 1
	}
	// A message is handled again only if its consumer was killed before it could
	// acknowledge: it had told the ledger that it was done.
	if bound := kills * w.order.Concurrency; again > bound {
		t.Errorf("%d were handled again, at most %d were held by who was killed", again, bound)
	}
	if len(w.ledger.done) != messages || len(w.ledger.holder) != 0 {
		t.Errorf("%d of %d messages, %d held", len(w.ledger.done), messages, len(w.ledger.holder))
	}
	t.Logf("seed %d: %d messages, %d kills, which held %d (at most %d), %d failed, %d handled again", seed, messages, kills, lost, most, w.ledger.failed, again)
}
