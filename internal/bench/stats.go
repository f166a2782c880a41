package bench

import (
	"math"
	"slices"
)

// Stat sums up one figure over the rounds. A figure that was not measured is NaN
// inside the package and absent from JSON.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Spread is the distance from the lowest to the highest round as a share of the
// median; 0 when the median is 0.
func (s Stat) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / math.Abs(s.Median)
}

// summarise takes the median, of an even number of values the mean of the middle
// two. Values that were not measured (NaN) are left out; ok is false if none is left.
func summarise(values []float64) (s Stat, ok bool) {
	kept := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(kept) == 0 {
		return Stat{}, false
	}
	slices.Sort(kept)
	n := len(kept)
	return Stat{
		Median: (kept[(n-1)/2] + kept[n/2]) / 2,
		Min:    kept[0],
		Max:    kept[n-1],
	}, true
}
