package replay

import (
	"testing"
	"time"
)

// TestPace takes what it may for ten seconds: that is the rate, evenly.
func TestPace(t *testing.T) {
	for _, rate := range []int{1, 2, 3, 19, 20, 21, 100, 999, 5000} {
		var p pace
		now := time.Unix(1000, 0)
		begun, inSecond, sum := now, map[int64]int{}, 0
		for now.Sub(begun) < 10*time.Second {
			n, wait := p.allows(rate, now)
			if n == 0 && wait <= 0 {
				t.Fatalf("rate %d: nothing is allowed, for no time", rate)
			}
			p.spend(n)
			inSecond[now.Unix()] += n
			sum += n
			now = now.Add(wait)
		}
		piece := max(rate/slicesPerSecond, 1)
		if sum > 10*rate || sum < 10*rate-2*piece-rate/50 {
			t.Errorf("rate %d: %d in 10 s", rate, sum)
		}
		for second, n := range inSecond {
			if n > rate+piece {
				t.Errorf("rate %d: %d in second %d", rate, n, second)
			}
		}
	}
}

// TestPaceSavesNothingUp: after an hour it allows one piece, as ever.
func TestPaceSavesNothingUp(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	if n, wait := p.allows(100, now); n != 0 || wait < 49*time.Millisecond {
		t.Errorf("it begins with %d, and waits %v", n, wait)
	}
	now = now.Add(time.Hour)
	n, _ := p.allows(100, now)
	p.spend(n)
	if more, _ := p.allows(100, now); n != 5 || more != 0 {
		t.Errorf("after an hour it allows %d and then %d", n, more)
	}
	if n, wait := p.allows(0, now); n != sliceSize || wait != 0 {
		t.Errorf("without a rate: %d, %v", n, wait)
	}
}
