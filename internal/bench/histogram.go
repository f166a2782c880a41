package bench

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// Buckets: 64 of one nanosecond each, then 64 for every power of two, so a value is
// known to 1/64 of itself whatever its size.
const (
	subBits     = 6
	subBuckets  = 1 << subBits
	bucketCount = (64 - subBits) * subBuckets
)

// Histogram counts durations in logarithmic buckets. The zero value is empty and
// ready; it is not safe for concurrent use.
//
// In JSON it is the raw figure of a run: {"count":..,"maxNs":..,"buckets":[[lowest
// nanoseconds of the bucket, count], ...]}, empty buckets left out.
type Histogram struct {
	counts []uint64 // nil until the first value
	total  uint64
	max    uint64
}

// Add counts one duration; a negative one counts as zero.
func (h *Histogram) Add(d time.Duration) {
	value := uint64(max(d, 0))
	if h.counts == nil {
		h.counts = make([]uint64, bucketCount)
	}
	h.counts[bucketOf(value)]++
	h.total++
	h.max = max(h.max, value)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.total == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, bucketCount)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is the number of durations added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the largest duration added, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Quantile is the duration that the share q (0 to 1) of all values does not exceed,
// never below the true one and at most 1/64 above it. An empty histogram gives 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q*float64(h.total) + 0.999999)
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return time.Duration(min(bucketFloor(i+1)-1, h.max))
		}
	}
	return time.Duration(h.max)
}

type histogramJSON struct {
	Count   uint64      `json:"count"`
	MaxNs   uint64      `json:"maxNs"`
	Buckets [][2]uint64 `json:"buckets"`
}

// MarshalJSON writes the sparse form.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	out := histogramJSON{Count: h.total, MaxNs: h.max, Buckets: [][2]uint64{}}
	for i, n := range h.counts {
		if n > 0 {
			out.Buckets = append(out.Buckets, [2]uint64{bucketFloor(i), n})
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the sparse form and refuses one whose parts disagree.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var in histogramJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	read := Histogram{counts: make([]uint64, bucketCount), max: in.MaxNs}
	for _, b := range in.Buckets {
		if b[0] >= 1<<63 {
			return fmt.Errorf("histogram: bucket at %d is out of range", b[0])
		}
		read.counts[bucketOf(b[0])] += b[1]
		read.total += b[1]
	}
	if read.total != in.Count {
		return fmt.Errorf("histogram: buckets hold %d values, count says %d", read.total, in.Count)
	}
	*h = read
	return nil
}

// bucketOf is the index of the bucket that holds v, for v below 2^63.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift*subBuckets + int(v>>shift)
}

// bucketFloor is the lowest value in bucket i; that of i+1, less one, is the highest.
func bucketFloor(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return uint64(subBuckets+i%subBuckets) << shift
}
