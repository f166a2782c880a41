package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// keyed sends a request with an idempotency key.
func (w *world) keyed(token, key, method, path, body string) response {
	w.t.Helper()
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Idempotency-Key", key)
	return w.send(r)
}

// TestRepeatedRequests sends each twice, with different bodies: the second gets
// the first one's answer, and nothing is done for it. A chosen key is good after
// a restart too, one that an SDK made up is not.
func TestRepeatedRequests(t *testing.T) {
	for path, body := range map[string]string{
		"/app":                                      `{"name":"New"}`,
		"/app?get_if_exists=true":                   `{"name":"Shop","uid":"shop"}`,
		"/event-type":                               `{"name":"a.b","description":"d"}`,
		"/app/shop/endpoint":                        `{"url":"https://example.com/<new>"}`,
		"/app/shop/endpoint/a/pause":                ``,
		"/app/shop/msg":                             `{"eventType":"a","payload":{"b":1.0,"a":"<é>"},"tags":["t"],"channels":["c"]}`,
		"/app/shop/msg?x=1":                         `{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"no JSON"}}`,
		"/app/shop/msg?wait=1ms":                    `{"eventType":"nobody.hears","payload":{}}`,
		"/app/shop/source":                          `{"name":"n","provider":"github"}`,
		"/key":                                      `{"name":"k","scope":"admin"}`,
		"/auth/app-portal-access/app":               `{"application":{"name":"App","uid":"app"}}`,
		"/app/shop/msg?with_content=false":          `{"eventType":"a","payload":{"b":1}}`,
		"/app/shop/endpoint/a/secret/rotate":        `{}`,
		"/app/shop/msg/{msg}/endpoint/a/resend":     ``,
		"/auth/dashboard-access/shop?idempotent=no": ``,
	} {
		for _, key := range []string{"my key", "auto_9d2b"} {
			t.Run(key+" "+path, func(t *testing.T) {
				s := newStory(t)
				path := s.path(path)
				first := s.keyed(adminToken, key, "POST", path, body)
				if first.StatusCode >= 300 {
					t.Fatalf("%d %s", first.StatusCode, first.body)
				}
				batch := s.head.Batch
				for _, body := range []string{body, `{"name":"Another"`} {
					again := s.keyed(adminToken, key, "POST", path, body)
					if again.StatusCode != first.StatusCode || again.body != first.body {
						t.Errorf("again: %d %s, want %d %s", again.StatusCode, again.body, first.StatusCode, first.body)
					}
					if again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
						t.Errorf("again with %v, want %v", again.Header, first.Header)
					}
				}
				if s.head.Batch != batch {
					t.Error("something was stored for a repetition")
				}
				s.restart()
				after := s.keyed(adminToken, key, "POST", path, `{"x":`)
				if same := after.StatusCode == first.StatusCode && after.body == first.body; same != (key == "my key") && body != "" {
					t.Errorf("after a restart: %d %s", after.StatusCode, after.body)
				}
			})
		}
	}
}

// restart makes a new handler of the old one's parts, which remembers nothing.
func (w *world) restart() {
	w.t.Helper()
	h, ok := w.handler.(*handler)
	if !ok {
		w.t.Fatal("another handler")
	}
	w.handler = New(h.Config)
}

// TestAnotherRequest: what differs in credential, key or URI is no repetition,
// nor is a PUT, nor what was refused, nor what is older than 12 hours.
func TestAnotherRequest(t *testing.T) {
	for _, prefix := range []string{"", autoPrefix} {
		w := newWorld(t)
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		w.must("/app", `{"name":"Other","uid":"other"}`)
		own, _ := w.want(201, "POST", "/key", `{"name":"k","scope":"admin"}`)["token"].(string)
		seen := map[string]bool{}
		id := func(token, key, path string) {
			t.Helper()
			var out struct{ ID string }
			got := w.keyed(token, prefix+key, "POST", path, `{"eventType":"a","payload":{}}`)
			if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.StatusCode != 202 || seen[out.ID] {
				t.Errorf("%s %s: %d %s", key, path, got.StatusCode, got.body)
			}
			seen[out.ID] = true
		}
		id(adminToken, "one", "/app/shop/msg")
		id(adminToken, "two", "/app/shop/msg")
		id(adminToken, "one", "/app/other/msg")
		id(adminToken, "one", "/app/shop/msg?with_content=true")
		id(own, "one", "/app/shop/msg")
		w.now = w.now.Add(12*time.Hour + time.Second)
		id(adminToken, "one", "/app/shop/msg")

		w.keyed(adminToken, prefix+"put", "PUT", "/app/shop", `{"name":"A"}`)
		if got := w.keyed(adminToken, prefix+"put", "PUT", "/app/shop", `{"name":"B"}`); !strings.Contains(got.body, `"B"`) {
			t.Errorf("a PUT was repeated: %s", got.body)
		}
		for _, refused := range []string{`{"name":`, `{"name":"x","uid":"shop"}`} {
			if got := w.keyed(adminToken, prefix+"again", "POST", "/app", refused); got.StatusCode < 400 {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		}
		if got := w.keyed(adminToken, prefix+"again", "POST", "/app", `{"name":"x","uid":"x"}`); got.StatusCode != 201 {
			t.Errorf("a refusal was kept: %d %s", got.StatusCode, got.body)
		}
		// A key that may no more is refused before anything is looked for.
		for _, key := range ids(t, w.want(200, "GET", "/key", "")) {
			w.want(204, "DELETE", "/key/"+key, "")
		}
		if got := w.keyed(own, prefix+"one", "POST", "/app/shop/msg", ""); got.StatusCode != 401 {
			t.Errorf("a revoked key gets an answer again: %d", got.StatusCode)
		}
	}
}

// TestRepeatOfADeletedApplication: its messages are gone, and a new one of its
// name has its own.
func TestRepeatOfADeletedApplication(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		if got := w.keyed(adminToken, "k", "POST", "/app/shop/msg", `{"eventType":"a","payload":{}}`); got.StatusCode != 202 {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		w.want(204, "DELETE", "/app/shop", "")
	}
}

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	for key, want := range map[string]int{
		"": 422, "a": 201, strings.Repeat("x", 256): 201, strings.Repeat("x", 257): 422, "with space": 201,
		"tab\tin": 422, "é": 422, "nul\x00": 422,
	} {
		got := w.keyed(adminToken, key, "POST", "/app", `{"name":"x"}`)
		if got.StatusCode != want || want == 422 && !strings.Contains(got.body, `"loc":["header","idempotency-key"]`) {
			t.Errorf("%q: %d %s, want %d", key, got.StatusCode, got.body, want)
		}
	}
	r := httptest.NewRequest("POST", Prefix+"/app", strings.NewReader(`{"name":"x"}`))
	r.Header["Authorization"] = []string{"Bearer " + adminToken}
	r.Header["Idempotency-Key"] = []string{"a", "b"}
	if got := w.send(r); got.StatusCode != 422 {
		t.Errorf("two keys: %d", got.StatusCode)
	}
}

// TestKeptCredentialsAreSealed reads the record of a new key: its token must
// not be in the store, nor be read out of another request's record.
func TestKeptCredentialsAreSealed(t *testing.T) {
	w := newWorld(t)
	var out struct{ Token string }
	got := w.keyed(adminToken, "k", "POST", "/key", `{"name":"k","scope":"admin"}`)
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || out.Token == "" {
		t.Fatal(err, got.body)
	}
	record := func(key string) store.DedupeRecord {
		r := httptest.NewRequest("POST", Prefix+"/key", nil)
		r.Header.Set("Authorization", "Bearer "+adminToken)
		found, ok, err := w.Repeated(t.Context(), requestDigest(r, key))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return found
	}
	kept := record("k")
	if len(kept.Answer) == 0 || strings.Contains(string(kept.Answer), out.Token) {
		t.Errorf("kept as %q", kept.Answer)
	}
	w.keyed(adminToken, "l", "POST", "/key", `{"name":"l","scope":"read-only"}`)
	moved := record("l")
	moved.Answer = kept.Answer
	if err := w.KeepAnswer(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if got := w.keyed(adminToken, "l", "POST", "/key", ""); got.StatusCode != 500 || strings.Contains(got.body, out.Token) {
		t.Errorf("another request's answer: %d %s", got.StatusCode, got.body)
	}
}

// flaky accepts half of what it gets, and keeps what it accepted.
type flaky struct {
	*world
	accepted atomic.Int64
}

func (f *flaky) Publish(ctx context.Context, p postern.Publish) (*postern.Message, bool, error) {
	if rand.IntN(2) == 0 {
		return nil, false, postern.ErrUnavailable
	}
	f.accepted.Add(1)
	return f.world.Publish(ctx, p)
}

// TestRepeatsAtOnce: of many copies at once, some of which fail, exactly one is
// accepted for a key, and all that succeed answer the same.
func TestRepeatsAtOnce(t *testing.T) {
	for _, prefix := range []string{"", autoPrefix} {
		w := newWorld(t)
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		h, ok := w.handler.(*handler)
		if !ok {
			t.Fatal("another handler")
		}
		publisher := &flaky{world: w}
		h.Publisher, h.Observe = publisher, func(string, int, time.Duration) {}
		const keys, copies = 20, 16
		var mu sync.Mutex
		bodies := [keys]map[string]int{}
		var group sync.WaitGroup
		for i := range keys * copies {
			group.Go(func() {
				key := i % keys
				for {
					got := w.keyed(adminToken, fmt.Sprint(prefix, "key ", key), "POST", "/app/shop/msg", `{"eventType":"a","payload":{}}`)
					if got.StatusCode == 503 {
						continue // as a client does
					}
					mu.Lock()
					if bodies[key] == nil {
						bodies[key] = map[string]int{}
					}
					bodies[key][got.body]++
					mu.Unlock()
					return
				}
			})
		}
		group.Wait()
		for key, answers := range bodies {
			if len(answers) != 1 {
				t.Errorf("key %d has %d answers: %v", key, len(answers), answers)
			}
		}
		if n := publisher.accepted.Load(); n != keys {
			t.Errorf("%d messages for %d keys", n, keys)
		}
		if n := len(h.answered.underWay); n != 0 {
			t.Errorf("%d requests are still under way", n)
		}
	}
}

// stuck accepts once it is let go.
type stuck struct {
	*world
	let       chan struct{}
	published int
}

func (s *stuck) Publish(ctx context.Context, p postern.Publish) (*postern.Message, bool, error) {
	select {
	case <-s.let:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	s.published++
	return s.world.Publish(ctx, p)
}

// TestCallerGoesAway: a caller that gives up and asks again gets the answer of
// its first request, which went on. One that gives up waiting for it is let go.
func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		h, ok := w.handler.(*handler)
		if !ok {
			t.Fatal("another handler")
		}
		publisher := &stuck{world: w, let: make(chan struct{})}
		h.Publisher, h.Observe = publisher, func(string, int, time.Duration) {}
		ask := func() (chan int, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			r := httptest.NewRequest("POST", Prefix+"/app/shop/msg", strings.NewReader(`{"eventType":"a","payload":{}}`)).WithContext(ctx)
			r.Header.Set("Authorization", "Bearer "+adminToken)
			r.Header.Set("Idempotency-Key", "auto_1")
			out := make(chan int, 1)
			go func() {
				recorder := httptest.NewRecorder()
				h.ServeHTTP(recorder, r)
				out <- recorder.Code
			}()
			synctest.Wait()
			return out, cancel
		}
		first, leave := ask()
		second, leaveSecond := ask()
		third, leaveThird := ask()
		defer leaveThird()
		leave()
		leaveSecond()
		if code := <-second; code < 500 {
			t.Errorf("who gave up waiting is told %d", code)
		}
		close(publisher.let)
		if a, b := <-first, <-third; a != 202 || b != 202 || publisher.published != 1 {
			t.Errorf("%d and %d, %d messages", a, b, publisher.published)
		}
	})
}

// TestAnswered: answers are found for five minutes, gone after ten, and bounded.
func TestAnswered(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var r answered
	digest := func(n int) store.Digest { return store.Digest{byte(n), byte(n >> 8), byte(n >> 16), 1} }
	keep := func(n, size int) {
		r.keep(&store.DedupeRecord{Digest: digest(n), Status: 200 + n%50, Answer: make([]byte, size)}, now)
	}
	known := func(n int) bool {
		record, ok := r.find(digest(n), now)
		return ok && record.Status == 200+n%50
	}
	if known(1) {
		t.Error("a memory that is new knows something")
	}
	keep(1, 10)
	now = now.Add(remembered - time.Second)
	keep(2, 10)
	if !known(1) || !known(2) {
		t.Error("forgotten too early")
	}
	now = now.Add(remembered - time.Second)
	if !known(2) {
		t.Error("forgotten within five minutes")
	}
	now = now.Add(remembered)
	if known(1) || known(2) {
		t.Error("remembered for more than ten minutes")
	}
	for n := range 5 * maxRecent {
		keep(n, 0)
	}
	if n := len(r.young) + len(r.old); n > 2*maxRecent || !known(5*maxRecent-1) || !known(4*maxRecent) {
		t.Errorf("%d are kept", n)
	}
	for n := range 20 {
		keep(n, maxRecentBytes/4)
	}
	if keep(21, maxRecentBytes+1); known(21) || !known(19) || known(1) {
		t.Error("bytes are not bounded")
	}
	now = now.Add(-time.Hour) // a clock that is set back
	if !known(19) {
		t.Error("forgotten because the clock was set")
	}
}

// FuzzRequestDigest: no two different requests may share a digest by the way
// their parts are put together.
func FuzzRequestDigest(f *testing.F) {
	f.Add("key", "path", "k", "eypath")
	f.Add("", "a", "a", "")
	f.Fuzz(func(t *testing.T, key1, query1, key2, query2 string) {
		digest := func(key, query string) store.Digest {
			r := httptest.NewRequest("POST", "/a", nil)
			r.URL.RawQuery = query
			return requestDigest(r, key)
		}
		if same := key1 == key2 && query1 == query2; (digest(key1, query1) == digest(key2, query2)) != same {
			t.Errorf("%q %q and %q %q", key1, query1, key2, query2)
		}
	})
}
