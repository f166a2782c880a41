package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// TestHandler calls a server of the same process without a socket: what is
// answered at once, what is refused, what lasts, and what is never answered.
func TestHandler(t *testing.T) {
	w := newWorld(t)
	c := inside(t, w.handler)
	ctx := t.Context()
	if _, err := c.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("a refusal: %v", err)
	}
	tailing, stop := context.WithCancel(ctx)
	events := make(chan client.TailEvent)
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		defer close(events)
		close(ready)
		for event, err := range c.Tail(tailing, client.TailFilter{Application: "shop"}) {
			if err != nil {
				ended <- err
				return
			}
			select {
			case events <- event:
			case <-tailing.Done():
			}
		}
		ended <- nil
	}()
	<-ready
	payload := json.RawMessage(`{"text":"` + strings.Repeat("long ", 10_000) + `"}`)
	var got client.TailEvent
	for got.Message == nil { // what is published before the tail began is not told
		if _, err := c.Messages.Create(ctx, "shop", client.MessageIn{EventType: "a.b", Payload: payload}); err != nil {
			t.Fatal(err)
		}
		select {
		case got = <-events:
		default:
		}
	}
	raw, _, err := c.Messages.Raw(ctx, "shop", got.Message.Message.ID.String())
	if err != nil || string(raw) != string(payload) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	stop()
	for range events { // to its end
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the tail ended with %v", err)
	}
	silent := make(chan struct{})
	impatient, cancel := context.WithCancel(ctx)
	never := inside(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(silent)
		<-r.Context().Done()
	}))
	go func() { <-silent; cancel() }()
	if _, err := never.Health(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("no answer: %v", err)
	}
}

// TestHandlerPanics as a broken connection would be told.
func TestHandlerPanics(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"at once":  func(http.ResponseWriter) {},
		"half-way": func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"half`) },
	} {
		c := inside(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			answer(rw)
			panic("oh no")
		}))
		if _, err := c.Health(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func inside(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Handler: h, Key: adminKey, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
