package intake_test

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/accept"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/store"
)

// slowEventTypes holds a request for a while, as a slow disk would.
type slowEventTypes struct {
	wait  time.Duration
	ended error
}

func (s *slowEventTypes) DeclareEventType(ctx context.Context, _, _ string) error {
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		s.ended = ctx.Err()
	}
	return nil
}

// committer is a journal of one batch at a time, made when the test says so.
type committer struct {
	mu      sync.Mutex
	queue   []accept.Part
	queued  chan struct{} // one value for each part
	records map[store.Digest]store.DedupeRecord
	head    store.Head
}

func newCommitter() *committer {
	return &committer{queued: make(chan struct{}, 100), records: map[store.Digest]store.DedupeRecord{}, head: store.Head{Next: 1, LastTime: time.Now()}}
}

func (c *committer) Match(postern.ApplicationNumber, string, []string) ([]postern.EndpointNumber, bool) {
	return nil, true
}
func (c *committer) Accepting(*postern.Message)                          {}
func (c *committer) Accepted(*postern.Message, *postern.Content)         {}
func (c *committer) Rerouted(*postern.Message, []postern.EndpointNumber) {}
func (c *committer) Withdrawn(*postern.Message)                          {}

func (c *committer) Dedupe(_ context.Context, scope store.Scope, d store.Digest, since time.Time) (store.DedupeRecord, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.records[d]
	return r, ok && r.Scope == scope && !r.Message.Time().Before(since), nil
}

func (c *committer) Message(context.Context, postern.ApplicationNumber, postern.MessageID) (*postern.Message, error) {
	return nil, postern.ErrNotFound
}

func (c *committer) accept(p accept.Part, _ int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, p)
	c.queued <- struct{}{}
	return nil
}

// commit makes all that is queued durable, or fails it.
func (c *committer) commit(err error) (accepts int) {
	c.mu.Lock()
	parts := c.queue
	c.queue = nil
	batch := store.Batch{Head: c.head}
	for _, p := range parts {
		p.Build(&batch)
	}
	if err == nil {
		c.head = batch.Head
		for _, a := range batch.Accepts {
			for _, r := range a.Dedupe {
				c.records[r.Digest] = r
			}
		}
	}
	c.mu.Unlock()
	for _, p := range parts {
		p.Done(err)
	}
	return len(batch.Accepts)
}

type answered struct {
	status int
	body   string
}

// start sends requests side by side and returns where their answers come.
func (w *world) start(requests ...*http.Request) <-chan answered {
	answers := make(chan answered, len(requests))
	for _, r := range requests {
		go func() { // ends with its answer, which every test takes
			res, body := w.send(r)
			answers <- answered{res.StatusCode, body}
		}()
	}
	return answers
}

func durableWorld(t *testing.T, change func(*postern.Source, *intake.Config)) (*world, *committer) {
	c := newCommitter()
	return newWorld(t, func(s *postern.Source, config *intake.Config) {
		config.Publisher = accept.New(accept.Config{Router: c, Lanes: c, Store: c, Accept: c.accept})
		if change != nil {
			change(s, config)
		}
	}), c
}

func TestNothingIsAnsweredBeforeTheMessageIsDurable(t *testing.T) {
	w, c := durableWorld(t, nil)
	answers := w.start(push("/in/"+token, "{}"))
	<-c.queued
	select {
	case a := <-answers:
		t.Fatalf("answered %d %s before the commit", a.status, a.body)
	default:
	}
	c.commit(postern.ErrUnavailable)
	if a := <-answers; a.status != http.StatusServiceUnavailable {
		t.Errorf("a failed commit: %d %s", a.status, a.body)
	}
}

func TestCopiesSideBySideBecomeOneMessage(t *testing.T) {
	const copies = 8
	w, c := durableWorld(t, nil)
	var requests []*http.Request
	for range copies {
		requests = append(requests, push("/in/"+token, "{}"))
	}
	answers := w.start(requests...)
	<-c.queued
	if n := c.commit(nil); n != 1 {
		t.Fatalf("%d messages", n)
	}
	first := <-answers
	for range copies - 1 {
		if a := <-answers; a != first || a.status != http.StatusAccepted {
			t.Errorf("answered %+v, the first copy %+v", a, first)
		}
	}
	if w.duplicates != copies-1 {
		t.Errorf("counted %d duplicates, want %d", w.duplicates, copies-1)
	}
	later := <-w.start(push("/in/"+token, "{}"))
	if later != first || w.duplicates != copies {
		t.Errorf("a later copy: %+v, %d duplicates", later, w.duplicates)
	}
}

// The first copy fails: the one that waited for it takes its place.
func TestCopyOfAFailedMessageIsAccepted(t *testing.T) {
	w, c := durableWorld(t, nil)
	answers := w.start(push("/in/"+token, "{}"), push("/in/"+token, "{}"))
	<-c.queued
	c.commit(postern.ErrUnavailable)
	<-c.queued
	c.commit(nil)
	got := map[int]int{}
	for range 2 {
		got[(<-answers).status]++
	}
	if got[503] != 1 || got[202] != 1 {
		t.Errorf("answered %v", got)
	}
}

func TestWhatMakesACopy(t *testing.T) {
	key := func(w *world, r *http.Request) postern.DuplicateKey {
		t.Helper()
		if res, body := w.send(r); res.StatusCode != http.StatusAccepted {
			t.Fatalf("answered %d %s", res.StatusCode, body)
		}
		return w.published[len(w.published)-1].Duplicate
	}
	with := func(id, body string) *http.Request {
		r := push("/in/"+token, body)
		r.Header.Set("X-GitHub-Delivery", id)
		return r
	}
	w, other := newWorld(t, nil), newWorld(t, nil)
	first := key(w, with("a", "{}"))
	if first.Window != 24*time.Hour || bytes.Equal(first.Digest[:], make([]byte, 16)) {
		t.Errorf("key %+v", first)
	}
	if key(w, with("a", "{}")) != first {
		t.Error("the same id and body are another key")
	}
	if key(w, with("b", "{}")) == first || key(w, with("a", "[]")) == first || key(other, with("a", "{}")) == first {
		t.Error("another id, body or source is the same key")
	}
	if got := key(w, with("", "{}")); got != (postern.DuplicateKey{}) {
		t.Errorf("without an id: %+v", got)
	}
	w.replace(func(s *postern.Source) { s.DedupeBody = true })
	alone := key(w, with("", "{}"))
	if alone == (postern.DuplicateKey{}) || alone != key(w, with("", "{}")) || alone == key(w, with("", "[]")) {
		t.Error("the body alone does not make the key")
	}
	if key(w, with("a", "{}")) != first {
		t.Error("with an id, the source's option changes the key")
	}
}

// A forged copy is refused before any duplicate is looked for.
func TestForgedCopyIsNoDuplicate(t *testing.T) {
	w, c := durableWorld(t, nil)
	answers := w.start(push("/in/"+token, "{}"))
	<-c.queued
	c.commit(nil)
	<-answers
	forged := push("/in/"+token, "{}")
	forged.Header.Del("X-Hub-Signature-256")
	if a := <-w.start(forged); a.status != http.StatusUnauthorized || w.duplicates != 0 {
		t.Errorf("answered %+v, %d duplicates", a, w.duplicates)
	}
}
