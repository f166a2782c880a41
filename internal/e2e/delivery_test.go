package e2e_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// What waits at an endpoint that is paused or disabled goes out when that ends,
// each message once.
func TestHeldDeliveriesGoOutLater(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:")
	for name, hold := range map[string]struct{ stop, goOn func(endpoint string) }{
		"paused": {
			func(e string) { s.want(200, "POST", e+"/pause", nil, nil) },
			func(e string) { s.want(200, "POST", e+"/resume", nil, nil) },
		},
		// A disabled endpoint is not routed to: what waits is what was accepted
		// before, while the endpoint failed.
		"disabled": {
			func(e string) { s.want(200, "PATCH", e, object{"disabled": true}, nil) },
			func(e string) { s.want(200, "PATCH", e, object{"disabled": false}, nil) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			healthy, held := new(atomic.Bool), name == "paused"
			healthy.Store(held)
			r := newReceiver(t, func(got *request, _ *http.Request) int {
				if got.path == "/held" && !healthy.Load() {
					return 500
				}
				return 200
			})
			app := s.application(name)
			endpoint := s.endpoint(app, r.URL+"/held", object{"retrySchedule": []float64{6, 6, 6}}) // later than it is held
			other := s.endpoint(app, r.URL+"/other", nil)
			path := "/app/" + app + "/endpoint/" + endpoint
			if held {
				hold.stop(path)
			}
			const n = 20
			var messages []string
			for i := range n {
				messages = append(messages, s.publish(app, "a.b", object{"n": i}))
			}
			r.await(t, "/other", n)
			if !held {
				await(t, "every delivery has failed once", func() bool { return len(r.requests("/held")) >= n })
				hold.stop(path)
				healthy.Store(true)
			}
			taken := func() (ids []string) {
				for _, got := range r.requests("/held") {
					if got.status == 200 {
						ids = append(ids, got.id)
					}
				}
				slices.Sort(ids)
				return ids
			}
			late := s.publish(app, "a.b", object{"late": true})
			if held {
				messages = append(messages, late)
			}
			r.await(t, "/other", n+1)
			if states := s.states(app, messages[0]); states[other] != "delivered" || states[endpoint] == "delivered" {
				t.Errorf("states %v: want the other delivered, the held not", states)
			}
			if got := taken(); len(got) != 0 {
				t.Errorf("%d requests while held", len(got))
			}
			hold.goOn(path)
			await(t, "they have come", func() bool { return len(taken()) >= len(messages) })
			slices.Sort(messages)
			if ids := taken(); !slices.Equal(ids, messages) {
				t.Errorf("after the hold came %v, want %v", ids, messages)
			}
		})
	}
}

// An application can go with work to be done; the others do not notice.
func TestDeletingAnApplication(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		s := serve(t, store, "--retry-schedule=100ms,100ms,100ms,100ms,100ms,100ms")
		r := newReceiver(t, func(got *request, _ *http.Request) int {
			if got.path == "/failing" {
				return 500
			}
			return 200
		})
		doomed, kept := s.application("doomed"), s.application("kept")
		s.endpoint(doomed, r.URL+"/failing", nil)
		paused := s.endpoint(doomed, r.URL+"/paused", nil)
		s.want(200, "POST", "/app/"+doomed+"/endpoint/"+paused+"/pause", nil, nil)
		endpoint := s.endpoint(kept, r.URL+"/kept", nil)
		var message string
		for range 10 {
			s.publish(doomed, "a.b", object{})
			message = s.publish(kept, "a.b", object{})
		}
		r.await(t, "/kept", 10)
		s.want(204, "DELETE", "/app/"+doomed, nil, nil)
		if got := s.call("GET", "/app/"+doomed+"/msg", nil); got.status != 404 {
			t.Errorf("the messages of a deleted application: %d %s", got.status, got.body)
		}
		for range 10 {
			message = s.publish(kept, "a.b", object{})
		}
		r.await(t, "/kept", 20)
		await(t, "the last is delivered", func() bool { return s.states(kept, message)[endpoint] == "delivered" })
		await(t, "no row is left", func() bool {
			m, err := s.metrics()
			return err == nil && m["postern_rows"] == 0 && m["postern_lanes_behind"] == 0
		})
		if code := s.terminate(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		again := serve(t, store)
		again.publish(kept, "a.b", object{})
		r.await(t, "/kept", 21)
		if got := r.requests("/paused"); len(got) != 0 {
			t.Errorf("%d requests at an endpoint that was paused and then deleted", len(got))
		}
	})
}

// A delivery whose tries are used up lives again when it is resent.
func TestResendOfADeadDelivery(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:", "--retry-schedule=20ms")
	var healthy atomic.Bool
	r := newReceiver(t, func(*request, *http.Request) int {
		if !healthy.Load() {
			return 500
		}
		return 204
	})
	app := s.application("a")
	endpoint := s.endpoint(app, r.URL, nil)
	message := s.publish(app, "a.b", object{"n": 1})
	await(t, "the delivery is dead", func() bool { return s.states(app, message)[endpoint] == "dead" })
	before := s.attempts(app, message)
	if len(before) != 2 || before[1].Reason == nil || *before[1].Reason != "exhausted" || before[1].State != "dead" {
		t.Fatalf("attempts %+v: want two, exhausted", before)
	}
	healthy.Store(true)
	resend := "/app/" + app + "/msg/" + message + "/endpoint/" + endpoint + "/resend"
	s.want(202, "POST", resend, nil, nil)
	await(t, "the delivery lives", func() bool { return s.states(app, message)[endpoint] == "delivered" })
	after := s.attempts(app, message)
	if len(after) != 3 || after[2].TriggerType != 1 || after[2].ResponseStatusCode != 204 || after[2].Number != 3 {
		t.Errorf("attempts %+v: want a third, by hand, 204", after)
	}
	if after[0].ID != before[0].ID || after[1].ID != before[1].ID {
		t.Error("resending changed history")
	}
}

// A delivery that waits can be canceled, once, and is not tried again.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:", "--retry-schedule=3s,3s")
	r := newReceiver(t, func(got *request, _ *http.Request) int {
		if got.path == "/failing" {
			return 503
		}
		return 200
	})
	app := s.application("a")
	failing := s.endpoint(app, r.URL+"/failing", nil)
	good := s.endpoint(app, r.URL+"/good", nil)
	message := s.publish(app, "a.b", object{})
	await(t, "the first try has failed", func() bool {
		states := s.states(app, message)
		return states[failing] == "retrying" && states[good] == "delivered"
	})
	cancel := func(endpoint string) string {
		return "/app/" + app + "/msg/" + message + "/endpoint/" + endpoint + "/cancel"
	}
	s.want(204, "POST", cancel(failing), nil, nil)
	canceled := time.Now()
	if state := s.states(app, message)[failing]; state != "canceled" {
		t.Errorf("state %s after a cancel", state)
	}
	for endpoint, why := range map[string]string{failing: "twice", good: "after the delivery"} {
		if got := s.call("POST", cancel(endpoint), nil); got.status != 409 {
			t.Errorf("canceling %s: %d %s", why, got.status, got.body)
		}
	}
	// Longer than the wait that was canceled: the next message's own retry tells.
	second := s.publish(app, "a.b", object{})
	await(t, "the next one is tried again", func() bool {
		return 1 < len(slices.DeleteFunc(r.requests("/failing"), func(got request) bool { return got.id != second }))
	})
	for _, got := range r.requests("/failing") {
		if got.id != second && got.start.After(canceled) {
			t.Errorf("%s was tried after it was canceled", got.id)
		}
	}
}

// An endpoint that is gone stays disabled, also over a kill, until somebody
// enables it.
func TestGoneOutlivesAKill(t *testing.T) {
	t.Parallel()
	var back atomic.Bool
	r := newReceiver(t, func(*request, *http.Request) int {
		if !back.Load() {
			return http.StatusGone
		}
		return 200
	})
	store := "file:" + t.TempDir() + "/store"
	s := serve(t, store)
	app := s.application("a")
	endpoint := s.endpoint(app, r.URL, nil)
	message := s.publish(app, "a.b", object{})
	await(t, "the delivery is dead", func() bool { return s.states(app, message)[endpoint] == "dead" })
	s.kill()
	s = serve(t, store)
	var state struct {
		Disabled       bool
		DisabledReason *string
	}
	path := "/app/" + app + "/endpoint/" + endpoint
	s.want(200, "GET", path, nil, &state)
	if !state.Disabled || state.DisabledReason == nil || *state.DisabledReason != "gone" {
		t.Errorf("disabled %t, reason %v", state.Disabled, state.DisabledReason)
	}
	if states := s.states(app, s.publish(app, "a.b", object{})); len(states) != 0 {
		t.Errorf("a message was routed to an endpoint that is gone: %v", states)
	}
	back.Store(true)
	s.want(200, "PATCH", path, object{"disabled": false}, &state)
	if state.Disabled || state.DisabledReason != nil {
		t.Errorf("enabled: disabled %t, reason %v", state.Disabled, state.DisabledReason)
	}
	s.publish(app, "a.b", object{})
	r.await(t, "/", 2)
	s.want(202, "POST", "/app/"+app+"/msg/"+message+"/endpoint/"+endpoint+"/resend", nil, nil)
	await(t, "the dead one is delivered", func() bool { return s.states(app, message)[endpoint] == "delivered" })
}
