package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
	"github.com/postern-dev/postern/store"
)

// behind is a world whose server hears of what was changed elsewhere only by looks.
type behind struct {
	*world
	looks int
	fails error // what looks come to
	// heard is what a look brings; nil for nothing.
	heard func()
	// deaf: there is no key, and no publisher that takes anything, before a look.
	deaf, strict bool
}

func newBehind(t *testing.T) *behind {
	b := &behind{world: newWorld(t)}
	config := b.handler.(*handler).Config
	config.Auth = auth.New(auth.Config{Keys: b, Now: b.clock, AdminToken: adminToken})
	config.Publisher = publisherBehind{b.world, b}
	config.Logger = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Fresh = func(context.Context) error {
		b.looks++
		if heard := b.heard; heard != nil && b.fails == nil {
			b.heard = nil
			heard()
		}
		return b.fails
	}
	b.handler = New(config)
	return b
}

// KeyByHash implements auth.Keys.
func (b *behind) KeyByHash(hash [32]byte) *postern.Key {
	if b.deaf {
		return nil
	}
	return b.cat.KeyByHash(hash)
}

type publisherBehind struct {
	Publisher
	*behind
}

// Publish implements Publisher.
func (p publisherBehind) Publish(ctx context.Context, in postern.Publish) (*postern.Message, bool, error) {
	if p.strict {
		return nil, false, postern.InvalidField("does not fit", "body", "payload")
	}
	return p.Publisher.Publish(ctx, in)
}

// Resend and Cancel implement Publisher.
func (p publisherBehind) Resend(context.Context, store.DeliveryKey) error { return nil }
func (p publisherBehind) Cancel(context.Context, store.DeliveryKey) error { return nil }

// Whoever reads or changes what is configured sees what other nodes answered
// before; publishing looks for nothing that is there.
func TestLooksBefore(t *testing.T) {
	b := newBehind(t)
	b.must("/app", `{"name":"Shop","uid":"shop"}`)
	for _, test := range []struct {
		method, path, body string
		status, looks      int
	}{
		{"GET", "/health", "", 200, 0},
		{"GET", "/app/shop", "", 200, 1},
		{"GET", "/app/nobody", "", 404, 1},
		{"PATCH", "/app/shop", `{"name":"Store"}`, 200, 1},
		{"POST", "/app/shop/msg/precheck/active", `{"eventType":"a"}`, 200, 1},
		{"POST", "/app/shop/msg", `{"eventType":"a","payload":{}}`, 202, 0},
		{"POST", "/app/shop/msg", `{"eventType":"a"}`, 422, 0},
		{"POST", "/app/nobody/msg", `{"eventType":"a","payload":{}}`, 404, 1},
		{"GET", "/nothing", "", 404, 0},
	} {
		b.looks = 0
		b.want(test.status, test.method, test.path, test.body)
		if b.looks != test.looks {
			t.Errorf("%s %s: %d looks, want %d", test.method, test.path, b.looks, test.looks)
		}
	}
	b.fails = errors.New("the database is away")
	b.want(200, "GET", "/app/shop", "")
	if text := b.log.String(); !strings.Contains(text, "level=DEBUG") || !strings.Contains(text, "operation=application.get") {
		t.Errorf("logged %q", text)
	}
}

// What seems not to be there is looked for once, and found.
func TestLooksForTheMissing(t *testing.T) {
	b := newBehind(t)
	const message = `{"eventType":"a","payload":{}}`
	makes := func() { b.must("/app", `{"name":"Shop","uid":"shop"}`) }
	b.heard = makes
	b.want(202, "POST", "/app/shop/msg", message)

	b.strict, b.heard = true, func() { b.strict = false }
	b.want(202, "POST", "/app/shop/msg", message)

	token, _ := b.want(201, "POST", "/key", `{"name":"k","scope":"publish-only"}`)["token"].(string)
	b.deaf, b.heard = true, func() { b.deaf = false }
	if got := b.as(token, "POST", "/app/shop/msg", message); got.StatusCode != 202 {
		t.Errorf("a key of another node: %d %s", got.StatusCode, got.body)
	}

	b.heard, b.looks = func() { b.must("/app", `{"name":"Other","uid":"other"}`) }, 0
	b.want(202, "POST", "/app/other/msg", `{"eventType":"a","payload":{},"application":{"name":"Other","uid":"other"}}`)

	b.strict, b.fails, b.looks = true, errors.New("away"), 0
	b.want(422, "POST", "/app/shop/msg", message)
	b.want(503, "POST", "/app/nobody/msg", message)
	b.want(503, "GET", "/app/nobody", "")
	if got := b.as("unknown", "POST", "/app/shop/msg", message); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || b.looks != 4 {
		t.Errorf("%d after %d looks", got.StatusCode, b.looks)
	}
	b.fails = nil
	b.want(404, "POST", "/app/nobody/msg", message)
	if got := b.as("unknown", "POST", "/app/shop/msg", message); got.StatusCode != 401 {
		t.Errorf("%d for nobody's key", got.StatusCode)
	}
}

// Names that nobody has, however many, are so many looks a second at most.
func TestLooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		h := &handler{misses: newMisses()}
		c := &call{r: httptest.NewRequest("POST", "/", nil), operation: &operation{}}
		if h.lookAgain(c) {
			t.Error("looked without a way to")
		}
		h.Fresh = func(context.Context) error { looks++; return nil }
		for range 20 {
			for range 100 {
				h.lookAgain(c)
			}
			time.Sleep(50 * time.Millisecond) // of the bubble
		}
		if looks < missRate/2 || looks > missRate {
			t.Errorf("%d looks in a second", looks)
		}
	})
}
