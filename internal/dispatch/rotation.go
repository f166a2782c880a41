package dispatch

import (
	"github.com/postern-dev/postern"
)

// rotation is an application's lanes that can start an attempt, in turn. The
// applications themselves take turns in the pool's own ring.
type rotation struct {
	app      postern.ApplicationNumber
	lanes    ring[*lane]
	inflight int
	ready    bool // in the pool's ring
	count    int  // lanes that exist
}

// offer puts a lane that has something to start into the rotation.
func (p *pool) offer(l *lane) {
	if l.ready || l.waitSlow || l.queue.len() == 0 {
		return
	}
	l.ready = true
	l.app.lanes.push(l)
	if !l.app.ready {
		l.app.ready = true
		p.apps.push(l.app)
	}
}

// take finds the next lane in turn that may start an attempt. An application
// may hold a quarter of all places while others wait.
func (p *pool) take() *lane {
	for _, sharing := range [...]bool{true, false} {
		for n := p.apps.len(); n > 0; n-- {
			app := p.apps.pop()
			if sharing && app.inflight >= max(1, p.most.places/4) && p.apps.len() > 0 {
				p.apps.push(app)
				continue
			}
			l := p.takeFrom(app)
			if app.lanes.len() > 0 {
				p.apps.push(app)
			} else {
				app.ready = false
				p.tidyApp(app)
			}
			if l != nil {
				return l
			}
		}
	}
	return nil
}

// takeFrom takes lanes out of the rotation until one may start.
func (p *pool) takeFrom(app *rotation) *lane {
	for app.lanes.len() > 0 {
		l := app.lanes.pop()
		l.ready = false
		if l.d.mayStart(l) {
			return l
		}
	}
	return nil
}

// mayStart asks everything that can hold a lane back; whatever does, something
// else offers the lane again.
func (d *Dispatcher) mayStart(l *lane) bool {
	switch {
	case l.queue.len() == 0 || d.stopping || d.failed || d.workers.spawn == nil:
		return false
	case !d.leased():
		d.lapsed = true // Renewed offers it
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
	if l.reach.pulled = d.pulled(view); l.reach.pulled {
		d.cfg.Events.waiting(l.number)
		return false // Take starts it
	}
	now := d.now()
	if d.rate(l.reach, now); l.reach.slow && d.slow >= d.slowPlaces() {
		l.waitSlow = true
		if !l.waiting {
			l.waiting = true
			d.waiting.push(l)
		}
		return false
	}
	allowed := d.allowed(l, view)
	ok, wake := l.admits(now, allowed)
	if !ok && !wake.IsZero() {
		d.wake(l, wake)
	}
	return ok
}

// callSlow offers one of the slow lanes that wait for a place, if there is one.
// It need not start anything, so that startSome asks again.
func (p *pool) callSlow() bool {
	if p.waiting.len() == 0 || p.slow >= p.slowPlaces() {
		return false
	}
	l := p.waiting.pop()
	l.waitSlow, l.waiting = false, false
	p.offer(l)
	return true
}
