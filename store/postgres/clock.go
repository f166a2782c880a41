package postgres

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock tells the database's time, by this machine's monotonic clock and the
// distance of the two. What becomes of the machine's wall clock does not matter.
type clock struct {
	// wall and mono are one moment, when the store was opened.
	wall, mono time.Time
	// offset is what the database's clock is ahead, in nanoseconds.
	offset atomic.Int64

	mu    sync.Mutex
	kept  [8]sample // the last ones
	count int
}

// sample is one measurement: how far the database's clock is ahead, and how long
// its answer took, half of which is the bound of the error.
type sample struct{ offset, took time.Duration }

// now goes by the monotonic clock between two measurements.
func (c *clock) now() time.Time {
	return c.wall.Add(time.Since(c.mono) + time.Duration(c.offset.Load()))
}

// measured takes note of the database's time, which was asked for at a moment and
// answered some time after. Of the last few measurements the quickest counts.
func (c *clock) measured(asked time.Time, took time.Duration, database time.Time) {
	fresh := sample{database.Sub(c.wall.Round(0).Add(asked.Sub(c.mono) + took/2)), took}
	c.mu.Lock()
	defer c.mu.Unlock()
	if best := c.best(); c.count > 0 && (fresh.offset-best.offset).Abs() > (fresh.took+best.took)/2+jumped {
		c.count = 0 // the database's clock was set, or it is another database's
	}
	c.kept[c.count%len(c.kept)] = fresh
	c.count++
	c.offset.Store(int64(c.best().offset))
}

// jumped is a difference between two measurements that drift does not explain.
const jumped = 50 * time.Millisecond

// best is the quickest of those that are kept.
func (c *clock) best() (best sample) {
	for i, s := range c.kept[:min(c.count, len(c.kept))] {
		if i == 0 || s.took < best.took {
			best = s
		}
	}
	return best
}
