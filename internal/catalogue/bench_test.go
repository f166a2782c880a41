package catalogue_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store"
)

// instant is a committer without a store, and a store that holds nothing.
type instant struct{}

func (instant) CommitChanges(context.Context, []store.Change, []store.HealthChange) error { return nil }

func (instant) Load(context.Context, func(any) error) error { return nil }

func instantly(tb testing.TB) *catalogue.Catalogue {
	tb.Helper()
	c, err := catalogue.Load(tb.Context(), instant{}, store.Head{}, catalogue.Config{
		Committer: instant{},
		IDs:       &postern.IDSource{Now: time.Now, Random: rand.Reader},
		Now:       time.Now,
		Secrets:   keyring.New().For("endpoint secret"),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// fill makes applications with uids, each with endpoints of a usual size.
func fill(tb testing.TB, c *catalogue.Catalogue, applications, endpoints int) {
	tb.Helper()
	if err := c.DeclareEventType(tb.Context(), "invoice.paid", ""); err != nil {
		tb.Fatal(err)
	}
	for i := range applications {
		app, err := c.CreateApplication(tb.Context(), postern.Application{Name: "A customer", UID: fmt.Sprint("customer-", i)})
		if err != nil {
			tb.Fatal(err)
		}
		for j := range endpoints {
			_, err := c.CreateEndpoint(tb.Context(), postern.Endpoint{
				Application: app.Number, UID: fmt.Sprint("endpoint-", j), Description: "Where it goes",
				URL: fmt.Sprint("https://hooks.customer-", i, ".example.com/webhooks/", j), EventTypes: []string{"invoice.paid", "user.*"},
			})
			if err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// TestMemory bounds what an endpoint costs in both shapes that they come in:
// few large applications, and an application for each. All have routed a
// message.
func TestMemory(t *testing.T) {
	for _, shape := range []struct {
		applications, endpoints int
		limit                   int64 // bytes for each endpoint
	}{{10, 1000, 1000}, {10_000, 1, 1900}} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c := instantly(t)
		fill(t, c, shape.applications, shape.endpoints)
		for n := range shape.applications {
			c.Snapshot(postern.ApplicationNumber(n+1)).Routes.Match("invoice.paid", nil)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(shape.applications*shape.endpoints)
		t.Logf("%d applications of %d endpoints: %d bytes for each endpoint", shape.applications, shape.endpoints, each)
		if each > shape.limit {
			t.Errorf("%d bytes for each endpoint, want at most %d", each, shape.limit)
		}
		runtime.KeepAlive(c)
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	c := instantly(t)
	fill(t, c, 1, 1)
	app, err := c.Application("customer-0")
	if err != nil {
		t.Fatal(err)
	}
	id, version := app.ID.String(), app.Version
	for name, lookup := range map[string]func() bool{
		"by uid":   func() bool { a, err := c.Application("customer-0"); return err == nil && a == app },
		"by id":    func() bool { a, err := c.Application(id); return err == nil && a == app },
		"snapshot": func() bool { return c.Snapshot(app.Number).Application.Version == version },
		"entry":    func() bool { return c.Entry(1).View().Enabled() },
		"schedule": func() bool { return c.RetrySchedule("invoice.paid") == nil },
		"known":    func() bool { return c.DeclareEventType(context.Background(), "invoice.paid", "") == nil },
	} {
		found := true
		allocations := testing.AllocsPerRun(100, func() { found = found && lookup() })
		if allocations != 0 || !found {
			t.Errorf("%s: %v allocations, found %t", name, allocations, found)
		}
	}
}

// BenchmarkCreateEndpoint adds to an application that has 10,000.
func BenchmarkCreateEndpoint(b *testing.B) {
	c := instantly(b)
	fill(b, c, 1, 10_000)
	took := make([]time.Duration, 0, 1000)
	for b.Loop() {
		start := time.Now()
		view, err := c.CreateEndpoint(b.Context(), postern.Endpoint{Application: 1, URL: "https://example.com/"})
		took = append(took, time.Since(start))
		if err != nil {
			b.Fatal(err)
		}
		if err := c.DeleteEndpoint(b.Context(), 1, view.Number); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-p99/create")
}

// BenchmarkPublishAfterChange is what the first message after a change pays in
// an application of 10,000 endpoints.
func BenchmarkPublishAfterChange(b *testing.B) {
	c := instantly(b)
	fill(b, c, 1, 10_000)
	for b.Loop() {
		_, err := c.UpdateEndpoint(b.Context(), 1, 1, false, func(e *postern.Endpoint) error {
			e.Disabled = !e.Disabled
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		c.Snapshot(1).Routes.Match("invoice.paid", nil)
	}
}

// BenchmarkRoute is what every message pays: application by uid, its snapshot,
// its endpoints.
func BenchmarkRoute(b *testing.B) {
	c := instantly(b)
	fill(b, c, 100, 10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			app, err := c.Application("customer-7")
			if err != nil {
				b.Error(err)
				return
			}
			if len(c.Snapshot(app.Number).Routes.Match("invoice.paid", nil)) != 10 {
				b.Error("not routed")
			}
		}
	})
}
