package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

const adminKey = "the-admin"

// world is a whole server, a client of it, and a receiver of its deliveries.
type world struct {
	*client.Client
	url string
	// handler is what the server serves.
	handler http.Handler
	// front is asked before the server; true means that it has answered.
	front func(http.ResponseWriter, *http.Request) bool
	hooks string
	// fails is the status that hooks answers; 0 for 200.
	mu     sync.Mutex
	fails  int
	bodies []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	var server *httptest.Server
	cfg := engine.Config{Store: st, AdminKey: adminKey, EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	server = httptest.NewUnstartedServer(nil)
	cfg.PublicURL = "http://" + server.Listener.Addr().String()
	eng, err := engine.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler := eng.Handler()
	w.handler = handler
	server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.front == nil || !w.front(rw, r) {
			handler.ServeHTTP(rw, r)
		}
	})
	server.Start()
	receiver := httptest.NewServer(http.HandlerFunc(w.receive))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		receiver.Close()
	})
	w.url, w.hooks = server.URL, receiver.URL
	w.Client = w.client(t, client.Options{})
	return w
}

// client is one with other options.
func (w *world) client(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	o.URL, o.Key = w.url, adminKey
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// receive keeps what is delivered.
func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bodies = append(w.bodies, string(body))
	if w.fails != 0 {
		rw.WriteHeader(w.fails)
	}
}

// received is what was delivered so far.
func (w *world) received() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.bodies...)
}

// must is the value of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// ok fails for an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
