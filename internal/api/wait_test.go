package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// fated accepts messages like the world and has them delivered, as fate says.
type fated struct {
	*world
	// after is when a message's fate comes, told once it is stored.
	after time.Duration
	fate  func(m *postern.Message)
}

func (f fated) Publish(ctx context.Context, p postern.Publish) (*postern.Message, bool, error) {
	m, duplicate, err := f.world.Publish(ctx, p)
	if err == nil && f.after == 0 {
		f.fate(m)
	} else if err == nil {
		time.AfterFunc(f.after, func() { f.fate(m) })
	}
	return m, duplicate, err
}

// waiting is a world in a bubble whose endpoints a and b have every message.
func waiting(t *testing.T, after time.Duration, fate func(w *world, m *postern.Message), test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		for _, uid := range []string{"a", "b"} {
			w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"`+uid+`"}`)
		}
		h, ok := w.handler.(*handler)
		if !ok {
			t.Fatal("another handler")
		}
		h.Publisher = fated{w, after, func(m *postern.Message) { fate(w, m) }}
		test(w)
	})
}

// tried settles a message's first try at an endpoint, and tells.
func (w *world) tried(m *postern.Message, n postern.EndpointNumber, state postern.State, next time.Duration) {
	w.mu.Lock()
	batch := w.head.Batch
	w.mu.Unlock()
	a := postern.Attempt{
		ID:      postern.NewAttemptID(w.now, 0, batch+1, 0, n),
		Message: m.ID, Application: m.Application, Endpoint: n, N: 1, State: state, Succeeded: state == postern.Delivered,
	}
	if state == postern.Retrying {
		a.Next = w.now.Add(next)
	}
	w.settle(a)
	w.tail.Attempted(&a)
}

const waitPath = "/app/shop/msg?wait=5s"

// publishWaiting publishes and says what became of the deliveries, by their
// endpoints' uids, and how long that took.
func publishWaiting(w *world, path string) (out publishedOut, states string, took time.Duration) {
	w.t.Helper()
	began := time.Now()
	got := w.do("POST", path, `{"eventType":"a","payload":{"n":1}}`)
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.StatusCode != 202 || string(out.Payload["n"]) != "1" {
		w.t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	var list []string
	for _, d := range out.Deliveries {
		list = append(list, *d.EndpointUID+" "+d.State)
	}
	return out, strings.Join(list, ", "), time.Since(began)
}

func TestWaitForOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		after  time.Duration
		fate   func(w *world, m *postern.Message)
		states string
		took   time.Duration
	}{
		"before the wait begins": {0, func(w *world, m *postern.Message) {
			w.tried(m, 1, postern.Delivered, 0)
			w.tried(m, 2, postern.Dead, 0)
		}, "a delivered, b dead", 0},
		"while it lasts": {2 * time.Second, func(w *world, m *postern.Message) {
			w.tried(m, 1, postern.Delivered, 0)
			w.tried(m, 2, postern.Delivered, 0)
		}, "a delivered, b delivered", 2 * time.Second},
		"retried later": {time.Second, func(w *world, m *postern.Message) {
			w.tried(m, 1, postern.Delivered, 0)
			w.tried(m, 2, postern.Retrying, time.Hour)
		}, "a delivered, b retrying", time.Second},
		"retried within": {time.Second, func(w *world, m *postern.Message) {
			w.tried(m, 1, postern.Delivered, 0)
			w.tried(m, 2, postern.Retrying, 3*time.Second)
		}, "a delivered, b retrying", 5 * time.Second},
		"one of two": {time.Second, func(w *world, m *postern.Message) {
			w.tried(m, 2, postern.Delivered, 0)
		}, "a pending, b delivered", 5 * time.Second},
		"too late": {6 * time.Second, func(w *world, m *postern.Message) {
			w.tried(m, 1, postern.Delivered, 0)
		}, "a pending, b pending", 5 * time.Second},
		"canceled": {3 * time.Second, func(w *world, m *postern.Message) {
			for n := postern.EndpointNumber(1); n <= 2; n++ {
				key := store.DeliveryKey{Application: 1, Endpoint: n, Message: m.ID}
				if err := w.Cancel(context.Background(), key); err != nil {
					w.t.Error(err)
				}
				w.tail.Canceled(key)
			}
		}, "a canceled, b canceled", 3 * time.Second},
		"shutting down": {time.Second, func(w *world, _ *postern.Message) { w.tail.Close() }, "a pending, b pending", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			waiting(t, test.after, test.fate, func(w *world) {
				out, states, took := publishWaiting(w, waitPath)
				if states != test.states || took != test.took || out.MoreDeliveries {
					t.Errorf("%s after %v, want %s after %v", states, took, test.states, test.took)
				}
				<-time.After(10 * time.Second) // what comes too late finds nobody
			})
		})
	}
}

// TestWaitForNobody: without endpoints there is nothing to wait for, and
// without the parameter nothing is told.
func TestWaitForNobody(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	got := w.do("POST", waitPath, `{"eventType":"a","payload":{}}`)
	if got.StatusCode != 202 || !strings.Contains(got.body, `"deliveries":null,"moreDeliveries":false}`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	for _, path := range []string{"/app/shop/msg", "/app/shop/msg?wait=0s", "/app/shop/msg?wait="} {
		if got := w.do("POST", path, `{"eventType":"a","payload":{}}`); got.StatusCode != 202 || strings.Contains(got.body, "eliveries") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	before := w.head
	w.refused(422, `"loc":["query","wait"]`, "POST", "/app/shop/msg?wait=61s", `{"eventType":"a","payload":{}}`)
	w.refused(422, `"loc":["query","wait"]`, "POST", "/app/shop/msg?wait=-1s", `{"eventType":"a","payload":{}}`)
	w.refused(400, "duration", "POST", "/app/shop/msg?wait=soon", `{"eventType":"a","payload":{}}`)
	if w.head.Batch != before.Batch {
		t.Error("a refused message was stored")
	}
}

// TestWaitOfManyEndpoints tells a page of them.
func TestWaitOfManyEndpoints(t *testing.T) {
	waiting(t, 0, func(w *world, m *postern.Message) {
		for n := postern.EndpointNumber(1); n <= 2; n++ {
			w.tried(m, n, postern.Delivered, 0)
		}
	}, func(w *world) {
		for i := range maxLimit {
			w.must("/app/shop/endpoint", fmt.Sprintf(`{"url":"https://example.com/","uid":"e%d"}`, i))
		}
		out, _, took := publishWaiting(w, "/app/shop/msg?wait=1s")
		if len(out.Deliveries) != maxLimit || !out.MoreDeliveries || took != time.Second {
			t.Errorf("%d deliveries, more %t, after %v", len(out.Deliveries), out.MoreDeliveries, took)
		}
	})
}

// blind is a store that cannot be read.
type blind struct{ Deliveries }

func (blind) Standing(context.Context, store.DeliveryKey) (store.Standing, error) {
	return store.Standing{}, errors.New("read: input/output error")
}

// TestWaitThatFails: the message is accepted, and says so.
func TestWaitThatFails(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"a"}`)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	h.Deliveries = blind{h.Deliveries}
	out, states, _ := publishWaiting(w, waitPath)
	if states != "a pending" || !out.MoreDeliveries || !strings.Contains(w.log.String(), "input/output error") {
		t.Errorf("%s, more %t, log %s", states, out.MoreDeliveries, w.log)
	}
}
