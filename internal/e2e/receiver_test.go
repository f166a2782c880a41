package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// request is what a receiver was sent, and what it made of it.
type request struct {
	path, id   string
	header     http.Header
	body       []byte
	start, end time.Time
	// answering is when the answer began: its sender was inside until then. It may
	// know of the answer long before end, which a busy machine has later.
	answering time.Time
	status    int
	// resumed: the TLS session was, handshakes tells its connection.
	resumed bool
	remote  string
	// life is the receiver's when the connection was accepted.
	life int64
}

// lifeKey is the context key of a connection's life.
type lifeKey struct{}

// receiver is a web server that keeps a log of what it is sent. The path
// chooses the behaviour.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	log []request
	// arrived has room for one, and is sent to by each request that was
	// answered.
	arrived chan struct{}
	// life counts nextLife; it tells which of several servers opened a
	// connection.
	life atomic.Int64
}

// newReceiver answers with the status that decide returns, after whatever
// decide waits for; nil answers 200.
func newReceiver(t *testing.T, decide func(*request, *http.Request) int) *receiver {
	r := unstartedReceiver(decide)
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// unstartedReceiver leaves it to the caller to start and to close.
func unstartedReceiver(decide func(*request, *http.Request) int) *receiver {
	r := &receiver{arrived: make(chan struct{}, 1)}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		if in.Method != http.MethodPost {
			return // nextLife asks
		}
		got := request{path: in.URL.Path, id: in.Header.Get("webhook-id"), header: in.Header.Clone(), start: time.Now(), status: 200, remote: in.RemoteAddr}
		got.life, _ = in.Context().Value(lifeKey{}).(int64)
		got.resumed = in.TLS != nil && in.TLS.DidResume
		var err error
		if got.body, err = io.ReadAll(in.Body); err != nil {
			return // half a request is none
		}
		if decide != nil {
			got.status = decide(&got, in)
		}
		got.answering = time.Now()
		// The whole answer is on its way before it is logged, whatever the log
		// waits for: an entry was answered no later than its end.
		if got.status != http.StatusNoContent {
			w.Header().Set("Content-Length", "0")
		}
		w.WriteHeader(got.status)
		_ = http.NewResponseController(w).Flush() // what fails is the connection
		got.end = time.Now()
		r.add(got)
	}))
	// Called by the one goroutine that accepts, in the order of arrival.
	r.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, lifeKey{}, r.life.Load())
	}
	return r
}

// nextLife begins a life: connections that were opened before the call belong
// to the one before. It is for the time between the end of a server and the
// start of the next.
func (r *receiver) nextLife(t *testing.T) {
	t.Helper()
	// Whoever came earlier is accepted earlier than this one.
	own := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := own.Get(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	r.life.Add(1)
}

func (r *receiver) add(got request) {
	r.mu.Lock()
	at := len(r.log) // in the order in which they came, not that in which they get here
	for at > 0 && got.start.Before(r.log[at-1].start) {
		at--
	}
	r.log = slices.Insert(r.log, at, got)
	r.mu.Unlock()
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// requests is the log so far of a path, "" for all.
func (r *receiver) requests(path string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []request
	for _, got := range r.log {
		if path == "" || got.path == path {
			found = append(found, got)
		}
	}
	return found
}

// await waits until a path was sent n requests, and returns them.
func (r *receiver) await(t *testing.T, path string, n int) []request {
	t.Helper()
	deadline := time.After(patience)
	for {
		if found := r.requests(path); len(found) >= n {
			return found
		}
		select {
		case <-r.arrived:
		case <-deadline:
			t.Fatalf("%s: %d requests after %v, want %d", path, len(r.requests(path)), patience, n)
		}
	}
}
