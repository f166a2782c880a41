package e2e_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// crashSchedule retries soon at first, and long enough that an endpoint that
// fails every second time does not use it up.
const crashSchedule = "--retry-schedule=100ms,200ms,500ms,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s"

// settleWait is how long the end of an attempt may wait for a batch to go
// with.
const settleWait = 10 * time.Millisecond

// readWait is how long a busy machine may let a server wait for what it has
// been sent. The full count is run on a quiet one.
func readWait() time.Duration { return time.Duration(testkit.Count(250, 10)) * time.Millisecond }

// A server that is killed again and again loses nothing that it acknowledged,
// and sends a second copy only of what was on its way at the kill.
//
// The receivers' log is the witness: it is written by this process, which is
// not killed.
func TestSoakSIGKILL(t *testing.T) {
	t.Parallel()
	crash(t, "file:"+t.TempDir()+"/store")
}

// The same with PostgreSQL, which lives on, and may yet carry out what a server
// had sent before it was killed.
func TestSoakSIGKILLOnPostgreSQL(t *testing.T) {
	t.Parallel()
	crash(t, databases.Database(t))
}

// crash kills servers on a store, one after the other.
func crash(t *testing.T, store string) {
	t.Helper()
	seed := testkit.Seed(t)
	w := newCrashWorld(t, seed, store)
	w.kill(w.first)
	random := rand.New(rand.NewPCG(seed, 1))
	kills := testkit.Count(3, 25)
	m := newMeddler(w, rand.New(rand.NewPCG(seed, 2)))
	stop := w.publishers(testkit.Count(3, 4))
	for range kills {
		// One kill in four may hit a start: recovery is killed as well.
		least := 150
		if random.IntN(4) == 0 {
			least = 0
		}
		w.live(time.Duration(least+random.IntN(700)) * time.Millisecond)
	}
	last := w.start()
	base := last.url()
	w.address.Store(&base)
	stop()
	m.stop()
	w.healthy.Store(true)
	w.api.base = base
	m.end()
	w.deliverAll()
	w.measureCommits(base)
	m.check()
	w.checkHistory()
	w.checkDuplicates()
	if code := last.terminate(patience); code != 0 {
		t.Errorf("the last server ends with code %d", code)
	}
	t.Logf("seed %d: %d kills, %d messages acknowledged, %d unknown, %d refused, %d requests, at most %v lanes behind, %d resends, %d pauses",
		seed, kills, len(w.acknowledged), w.unknown, w.refused, len(w.receiver.requests("")), w.behind, len(m.resends), m.pauses)
	t.Logf("%d duplicates, the last answered %v before its kill, %d during a stall; longest commit <= %v", w.duplicates, w.latest, w.stalled, w.longest)
}

// crashWorld is what outlives the servers.
type crashWorld struct {
	t        *testing.T
	seed     uint64
	store    string
	first    *process // the server that all began with
	receiver *receiver
	healthy  atomic.Bool
	thrown   atomic.Int64 // throws of the failing endpoint
	api      *client
	app      string
	// endpoints are ids by the receiver's paths; wants tells which types go there.
	endpoints map[string]string
	// address is that of the server that lives, or lived last.
	address atomic.Pointer[string]
	kills   []kill
	proven  time.Time // when the last publish began that is acknowledged; guarded by mu

	mu           sync.Mutex
	acknowledged map[string]string // event types by message
	unknown      int               // publishes without an answer
	refused      int               // publishes answered otherwise than with 202
	longest      time.Duration     // the longest commit of all lives, rounded up to a bucket
	behind       float64           // the most lanes that were behind at once
	duplicates   int
	// latest is the longest time from an answer to the kill that lost it, and
	// stalled counts those that only a stalled disk explains.
	latest  time.Duration
	stalled int
}

// kill is one of the moments, and when the last publish began that had been
// acknowledged by then: what was handed to the store before that is durable.
type kill struct{ at, proven time.Time }

// crashRoutes are the event types that each path gets; nil for all. The three before
// the last are meddled with while the server is killed; the last has its own load.
var crashRoutes = map[string][]string{
	"/good": nil, "/failing": {"order.*"}, "/slow": {"order.created"},
	"/paused": nil, "/limited": {"user.*"}, "/resent": {"order.*"}, "/steady": {"steady.*"},
}

// newCrashWorld starts a server on a store, and has it make all that is routed to.
func newCrashWorld(t *testing.T, seed uint64, store string) *crashWorld {
	t.Helper()
	w := &crashWorld{t: t, seed: seed, store: store, acknowledged: map[string]string{}, endpoints: map[string]string{}}
	w.receiver = newReceiver(t, w.decide)
	w.first = w.start()
	base := w.first.url()
	w.address.Store(&base)
	w.api = newClient(t, base)
	w.app = w.api.application("crash")
	w.api.want(201, "POST", "/event-type", object{"name": "order.created", "description": "routed to by its name"}, nil)
	for path, types := range crashRoutes {
		more := object{"eventTypes": types}
		if rate := map[string]int{"/limited": 50, "/steady": 5}[path]; rate > 0 {
			more["throttleRate"] = rate
		}
		w.endpoints[path] = w.api.endpoint(w.app, w.receiver.URL+path, more)
	}
	return w
}

// decide is what the endpoints do: the slow one takes its time, the failing
// one fails every second request, by a throw that the seed decides.
func (w *crashWorld) decide(got *request, _ *http.Request) int {
	if w.healthy.Load() {
		return 200
	}
	switch got.path {
	case "/slow":
		<-time.After(200 * time.Millisecond)
	case "/failing":
		throw := fnv.New64a()
		fmt.Fprint(throw, w.seed, got.id, w.thrown.Add(1))
		if throw.Sum64()%2 == 0 {
			return 500
		}
	}
	return 200
}

// start starts a server on the store, without waiting for it.
func (w *crashWorld) start() *process {
	w.receiver.nextLife(w.t)
	return launch(w.t, nil, serveArgs(w.store, crashSchedule, "--log-level=info")...)
}

// live runs a server for a time, counted from its start, and kills it.
func (w *crashWorld) live(span time.Duration) {
	p := w.start()
	over := time.After(span)
	ready := make(chan string, 1)
	go func() { // ends with the process at the latest
		ready <- p.url()
	}()
	scrape := time.NewTicker(25 * time.Millisecond)
	defer scrape.Stop()
	for base := ""; ; {
		select {
		case base = <-ready:
			if base != "" {
				w.address.Store(&base)
			}
		case <-scrape.C:
			if base != "" {
				w.measureCommits(base)
			}
		case <-p.exited:
			w.t.Fatalf("the server ended by itself with code %d", p.code(0))
		case <-over:
			w.kill(p)
			return
		}
	}
}

// kill kills a server.
func (w *crashWorld) kill(p *process) {
	w.mu.Lock()
	proven := w.proven
	w.mu.Unlock()
	w.kills = append(w.kills, kill{p.kill(), proven})
}

// measureCommits reads the longest commit of a life from its histogram.
func (w *crashWorld) measureCommits(base string) {
	scraper := *w.api
	scraper.base = base
	samples, err := scraper.metrics()
	if err != nil {
		return // killed meanwhile
	}
	w.behind = max(w.behind, samples["postern_lanes_behind"])
	w.longest = max(w.longest, longestCommit(w.t, samples))
}

// longestCommit is that of a server's life so far, rounded up to a bucket.
func longestCommit(t *testing.T, samples map[string]float64) time.Duration {
	t.Helper()
	const name, infinite = `postern_commit_duration_seconds_bucket{le="`, "+Inf"
	bounds := map[float64]float64{} // counts by upper bound, cumulative
	for series, count := range samples {
		if text, ok := strings.CutPrefix(series, name); ok {
			text = strings.TrimSuffix(text, `"}`)
			bound := math.Inf(1)
			if text != infinite {
				var err error
				if bound, err = strconv.ParseFloat(text, 64); err != nil {
					t.Errorf("bucket %q", series)
				}
			}
			bounds[bound] = count
		}
	}
	longest, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(bounds)) {
		if bounds[bound] > below {
			longest, below = bound, bounds[bound]
		}
	}
	if math.IsInf(longest, 1) {
		longest = 60 // over the last bucket nothing is known but that it was long
	}
	return time.Duration(longest * float64(time.Second))
}

// publishers publish, some hundred messages a second each, until the returned
// function is called.
func (w *crashWorld) publishers(n int) (stop func()) {
	quit := make(chan struct{})
	var all sync.WaitGroup
	for p := range n {
		all.Go(func() {
			publisher := newClient(w.t, "")
			pace := time.NewTicker(4 * time.Millisecond)
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-pace.C:
					w.publish(publisher, p, i)
				case <-quit:
					return
				}
			}
		})
	}
	return func() { close(quit); all.Wait() }
}

// publish counts what became of a message, and returns the answer's status; 0 for
// none.
func (w *crashWorld) publish(c *client, publisher, i int) int {
	types := []string{"user.made", "order.changed", "order.created", "user.gone", "order.paid"}
	return w.publishType(c, types[i%len(types)], object{"publisher": publisher, "i": i})
}

// publishType is publish for a type and a payload.
func (w *crashWorld) publishType(c *client, eventType string, payload object) int {
	c.base = *w.address.Load()
	begun := time.Now()
	r, err := c.try("POST", "/app/"+w.app+"/msg", object{"eventType": eventType, "payload": payload})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.unknown++
		return 0
	case r.status == 202:
		if begun.After(w.proven) {
			w.proven = begun
		}
		id := idOf(r.body)
		if id == "" {
			w.t.Errorf("accepted without an id: %s", r.body)
		}
		w.acknowledged[id] = eventType
	case r.status == 503:
		w.refused++
		if r.header.Get("Retry-After") == "" {
			w.t.Errorf("503 without Retry-After: %s", r.body)
		}
	default:
		w.t.Errorf("publishing: %d %s", r.status, r.body)
	}
	return r.status
}

// expected are the paths that an event type is routed to.
func expected(eventType string) []string {
	var paths []string
	for path, types := range crashRoutes {
		if types == nil || slices.Contains(types, eventType) || slices.Contains(types, eventType[:strings.IndexByte(eventType, '.')]+".*") {
			paths = append(paths, path)
		}
	}
	return paths
}

// deliverAll waits until all that was acknowledged has arrived.
func (w *crashWorld) deliverAll() {
	w.t.Helper()
	var missing map[string]int
	arrived := func() bool {
		got := map[string]bool{}
		for _, r := range w.receiver.requests("") {
			got[r.path+r.id] = got[r.path+r.id] || r.status == 200
		}
		missing = map[string]int{}
		for id, eventType := range w.acknowledged {
			for _, path := range expected(eventType) {
				if !got[path+id] {
					missing[path]++
				}
			}
		}
		return len(missing) == 0
	}
	deadline := time.Now().Add(time.Duration(testkit.Count(60, 300)) * time.Second)
	for !arrived() {
		if time.Now().After(deadline) {
			w.t.Fatalf("of %d acknowledged messages so many have not arrived: %v", len(w.acknowledged), missing)
		}
		select {
		case <-w.receiver.arrived:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// checkHistory compares the history with the receivers' log.
func (w *crashWorld) checkHistory() {
	w.t.Helper()
	await(w.t, "nothing is under way", func() bool {
		samples, err := w.api.metrics()
		return err == nil && samples["postern_attempts_in_flight"] == 0 && samples["postern_deliveries_queued"] == 0 && samples["postern_rows"] == 0
	})
	// answered counts, by path and message, the requests that were answered
	// 200, and of these the ones that were settled for sure before a kill.
	answered, settled := map[string]int{}, map[string]int{}
	for _, r := range w.receiver.requests("") {
		if r.status == 200 {
			answered[r.path+r.id]++
			if !w.excused(&r) {
				settled[r.path+r.id]++
			}
		}
	}
	paths := map[string]string{}
	for path, id := range w.endpoints {
		paths[id] = path
	}
	ids := make(chan string)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for id := range ids {
				w.checkMessage(id, paths, answered, settled)
			}
		})
	}
	for id := range w.acknowledged {
		ids <- id
	}
	close(ids)
	workers.Wait()
}

// checkMessage checks one message's history.
func (w *crashWorld) checkMessage(id string, paths map[string]string, answered, settled map[string]int) {
	attempts := w.api.attempts(w.app, id)
	succeeded, numbers := map[string]int{}, map[string]int{}
	for _, a := range attempts {
		path := paths[a.EndpointID]
		numbers[path]++
		if a.Number != numbers[path] {
			w.t.Errorf("%s at %s: attempt %d has number %d", id, path, numbers[path], a.Number)
		}
		if a.Status == 0 {
			succeeded[path]++
		}
	}
	want := expected(w.acknowledged[id])
	if len(numbers) > len(want) {
		w.t.Errorf("%s was tried at %v, routed to %v", id, numbers, want)
	}
	for _, path := range want {
		switch got := succeeded[path]; {
		case got == 0:
			w.t.Errorf("%s has no success at %s in its history", id, path)
		case got < settled[path+id]:
			w.t.Errorf("%s has %d successes at %s in its history, %d were answered in time", id, got, path, settled[path+id])
		case got > answered[path+id]:
			w.t.Errorf("%s has %d successes at %s in its history, the receiver knows of %d", id, got, path, answered[path+id])
		}
	}
}

// excused reports whether a request's outcome may have been lost: a kill came
// before its answer, or so soon after that it was not committed.
//
// A commit that the kill interrupted, or that ended after the last look at the
// histogram, is not in it, and disks stall. So a loss after a longer time is
// excused as well while nothing that was handed in later had been acknowledged.
func (w *crashWorld) excused(r *request) bool {
	k, killed := w.killOf(r)
	soon := k.at.Sub(r.end) < settleWait+w.longest
	return killed && (soon || k.proven.Before(r.end.Add(readWait())))
}

// killOf is the kill that ended the server that a request came from; false for
// the last server, which was not killed.
func (w *crashWorld) killOf(r *request) (kill, bool) {
	n := int(r.life) - 1
	if n >= len(w.kills) {
		return kill{}, false
	}
	return w.kills[n], true
}

// measureLoss notes how long before its kill a lost outcome was answered.
func (w *crashWorld) measureLoss(r *request) {
	if k, killed := w.killOf(r); killed {
		ago := k.at.Sub(r.end)
		w.latest = max(w.latest, ago)
		if ago > settleWait+w.longest {
			w.stalled++
		}
	}
}

// checkDuplicates looks for deliveries that were made again though they had
// succeeded.
func (w *crashWorld) checkDuplicates() {
	w.t.Helper()
	copies := map[string][]request{}
	for _, r := range w.receiver.requests("") {
		copies[r.path+r.id] = append(copies[r.path+r.id], r)
	}
	for key, list := range copies {
		if list[0].path == "/resent" {
			continue // second copies were asked for
		}
		// What a server sent before its kill may be read after the next one has begun.
		slices.SortFunc(list, func(a, b request) int { return cmp.Or(cmp.Compare(a.life, b.life), a.start.Compare(b.start)) })
		for i, earlier := range list[:len(list)-1] {
			if earlier.status != 200 {
				continue
			}
			w.duplicates++
			w.measureLoss(&earlier)
			if !w.excused(&earlier) {
				w.t.Errorf("%s: a copy at %v after one from %v to %v of life %d that no kill excuses; kills %v, longest commit %v",
					key, list[i+1].start, earlier.start, earlier.end, earlier.life, w.kills, w.longest)
			}
		}
	}
}
