package api

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// plotAttempts is about how many attempts are looked at for one answer,
	// plotEndpoints over how many endpoints at most.
	plotAttempts  = 20_000
	plotEndpoints = 500
	// plotBuckets is the most that an answer has, plotLeast the width of the
	// smallest.
	plotBuckets = 500
	plotLeast   = time.Second
	// plotSpan is how far back is looked where the query does not say, plotMost
	// how much time an answer may be about: much more overflows.
	plotSpan = 24 * time.Hour
	plotMost = 100 * 365 * 24 * time.Hour
)

// plotOut is what came of attempts over time.
type plotOut struct {
	Since         time.Time `json:"since"`
	Until         time.Time `json:"until"`
	BucketSeconds int       `json:"bucketSeconds"`
	// CountedSince is later than Since where there was more than is looked at:
	// from there on everything is counted, and nothing before.
	CountedSince time.Time `json:"countedSince"`
	// Total is over all buckets, which are there from CountedSince to Until,
	// empty ones too.
	Total   figuresOut  `json:"total"`
	Buckets []bucketOut `json:"buckets"`
}

// bucketOut is one stretch of time.
type bucketOut struct {
	Start time.Time `json:"start"`
	figuresOut
}

// figuresOut counts attempts by what they led to.
type figuresOut struct {
	Attempts  int `json:"attempts"`
	Delivered int `json:"delivered"`
	Retrying  int `json:"retrying"`
	Dead      int `json:"dead"`
	Canceled  int `json:"canceled"`
	// Half, nine of ten and 99 of a hundred attempts took no longer than so many
	// milliseconds; null without attempts.
	P50 *float64 `json:"p50Ms"`
	P90 *float64 `json:"p90Ms"`
	P99 *float64 `json:"p99Ms"`
}

// figures are figuresOut in the making.
type figures struct {
	byState [postern.Canceled + 1]int
	took    []time.Duration
}

// plotQuery is what is asked for.
type plotQuery struct {
	since, until time.Time
	bucket       time.Duration
}

// getPlot counts the attempts of an application, or of one endpoint, in
// buckets for a plot. It counts attempts, not messages, from the history and as
// far back as that is quickly read.
func (h *handler) getPlot(c *call, _ none) (plotOut, error) {
	q, err := h.plotQuery(c)
	if err != nil {
		return plotOut{}, err
	}
	views, err := h.plotEndpoints(c)
	if err != nil {
		return plotOut{}, err
	}
	outcomes, since, err := h.recent(c.r.Context(), views, q)
	if err != nil {
		return plotOut{}, err
	}
	return q.render(outcomes, since), nil
}

// plotQuery reads since, until and bucket. A bucket that is not given makes
// about a hundred of them.
func (h *handler) plotQuery(c *call) (q plotQuery, err error) {
	if q.until, err = c.moment("until"); err != nil {
		return q, err
	}
	if q.until.IsZero() {
		q.until = h.Now().Add(time.Millisecond) // what has ended in this one counts
	}
	if q.since, err = c.moment("since"); err != nil {
		return q, err
	}
	if q.since.IsZero() {
		q.since = q.until.Add(-plotSpan)
	}
	if beginning := time.UnixMilli(0); q.since.Before(beginning) { // nothing is older
		q.since = beginning
	}
	q.since, q.until = q.since.UTC().Truncate(time.Millisecond), q.until.UTC().Truncate(time.Millisecond)
	span := q.until.Sub(q.since)
	if span <= 0 || span > plotMost {
		return q, postern.InvalidField("must be before until, by no more than a hundred years", "query", "since")
	}
	text, err := c.value("bucket")
	if err != nil {
		return q, err
	}
	if text == "" {
		q.bucket = max(span/100, plotLeast).Round(time.Second)
		return q, nil
	}
	if q.bucket, err = time.ParseDuration(text); err != nil {
		return q, badQuery("bucket is not a duration such as 5m")
	}
	if q.bucket < plotLeast || q.bucket > plotMost || q.bucket%time.Second != 0 || (span+q.bucket-1)/q.bucket > plotBuckets {
		return q, postern.InvalidField("must be whole seconds, and make at most "+strconv.Itoa(plotBuckets)+" buckets", "query", "bucket")
	}
	return q, nil
}

// plotFilters is what getPlot reads.
func plotFilters() params {
	return params{
		withText("endpoint_id", "Only attempts at this endpoint, an id or uid."),
		withMoment("since", "Where the first bucket begins; a day before until, unless given."),
		withMoment("until", "Where the last one ends; now, unless given."),
		withText("bucket", "How long a bucket is: whole seconds, such as 5m or 1h; about a hundredth of the time, unless given."),
	}
}

// plotEndpoints are those whose attempts are counted.
func (h *handler) plotEndpoints(c *call) ([]*EndpointView, error) {
	ref, err := c.value("endpoint_id")
	if err != nil {
		return nil, err
	}
	if ref != "" {
		v, err := h.Endpoints.Endpoint(c.app.Number, ref)
		return []*EndpointView{v}, notFound(err)
	}
	views, more := h.Endpoints.Endpoints(c.app.Number, postern.ListPage{Limit: plotEndpoints})
	if more {
		return nil, postern.InvalidField("is needed in an application of more than "+strconv.Itoa(plotEndpoints)+" endpoints", "query", "endpoint_id")
	}
	return views, nil
}

// recent reads the newest outcomes of each endpoint, and returns since when all
// of them are among those that were read.
func (h *handler) recent(ctx context.Context, views []*EndpointView, q plotQuery) (outcomes []store.Outcome, since time.Time, err error) {
	since = q.since
	most := max(plotAttempts/max(len(views), 1), 10)
	for _, v := range views {
		read := 0
		// Both bounds of the store are exclusive.
		err := h.Outcomes.EachOutcome(ctx, v.Number, since.Add(-time.Millisecond), q.until, func(o store.Outcome) bool {
			if read == most {
				// Of its millisecond there may be more.
				since = o.At.Add(time.Millisecond)
				return false
			}
			read++
			outcomes = append(outcomes, o)
			return true
		})
		if err != nil {
			return nil, since, err
		}
	}
	return outcomes, since, nil
}

// render sorts outcomes into buckets. Those that are older than what is known
// of every endpoint count nowhere.
func (q *plotQuery) render(outcomes []store.Outcome, since time.Time) plotOut {
	first := int(since.Sub(q.since) / q.bucket)
	buckets := make([]figures, int((q.until.Sub(q.since)+q.bucket-1)/q.bucket)-first)
	var total figures
	for _, o := range outcomes {
		if o.At.Before(since) || !o.At.Before(q.until) {
			continue
		}
		total.add(o)
		buckets[int(o.At.Sub(q.since)/q.bucket)-first].add(o)
	}
	out := plotOut{
		Since: q.since, Until: q.until, BucketSeconds: int(q.bucket / time.Second), CountedSince: since,
		Total: total.out(), Buckets: make([]bucketOut, len(buckets)),
	}
	for i := range buckets {
		out.Buckets[i] = bucketOut{q.since.Add(time.Duration(first+i) * q.bucket), buckets[i].out()}
	}
	return out
}

func (f *figures) add(o store.Outcome) {
	f.byState[min(o.State, postern.Canceled)]++
	f.took = append(f.took, o.Took)
}

func (f *figures) out() figuresOut {
	slices.Sort(f.took)
	return figuresOut{
		Attempts: len(f.took), Delivered: f.byState[postern.Delivered], Retrying: f.byState[postern.Retrying],
		Dead: f.byState[postern.Dead], Canceled: f.byState[postern.Canceled],
		P50: f.quantile(50), P90: f.quantile(90), P99: f.quantile(99),
	}
}

// quantile is what so many of a hundred attempts took at most, in milliseconds;
// the durations are sorted.
func (f *figures) quantile(percent int) *float64 {
	n := len(f.took)
	if n == 0 {
		return nil
	}
	ms := float64(f.took[(n*percent+99)/100-1]) / float64(time.Millisecond)
	return &ms
}
