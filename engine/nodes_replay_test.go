package engine_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/postgres"
)

// A replay is of all that was acknowledged before, also where ids of another node are
// ahead of the time: they do not follow a database's clock that is set back, as by a
// failover.
func TestReplayOfIDsThatAreAhead(t *testing.T) {
	g := newTogether(t)
	a := g.join("a") // which leads
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "e"}, nil)
	st, err := postgres.Open(t.Context(), g.database, postgres.Options{Node: "b"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.New(t.Context(), engine.Config{
		Store: st, Secrets: g.secrets, EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Now: func() time.Time { return time.Now().Add(10 * time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- b.Run(ctx) }()
	app, err := b.EnsureApplication(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Publish(t.Context(), postern.Publish{Application: app.Number, EventType: "t", Payload: []byte(payload("ahead"))})
	if err != nil || time.Until(m.ID.Time()) < 5*time.Minute {
		t.Fatalf("%v, %v", m, err)
	}
	g.await(payload("ahead"), 1)

	a.want(201, "POST", "/event-type", map[string]any{"name": "never", "description": "d"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "new", "filterTypes": []string{"never"}}, nil)
	a.want(201, "POST", "/app/a/replay", map[string]any{"toEndpointId": "new", "since": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)}, nil)
	g.await(payload("ahead"), 2)
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
