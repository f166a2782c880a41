package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// waiting is a delivery that a fault on our own side holds up.
type waiting struct {
	*server
	t                      *testing.T
	app, endpoint, message string
	tried                  int // attempts from before the fault
}

// wait publishes what cannot be delivered now.
func (s *server) wait(t *testing.T, app, endpoint string) *waiting {
	t.Helper()
	return &waiting{server: s, t: t, app: app, endpoint: endpoint, message: s.publish(app, "a.b", object{})}
}

// held waits until the fault was met a few times since the count before, and
// looks for what it must not have caused.
func (w *waiting) held(fault string, before float64) {
	w.t.Helper()
	await(w.t, "the fault is counted: "+fault, func() bool { return w.faults(w.t, fault) >= before+2 })
	w.untouched()
	for _, series := range []string{"postern_lanes_failing", "postern_lanes_probing"} {
		if m, err := w.metrics(); err != nil || m[series] != 0 {
			w.t.Errorf("%s is %v, %v", series, m[series], err)
		}
	}
}

// untouched: no attempt, no try used up, nothing against the endpoint.
func (w *waiting) untouched() {
	w.t.Helper()
	if tried := w.attempts(w.app, w.message); len(tried) > w.tried {
		w.t.Errorf("attempts: %+v", tried)
	}
	if state := w.states(w.app, w.message)[w.endpoint]; state != "pending" && state != "sending" {
		w.t.Errorf("the delivery is %s", state)
	}
	var endpoint struct {
		Disabled     bool
		FailingSince *time.Time
	}
	w.want(200, "GET", "/app/"+w.app+"/endpoint/"+w.endpoint, nil, &endpoint)
	if endpoint.Disabled || endpoint.FailingSince != nil {
		w.t.Errorf("the endpoint: %+v", endpoint)
	}
}

// goesOut: once the fault is over the delivery arrives within seconds, at its
// first attempt.
func (w *waiting) goesOut() {
	w.t.Helper()
	over := time.Now()
	await(w.t, "delivered", func() bool { return w.states(w.app, w.message)[w.endpoint] == "delivered" })
	if took := time.Since(over); took > 10*time.Second {
		w.t.Errorf("delivered %v after the fault", took)
	}
	if tried := w.attempts(w.app, w.message); len(tried) != 1 || tried[0].Number != 1 || tried[0].ResponseStatusCode != 200 {
		w.t.Errorf("attempts: %+v", tried)
	}
}

// faults is how often a fault on our own side was met.
func (s *server) faults(t *testing.T, fault string) float64 {
	t.Helper()
	m, err := s.metrics()
	if err != nil {
		t.Fatal(err)
	}
	return m[`postern_own_faults_total{fault="`+fault+`"}`]
}

// Payloads beyond what memory may hold wait in the store: none is refused or
// fails, and each is taken once. On a busy machine the first attempts may time out
// before the last payload is published.
func TestPayloadsBeyondTheBudgetWait(t *testing.T) {
	t.Parallel()
	const budget, messages = 64 << 20, 24
	release := make(chan struct{})
	r := newReceiver(t, func(*request, *http.Request) int { <-release; return 200 })
	s := serve(t, "file:"+t.TempDir()+"/store", crashSchedule, "--max-body=4MiB")
	app := s.application("a")
	endpoint := s.endpoint(app, r.URL, nil)
	payload := object{"x": strings.Repeat("x", 3<<20)}
	ids := make([]string, messages)
	var publishing sync.WaitGroup
	for i := range ids {
		publishing.Go(func() { ids[i] = s.publish(app, "a.b", payload) })
	}
	publishing.Wait()
	m, err := s.metrics()
	if held := m["postern_deliveries_queued_bytes"]; err != nil || held == 0 || held > budget {
		t.Errorf("%v bytes in memory, %v", held, err)
	}
	close(release)
	for _, id := range ids {
		await(t, "it is delivered", func() bool { return s.states(app, id)[endpoint] == "delivered" })
		tried := s.attempts(app, id)
		if len(tried) == 0 {
			t.Errorf("no attempt at %s", id)
		}
		for i, a := range tried {
			timedOut := a.Failure != nil && *a.Failure == "timeout"
			if last := i == len(tried)-1; a.Number != i+1 || last != (a.ResponseStatusCode == 200) || !last && !timedOut {
				t.Errorf("attempts: %+v", tried)
			}
		}
	}
}
