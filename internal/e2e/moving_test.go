package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/testkit"
)

// movingSchedule has what failed wait for longer than a fill takes, and be due soon
// after the store is served anew.
func movingSchedule() string {
	wait := strconv.Itoa(testkit.Count(4, 60)) + "s"
	return "--retry-schedule=" + strings.Join(slices.Repeat([]string{wait}, 8), ",")
}

// movingWorld is a server on a folder with endpoints that listen each to a type:
// /good answers, /failing only once it is healthy, /flaky then too for every second
// message, /paused is.
type movingWorld struct {
	t        *testing.T
	dir      string
	receiver *receiver
	healthy  atomic.Bool
	app      string
	secret   string // of /good

	mu           sync.Mutex
	acknowledged map[string]string // whether /good, /failing or /paused, by message
	proven       time.Time         // when the last publish began that is acknowledged
}

// movingEndpoints are those that listen; the last three have what waits.
func movingEndpoints() []string { return []string{"good", "flaky", "failing", "paused"} }

func newMovingWorld(t *testing.T) (*movingWorld, *server) {
	t.Helper()
	w := &movingWorld{t: t, dir: filepath.Join(t.TempDir(), "store"), acknowledged: map[string]string{}}
	w.receiver = newReceiver(t, func(got *request, _ *http.Request) int {
		if got.path == "/failing" || got.path == "/flaky" && fails(gjson.GetBytes(got.body, "i").Int()) {
			if !w.healthy.Load() {
				return 500
			}
		}
		return 200
	})
	s := w.serve("file:" + w.dir)
	w.app = s.application("moving")
	for _, name := range movingEndpoints() {
		id := s.endpoint(w.app, w.receiver.URL+"/"+name, object{"uid": name, "eventTypes": []string{name + ".*"}})
		if name == "good" {
			w.secret = s.secret(w.app, id)
		}
	}
	s.want(200, "POST", "/app/"+w.app+"/endpoint/paused/pause", nil, nil)
	return w, s
}

// fails reports whether /flaky refuses a message for as long as it may.
func fails(i int64) bool { return i%20 < 10 }

func (w *movingWorld) serve(store string, flags ...string) *server {
	w.t.Helper()
	w.receiver.nextLife(w.t)
	return serve(w.t, store, append([]string{movingSchedule(), "--public-url=https://hooks.example.com"}, flags...)...)
}

// fill publishes from many sides; most go to /good. half is called by one of them
// when half of them are acknowledged, and the others go on at least until it returns.
func (w *movingWorld) fill(s *server, total int, half func()) {
	w.t.Helper()
	var next, done atomic.Int64
	var over atomic.Bool // half has returned
	var publishers sync.WaitGroup
	for range 32 {
		publishers.Go(func() {
			c := newClient(w.t, s.base)
			for i := next.Add(1); i <= int64(total) || !over.Load(); i = next.Add(1) {
				w.publish(c, i)
				if done.Add(1) == int64(total)/2 {
					half()
					over.Store(true)
				}
			}
		})
	}
	publishers.Wait()
}

func (w *movingWorld) publish(c *client, i int64) {
	path := "good"
	switch i % 10 {
	case 1, 5, 9:
		path = "flaky"
	case 3:
		path = "failing"
	case 7:
		path = "paused"
	}
	begun := time.Now()
	r, err := c.try("POST", "/app/"+w.app+"/msg", object{"eventType": path + ".made", "eventId": fmt.Sprint("event-", i), "payload": object{"i": i}})
	if err != nil || r.status != 202 {
		w.t.Errorf("publishing: %+v, %v", r, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if path == "flaky" { // what it does with this one
		path = map[bool]string{true: "failing", false: "good"}[fails(i)]
	}
	w.acknowledged[idOf(r.body)] = "/" + path
	if begun.After(w.proven) {
		w.proven = begun
	}
}

// settled is a moment: what was answered before it is stored by now. It was handed to
// the store before something that is acknowledged.
func (w *movingWorld) settled() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proven.Add(-readWait())
}

// known are the messages acknowledged so far.
func (w *movingWorld) known() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := make(map[string]string, len(w.acknowledged))
	for id, path := range w.acknowledged {
		known[id] = path
	}
	return known
}

// pages reads a list whole, as text.
func pages(t *testing.T, s *server, path string) string {
	t.Helper()
	var all strings.Builder
	for iterator := ""; ; {
		var page struct {
			Data     []map[string]any
			Iterator *string
			Done     bool
		}
		s.want(200, "GET", path+"?limit=250&iterator="+url.QueryEscape(iterator), nil, &page)
		for _, entry := range page.Data {
			fmt.Fprintln(&all, entry)
		}
		if page.Done || page.Iterator == nil {
			return all.String()
		}
		iterator = *page.Iterator
	}
}

// held are the ids of the messages that a server has.
func (w *movingWorld) held(s *server) map[string]bool {
	w.t.Helper()
	ids := map[string]bool{}
	for line := range strings.Lines(pages(w.t, s, "/app/"+w.app+"/msg")) {
		_, rest, _ := strings.Cut(line, " id:")
		id, _, _ := strings.Cut(rest, " ")
		ids[id] = true
	}
	return ids
}

// goesOn: a server on what was moved, which began with endpoints that are healthy,
// delivers what waited, each once, and nothing twice that had been delivered, but for
// what unsure excuses.
func (w *movingWorld) goesOn(s *server, held map[string]bool, unsure func(id string) bool) {
	w.t.Helper()
	s.want(200, "POST", "/app/"+w.app+"/endpoint/paused/resume", nil, nil)
	known, life := w.known(), w.receiver.life.Load()
	var waiting []string
	for id := range held {
		if path := known[id]; path == "/failing" || path == "/paused" {
			waiting = append(waiting, id)
		}
	}
	count := func() map[string]int {
		copies := map[string]int{}
		for _, r := range w.receiver.requests("") {
			if r.life == life && r.status == 200 {
				copies[r.id]++
			}
		}
		return copies
	}
	all := func() bool {
		copies := count()
		return !slices.ContainsFunc(waiting, func(id string) bool { return copies[id] == 0 })
	}
	if !holds(time.Duration(testkit.Count(120, 600))*time.Second, all) {
		w.t.Fatalf("of %d that waited, %d were delivered", len(waiting), len(count()))
	}
	await(w.t, "nothing is under way", func() bool {
		samples, err := s.metrics()
		return err == nil && samples["postern_attempts_in_flight"] == 0 && samples["postern_deliveries_queued"] == 0 && samples["postern_rows"] == 0
	})
	again := 0
	for id, n := range count() {
		switch {
		case n > 1:
			w.t.Errorf("%s was delivered %d times", id, n)
		case known[id] == "/good" && !unsure(id):
			w.t.Errorf("%s had been delivered", id)
		case known[id] == "/good":
			again++
		}
	}
	w.t.Logf("%d messages, %d of them waited, %d were delivered again", len(held), len(waiting), again)
}

// TestSoakBackupUnderLoad: what was acknowledged before a backup began is in it, and
// a server on what is restored goes on from there.
func TestSoakBackupUnderLoad(t *testing.T) {
	t.Parallel()
	w, s := newMovingWorld(t)
	backup, restored := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	var before map[string]string
	var settled time.Time
	w.fill(s, testkit.Count(3_000, 200_000), func() {
		before, settled = w.known(), w.settled()
		began := time.Now()
		p := launch(t, nil, "backup", backup, "--url", s.base, "--key", adminKey)
		if code := p.code(time.Duration(testkit.Count(60, 300)) * time.Second); code != 0 {
			t.Errorf("backup: exit %d, %s", code, p.stderr)
		}
		t.Logf("backup of %d messages under load: %v", len(before), time.Since(began))
	})
	s.kill()
	if t.Failed() {
		return
	}
	p := launch(t, nil, "restore", backup, "--to", "file:"+restored)
	if code := p.code(time.Duration(testkit.Count(60, 300)) * time.Second); code != 0 {
		t.Fatalf("restore: exit %d, %s", code, p.stderr)
	}
	w.healthy.Store(true) // or they have failed for so long that they are only probed
	s = w.serve("file:" + restored)
	held := w.held(s)
	for id := range before {
		if !held[id] {
			t.Errorf("%s was acknowledged before the backup began, and is not in it", id)
		}
	}
	if len(held) >= len(w.known()) {
		t.Errorf("%d messages are in the backup, all of %d: there was no load beside it", len(held), len(w.known()))
	}
	delivered := map[string]time.Time{}
	for _, r := range w.receiver.requests("") {
		if _, twice := delivered[r.id]; !twice && r.status == 200 {
			delivered[r.id] = r.end
		}
	}
	w.goesOn(s, held, func(id string) bool { return delivered[id].IsZero() || delivered[id].After(settled) })
	s.publish(w.app, "good.made", object{"after": true})
}

// A copy that is killed again and again, into a store with another ring, ends up
// the same: history, rows, keys and secrets.
func TestSoakCopyKilled(t *testing.T) {
	t.Parallel()
	copyKilled(t, func() string { return "file:" + filepath.Join(t.TempDir(), "target") }, 3, 1)
}

// The same into PostgreSQL, which lives on, and may yet carry out what a copy had
// sent before it was killed. The full count waits for the disk.
func TestSoakCopyKilledOnPostgreSQL(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(pgtest.Config{Fsync: testkit.Soaking()})
	cluster.Run(t)
	copyKilled(t, func() string { return cluster.Database(t) }, testkit.Count(3, 1000), testkit.Count(1, 3))
}

// copyKilled copies a folder in chunks of some records, and kills the copy three times,
// when it has told so many times how far it is. One that was faster than its kill shows
// nothing: it begins anew with another target.
func copyKilled(t *testing.T, another func() string, chunk, lines int) {
	t.Helper()
	const ring = "--secret-key=other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	w, s := newMovingWorld(t)
	var source struct{ IngestURL string }
	s.want(201, "POST", "/app/"+w.app+"/source", object{"name": "s", "uid": "s", "provider": "github", "secrets": []string{githubSecret}}, &source)
	var key struct{ Token string }
	s.want(201, "POST", "/key", object{"name": "k", "scope": "admin"}, &key)
	w.fill(s, testkit.Count(3_000, 200_000), func() {})
	await(t, "what can be delivered is", func() bool {
		samples, err := s.metrics()
		return err == nil && samples["postern_attempts_in_flight"] == 0 && samples["postern_deliveries_queued"] == 0
	})
	away := time.Now()
	if code := s.terminate(patience); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}

	delivered := map[string]bool{}
	for _, r := range w.receiver.requests("") {
		delivered[r.id] = delivered[r.id] || r.status == 200
	}

	target := another()
	command := func() []string {
		return []string{"copy", "--from", "file:" + w.dir, "--to", target, fmt.Sprint("--chunk=", chunk), ring}
	}
	for kills, copies := 0, 0; kills < 3; kills++ {
		p := launch(t, nil, command()...)
		if !holds(patience, func() bool {
			said := p.stderr.String() // an earlier run may have left nothing to be copied
			return strings.Count(said, "copying:") >= lines || strings.Contains(said, "reading")
		}) {
			t.Fatalf("the copy does not get on: %s", p.stderr)
		}
		p.kill()
		if code := p.code(patience); code == 0 {
			if copies++; copies == 20 {
				t.Fatal("each copy was faster than its kill")
			}
			target, kills = another(), -1
			continue
		}
		code, _, stderr := run(t, nil, serveArgs(target, ring)...)
		if code == 0 || !strings.Contains(stderr, "half of a copy") {
			t.Fatalf("serving half of a copy: exit %d, %s", code, stderr)
		}
	}
	p := launch(t, nil, command()...)
	if code := p.code(time.Duration(testkit.Count(60, 600)) * time.Second); code != 0 {
		t.Fatalf("copy: exit %d, %s", code, p.stderr)
	}
	out := p.stdout.String()
	if !strings.Contains(out, "went on with a copy that was begun before") {
		t.Errorf("copy printed\n%s", out)
	}
	t.Log(out)

	lists := []string{"/app", "/app/" + w.app + "/endpoint", "/app/" + w.app + "/source", "/app/" + w.app + "/msg", "/key"}
	for _, name := range movingEndpoints() {
		lists = append(lists, "/app/"+w.app+"/attempt/endpoint/"+name)
	}
	w.healthy.Store(true) // or they have failed for so long that they are only probed
	copied := w.serve(target, ring)
	t.Logf("no server for %v, kills included", time.Since(away).Round(time.Millisecond))
	seen := map[string]string{}
	for _, path := range lists[:len(lists)-3] { // the last three go on
		seen[path] = pages(t, copied, path)
	}
	w.goesOn(copied, w.held(copied), func(id string) bool { return !delivered[id] })
	w.verifies(copied, source.IngestURL[strings.Index(source.IngestURL, "/in/"):], key.Token)
	copied.terminate(patience)

	origin := w.serve("file:"+w.dir, "--egress-allow=192.0.2.0/24") // delivers nothing
	failing := regexp.MustCompile(`failingSince:\S+`)               // what is due fails there at once
	for path, text := range seen {
		if diff := cmp.Diff(failing.ReplaceAllString(pages(t, origin, path), ""), failing.ReplaceAllString(text, "")); diff != "" {
			t.Errorf("%s differs (-source +target):\n%s", path, tail(diff, 2000))
		}
	}
}

// verifies: secrets and keys are those from before.
func (w *movingWorld) verifies(s *server, ingest, token string) {
	w.t.Helper()
	id := s.publish(w.app, "good.made", object{"after": true})
	var got request
	await(w.t, "the new message arrives", func() bool {
		list := w.receiver.requests("/good")
		at := slices.IndexFunc(list, func(r request) bool { return r.id == id })
		if at >= 0 {
			got = list[at]
		}
		return at >= 0
	})
	checkByGo(w.t, []delivery{got.signed("by the secret from before", w.secret, true)})
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte("{}"))
	in, err := s.send("POST", ingest, http.Header{
		"X-Github-Event": {"push"}, "X-Github-Delivery": {"d1"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}, strings.NewReader("{}"))
	if err != nil || in.status != 202 {
		w.t.Errorf("a request to the source from before: %+v, %v", in, err)
	}
	own, err := s.send("GET", "/api/v1/key", http.Header{"Authorization": {"Bearer " + token}}, nil)
	if err != nil || own.status != 200 {
		w.t.Errorf("with the key from before: %+v, %v", own, err)
	}
	s.want(409, "POST", "/app/"+w.app+"/msg", object{"eventType": "good.made", "eventId": "event-1", "payload": object{}}, nil)
}
