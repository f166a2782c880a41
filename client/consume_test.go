package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// pullWorld is a world with a pull endpoint that retries soon.
type pullWorld struct {
	*world
	app, endpoint string
}

func newPullWorld(t *testing.T) *pullWorld {
	t.Helper()
	w := &pullWorld{world: newWorld(t), app: "shop", endpoint: "worker"}
	if _, err := w.Applications.Create(t.Context(), client.ApplicationIn{Name: "Shop", UID: w.app}); err != nil {
		t.Fatal(err)
	}
	made, err := w.Endpoints.Create(t.Context(), w.app, client.EndpointIn{Kind: "pull", UID: w.endpoint, RetrySchedule: []float64{0.01, 0.01, 0.01}})
	if err != nil || made.Kind != "pull" || made.URL != "postern:pull" {
		t.Fatalf("%+v, %v", made, err)
	}
	return w
}

// publish publishes messages whose payloads are numbered.
func (w *pullWorld) publish(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		in := client.MessageIn{EventType: "job", Payload: json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))}
		if _, err := w.Messages.Create(t.Context(), w.app, in); err != nil {
			t.Fatal(err)
		}
	}
}

// consume runs Consume until the returned function is called, which fails the
// test where Consume did.
func (w *pullWorld) consume(t *testing.T, o client.ConsumeOptions, handle func(context.Context, *client.Lease) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Consume(ctx, w.app, w.endpoint, o, handle) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Consume: %v", err)
		}
	}
}

// outcomes are the states that the endpoint's deliveries are in, sorted.
func (w *pullWorld) attempts(t *testing.T) (list []client.Attempt) {
	t.Helper()
	for a, err := range w.Attempts.AtEndpoint(t.Context(), w.app, w.endpoint, client.History{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	return list
}

func TestConsume(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 50)
	var mu sync.Mutex
	var got []string
	done := make(chan struct{})
	var most, now atomic.Int32
	stop := w.consume(t, client.ConsumeOptions{Concurrency: 4}, func(_ context.Context, l *client.Lease) error {
		for n := now.Add(1); n > most.Load(); {
			most.Store(n)
		}
		defer now.Add(-1)
		if l.Attempt != 1 || l.Message.EventType != "job" || l.Message.ContentType != "application/json" || l.ExpiresAt.IsZero() {
			t.Errorf("%+v", l)
		}
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, string(l.Payload)); len(got) == 50 {
			close(done)
		}
		return nil
	})
	<-done
	stop()
	slices.Sort(got)
	if len(slices.Compact(got)) != 50 || got[0] != `{"n": 0}` || most.Load() > 4 {
		t.Errorf("%d messages, the first %s, %d at once", len(got), got[0], most.Load())
	}
	if a := w.attempts(t); len(a) != 50 {
		t.Errorf("%d attempts are stored when Consume returns, want 50", len(a))
	}
}

// TestConsumeErrors has each kind of error do what it does in a handler.
func TestConsumeErrors(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 4)
	tries := map[string]int{}
	var mu sync.Mutex
	done := make(chan struct{})
	ended := 0
	stop := w.consume(t, client.ConsumeOptions{}, func(_ context.Context, l *client.Lease) error {
		mu.Lock()
		defer mu.Unlock()
		payload := string(l.Payload)
		tries[payload]++
		if l.Attempt != tries[payload] {
			t.Errorf("%s says that it is try %d, and is %d", payload, l.Attempt, tries[payload])
		}
		var err error
		switch {
		case payload == `{"n": 0}`:
			err = postern.Permanent(errors.New("not mine"))
		case payload == `{"n": 1}` && l.Attempt == 1:
			return errors.New("not now")
		case payload == `{"n": 2}` && l.Attempt == 1:
			panic("oh no")
		case payload == `{"n": 3}` && l.Attempt == 1:
			return fmt.Errorf("busy: %w", postern.RetryAfter(time.Second))
		}
		if ended++; ended == 4 {
			close(done)
		}
		return err
	})
	<-done
	stop()
	byText := map[string]client.Attempt{}
	for _, a := range w.attempts(t) {
		text, _, _ := strings.Cut(a.Response, "\n")
		byText[text] = a
	}
	for text, want := range map[string]int{"not mine": 500, "not now": 500, "panic: oh no": 500, "busy: try again after 1s": 500, "": 200} {
		if a, ok := byText[text]; !ok || a.ResponseStatusCode != want || a.URL != "postern:pull" {
			t.Errorf("%q: %+v", text, a)
		}
	}
	if tries[`{"n": 0}`] != 1 || tries[`{"n": 1}`] != 2 || tries[`{"n": 3}`] != 2 {
		t.Errorf("tries %v", tries)
	}
}

// TestConsumeExtends holds a message for longer than its lease.
func TestConsumeExtends(t *testing.T) {
	t.Parallel() // it waits: a short lease could be extended too late
	w := newPullWorld(t)
	extended, done := make(chan struct{}), make(chan struct{})
	var times atomic.Int32
	w.front = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/lease/extend") && times.Add(1) == 3 {
			close(extended)
		}
		return false
	}
	w.publish(t, 1)
	var calls atomic.Int32
	stop := w.consume(t, client.ConsumeOptions{Concurrency: 2, Lease: 5 * time.Second}, func(ctx context.Context, _ *client.Lease) error {
		calls.Add(1)
		<-extended // after three times half a lease
		if ctx.Err() != nil {
			t.Errorf("the context ended: %v", context.Cause(ctx))
		}
		close(done)
		return nil
	})
	<-done
	stop()
	if a := w.attempts(t); calls.Load() != 1 || len(a) != 1 || a[0].ResponseStatusCode != 200 {
		t.Errorf("%d calls, attempts %+v", calls.Load(), a)
	}
}

// TestConsumeLosesItsLease tells the handler whose message is not its own any
// more.
func TestConsumeLosesItsLease(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 1)
	lost := make(chan error, 1)
	stop := w.consume(t, client.ConsumeOptions{Lease: 2 * time.Second}, func(ctx context.Context, l *client.Lease) error {
		if l.Attempt > 1 {
			return nil
		}
		if _, err := w.Leases.Nack(t.Context(), w.app, w.endpoint, postern.Nack{}, l.ID); err != nil { // behind its back
			t.Error(err)
		}
		<-ctx.Done()
		lost <- context.Cause(ctx)
		return nil
	})
	if err := <-lost; !errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("got %v", err)
	}
	stop()
}

// TestConsumeDrains lets handlers end, and ends the contexts of those that do
// not.
func TestConsumeDrains(t *testing.T) {
	for name, drain := range map[string]time.Duration{"patient": time.Minute, "impatient": -1} {
		t.Run(name, func(t *testing.T) {
			w := newPullWorld(t)
			w.publish(t, 3)
			begun, goOn := make(chan struct{}, 3), make(chan struct{})
			stop := w.consume(t, client.ConsumeOptions{Drain: drain}, func(ctx context.Context, _ *client.Lease) error {
				begun <- struct{}{}
				if drain > 0 {
					<-goOn
					return ctx.Err()
				}
				<-ctx.Done()
				return ctx.Err()
			})
			<-begun
			stopped := make(chan struct{})
			go func() { stop(); close(stopped) }()
			close(goOn)
			<-stopped
			a := w.attempts(t)
			if patient := drain > 0; (len(a) == 1 && a[0].ResponseStatusCode == 200) != patient || (len(a) == 0) == patient || len(begun) != 0 {
				t.Errorf("attempts %+v, %d begun more", a, len(begun))
			}
		})
	}
}

// TestConsumeRefused returns what asking again will not mend, and asks again
// after anything else.
func TestConsumeRefused(t *testing.T) {
	w := newPullWorld(t)
	never := func(context.Context, *client.Lease) error { t.Error("called"); return nil }
	if err := w.Consume(t.Context(), w.app, "nobody", client.ConsumeOptions{}, never); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no such endpoint: %v", err)
	}
	if _, err := w.Endpoints.Create(t.Context(), w.app, client.EndpointIn{URL: w.hooks, UID: "hooks"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Consume(t.Context(), w.app, "hooks", client.ConsumeOptions{}, never); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("an http endpoint: %v", err)
	}
	for _, o := range []client.ConsumeOptions{{Concurrency: -1}, {Concurrency: postern.MaxLeases + 1}, {Lease: time.Second}, {Lease: 2 * time.Hour}} {
		if err := w.Consume(t.Context(), w.app, w.endpoint, o, never); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	var refused atomic.Int32
	w.front = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/lease") || refused.Add(1) > 4 {
			return false
		}
		rw.WriteHeader([]int{500, 502, 503, 429}[refused.Load()%4])
		return true
	}
	w.Client = w.client(t, client.Options{Retries: -1})
	w.publish(t, 1)
	done := make(chan struct{})
	stop := w.consume(t, client.ConsumeOptions{}, func(context.Context, *client.Lease) error { close(done); return nil })
	<-done
	stop()
}
