package postgres

import (
	"testing"
	"testing/synctest"
	"time"
)

// set has the clock tell a time from here on, until the next measurement.
func (c *clock) set(to time.Time) {
	c.offset.Add(int64(to.Sub(c.now())))
}

// The quickest of the last measurements counts, until the database's clock is set.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := clock{wall: start.Add(-3 * time.Hour), mono: start} // this machine is behind
		ask := func(there, back, ahead time.Duration) {
			t.Helper()
			asked := time.Now()
			time.Sleep(there)
			database := time.Now().Add(ahead)
			time.Sleep(back)
			c.measured(asked, time.Since(asked), database.Round(0))
		}
		off := func() time.Duration { return c.now().Round(0).Sub(time.Now().Round(0)) }
		ask(time.Millisecond, time.Millisecond, 0)
		if off() != 0 {
			t.Errorf("after an even measurement it is off by %v", off())
		}
		ask(time.Millisecond, 99*time.Millisecond, 0)
		if off() != 0 {
			t.Errorf("a slow measurement moves it by %v", off())
		}
		before := c.now()
		time.Sleep(time.Minute)
		if d := c.now().Sub(before); d != time.Minute {
			t.Errorf("a minute takes %v", d)
		}
		ask(time.Millisecond, 3*time.Millisecond, time.Hour)
		if d := off() - time.Hour; d.Abs() > time.Millisecond {
			t.Errorf("after the database's clock was set it is off by %v", d)
		}
		for range 8 {
			ask(5*time.Millisecond, 5*time.Millisecond, time.Hour+20*time.Millisecond)
		}
		if d := off() - time.Hour - 20*time.Millisecond; d != 0 {
			t.Errorf("drift of the last measurements is not followed: %v", d)
		}
	})
}
