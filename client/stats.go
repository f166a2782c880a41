package client

import (
	"context"
	"net/http"
	"time"
)

// EndpointStats counts the attempts at an endpoint, not its messages.
type EndpointStats struct {
	Success int `json:"success"`
	Fail    int `json:"fail"`
	// Since is where counting began. It is later than what was asked for where
	// there were too many: the newest are counted then, and Complete is false.
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Complete bool      `json:"complete"`
}

// Stats counts the attempts in a span. A zero Since is 28 days ago; ErrInvalid
// for what is longer ago, and for a span that ends in the future.
func (e Endpoints) Stats(ctx context.Context, app, endpoint string, s Span) (*EndpointStats, error) {
	return call[EndpointStats](ctx, e.c, request{
		method: http.MethodGet, path: path("app", app, "endpoint", endpoint, "stats"), query: s.values(),
	})
}

// Stats are what came of an application's attempts over time, for a plot.
type Stats struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// BucketSeconds is how long a bucket is.
	BucketSeconds int `json:"bucketSeconds"`
	// CountedSince is later than Since where there was more than is looked at:
	// from there on everything is counted, and nothing before.
	CountedSince time.Time `json:"countedSince"`
	// Total is over all buckets, which reach from CountedSince to Until, the
	// oldest first and empty ones too.
	Total   Figures  `json:"total"`
	Buckets []Bucket `json:"buckets"`
}

// Bucket is one stretch of time.
type Bucket struct {
	Start time.Time `json:"start"`
	Figures
}

// Figures count attempts by what they led to.
type Figures struct {
	Attempts  int `json:"attempts"`
	Delivered int `json:"delivered"`
	Retrying  int `json:"retrying"`
	Dead      int `json:"dead"`
	Canceled  int `json:"canceled"`
	// Half, nine of ten and 99 of a hundred attempts took no longer than so many
	// milliseconds; nil without attempts.
	P50 *float64 `json:"p50Ms"`
	P90 *float64 `json:"p90Ms"`
	P99 *float64 `json:"p99Ms"`
}

// StatsFilter says what to count. The zero value is the last day of all
// endpoints, in about a hundred buckets.
type StatsFilter struct {
	// Span is at most a hundred years; its zero Since is a day before Until.
	Span
	// Endpoint is an id or uid; "" for all, of which there may be 500.
	Endpoint string
	// Bucket is how long a bucket is, in whole seconds: so that there are at
	// most 500. 0 for the server's choice.
	Bucket time.Duration
}

// Stats counts an application's attempts, or those at one endpoint, over time.
func (a Applications) Stats(ctx context.Context, app string, f StatsFilter) (*Stats, error) {
	query := f.values()
	set(query, "endpoint_id", f.Endpoint)
	if f.Bucket != 0 {
		query.Set("bucket", f.Bucket.String())
	}
	return call[Stats](ctx, a.c, request{method: http.MethodGet, path: path("app", app, "stats"), query: query})
}
