// Package sweep decides when a day of history is old enough to be dropped. It
// errs on the side of keeping: a clock that was set must not delete anything.
package sweep

import (
	"time"

	"github.com/postern-dev/postern/store"
)

const (
	// Every is how often at most one day is dropped: a clock that jumped ahead
	// does its harm slowly enough to be noticed.
	Every = time.Hour
	// First is when a server looks for the first time after its start: messages
	// have come by then which tell the time, and recovery is over.
	First = 30 * time.Second
	// slack is by how much two sweeps may come closer than Every by the wall
	// clock, which can be slewed.
	slack = time.Minute
)

// Expired reports whether all of a day is older than retention, both by the
// clock and by the newest message that was accepted: without new messages
// nothing is dropped, and a clock that is ahead alone is not believed.
func Expired(day store.Day, newest, now time.Time, retention time.Duration) bool {
	end := (day + 1).Start()
	return newest.Sub(end) > retention && now.Sub(end) > retention
}

// Due reports whether a day may be dropped again when the last one was at last;
// zero for none. A last that lies ahead was noted by a clock that has been set
// back since, and says nothing.
func Due(last, now time.Time) bool {
	since := now.Sub(last)
	return since < 0 || since > Every-slack
}

// Clock is the wall clock as far as it is believed: never ahead of the time at
// which it was made and what has gone by since on the monotonic clock. However
// far the wall clock is set, forth and back, nothing is older by this one than
// it is. One that was set right by going forward, or a machine that slept, has
// it lag until the next start: things are kept for longer. It is safe for
// concurrent use.
type Clock struct {
	wall        func() time.Time
	began, mono time.Time
}

// NewClock begins to compare; wall is the wall clock.
func NewClock(wall func() time.Time) *Clock {
	return &Clock{wall: wall, began: wall().Round(0), mono: time.Now()}
}

// Now is the time by the slower of both clocks.
func (c *Clock) Now() time.Time {
	wall, elapsed := c.wall().Round(0), c.began.Add(time.Since(c.mono))
	if elapsed.Before(wall) {
		return elapsed
	}
	return wall
}

// Ahead is how far ahead of this clock the wall clock is.
func (c *Clock) Ahead() time.Duration { return c.wall().Round(0).Sub(c.Now()) }
