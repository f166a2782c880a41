package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSummarise(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		name   string
		values []float64
		want   Stat
		ok     bool
	}{
		{"one", []float64{5}, Stat{5, 5, 5}, true},
		{"odd, unsorted", []float64{9, 1, 4}, Stat{4, 1, 9}, true},
		{"even", []float64{4, 1, 3, 2}, Stat{2.5, 1, 4}, true},
		{"unmeasured left out", []float64{nan, 2, nan, 4}, Stat{3, 2, 4}, true},
		{"nothing measured", []float64{nan}, Stat{}, false},
		{"nothing", nil, Stat{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := summarise(tc.values)
			if got != tc.want || ok != tc.ok {
				t.Errorf("summarise(%v) = %v, %v; want %v, %v", tc.values, got, ok, tc.want, tc.ok)
			}
		})
	}
}

// TestMedianSplits checks what a median is, on random input: no more than half of
// the values on either side, between the extremes, and the order does not matter.
func TestMedianSplits(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		values := make([]float64, 1+r.IntN(9))
		for i := range values {
			values[i] = float64(r.IntN(20))
		}
		s, _ := summarise(values)
		below, above := 0, 0
		for _, v := range values {
			if v < s.Median {
				below++
			}
			if v > s.Median {
				above++
			}
		}
		if 2*below > len(values) || 2*above > len(values) || s.Median < s.Min || s.Median > s.Max {
			t.Fatalf("seed %d: %v summed up as %v", seed, values, s)
		}
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		if again, _ := summarise(values); again != s {
			t.Fatalf("seed %d: %v gives %v, in another order %v", seed, values, s, again)
		}
	}
}

func TestSpread(t *testing.T) {
	if got := (Stat{Median: 50, Min: 45, Max: 60}).Spread(); got != 0.3 {
		t.Errorf("spread of 45..60 around 50 is %v, want 0.3", got)
	}
	if got := (Stat{}).Spread(); got != 0 {
		t.Errorf("spread around 0 is %v, want 0", got)
	}
}
