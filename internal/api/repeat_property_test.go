package api_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern/internal/testkit"
)

// TestSoakRepeats sends many copies of a few requests at once, over three lives
// of a server. Callers go away, commits are held up, and the server is stopped,
// or loses its power, while copies of messages are under way. For each of the
// callers' keys one thing is made, and all who are told of it are told the same.
func TestSoakRepeats(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(3, 300) {
		p := &repeats{
			server: newServer(t), r: rand.New(rand.NewPCG(seed, uint64(i))),
			run: fmt.Sprintf("seed %d run %d", seed, i), answers: map[int]map[string]bool{},
		}
		p.do("POST", "/app", `{"name":"Shop","uid":"shop"}`)
		for range 3 {
			p.live()
		}
		p.end()
		if t.Failed() {
			return
		}
	}
}

// repeated are the requests; those of the first half make messages.
const repeated = 8

// repeats is one run.
type repeats struct {
	*server
	r   *rand.Rand
	run string

	mu sync.Mutex
	// gone: the power is off, and nobody hears what is still answered.
	gone bool
	// answers are what the copies of each request were told.
	answers map[int]map[string]bool
}

// request is the n-th one's.
func (p *repeats) request(n int) (path, body string) {
	switch {
	case n < repeated/2:
		return "/app/shop/msg", fmt.Sprintf(`{"eventType":"a","payload":{"n":"number %d"}}`, n)
	case n%2 == 0:
		return "/key", fmt.Sprintf(`{"name":"number %d","scope":"admin"}`, n)
	}
	return "/app/shop/endpoint", fmt.Sprintf(`{"url":%q,"description":"number %d"}`, p.receiver, n)
}

// live sends copies until the server ends, and starts the next one.
func (p *repeats) live() {
	end := p.r.IntN(3)
	kinds := repeated
	if end > 0 {
		// What makes no message is kept in a batch after its own: an end between
		// the two has it made anew, which the documentation says.
		kinds = repeated / 2
	}
	reached, release := p.disk.hold()
	var copies sync.WaitGroup
	for range 40 {
		n, patience := p.r.IntN(kinds), p.r.IntN(2000)
		ctx, leave := context.WithCancel(p.t.Context())
		if p.r.IntN(3) == 0 { // the caller goes away
			copies.Go(func() {
				for range patience {
					runtime.Gosched()
				}
				leave()
			})
		}
		copies.Go(func() {
			defer leave()
			p.send(ctx, n)
		})
	}
	answered := make(chan struct{})
	go func() { copies.Wait(); close(answered) }()
	select {
	case <-reached:
	case <-answered: // all of it is known
	}
	for range p.r.IntN(2000) {
		runtime.Gosched()
	}
	if end == 2 {
		p.mu.Lock()
		p.gone = true
		p.mem = p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 * p.r.IntN(2), RNG: p.r})
		p.mu.Unlock()
	}
	release()
	if end == 0 {
		<-answered
	}
	p.stop()
	<-answered
	p.gone = false
	p.start()
}

// send sends one copy and notes what it is told.
func (p *repeats) send(ctx context.Context, n int) *httptest.ResponseRecorder {
	path, body := p.request(n)
	w := p.ask(ctx, "POST", "/api/v1"+path, body, "Idempotency-Key", fmt.Sprintf("key %d", n))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone:
	case w.Code < 300:
		if p.answers[n] == nil {
			p.answers[n] = map[string]bool{}
		}
		p.answers[n][fmt.Sprint(w.Code, " ", w.Body)] = true
	case w.Code < 500:
		p.t.Errorf("%s: copy of %d: %d %s", p.run, n, w.Code, w.Body)
	}
	return w
}

// end has all requests repeated once more and counts what was made.
func (p *repeats) end() {
	for n := range repeated {
		if w := p.send(p.t.Context(), n); w.Code >= 300 {
			p.t.Errorf("%s: %d at last: %d %s", p.run, n, w.Code, w.Body)
		}
		if len(p.answers[n]) != 1 {
			p.t.Errorf("%s: %d was answered %q", p.run, n, slices.Collect(maps.Keys(p.answers[n])))
		}
	}
	made := ""
	for _, path := range []string{"/app/shop/msg", "/key", "/app/shop/endpoint"} {
		made += p.ask(p.t.Context(), "GET", "/api/v1"+path+"?limit=250", "").Body.String()
	}
	for n := range repeated {
		if times := strings.Count(made, fmt.Sprintf(`"number %d"`, n)); times != 1 {
			p.t.Errorf("%s: %d was made %d times", p.run, n, times)
		}
	}
}
