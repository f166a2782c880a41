package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What was configured and stored reads the same after a kill, every byte of
// it, and a key that was shown once is still accepted.
func TestEverythingOutlivesAKill(t *testing.T) {
	t.Parallel()
	store := "file:" + t.TempDir() + "/store"
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
}
