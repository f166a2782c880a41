package bench

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBucketsTile checks that the buckets cover every duration exactly once and
// are as narrow as promised.
func TestBucketsTile(t *testing.T) {
	for i := range bucketCount {
		low, high := bucketFloor(i), bucketFloor(i+1)-1
		if bucketOf(low) != i || bucketOf(high) != i {
			t.Fatalf("bucket %d is [%d, %d], but these fall into %d and %d", i, low, high, bucketOf(low), bucketOf(high))
		}
		if high-low > low/subBuckets {
			t.Fatalf("bucket %d [%d, %d] is wider than 1/%d of its values", i, low, high, subBuckets)
		}
	}
	if end := bucketFloor(bucketCount); end != 1<<63 {
		t.Errorf("the buckets end at %d, want 2^63", end)
	}
}

// randomDurations spreads over all magnitudes, as latencies do.
func randomDurations(r *rand.Rand, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(r.Int64N(1 << (1 + r.IntN(40))))
	}
	return out
}

func TestQuantileIsWithinItsBound(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		values := randomDurations(r, 1+r.IntN(500))
		var h Histogram
		for _, v := range values {
			h.Add(v)
		}
		slices.Sort(values)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			rank := max(1, int(q*float64(len(values))+0.999999))
			want, got := values[rank-1], h.Quantile(q)
			if got < want || got > want+want/subBuckets {
				t.Fatalf("seed %d: quantile %v of %d values is %d, want %d to 1/%d more", seed, q, len(values), got, want, subBuckets)
			}
		}
		if h.Max() != values[len(values)-1] || h.Quantile(1) != h.Max() {
			t.Fatalf("seed %d: max %d, quantile 1 %d, want %d", seed, h.Max(), h.Quantile(1), values[len(values)-1])
		}
	}
}

func TestMergeIsAddingAll(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var whole, left, right Histogram
	for i, v := range randomDurations(r, 1000) {
		whole.Add(v)
		if i%3 == 0 {
			left.Add(v)
		} else {
			right.Add(v)
		}
	}
	var merged, empty Histogram
	merged.Merge(&empty)
	merged.Merge(&left)
	merged.Merge(&right)
	if diff := cmp.Diff(encode(t, &whole), encode(t, &merged)); diff != "" {
		t.Errorf("merged differs from whole (-whole +merged):\n%s", diff)
	}
}

func TestHistogramSurvivesJSON(t *testing.T) {
	var h Histogram
	for _, v := range randomDurations(rand.New(rand.NewPCG(1, 1)), 500) {
		h.Add(v)
	}
	var back Histogram
	if err := json.Unmarshal([]byte(encode(t, &h)), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(encode(t, &h), encode(t, &back)); diff != "" {
		t.Errorf("changed on the way (-want +got):\n%s", diff)
	}
	if back.Quantile(0.5) != h.Quantile(0.5) || back.Count() != 500 {
		t.Errorf("median %v of %d, want %v of 500", back.Quantile(0.5), back.Count(), h.Quantile(0.5))
	}
}

func TestEmptyAndNegative(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Count() != 0 {
		t.Errorf("empty histogram: p99 %v of %d", h.Quantile(0.99), h.Count())
	}
	h.Add(-5)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Errorf("a negative duration: max %v of %d, want 0 of 1", h.Quantile(1), h.Count())
	}
}

func TestHistogramRefusesBrokenJSON(t *testing.T) {
	for name, text := range map[string]string{
		"count disagrees": `{"count":2,"maxNs":5,"buckets":[[5,1]]}`,
		"out of range":    `{"count":1,"maxNs":5,"buckets":[[9223372036854775808,1]]}`,
		"not an object":   `[]`,
	} {
		var h Histogram
		if err := json.Unmarshal([]byte(text), &h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func encode(t *testing.T, h *Histogram) string {
	t.Helper()
	raw, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
