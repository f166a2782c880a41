package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
)

// rotation is an application's lanes that can start an attempt, in turn. The
// applications themselves take turns in the dispatcher's own ring.
type rotation struct {
	d        *Dispatcher
	app      postern.ApplicationNumber
	lanes    ring[*lane]
	inflight int
	ready    bool // in the dispatcher's ring
	count    int  // lanes that exist
}

// offer puts a lane that has something to start into the rotation.
func (d *Dispatcher) offer(l *lane) {
	if l.ready || l.waitSlow || l.queue.len() == 0 {
		return
	}
	l.ready = true
	l.app.lanes.push(l)
	if !l.app.ready {
		l.app.ready = true
		d.apps.push(l.app)
	}
}

// take finds the next lane in turn that may start an attempt. An application
// may hold a quarter of all places while others wait.
func (d *Dispatcher) take() *lane {
	for _, sharing := range [...]bool{true, false} {
		for n := d.apps.len(); n > 0; n-- {
			app := d.apps.pop()
			if sharing && app.inflight >= max(1, d.places/4) && d.apps.len() > 0 {
				d.apps.push(app)
				continue
			}
			l := d.takeFrom(app)
			if app.lanes.len() > 0 {
				d.apps.push(app)
			} else {
				app.ready = false
			}
			if l != nil {
				return l
			}
		}
	}
	return nil
}

// takeFrom takes lanes out of the rotation until one may start.
func (d *Dispatcher) takeFrom(app *rotation) *lane {
	for app.lanes.len() > 0 {
		l := app.lanes.pop()
		l.ready = false
		if d.mayStart(l) {
			return l
		}
	}
	return nil
}

// mayStart asks everything that can hold a lane back; whatever does, something
// else offers the lane again.
func (d *Dispatcher) mayStart(l *lane) bool {
	if l.queue.len() == 0 {
		return false
	}
	view := d.cfg.Catalogue.EndpointByNumber(l.number)
	if view == nil || view.Deleted {
		return true // its claims are dropped one by one
	}
	if !view.Deliverable() {
		d.park(l)
		return false
	}
	if l.pulled = d.pulled(view); l.pulled {
		d.cfg.Events.waiting(l.number)
		return false // Take starts it
	}
	now := d.now()
	if d.rate(l, now); l.slow && d.slow >= d.slowPlaces() {
		l.waitSlow = true
		if !l.waiting {
			l.waiting = true
			d.waiting.push(l)
		}
		return false
	}
	allowed := d.allowed(l, view)
	ok, wake := l.throttle.admits(now, allowed)
	if !ok && !wake.IsZero() {
		d.wake(l, wake)
	}
	return ok
}

// callSlow offers one of the slow lanes that wait for a place, if there is one.
// It need not start anything, so that pump asks again.
func (d *Dispatcher) callSlow() bool {
	if d.waiting.len() == 0 || d.slow >= d.slowPlaces() {
		return false
	}
	l := d.waiting.pop()
	l.waitSlow, l.waiting = false, false
	d.offer(l)
	return true
}

// slowPlaces is how many places slow lanes may hold together.
func (d *Dispatcher) slowPlaces() int { return max(1, d.places/2) }

// rate says anew whether a lane is slow and whether it fails: all slow lanes
// share half of all places. One that takes no places is neither, for however long
// its consumers hold what they took.
func (d *Dispatcher) rate(l *lane, now time.Time) {
	if l.pulled {
		return
	}
	if failing := l.throttle.failing(); failing != l.failing {
		l.failing = failing
		if failing {
			d.failing++
		} else {
			d.failing--
		}
	}
	if slow := l.throttle.slow(now); slow != l.slow {
		l.slow = slow
		if slow {
			d.slow += l.throttle.inflight
		} else {
			d.slow -= l.throttle.inflight
			l.waitSlow = false // its entry among the waiting ones does no harm
			d.offer(l)
		}
	}
}
