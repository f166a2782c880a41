package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
)

const (
	// generation is for how long at least the census knows of an endpoint that
	// is not tried any more; twice as long at most.
	generation = 12 * time.Hour
	// few endpoints say nothing about this side.
	few = 10
	// grace is what endpoints are given to succeed in, once no longer most of
	// them fail: they are not all tried at once.
	grace = 24 * time.Hour
)

// census knows how the last attempt at each endpoint ended that was tried
// lately. Lanes cannot tell: one whose endpoint fails is kept for its retries,
// one whose endpoint is well is forgotten after a minute.
type census struct {
	// Each endpoint is in one of the two; true for one that failed.
	fresh, old map[postern.EndpointNumber]bool
	turned     time.Time // when fresh became old
	failed     int       // in both
	presumed   int       // of these, failed before the start and were not tried since: all are old
	until      time.Time // most failed, less than grace before
}

// presume has endpoints fail until they are tried.
func (c *census) presume(failing []postern.EndpointNumber, now time.Time) {
	for _, n := range failing {
		c.note(n, true, now)
	}
	c.turn(now)
	c.presumed = len(c.old)
}

// note takes an attempt down.
func (c *census) note(n postern.EndpointNumber, failed bool, now time.Time) {
	if age := now.Sub(c.turned); c.fresh == nil || age < 0 || age >= generation {
		c.turn(now)
	}
	before, known := c.fresh[n]
	if !known {
		if before, known = c.old[n]; known && c.presumed > 0 {
			c.presumed--
		}
		delete(c.old, n)
	}
	if before {
		c.failed--
	}
	if failed {
		c.failed++
	}
	c.fresh[n] = failed
}

// turn forgets what was old already.
func (c *census) turn(now time.Time) {
	for _, failed := range c.old {
		if failed {
			c.failed--
		}
	}
	c.fresh, c.old, c.turned, c.presumed = make(map[postern.EndpointNumber]bool), c.fresh, now, 0
}

// most reports whether so many endpoints fail, or did a moment ago, that the
// fault is likely ours. Those that failed before the start are most at first,
// as nobody knows yet who is well; that is no reason for grace.
func (c *census) most(now time.Time) bool {
	total := len(c.fresh) + len(c.old)
	if mostOf(c.failed-c.presumed, total-c.presumed) {
		c.until = now.Add(grace)
	}
	left := c.until.Sub(now)
	// More is left only to a clock that was set back.
	return mostOf(c.failed, total) || left > 0 && left <= grace
}

func mostOf(failed, total int) bool { return total >= few && failed*2 > total }
