package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// subjectAt is a server subject without a process, for its side of the API.
func subjectAt(t *testing.T, h http.Handler) *serverSubject {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &serverSubject{
		child:  &child{stderr: &tail{}, exited: make(chan struct{})},
		base:   s.URL,
		client: s.Client(),
	}
}

// TestFixtureSpeaksTheAPI holds the requests that build a fixture.
func TestFixtureSpeaksTheAPI(t *testing.T) {
	var asked []string
	s := subjectAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		if _, err := io.Copy(&body, r.Body); err != nil {
			t.Error(err)
		}
		asked = append(asked, r.Method+" "+r.URL.Path+" "+body.String())
		if r.Header.Get("Authorization") != "Bearer "+benchKey {
			t.Errorf("%s without the key", r.URL.Path)
		}
		w.WriteHeader(http.StatusCreated)
		if r.URL.Path == "/api/v1/app" {
			w.Write([]byte(`{"id":"app_9","name":"bench"}`))
		}
	}))
	if err := s.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.connect(t.Context(), []endpoint{{URL: "http://127.0.0.1:1/fast/0", Channels: []string{"n1"}, ThrottleRate: 50, RetrySchedule: []int{5}}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`POST /api/v1/app {"name":"bench"}`,
		`POST /api/v1/event-type {"description":"load of the bench","name":"bench.event"}`,
		`POST /api/v1/app/app_9/endpoint {"channels":["n1"],"description":"bench","retrySchedule":[5],"throttleRate":50,"url":"http://127.0.0.1:1/fast/0","version":1}`,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	to := s.target()
	if to.Path != "/api/v1/app/app_9/msg" || to.Token != benchKey || !to.Envelope || "http://"+to.Addr != s.base {
		t.Errorf("the load is sent to %+v", to)
	}
}

// TestAPIErrorsAreShown: whoever reads the error must see what the server said.
func TestAPIErrorsAreShown(t *testing.T) {
	s := subjectAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		w.Write([]byte(`{"detail":"loopback is not allowed"}`))
	}))
	for name, err := range map[string]error{
		"prepare": s.prepare(t.Context()),
		"connect": s.connect(t.Context(), []endpoint{{URL: "http://127.0.0.1/"}}),
	} {
		if err == nil || !strings.Contains(err.Error(), "422") || !strings.Contains(err.Error(), "loopback is not allowed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.counters(t.Context()); err == nil || !strings.Contains(err.Error(), "status 422") {
		t.Errorf("counters: %v", err)
	}
}

func TestCountersComeFromMetrics(t *testing.T) {
	s := subjectAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			w.Write([]byte("postern_batches_total 3\npostern_batch_operations_total 90\ngo_sched_gomaxprocs_threads 2\n"))
		}
	}))
	c, err := s.counters(t.Context())
	if err != nil || c.batches != 3 || c.operations != 90 || c.gomaxprocs != 2 {
		t.Errorf("counters are %+v, %v", c, err)
	}
}

// TestHealthIsAwaited: a server that is still recovering is asked again, one that
// never gets ready is given up with the context.
func TestHealthIsAwaited(t *testing.T) {
	calls := 0
	s := subjectAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	if err := s.awaitHealth(t.Context()); err != nil || calls != 3 {
		t.Errorf("ready after %d calls, %v", calls, err)
	}
	calls = -1 << 30
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.awaitHealth(ctx); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("a server that does not get ready: %v", err)
	}
}
