package client_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

func TestStats(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "b", EventTypes: []string{"b.*"}}))
	for _, name := range []string{"a", "b.a"} {
		must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{EventType: name, Payload: json.RawMessage(`{}`), Wait: 10 * time.Second}))
	}
	hour := client.Span{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Minute)}
	counted := must[*client.EndpointStats](t)(w.Endpoints.Stats(ctx, "shop", "a", hour))
	if counted.Success != 2 || counted.Fail != 0 || !counted.Complete || !counted.Since.Equal(hour.Since) || !counted.Until.Equal(hour.Until) {
		t.Errorf("at one endpoint: %+v", counted)
	}
	if counted := must[*client.EndpointStats](t)(w.Endpoints.Stats(ctx, "shop", "b", client.Span{})); counted.Success != 1 {
		t.Errorf("in 28 days: %+v", counted)
	}
	for endpoint, want := range map[string]int{"": 3, "a": 2, "b": 1} {
		got := must[*client.Stats](t)(w.Applications.Stats(ctx, "shop", client.StatsFilter{Span: hour, Endpoint: endpoint, Bucket: 10 * time.Minute}))
		sum := 0
		for _, bucket := range got.Buckets {
			sum += bucket.Delivered
		}
		if got.BucketSeconds != 600 || len(got.Buckets) != 7 || got.Total.Attempts != want || sum != want || got.Total.P99 == nil || *got.Total.P99 <= 0 {
			t.Errorf("at %q: %+v", endpoint, got)
		}
		if first := got.Buckets[0]; first.P50 != nil || first.Start.Sub(hour.Since).Abs() > time.Millisecond || !got.CountedSince.Equal(got.Since) {
			t.Errorf("at %q, to begin with: %+v", endpoint, got)
		}
	}
	if got := must[*client.Stats](t)(w.Applications.Stats(ctx, "shop", client.StatsFilter{})); got.Until.Sub(got.Since) != 24*time.Hour || got.Total.Delivered != 3 {
		t.Errorf("of a day: %+v", got.Total)
	}
	_, small := w.Applications.Stats(ctx, "shop", client.StatsFilter{Span: hour, Bucket: time.Second})
	_, long := w.Endpoints.Stats(ctx, "shop", "a", client.Span{Since: time.Now().AddDate(0, 0, -29)})
	for about, err := range map[string]error{"too many buckets": small, "long ago": long} {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
}
