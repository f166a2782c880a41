package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// tailing is a client of an engine's tail.
type tailing struct {
	t     *testing.T
	lines *bufio.Scanner
	id    string
	ended func()
}

func (w *world) tail(lastID string) *tailing {
	w.t.Helper()
	return w.tailOf("", lastID)
}

func (w *world) tailOf(query, lastID string) *tailing {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+"/api/v1/tail"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer admin")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &tailing{t: w.t, lines: bufio.NewScanner(resp.Body)}
	c.ended = func() { cancel(); _ = resp.Body.Close() }
	w.t.Cleanup(c.ended)
	for c.id == "" && c.lines.Scan() {
		c.line()
	}
	return c
}

func (c *tailing) line() (name, value string) {
	name, value, _ = strings.Cut(c.lines.Text(), ": ")
	if name == "id" {
		c.id = value
	}
	return name, value
}

// next is the next event's name and the message that it is about.
func (c *tailing) next() (event, message string) {
	c.t.Helper()
	for c.lines.Scan() {
		name, value := c.line()
		switch name {
		case "event":
			event = value
		case "data":
			var data struct {
				Message struct{ ID string }
				MsgID   string
				State   string
			}
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				c.t.Fatal(err)
			}
			return strings.TrimSpace(event + " " + data.State), data.Message.ID + data.MsgID
		}
	}
	c.t.Fatalf("the tail ended: %v", c.lines.Err())
	return "", ""
}

// begin runs an engine on a store until the returned function ends it.
func begin(t *testing.T, st store.Store, secrets engine.Secrets) (w *world, end func()) {
	t.Helper()
	eng, err := engine.New(t.Context(), engine.Config{
		Store: st, Secrets: secrets, AdminKey: "admin", EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	server := httptest.NewServer(eng.Handler())
	return &world{t, eng, server}, func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		server.Close() // waits for tails, which the engine's end has ended
	}
}

// TestTailGoesOnAfterARestart has a client hear of messages and what became of
// them, and of what happened while it was away, across two lives of the engine.
func TestTailGoesOnAfterARestart(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	secrets := keyring.New().For("a test") // which the second life needs too
	w, end := begin(t, st, secrets)
	var made struct{ ID string }
	w.call("POST", "/app", map[string]any{"name": "Shop", "uid": "shop"}, &made)
	w.call("POST", "/app/shop/endpoint", map[string]any{"url": receiver.URL}, &made)
	publish := func() string {
		t.Helper()
		if status := w.call("POST", "/app/shop/msg?wait=10s", map[string]any{"eventType": "a", "payload": map[string]any{}}, &made); status != 202 {
			t.Fatal(status)
		}
		return made.ID
	}
	// Messages and attempts of one millisecond may come in either order.
	expect := func(c *tailing, ids ...string) {
		t.Helper()
		want, got := map[string]int{}, map[string]int{}
		for _, id := range ids {
			want["message "+id], want["attempt delivered "+id] = 1, 1
		}
		for range want {
			event, message := c.next()
			got[event+" "+message]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	publish() // before anybody listens
	first := w.tail("")
	expect(first, publish())
	first.ended()
	missed := []string{publish(), publish()}
	second := w.tail(first.id)
	expect(second, missed...)
	expect(second, publish())
	end()
	if second.lines.Scan() && second.lines.Text() != "" {
		t.Errorf("after the end: %q", second.lines.Text())
	}

	w, end = begin(t, st, secrets)
	defer end()
	third := publish()
	late := w.tail(second.id)
	expect(late, third)
	expect(late, publish())
}
