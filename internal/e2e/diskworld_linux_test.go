package e2e_test

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/store/storetest"
)

// diskSchedule retries at once and for long: settles never cease.
const diskSchedule = "--retry-schedule=50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s"

// diskTally counts what happened on a disk, or on several.
type diskTally struct {
	starts, failedStarts, kills    int
	exits                          int            // servers that ended by themselves, with the code that says why
	causes                         map[string]int // of exits and failed starts, by what could not be written
	acknowledged, refused, unknown int            // publishes answered 202, 503, and not at all
	requests                       int
}

func (t *diskTally) add(o *diskTally) {
	t.starts += o.starts
	t.failedStarts += o.failedStarts
	t.kills += o.kills
	t.exits += o.exits
	for cause, n := range o.causes {
		t.count(cause, n)
	}
	t.acknowledged += o.acknowledged
	t.refused += o.refused
	t.unknown += o.unknown
	t.requests += o.requests
}

func (t *diskTally) count(cause string, n int) {
	if t.causes == nil {
		t.causes = map[string]int{}
	}
	t.causes[cause] += n
}

func (t *diskTally) String() string {
	return fmt.Sprintf("%d starts, %d failed starts, %d kills, %d exits with code %d, for %v; %d messages acknowledged, 0 lost, %d refused, %d without an answer, %d requests",
		t.starts, t.failedStarts, t.kills, t.exits, exitDisk, t.causes, t.acknowledged, t.refused, t.unknown, t.requests)
}

// diskWorld is a small disk, the servers that live on it one after the other,
// and what they promised. Its methods belong to one goroutine, but for publish.
type diskWorld struct {
	t        *testing.T
	disk     *disk
	dir      string
	noise    []byte // what payloads are cut from; it does not compress
	receiver *receiver
	flaky    atomic.Bool // the endpoint fails now and then
	server   *process    // the last one; nil before the first
	mourned  *process    // the last one whose end was looked at
	api      *client
	app      string
	address  atomic.Pointer[string]
	once     bool // nothing excuses a second copy

	diskTally // of publishes; guarded by mu
	mu        sync.Mutex
	ids       map[string]bool // of what was acknowledged
}

func newDiskWorld(t *testing.T, d *disk, random *rand.Rand) *diskWorld {
	w := &diskWorld{t: t, disk: d, dir: filepath.Join(d.dir, "store"), ids: map[string]bool{}}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	w.noise = make([]byte, 1<<20)
	for i := range w.noise {
		w.noise[i] = letters[random.IntN(len(letters))]
	}
	salt := random.Uint64()
	var throws atomic.Int64
	w.receiver = newReceiver(t, func(got *request, _ *http.Request) int {
		throw := fnv.New64a()
		fmt.Fprint(throw, salt, got.id, throws.Add(1))
		if w.flaky.Load() && throw.Sum64()%3 > 0 {
			return 500
		}
		return 200
	})
	w.api = newClient(t, "")
	return w
}

// launch begins a start; url tells whether the server came up.
func (w *diskWorld) launch() string {
	w.t.Helper()
	w.server = launch(w.t, nil, serveArgs("file:"+w.dir, diskSchedule)...)
	base := w.server.url()
	if base == "" {
		return ""
	}
	w.starts++
	w.address.Store(&base)
	w.api.base = base
	return base
}

// start starts a server that has to come up.
func (w *diskWorld) start() {
	w.t.Helper()
	if w.launch() == "" {
		w.t.Fatalf("serve ended with code %d:\n%s", w.server.code(0), w.server.stderr)
	}
	if w.app == "" {
		w.app = w.api.application("disk")
		w.api.endpoint(w.app, w.receiver.URL, nil)
	}
}

// tryStart starts a server that may find the disk too full, and then has to say
// so.
func (w *diskWorld) tryStart() {
	w.t.Helper()
	if w.launch() != "" {
		return
	}
	w.failedStarts++
	w.mourned = w.server
	w.checkExit()
	if said := w.server.stderr.String(); !strings.Contains(said, w.dir) || !strings.Contains(said, "space") {
		w.t.Errorf("a start on a full disk says:\n%s", said)
	}
}

// checkExit checks a server that has ended by itself, and counts why.
func (w *diskWorld) checkExit() {
	w.t.Helper()
	said, cause := w.server.stderr.String(), "another reason"
	for _, file := range []string{".log", "MANIFEST", "marker", ".sst", "OPTIONS", "keyring", "bytes are left"} {
		if strings.Contains(said, file) {
			cause = file
		}
	}
	w.count(cause, 1)
	if code := w.server.code(patience); code != exitDisk {
		w.t.Errorf("the server ended with code %d:\n%s", code, tail(w.server.stderr.String(), 4000))
	}
}

func (w *diskWorld) ended() bool {
	select {
	case <-w.server.exited:
		return true
	default:
		return false
	}
}

func (w *diskWorld) kill() {
	if !w.ended() {
		w.server.kill()
		w.mourned = w.server
		w.kills++
	}
}

// watch lets a while go by, or less if the server ends, with the right code.
func (w *diskWorld) watch(span time.Duration) {
	w.t.Helper()
	select {
	case <-w.server.exited:
		if w.mourned != w.server {
			w.mourned = w.server
			w.exits++
			w.checkExit()
		}
	case <-time.After(span):
	}
}

// publish publishes a payload of about a size and returns the answer, nil for
// none.
func (w *diskWorld) publish(c *client, size int) *reply {
	from := rand.IntN(len(w.noise) - size)
	c.base = *w.address.Load()
	r, err := c.try("POST", "/app/"+w.app+"/msg", object{"eventType": "a.b", "payload": object{"noise": string(w.noise[from : from+size])}})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.unknown++
		return nil
	case r.status == http.StatusAccepted:
		w.acknowledged++
		w.ids[idOf(r.body)] = true
	case r.status == http.StatusServiceUnavailable:
		w.refused++
		if r.header.Get("Retry-After") == "" {
			w.t.Errorf("503 without Retry-After: %s", r.body)
		}
	default:
		w.t.Errorf("publishing: %d %s", r.status, r.body)
	}
	return r
}

// publishers publish until the returned function is called, also while no
// server is there.
func (w *diskWorld) publishers(n, size int) (stop func()) {
	quit := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			c := newClient(w.t, "")
			for {
				var pause <-chan time.Time
				if r := w.publish(c, 1+rand.IntN(size)); r == nil || r.status != http.StatusAccepted {
					pause = time.After(10 * time.Millisecond)
				}
				select {
				case <-quit:
					return
				default:
				}
				if pause != nil {
					<-pause
				}
			}
		})
	}
	return func() {
		close(quit)
		all.Wait()
	}
}

// publishUntilRefused has several publish until each is refused for the disk,
// and returns the last refusal.
func (w *diskWorld) publishUntilRefused(size, publishers int) *reply {
	w.t.Helper()
	var refusal atomic.Pointer[reply]
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			c := newClient(w.t, "")
			for {
				r := w.publish(c, size)
				if r == nil {
					w.t.Error("no answer")
					return
				}
				if r.status == http.StatusServiceUnavailable {
					refusal.Store(r)
					return
				}
			}
		})
	}
	all.Wait()
	return refusal.Load()
}

// checkRefusal: it names the reason and the way out.
func (w *diskWorld) checkRefusal(r *reply) {
	w.t.Helper()
	if r == nil {
		w.t.Fatal("no refusal")
	}
	if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || seconds < 1 {
		w.t.Errorf("Retry-After: %q", r.header.Get("Retry-After"))
	}
	if body := string(r.body); !strings.Contains(body, `"disk_full"`) || !strings.Contains(body, "space") {
		w.t.Errorf("a full disk is refused with %s", body)
	}
}

// awaitRefused and awaitAccepted publish until the answer is so.
func (w *diskWorld) awaitRefused() { w.t.Helper(); w.awaitStatus(http.StatusServiceUnavailable) }

func (w *diskWorld) awaitAccepted() { w.t.Helper(); w.awaitStatus(http.StatusAccepted) }

func (w *diskWorld) awaitStatus(status int) {
	w.t.Helper()
	await(w.t, "publishing is answered "+strconv.Itoa(status), func() bool {
		r := w.publish(w.api, 100)
		return r != nil && r.status == status || w.ended()
	})
}

// source makes a source and returns its path.
func (w *diskWorld) source() string {
	w.t.Helper()
	var source struct{ IngestURL string }
	w.api.want(201, "POST", "/app/"+w.app+"/source", object{"name": "s", "provider": "github", "secrets": []string{githubSecret}}, &source)
	return source.IngestURL[strings.Index(source.IngestURL, "/in/"):]
}

func (w *diskWorld) metric(name string, want float64) {
	w.t.Helper()
	var got float64
	if !holds(patience, func() bool {
		samples, err := w.api.metrics()
		got = samples[name]
		return err == nil && got == want
	}) {
		w.t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func (w *diskWorld) ballast() bool {
	_, err := os.Stat(filepath.Join(w.dir, "ballast"))
	return err == nil
}

// files are the store's, with their sizes.
func (w *diskWorld) files() map[string]int64 {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Error(err)
	}
	sizes := map[string]int64{}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			sizes[entry.Name()] = info.Size()
		}
	}
	return sizes
}

// deliverAll waits until everything that was acknowledged has arrived.
func (w *diskWorld) deliverAll() {
	w.t.Helper()
	missing := 0
	arrived := func() bool {
		got := w.received()
		missing = 0
		for id := range w.ids {
			if got[id] == 0 {
				missing++
			}
		}
		return missing == 0
	}
	if !holds(3*patience, arrived) {
		w.t.Fatalf("of %d acknowledged messages %d have not arrived", len(w.ids), missing)
	}
}

// received counts the successful deliveries of each message.
func (w *diskWorld) received() map[string]int {
	got := map[string]int{}
	for _, r := range w.receiver.requests("") {
		if r.status == http.StatusOK {
			got[r.id]++
		}
	}
	return got
}

// finish gives all space back, and checks that nothing was lost, that the last
// server takes messages and that what it leaves covers everything.
func (w *diskWorld) finish() {
	w.t.Helper()
	w.disk.leave(w.disk.size)
	if w.ended() {
		w.start()
	}
	w.awaitAccepted()
	if w.ended() {
		w.t.Fatalf("the server ended when there was space again: code %d", w.server.code(0))
	}
	w.flaky.Store(false)
	w.deliverAll()
	if w.once {
		for id, n := range w.received() {
			if n > 1 {
				w.t.Errorf("%s was delivered %d times", id, n)
			}
		}
	}
	if code := w.server.terminate(3 * patience); code != 0 {
		w.t.Errorf("the last server ended with code %d", code)
	}
	w.requests = len(w.receiver.requests(""))
	manifests := slices.DeleteFunc(slices.Collect(maps.Keys(w.files())), func(name string) bool { return !strings.HasPrefix(name, "MANIFEST") })
	if len(manifests) > 2 {
		w.t.Errorf("what failed starts left is still there: %v", w.files())
	}
	w.checkCover()
}

func (w *diskWorld) checkCover() {
	w.t.Helper()
	s, err := embedded.Open(w.t.Context(), "file:"+w.dir, embedded.Options{Logger: slog.New(slog.DiscardHandler), ReserveBytes: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := storetest.CheckCover(w.t.Context(), s); err != nil {
		w.t.Errorf("cover: %v", err)
	}
	if err := s.Close(); err != nil {
		w.t.Error(err)
	}
}
