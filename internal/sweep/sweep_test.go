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

// A clock that was set by an hour or more is not believed, once.
func TestClocks(t *testing.T) {
	for by, want := range map[time.Duration]bool{
		0: true, 59 * time.Minute: true, -59 * time.Minute: true, time.Hour: false, -time.Hour: false, 24 * 365 * time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			var ahead time.Duration
			c := sweep.NewClocks(func() time.Time { return time.Now().Add(ahead) })
			<-time.After(48 * time.Hour)
			if !c.Agree() {
				t.Error("they disagree by themselves")
			}
			ahead = by
			if got := c.Agree(); got != want {
				t.Errorf("set by %v: %t", by, got)
			}
			if <-time.After(time.Hour); !c.Agree() {
				t.Errorf("set by %v an hour ago, and still not believed", by)
			}
		})
	}
}
