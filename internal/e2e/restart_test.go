package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// What was configured and stored reads the same after a kill, every byte of
// it, and a key that was shown once is still accepted.
func TestEverythingOutlivesAKill(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		flags := []string{"--public-url=https://hooks.example.com"} // the port of the next start is another
		s := serve(t, store, flags...)
		r := newReceiver(t, nil)
		s.want(201, "POST", "/app", object{"name": "größer", "uid": "a", "metadata": object{"k": "v"}}, nil)
		s.want(201, "POST", "/event-type", object{"name": "invoice.paid", "description": "d", "schemas": object{"1": object{"type": "object"}}}, nil)
		s.want(201, "POST", "/app/a/endpoint", object{
			"url": r.URL + "/hook", "uid": "e", "description": "d", "eventTypes": []string{"invoice.paid"}, "channels": []string{"one", "two"},
			"throttleRate": 7, "retrySchedule": []float64{1, 2.5}, "headers": object{"X-Own": "v"}, "metadata": object{"k": "v"}, "svixHeaders": true,
		}, nil)
		s.want(204, "POST", "/app/a/endpoint/e/secret/rotate", object{}, nil)
		s.want(201, "POST", "/app/a/endpoint", object{"url": r.URL + "/paused", "uid": "p"}, nil)
		s.want(200, "POST", "/app/a/endpoint/p/pause", nil, nil)
		var source struct{ IngestURL string }
		s.want(201, "POST", "/app/a/source", object{"name": "s", "uid": "s", "provider": "github", "secrets": []string{githubSecret}, "eventTypePrefix": "gh."}, &source)
		var key struct{ Token string }
		s.want(201, "POST", "/key", object{"name": "k", "scope": "application", "application": "a"}, &key)
		ingest := source.IngestURL[strings.Index(source.IngestURL, "/in/"):]
		refused, err := s.send("POST", ingest, http.Header{"X-Hub-Signature-256": {"sha256=00"}, "X-Github-Event": {"push"}}, strings.NewReader("{}"))
		if err != nil || refused.status != 401 {
			t.Fatalf("a request without a right signature: %+v, %v", refused, err)
		}
		var message created
		s.want(202, "POST", "/app/a/msg", object{
			"eventType": "invoice.paid", "eventId": "once", "channels": []string{"two"}, "tags": []string{"t"}, "payload": object{"text": "größer <&>", "n": 1e3},
		}, &message)
		r.await(t, "/hook", 1)
		await(t, "the attempt is stored", func() bool { return len(s.attempts("a", message.ID)) == 1 })

		paths := []string{
			"/app", "/event-type", "/key", "/app/a/endpoint", "/app/a/endpoint/e/headers", "/app/a/endpoint/e/secret", "/app/a/source",
			"/app/a/source/s/refusal", "/app/a/msg", "/app/a/msg/once", "/app/a/msg/" + message.ID + "/raw", "/app/a/msg/" + message.ID + "/endpoint",
			"/app/a/attempt/msg/" + message.ID, "/app/a/attempt/endpoint/e",
		}
		read := func(s *server) map[string]string {
			seen := map[string]string{}
			for _, path := range paths {
				got := s.call("GET", path, nil)
				if got.status != 200 {
					t.Errorf("GET %s: %d %s", path, got.status, got.body)
				}
				seen[path] = string(got.body)
			}
			return seen
		}
		before := read(s)
		s.kill()
		s = serve(t, store, flags...)
		if diff := cmp.Diff(before, read(s)); diff != "" {
			t.Errorf("a kill changed (-before +after):\n%s", diff)
		}
		own, err := s.send("GET", "/api/v1/app/a", http.Header{"Authorization": {"Bearer " + key.Token}}, nil)
		if err != nil || own.status != 200 {
			t.Errorf("with the key made before: %+v, %v", own, err)
		}
		s.want(409, "POST", "/app/a/msg", object{"eventType": "invoice.paid", "eventId": "once", "payload": object{}}, nil)
	})
}

// What a caller repeats under a key of its own is answered by the next process as
// the one that was killed answered it, to the byte, and is not done again.
func TestRepeatsOutliveAKill(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		url := "--public-url=https://hooks.example.com"
		requests := []struct {
			path string
			in   object
		}{
			{"/app", object{"name": "a", "uid": "a"}},
			{"/app/a/endpoint", object{"url": "http://127.0.0.1:9/", "disabled": true}},
			{"/app/a/msg", object{"eventType": "a.b", "payload": object{"n": 1.5}}},
			{"/app/a/source", object{"name": "s", "provider": "none"}},
			{"/key", object{"name": "k", "scope": "admin"}},
			{"/auth/app-portal-access/a", object{}},
		}
		var before []string
		for life := range 3 {
			s := serve(t, store, url)
			keyed := (&conventionWorld{client: s.client}).with("Idempotency-Key", "chosen")
			for i, request := range requests {
				r := keyed.reply("POST", request.path, request.in)
				answer := http.StatusText(r.status) + " " + string(r.body)
				if life == 0 {
					before = append(before, answer)
				}
				if answer != before[i] || r.status >= 300 {
					t.Errorf("life %d: POST %s: %s, before %s", life, request.path, answer, before[i])
				}
			}
			for path, n := range map[string]int{"/app": 1, "/app/a/endpoint": 1, "/app/a/msg": 1, "/app/a/source": 1, "/key": 1} {
				if got := keyed.page(path).Get("data.#").Int(); int(got) != n {
					t.Errorf("life %d: %s has %d entries, want %d", life, path, got, n)
				}
			}
			s.kill()
		}
	})
}

// Who listened to the tail of a process that was killed goes on where it stood:
// it is told what it missed, in order, and then what happens.
func TestTailOutlivesAKill(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		s := serve(t, store)
		w := &conventionWorld{client: s.client, app: s.application("a")}
		next, stop := w.events("")
		first := w.publish(w.app, "a.b", object{})
		id, _, data := next()
		if gjson.Get(data, "message.id").Str != first {
			t.Fatalf("%s is not of %s", data, first)
		}
		stop()
		var want, told []string
		for range 3 {
			want = append(want, w.publish(w.app, "a.b", object{}))
		}
		s.kill()
		w.client = serve(t, store).client
		want = append(want, w.publish(w.app, "a.b", object{}))
		next, _ = w.events(id)
		want = append(want, w.publish(w.app, "a.b", object{}))
		for range want {
			_, name, data := next()
			if name != "message" {
				t.Errorf("%s: %s", name, data)
			}
			told = append(told, gjson.Get(data, "message.id").Str)
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told after a kill (-want +got):\n%s", diff)
		}
	})
}

// When a key was last used is stored now and then, and at a stop.
func TestLastUseOutlivesAStop(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		s := serve(t, store)
		s.application("a")
		var used, unused struct{ ID, Token, LastUsedAt string }
		for _, key := range []any{&used, &unused} {
			s.want(201, "POST", "/key", object{"name": "k", "scope": "admin"}, key)
		}
		before := time.Now().Add(-time.Second) // moments are cut to milliseconds
		(&conventionWorld{client: s.client}).as(used.Token).ask(200, "GET", "/app", nil)
		if code := s.terminate(patience); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		s = serve(t, store)
		s.want(200, "GET", "/key/"+used.ID, nil, &used)
		s.want(200, "GET", "/key/"+unused.ID, nil, &unused)
		if at, err := time.Parse(time.RFC3339, used.LastUsedAt); err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("last used at %q, which is not after %v", used.LastUsedAt, before)
		}
		if unused.LastUsedAt != "" {
			t.Errorf("a key that nobody used was used at %q", unused.LastUsedAt)
		}
	})
}
