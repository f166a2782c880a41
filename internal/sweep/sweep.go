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
	// disagree is by how much wall and monotonic clock may differ over an hour
	// before the wall clock counts as having been set.
	disagree = time.Hour
)

// Expired reports whether all of a day is older than retention, both by the
// clock and by the newest message that was accepted: without new messages
// nothing is dropped, and a clock that is ahead alone is not believed.
func Expired(day store.Day, newest, now time.Time, retention time.Duration) bool {
	end := (day + 1).Start()
	return newest.Sub(end) > retention && now.Sub(end) > retention
}

// Clocks compares the wall clock with the monotonic one.
type Clocks struct {
	now        func() time.Time
	wall, mono time.Time
}

// NewClocks begins to compare; now is the wall clock.
func NewClocks(now func() time.Time) *Clocks {
	return &Clocks{now: now, wall: now().Round(0), mono: time.Now()}
}

// Agree reports whether both clocks went on by about the same since the start,
// or since they last did not agree.
func (c *Clocks) Agree() bool {
	wall, mono := c.now().Round(0), time.Now()
	off := wall.Sub(c.wall) - mono.Sub(c.mono)
	c.wall, c.mono = wall, mono
	return off.Abs() < disagree
}
