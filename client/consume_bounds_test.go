package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// TestConsumeLongErrors keeps as much of an error as a server takes, in whole
// characters.
func TestConsumeLongErrors(t *testing.T) {
	for name, text := range map[string]string{
		"cut within a character": "x" + strings.Repeat("ä", 20_000),
		"not all of it text":     strings.Repeat("x\xff", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			w := newPullWorld(t)
			w.publish(t, 1)
			refused := w.told("/lease/nack")
			stop := w.consume(t, client.ConsumeOptions{}, func(context.Context, *client.Lease) error {
				return postern.Permanent(errors.New(text))
			})
			<-refused
			stop()
			a := w.attempts(t)
			if len(a) != 1 || a[0].ResponseStatusCode != 500 || len(a[0].Response) < 10_000 || !utf8.ValidString(a[0].Response) {
				t.Errorf("%d attempts, %+.100v", len(a), a)
			}
		})
	}
}

// told receives when a request to a path was made.
func (w *pullWorld) told(path string) <-chan struct{} {
	asked := make(chan struct{}, 1)
	w.front = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, path) {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
		return false
	}
	return asked
}

// TestConsumeFasterThanItIsTold has messages be handled while an acknowledgement
// takes its time: no more than a request may name wait to be told of, and each
// is.
func TestConsumeFasterThanItIsTold(t *testing.T) {
	const messages, concurrency = 2200, 600
	w := newPullWorld(t)
	w.publish(t, messages)
	more, done := make(chan struct{}, 1), make(chan struct{})
	var handled, refused atomic.Int32
	var first sync.Once
	w.front = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/lease/ack") {
			return false
		}
		first.Do(func() { // lasts until as many wait to be told of as keep others from being begun
			for told := leasesOf(t, r); int(handled.Load()) < told+postern.MaxLeases; {
				<-more
			}
		})
		w.handler.ServeHTTP(&watched{rw, &refused}, r)
		return true
	}
	stop := w.consume(t, client.ConsumeOptions{Concurrency: concurrency}, func(context.Context, *client.Lease) error {
		if handled.Add(1) == messages {
			close(done)
		}
		select {
		case more <- struct{}{}:
		default:
		}
		return nil
	})
	<-done
	stop()
	if n := refused.Load(); n != 0 || handled.Load() != messages {
		t.Errorf("%d acknowledgements were refused, %d handled", n, handled.Load())
	}
	delivered := 0
	for _, a := range w.attempts(t) {
		if a.ResponseStatusCode == 200 {
			delivered++
		}
	}
	if delivered != messages {
		t.Errorf("%d of %d are delivered", delivered, messages)
	}
}

// leasesOf counts those that a request names, which can still be read.
func leasesOf(t *testing.T, r *http.Request) int {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct{ Leases []postern.LeaseID }
	if err := json.Unmarshal(body, &in); err != nil || len(in.Leases) == 0 {
		t.Errorf("%d leases, %v", len(in.Leases), err)
	}
	return len(in.Leases)
}

// watched counts refusals.
type watched struct {
	http.ResponseWriter
	refused *atomic.Int32
}

func (w *watched) WriteHeader(status int) {
	if status >= 400 {
		w.refused.Add(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

// TestConsumeEndedGoroutine has a handler end its goroutine, as tests do that
// fail: its place is free again, and the message is retried.
func TestConsumeEndedGoroutine(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 1)
	done := make(chan struct{})
	stop := w.consume(t, client.ConsumeOptions{}, func(_ context.Context, l *client.Lease) error {
		if l.Attempt == 1 {
			runtime.Goexit()
		}
		close(done)
		return nil
	})
	<-done
	stop()
}

// unspoken is an error that does not bear to be nil.
type unspoken struct{ text string }

func (e *unspoken) Error() string { return e.text }

// TestConsumeErrorsThatPanic has a handler return a nil pointer as an error, which
// is a failure like others and not the program's end.
func TestConsumeErrorsThatPanic(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 1)
	done := make(chan struct{})
	stop := w.consume(t, client.ConsumeOptions{}, func(_ context.Context, l *client.Lease) error {
		if l.Attempt == 1 {
			var none *unspoken
			return none
		}
		close(done)
		return nil
	})
	<-done
	stop()
	told := false
	for _, a := range w.attempts(t) {
		told = told || a.ResponseStatusCode == 500 && strings.Contains(a.Response, "a *client_test.unspoken, panics")
	}
	if !told {
		t.Errorf("attempts %+v", w.attempts(t))
	}
}

// TestConsumeLongWaits asks for no longer a wait than a server takes.
func TestConsumeLongWaits(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 1)
	refused := w.told("/lease/nack")
	stop := w.consume(t, client.ConsumeOptions{}, func(context.Context, *client.Lease) error {
		return postern.RetryAfter(2 * postern.MaxRetryAfter)
	})
	<-refused
	stop()
	if a := w.attempts(t); len(a) != 1 || a[0].ResponseStatusCode != 500 {
		t.Errorf("attempts %+v", a)
	}
}

// TestConsumeWithoutAHandler uses up no message's tries.
func TestConsumeWithoutAHandler(t *testing.T) {
	w := newPullWorld(t)
	w.publish(t, 1)
	if err := w.Consume(t.Context(), w.app, w.endpoint, client.ConsumeOptions{}, nil); !errors.Is(err, postern.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if a := w.attempts(t); len(a) != 0 {
		t.Errorf("attempts %+v", a)
	}
}

// TestConsumeKnowsWhenALeaseIsOver: the message is taken from its handler once
// nobody holds it for it, also where the server cannot be asked for longer.
func TestConsumeKnowsWhenALeaseIsOver(t *testing.T) {
	const lease = 2 * time.Second
	w := newPullWorld(t)
	w.publish(t, 1)
	hangs := make(chan struct{})
	w.front = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/lease/extend") {
			<-hangs
		}
		return false
	}
	lost := make(chan error, 1)
	stop := w.consume(t, client.ConsumeOptions{Lease: lease}, func(ctx context.Context, l *client.Lease) error {
		if l.Attempt == 1 {
			<-ctx.Done()
			lost <- context.Cause(ctx)
		}
		return nil
	})
	begun := time.Now()
	if err := <-lost; !errors.Is(err, client.ErrLeaseLost) || time.Since(begun) > 10*lease { // and not once its request was given up
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	close(hangs)
	stop()
}

// TestConsumeWithinTheClientsPatience asks the server to wait for no longer than
// the HTTP client does.
func TestConsumeWithinTheClientsPatience(t *testing.T) {
	w := newPullWorld(t)
	asked := make(chan int, 10)
	w.front = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/lease") {
			body, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			var in struct{ WaitSeconds int }
			if err := errors.Join(err, json.Unmarshal(body, &in)); err != nil {
				t.Error(err)
			}
			asked <- in.WaitSeconds
		}
		return false
	}
	for most, want := range map[time.Duration]int{time.Minute: 20, 10 * time.Second: 5, time.Second: 1, 0: 20} {
		w.Client = w.client(t, client.Options{HTTP: &http.Client{Timeout: most}})
		stop := w.consume(t, client.ConsumeOptions{}, func(context.Context, *client.Lease) error { return nil })
		if got := <-asked; got != want {
			t.Errorf("within %v: waits %d s, want %d", most, got, want)
		}
		stop()
		for len(asked) > 0 {
			<-asked
		}
	}
}
