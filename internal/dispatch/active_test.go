package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// Every lane that stays has its turn within checkEvery, give or take those that
// took another's place; no batch looks at many.
func TestActiveLanesHaveTheirTurns(t *testing.T) {
	r := testkit.Rand(t)
	now := time.Unix(1_760_000_000, 0)
	var a active
	lanes := map[*lane]time.Time{}
	for range 1000 {
		l := &lane{}
		lanes[l] = now
		a.add(l)
	}
	a.check(now, func(l *lane, now time.Time) { lanes[l] = now })
	for range 20_000 {
		now = now.Add(time.Duration(r.IntN(2000)) * time.Microsecond)
		looked := 0
		a.check(now, func(l *lane, now time.Time) { looked++; lanes[l] = now })
		if looked > 21 {
			t.Fatalf("%d looked at in one batch", looked)
		}
		if r.IntN(10) > 0 {
			continue
		}
		for _, seen := range lanes {
			if now.Sub(seen) > 2*checkEvery {
				t.Fatalf("one was not looked at for %v", now.Sub(seen))
			}
		}
		gone := a.lanes[r.IntN(len(a.lanes))]
		a.remove(gone)
		delete(lanes, gone)
		a.add(gone)
		lanes[gone] = now
	}
	looked := 0
	a.check(now.Add(-time.Hour), func(*lane, time.Time) { looked++ })
	if looked != 1000 {
		t.Errorf("%d of 1000 looked at after the clock was set back", looked)
	}
	for len(a.lanes) > 0 {
		a.remove(a.lanes[0])
	}
	a.check(now, func(*lane, time.Time) { t.Error("none is left") })
}
