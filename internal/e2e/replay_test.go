package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// arrivals is a receiver that remembers, of each path, when each message came.
type arrivals struct {
	*httptest.Server
	mu     sync.Mutex
	of     map[string]map[string][]time.Time // by path and message
	marked map[string]int                    // by the replay that the header names
}

func newArrivals(t *testing.T) *arrivals {
	a := &arrivals{of: map[string]map[string][]time.Time{}, marked: map[string]int{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.of[r.URL.Path] == nil {
			a.of[r.URL.Path] = map[string][]time.Time{}
		}
		id := r.Header.Get("webhook-id")
		a.of[r.URL.Path][id] = append(a.of[r.URL.Path][id], time.Now())
		a.marked[r.Header.Get("Postern-Replay")]++
	}))
	t.Cleanup(a.Close)
	return a
}

// messages counts those that have come to a path.
func (a *arrivals) messages(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.of[path])
}

// replayState is what the test follows.
type replayState struct {
	ID, State                          string
	Examined, Replayed, Skipped, Total int
}

// TestSoakReplay replays messages to an endpoint that is younger than they are,
// pauses that, and kills the server over and over: none is missing, and the
// rate is kept.
func TestSoakReplay(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		random := testkit.Rand(t)
		// Slow enough that a busy machine is there before the end.
		n, rate := testkit.Count(400, 100_000), testkit.Count(40, 4000)
		r := newArrivals(t)
		s := serve(t, store)
		app := s.application("replay")
		s.endpoint(app, r.URL+"/old", nil)
		since := time.Now().Add(-time.Minute)
		publishMany(s, app, n)
		awaitLong(t, "the first deliveries", func() bool { return r.messages("/old") == n })
		to := s.endpoint(app, r.URL+"/new", nil)

		var replay replayState
		begun := time.Now()
		s.want(201, "POST", "/app/"+app+"/replay", object{"toEndpointId": to, "since": since.Format(time.RFC3339), "rate": rate}, &replay)
		if replay.Total < n*3/4 || replay.Total > n*4/3 {
			t.Errorf("it is estimated to start %d of %d", replay.Total, n)
		}
		path := "/app/" + app + "/replay/" + replay.ID
		var kills []time.Time
		restart := func() {
			kills = append(kills, s.kill())
			s = serve(t, store)
		}
		awaitLong(t, "a fifth", func() bool { return r.messages("/new") > n/5 })
		s.want(200, "POST", path+"/pause", nil, nil)
		restart()
		if s.want(200, "GET", path, nil, &replay); replay.State != "paused" {
			t.Errorf("after a kill it is %s", replay.State)
		}
		before := replay.Replayed
		awaitLong(t, "what was started", func() bool { return r.messages("/new") >= before })
		s.want(200, "POST", path+"/resume", nil, nil)
		for range testkit.Count(2, 6) {
			part := r.messages("/new") + random.IntN(1+n/10)
			awaitLong(t, "some more", func() bool { return r.messages("/new") >= min(part, n) })
			restart()
		}
		awaitLong(t, "the end", func() bool {
			s.want(200, "GET", path, nil, &replay)
			return replay.State != "running" && r.messages("/new") == n
		})
		if replay.State != "finished" || replay.Replayed != n || replay.Skipped != 0 {
			t.Errorf("in the end: %+v", replay)
		}
		if took, least := time.Since(begun), time.Duration(n)*time.Second/time.Duration(rate); took < least*9/10 {
			t.Errorf("it took %v, at its rate at least %v", took, least)
		}
		r.judge(t, replay.ID, rate, kills)
		if code := s.terminate(patience); code != 0 {
			t.Errorf("the last server ends with code %d", code)
		}
		t.Logf("%d messages at %d/s, %d kills, %v", n, rate, len(kills), time.Since(begun))
	})
}

// judge looks at all that came by the replay: only what was on its way at a
// kill came twice, and it came no faster than the rate.
func (a *arrivals) judge(t *testing.T, replay string, rate int, kills []time.Time) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var first []time.Time
	copies := 0
	for id, times := range a.of["/new"] {
		first = append(first, times[0])
		copies += len(times) - 1
		for i := range times[1:] {
			excused := slices.ContainsFunc(kills, func(kill time.Time) bool {
				return times[i].Before(kill.Add(time.Second)) && kill.Before(times[i+1]) && kill.Sub(times[i]) < 5*time.Second
			})
			if !excused {
				t.Errorf("%s came at %v and again at %v, with no kill to excuse it", id, times[i], times[i+1])
			}
		}
	}
	if a.marked[replay] != len(first)+copies || len(a.marked) != 2 {
		t.Errorf("%d deliveries and %d copies are marked %v", len(first), copies, a.marked)
	}
	slices.SortFunc(first, time.Time.Compare)
	const window = 2 // seconds; what waited a little longer than the rest shares one with what came on time
	most := rate*(window+1) + rate/10
	for i := range first {
		if i >= most && first[i].Sub(first[i-most]) < window*time.Second {
			t.Fatalf("%d deliveries in %v at a rate of %d", most, first[i].Sub(first[i-most]), rate)
		}
	}
	t.Logf("%d copies", copies)
}

// publishMany publishes messages side by side.
func publishMany(s *server, app string, n int) {
	s.client.t.Helper()
	var publishers sync.WaitGroup
	const workers = 8
	for worker := range workers {
		publishers.Go(func() {
			for i := worker; i < n; i += workers {
				got, err := s.try("POST", "/app/"+app+"/msg", `{"eventType":"order.created","payload":{"n":`+strconv.Itoa(i)+`}}`)
				if err != nil || got.status != 202 {
					s.client.t.Errorf("publishing: %+v, %v", got, err)
					return
				}
			}
		})
	}
	publishers.Wait()
}

// awaitLong is await for what takes minutes when soaking.
func awaitLong(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := patience
	if testkit.Soaking() {
		limit = 10 * time.Minute
	}
	if !holds(limit, condition) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// TestRecover breaks an endpoint, mends it, and has it catch up: what failed is
// sent once more, marked, and what went well is not; an endpoint that came
// later gets what it missed.
func TestRecover(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	r := newReceiver(t, func(got *request, _ *http.Request) int {
		if got.path == "/hook" && broken.Load() {
			return 500
		}
		return 200
	})
	s := serve(t, "file:"+t.TempDir()+"/store")
	app := s.application("recover")
	endpoint := s.endpoint(app, r.URL+"/hook", object{"retrySchedule": []float64{0.02}})
	var failed []string
	for range 3 {
		failed = append(failed, s.publish(app, "order.created", object{}))
	}
	for _, id := range failed {
		await(t, "it is given up", func() bool { return len(s.attempts(app, id)) == 2 })
	}
	broken.Store(false)
	well := s.publish(app, "order.created", object{})
	r.await(t, "/hook", 7)

	since := object{"since": time.Now().Add(-time.Minute).Format(time.RFC3339)}
	finish := func(task replayState) {
		await(t, "the task ends", func() bool {
			var now struct{ Status string }
			s.want(200, "GET", "/background-task/"+task.ID, nil, &now)
			return now.Status == "finished"
		})
	}
	var task replayState
	s.want(202, "POST", "/app/"+app+"/endpoint/"+endpoint+"/recover", since, &task)
	finish(task)
	for _, id := range failed {
		await(t, "it is delivered", func() bool { return s.states(app, id)[endpoint] == "delivered" })
		if attempts := s.attempts(app, id); len(attempts) != 3 || attempts[2].TriggerType != 1 {
			t.Errorf("attempts of what failed: %+v", attempts)
		}
	}
	if attempts := s.attempts(app, well); len(attempts) != 1 {
		t.Errorf("attempts of what went well: %+v", attempts)
	}
	for _, got := range r.requests("/hook")[7:] {
		if mark := got.header.Get("Postern-Replay"); mark != "rpl_"+strings.TrimPrefix(task.ID, "qtask_") {
			t.Errorf("it is marked %q by %s", mark, task.ID)
		}
	}
	later := s.endpoint(app, r.URL+"/later", nil)
	s.want(202, "POST", "/app/"+app+"/endpoint/"+later+"/replay-missing", since, &task)
	finish(task)
	r.await(t, "/later", 4)
	s.want(202, "POST", "/app/"+app+"/endpoint/"+later+"/replay-missing", since, &task)
	finish(task)
	s.want(202, "POST", "/app/"+app+"/endpoint/"+endpoint+"/recover", since, &task)
	finish(task)
	if a, b := len(r.requests("/hook")), len(r.requests("/later")); a != 10 || b != 4 {
		t.Errorf("%d and %d requests; nothing was left to send", a, b)
	}
}
