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
	until      time.Time // most failed, less than grace before
}

// note takes an attempt down.
func (c *census) note(n postern.EndpointNumber, failed bool, now time.Time) {
	if age := now.Sub(c.turned); c.fresh == nil || age < 0 || age >= generation {
		c.turn(now)
	}
	before, known := c.fresh[n]
	if !known {
		before = c.old[n]
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
	c.fresh, c.old, c.turned = make(map[postern.EndpointNumber]bool), c.fresh, now
}

// most reports whether so many endpoints fail, or did a moment ago, that the
// fault is likely ours.
func (c *census) most(now time.Time) bool {
	if total := len(c.fresh) + len(c.old); total >= few && c.failed*2 > total {
		c.until = now.Add(grace)
	}
	left := c.until.Sub(now)
	return left > 0 && left <= grace // more is left only to a clock that was set back
}
