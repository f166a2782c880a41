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
