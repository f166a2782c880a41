package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// world is an engine on a store in memory, with its HTTP server.
type world struct {
	t      *testing.T
	engine *engine.Engine
	server *httptest.Server
}

func newWorld(t *testing.T, edit func(*engine.Config)) *world {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.Config{Store: st, AdminKey: "admin", EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if edit != nil {
		edit(&cfg)
	}
	eng, err := engine.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	server := httptest.NewServer(eng.Handler())
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &world{t, eng, server}
}

// call sends a request as the admin and decodes the answer into out.
func (w *world) call(method, path string, in, out any) int {
	w.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			w.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, w.server.URL+"/api/v1"+path, &body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			w.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, raw, err)
		}
	}
	return resp.StatusCode
}

func TestAMessageIsDelivered(t *testing.T) {
	w := newWorld(t, nil)
	got := make(chan *http.Request, 10)
	bodies := make(chan []byte, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- body
	}))
	defer receiver.Close()
	var app, ep, msg struct{ ID string }
	if code := w.call("POST", "/app", map[string]any{"name": "a"}, &app); code != 201 {
		t.Fatalf("creating an application: %d", code)
	}
	if code := w.call("POST", "/app/"+app.ID+"/endpoint", map[string]any{"url": receiver.URL}, &ep); code != 201 {
		t.Fatalf("creating an endpoint: %d", code)
	}
	payload := `{"b":1.0,"a":"<x>"}`
	code := w.call("POST", "/app/"+app.ID+"/msg", map[string]any{"eventType": "invoice.paid", "payload": json.RawMessage(payload)}, &msg)
	if code != 202 {
		t.Fatalf("publishing: %d", code)
	}
	r, body := <-got, <-bodies
	if id := r.Header.Get("webhook-id"); id != msg.ID {
		t.Errorf("webhook-id %q, want %q", id, msg.ID)
	}
	if string(body) != `{"b":1.0,"a":"\u003cx\u003e"}` {
		t.Errorf("delivered %s", body)
	}
}

// A message that was never on its way to an endpoint has nothing to cancel
// there.
func TestCancelOfWhatWasNotRouted(t *testing.T) {
	w := newWorld(t, nil)
	var app, ep, msg struct{ ID string }
	w.call("POST", "/app", map[string]any{"name": "a"}, &app)
	w.call("POST", "/app/"+app.ID+"/endpoint", map[string]any{"url": "http://127.0.0.1:1/", "disabled": true}, &ep)
	w.call("POST", "/app/"+app.ID+"/msg", map[string]any{"eventType": "a.b", "payload": map[string]any{}}, &msg)
	var fault struct{ Code string }
	if code := w.call("POST", "/app/"+app.ID+"/msg/"+msg.ID+"/endpoint/"+ep.ID+"/cancel", nil, &fault); code != 404 {
		t.Errorf("cancel: %d %q, want 404", code, fault.Code)
	}
}

// Of two engines on one opened store the second is refused, and so is one that was
// made before another one worked: neither hurts the one that works.
func TestOneEngineForAStore(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	made := func() *engine.Engine {
		eng, err := engine.New(t.Context(), engine.Config{Store: st})
		if err != nil {
			t.Fatal(err)
		}
		return eng
	}
	first, second := made(), made()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	if _, _, err := first.Publish(ctx, postern.Publish{EventType: "a.b", Payload: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if err := second.Run(ctx); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("a second engine beside it: %v", err)
	}
	if _, _, err := second.Publish(ctx, postern.Publish{EventType: "a.b", Payload: []byte(`{}`)}); !errors.Is(err, postern.ErrUnavailable) {
		t.Errorf("publishing by the second: %v", err)
	}
	third := made()
	if _, _, err := first.Publish(ctx, postern.Publish{EventType: "a.b", Payload: []byte(`{}`)}); err != nil {
		t.Errorf("publishing by the first: %v", err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := third.Run(t.Context()); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("one that was made before the last message: %v", err)
	}
}
