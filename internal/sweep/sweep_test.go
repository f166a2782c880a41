package sweep_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/store"
)

// A day goes when all of it is older than retention, by the clock and by the
// newest message.
func TestExpired(t *testing.T) {
	day := store.Day(20_000)
	end, retention := (day + 1).Start(), 30*24*time.Hour
	old, young := end.Add(retention+time.Second), end.Add(retention)
	for name, tc := range map[string]struct {
		newest, now time.Time
		want        bool
	}{
		"both past it":           {old, old, true},
		"to the second":          {young, young, false},
		"no message since":       {end, old.AddDate(1, 0, 0), false},
		"none since the start":   {time.UnixMilli(0), old, false},
		"the clock was set back": {old, end, false},
	} {
		if got := sweep.Expired(day, tc.newest, tc.now, retention); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What both clocks say went by is believed, and nothing else; a clock that is
// set back is.
func TestClock(t *testing.T) {
	const month = 31 * 24 * time.Hour
	for name, tc := range map[string]struct {
		ahead []time.Duration // of the wall clock, a day each
		want  time.Duration   // that the clock says went by
	}{
		"not set":           {[]time.Duration{0, 0, 0}, 72 * time.Hour},
		"forth":             {[]time.Duration{0, month, month}, 72 * time.Hour},
		"forth and back":    {[]time.Duration{0, month, 0}, 72 * time.Hour},
		"back":              {[]time.Duration{0, -month, -month}, 72*time.Hour - month},
		"back and forth":    {[]time.Duration{0, -month, 0}, 72 * time.Hour},
		"slewed":            {[]time.Duration{0, -time.Second, time.Second}, 72 * time.Hour},
		"forth and further": {[]time.Duration{month, 2 * month, 3 * month}, 72 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			var ahead time.Duration
			began := time.Now()
			c := sweep.NewClock(func() time.Time { return time.Now().Add(ahead) })
			for _, ahead = range tc.ahead {
				<-time.After(24 * time.Hour)
				if now := c.Now(); now.After(time.Now()) {
					t.Errorf("%s: %v ahead of the time", name, time.Until(now))
				}
			}
			if got := c.Now().Sub(began); got != tc.want {
				t.Errorf("%s: %v went by, want %v", name, got, tc.want)
			}
			if got, want := c.Ahead(), 72*time.Hour+ahead-tc.want; got != want {
				t.Errorf("%s: %v ahead, want %v", name, got, want)
			}
		})
	}
}

// One day in an hour, also over a restart; what a clock noted that was wrong
// holds nobody up.
func TestDue(t *testing.T) {
	now := time.UnixMilli(1_770_000_000_000)
	for since, want := range map[time.Duration]bool{
		0: false, time.Minute: false, 50 * time.Minute: false,
		time.Hour - time.Second: true, time.Hour: true, 24 * time.Hour: true,
		-time.Second: true, -31 * 24 * time.Hour: true,
	} {
		if got := sweep.Due(now.Add(-since), now); got != want {
			t.Errorf("%v after the last: %t", since, got)
		}
	}
	if !sweep.Due(time.Time{}, now) {
		t.Error("not due although no day was dropped yet")
	}
}
