package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// plotted stores n attempts of the flow's first message at an endpoint, one a
// second, the i-th of which took i+1 milliseconds; every fourth one failed.
func (f *flow) plotted(uid string, since time.Time, n int) {
	f.t.Helper()
	if end := since.Add(time.Duration(n) * time.Second); end.After(f.now) {
		f.now = end
	}
	err := f.commit(f.t.Context(), func(b *store.Batch) {
		for i := range n {
			at := since.Add(time.Duration(i) * time.Second)
			state := postern.Delivered
			if i%4 == 0 {
				state = postern.Retrying
			}
			b.Attempts = append(b.Attempts, &postern.Attempt{
				ID:      postern.NewAttemptID(at, 0, f.head.Batch, i, f.number[uid]),
				Message: f.messages[0], Application: 2, Endpoint: f.number[uid], N: 100 + i,
				State: state, Timings: postern.Timings{Total: time.Duration(i+1) * time.Millisecond},
			})
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *flow) plot(query string) (out plotOut) {
	f.t.Helper()
	got := f.do("GET", "/app/shop/stats?"+query, "")
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.StatusCode != 200 {
		f.t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	return out
}

func TestPlot(t *testing.T) {
	f := newFlow(t)
	since := f.now.Truncate(time.Hour).Add(2 * time.Hour)
	f.plotted("a", since, 100)
	f.plotted("b", since, 50)
	span := "since=" + since.Format(time.RFC3339) + "&until=" + since.Add(200*time.Second).Format(time.RFC3339)
	ms := func(n float64) *float64 { return &n }
	out := f.plot(span + "&bucket=50s&endpoint_id=a")
	want := []figuresOut{
		{Attempts: 50, Delivered: 37, Retrying: 13, P50: ms(25), P90: ms(45), P99: ms(50)},
		{Attempts: 50, Delivered: 38, Retrying: 12, P50: ms(75), P90: ms(95), P99: ms(100)},
		{}, {},
	}
	for i, b := range out.Buckets {
		if diff := cmp.Diff(want[i], b.figuresOut); diff != "" || !b.Start.Equal(since.Add(time.Duration(i)*50*time.Second)) {
			t.Errorf("bucket %d, %v: %s", i, b.Start, diff)
		}
	}
	if len(out.Buckets) != 4 || out.BucketSeconds != 50 || !out.CountedSince.Equal(since) || out.Total.Attempts != 100 || *out.Total.P50 != 50 {
		t.Errorf("%+v", out)
	}
	if out := f.plot(span); out.Total.Attempts != 150 || len(out.Buckets) != 100 {
		t.Errorf("over all endpoints: %d attempts in %d buckets", out.Total.Attempts, len(out.Buckets))
	}
	if got := f.do("GET", "/app/other/stats", ""); got.StatusCode != 200 || !strings.Contains(got.body, `"attempts":0`) {
		t.Errorf("of another application: %d %s", got.StatusCode, got.body)
	}
}

// An attempt that has ended in this very millisecond is part of the plot.
func TestPlotUpToNow(t *testing.T) {
	f := newFlow(t)
	now := f.now.Add(time.Hour)
	f.plotted("a", now, 1)
	f.now = now
	if out := f.plot("since=" + now.Add(-time.Minute).Format(time.RFC3339Nano)); out.Total.Attempts != 1 {
		t.Errorf("%+v", out.Total)
	}
}

// TestPlotOfMuch: what is not looked at shows in countedSince, from which on
// every endpoint is counted whole.
func TestPlotOfMuch(t *testing.T) {
	f := newFlow(t)
	since := f.now.Add(time.Hour)
	f.plotted("a", since, plotAttempts)
	f.plotted("b", since, 10)
	until := since.Add((plotAttempts + 10) * time.Second)
	out := f.plot("since=" + since.Format(time.RFC3339) + "&until=" + until.Format(time.RFC3339))
	read := int(until.Sub(out.CountedSince)/time.Second) - 9
	if !out.CountedSince.After(since) || out.Total.Attempts != read-1 && out.Total.Attempts != read {
		t.Errorf("%d attempts since %v, want %d", out.Total.Attempts, out.CountedSince, read)
	}
	if out.Total.Attempts < plotAttempts/4 || out.Total.Attempts > plotAttempts {
		t.Errorf("%d attempts are counted", out.Total.Attempts)
	}
}

func TestPlotRefusals(t *testing.T) {
	f := newFlow(t)
	for query, status := range map[string]int{
		"bucket=x": 400, "bucket=1ms": 422, "bucket=1500ms": 422, "bucket=1s": 422, "since=2030-01-01T00:00:00Z": 422,
		"until=x": 400, "endpoint_id=nobody": 404,
	} {
		if got := f.do("GET", "/app/shop/stats?"+query, ""); got.StatusCode != status {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
}

// TestPlotOfAges: what a duration does not hold is refused, and nothing is older
// than the first id can be.
func TestPlotOfAges(t *testing.T) {
	f := newFlow(t)
	for query, want := range map[string]int{
		"since=0001-01-02T00:00:00Z":                                 200,
		"since=0001-01-02T00:00:00Z&until=9999-12-31T23:59:59Z":      422,
		"since=0001-01-02T00:00:00Z&bucket=1s":                       422,
		"until=9999-12-31T23:59:59Z":                                 200,
		"until=0001-01-02T00:00:00Z":                                 422,
		"bucket=876000h":                                             200,
		"bucket=2562047h":                                            422,
		"bucket=-1h":                                                 422,
		"since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00.0001Z": 422,
		"since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00.001Z":  200,
	} {
		if got := f.do("GET", "/app/shop/stats?"+query, ""); got.StatusCode != want {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
}
