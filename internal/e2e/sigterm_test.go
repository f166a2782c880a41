package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stopSlack is what a stop may take besides the drain: requests are cut off a
// second later, and the store is closed, on a machine that may be busy.
const stopSlack = 10 * time.Second

// A server that is told to stop in the midst of everything bad ends well and
// in time, and the next one goes on with all that was acknowledged.
func TestSIGTERMDuringAllOfIt(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		const drain = time.Second
		flags := []string{"--retry-schedule=100ms,100ms,100ms", fmt.Sprint("--drain-timeout=", drain), fmt.Sprint("--max-body=", bodyCap)}
		s := serve(t, store, flags...)
		rude, good := newRudeServer(t), newReceiver(t, nil)
		app := s.application("a")
		hanging := ""
		for name, way := range rude.ways {
			if way.answer == nil {
				continue
			}
			if id := s.endpoint(app, rude.url(name), nil); name == "hang" {
				hanging = id
			}
		}
		healthy := s.endpoint(app, good.URL+"/good", nil)
		w := &badInputWorld{server: s, t: t}
		for range 20 { // bodies that do not end
			fmt.Fprint(w.dial(t, "/api/v1/app/"+app+"/msg", "Content-Length: 1000\r\n"), "{")
		}
		acknowledged, stop := publishAndProvoke(s.client, app)
		good.await(t, "/good", 50)
		await(t, "the hanging endpoint hangs", func() bool {
			rude.mu.Lock()
			defer rude.mu.Unlock()
			return rude.seen["hang"] > 0
		})

		begun := time.Now()
		code := s.terminate(drain + stopSlack + patience)
		took := time.Since(begun)
		messages := acknowledged(stop)
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		if took > drain+stopSlack {
			t.Errorf("stopping took %v, the drain is %v", took, drain)
		}

		again := serve(t, store, flags...)
		again.publish(app, "a.b", object{"after": true})
		for _, a := range again.attempts(app, messages[0]) {
			if a.EndpointID == hanging && (a.Failure == nil || *a.Failure != "timeout") { // which may have been over on a busy machine
				t.Errorf("an attempt that the stop cut off is in the history: %+v", a)
			}
		}
		for _, id := range messages {
			if !holds(patience, func() bool { return again.states(app, id)[healthy] == "delivered" }) {
				t.Fatalf("%s was acknowledged and is %v", id, again.states(app, id))
			}
		}
		t.Logf("%d messages acknowledged, stopped in %v", len(messages), took)
	})
}

// publishAndProvoke publishes, and beside it sends what is refused, until
// stop is called; the first function calls it and returns what was
// acknowledged.
func publishAndProvoke(c *client, app string) (acknowledged func(stop func()) []string, stop func()) {
	var mu sync.Mutex
	var ids []string
	var all sync.WaitGroup
	quit := make(chan struct{})
	loop := func(do func() bool) {
		all.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for do() {
				select {
				case <-pace.C:
				case <-quit:
					return
				}
			}
		})
	}
	path := "/app/" + app + "/msg"
	for range 2 {
		loop(func() bool {
			r, err := c.try("POST", path, object{"eventType": "a.b", "payload": object{}})
			if err == nil && r.status == 202 {
				mu.Lock()
				ids = append(ids, idOf(r.body))
				mu.Unlock()
			}
			return err == nil
		})
	}
	for _, bad := range []string{`{"eventType":`, `{"eventType":"a b","payload":{}}`, `{"eventType":"a.b","payload":{"a":"` + strings.Repeat("x", bodyCap) + `"}}`} {
		loop(func() bool {
			r, err := c.try("POST", path, bad)
			return err == nil && r.status != http.StatusAccepted
		})
	}
	return func(stop func()) []string { stop(); return ids }, func() { close(quit); all.Wait() }
}

// What is on its way when the server is told to stop may end, and is stored.
func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		hold, release := make(chan struct{}), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(release) })
		r := newReceiver(t, func(*request, *http.Request) int {
			select {
			case <-hold:
				<-release
			default: // the first one: an endpoint that has not answered yet gets few at once
			}
			return 200
		})
		t.Cleanup(letGo) // a receiver that holds requests cannot be closed
		s := serve(t, store)
		app := s.application("a")
		endpoint := s.endpoint(app, r.URL, nil)
		first := s.publish(app, "a.b", object{})
		await(t, "the first is delivered", func() bool { return s.states(app, first)[endpoint] == "delivered" })
		close(hold)
		const n = 10
		var ids []string
		for range n {
			ids = append(ids, s.publish(app, "a.b", object{}))
		}
		await(t, "all are on their way", func() bool {
			m, err := s.metrics()
			return err == nil && m["postern_attempts_in_flight"] == n
		})
		s.stop()
		await(t, "nothing new is accepted", func() bool {
			reply, err := s.try("POST", "/app/"+app+"/msg", object{"eventType": "a.b", "payload": object{}})
			if err == nil && reply.status == http.StatusAccepted {
				ids = append(ids, idOf(reply.body))
			}
			return err != nil || reply.status == http.StatusServiceUnavailable
		})
		letGo()
		if code := s.code(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		again := serve(t, store)
		// What was on its way is delivered; what was accepted meanwhile may be.
		for _, id := range ids[:n] {
			if state := again.states(app, id)[endpoint]; state != "delivered" {
				t.Errorf("%s is %s after a drain", id, state)
			}
		}
		ids = append(ids, again.publish(app, "a.b", object{}))
		var seen map[string]int
		await(t, "all have arrived", func() bool {
			seen = map[string]int{}
			for _, got := range r.requests("") {
				seen[got.id]++
			}
			return !slices.ContainsFunc(ids, func(id string) bool { return seen[id] == 0 })
		})
		for _, id := range ids {
			if seen[id] != 1 {
				t.Errorf("%s was sent %d times", id, seen[id])
			}
		}
	})
}
