package engine_test

import (
	"testing"
	"time"

	"github.com/postern-dev/postern/engine"
)

// What is configured is told with the value in force, what is not with the
// default's.
func TestLimitsInForce(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) {
		c.Retention, c.MaxBody, c.MaxInFlight = 48*time.Hour, 4321, 77
	})
	var page struct {
		Data []struct {
			Name  string
			Value int64
			Unit  string
		}
	}
	if status := w.call("GET", "/limits", nil, &page); status != 200 {
		t.Fatal(status)
	}
	got := map[string]int64{}
	for _, l := range page.Data {
		if _, twice := got[l.Name]; twice || l.Value <= 0 {
			t.Errorf("%+v", l)
		}
		got[l.Name] = l.Value
	}
	for name, want := range map[string]int64{
		"message.retention": 2 * 24 * 60 * 60, "request.body": 4321, "attempt.underway": 77,
		"attempt.timeout": 15, "inbound.body": 25 << 20, "retry.default": 8, "retry.after": 24 * 60 * 60,
		"response.kept": 20_000, "endpoint.channels": 10, "metadata.size": 4096, "page.entries": 250,
		"message.queued": 64 << 20, "message.waiting": 32 << 20, "refusal.body": 1 << 20, "eventType.declared": 10_000,
		"secret.grace.default": 24 * 60 * 60, "endpoint.stats.attempts": 25_000, "stats.attempts": 20_000, "stats.endpoints": 500,
	} {
		if got[name] != want {
			t.Errorf("%s is told as %d, want %d", name, got[name], want)
		}
	}
}
