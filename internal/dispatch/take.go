package dispatch

import (
	"context"

	"github.com/postern-dev/postern"
)

// Taken is a delivery that a consumer of its pull endpoint holds, or another node
// that has its handler's function. It takes none of
// the places that attempts share, and what it takes in memory is its claim. One
// of Settle and Return ends it.
type Taken struct {
	d       *Dispatcher
	claim   *claim
	message *postern.Message
	view    *postern.EndpointView
	stored  chan error // capacity 1
}

// Take gives a pull endpoint's oldest delivery that waits to a consumer, with
// the content, which nobody keeps; nil when none may start now. Events.Waiting
// tells when to ask again.
func (d *Dispatcher) Take(ctx context.Context, n postern.EndpointNumber) (*Taken, *postern.Content) {
	ctx = context.WithoutCancel(ctx) // a read that is given up would count as a fault of ours
	for {
		t := d.takeOf(n)
		if t == nil {
			return nil, nil
		}
		var content *postern.Content
		t.view, t.message, content = d.prepare(ctx, t.claim)
		if t.view == nil {
			continue
		}
		if !d.leased() {
			d.giveBack(t.claim)
			return nil, nil
		}
		d.mu.Lock()
		t.claim.lane.reach.faults = 0
		if shared := t.claim.load; shared != nil {
			d.release(shared)
			t.claim.load = nil // read again if the delivery comes back
		}
		d.mu.Unlock()
		return t, content
	}
}

// pulled reports whether an endpoint's deliveries are taken.
func (d *Dispatcher) pulled(view *postern.EndpointView) bool {
	if view.Kind == postern.HTTPEndpoint {
		return false
	}
	if d.cfg.Taken == nil {
		return view.Kind == postern.PullEndpoint
	}
	return d.cfg.Taken(view)
}

// takeOf starts a lane's first delivery in memory.
func (d *Dispatcher) takeOf(n postern.EndpointNumber) *Taken {
	d.mu.Lock()
	defer d.mu.Unlock()
	view, l := d.cfg.Catalogue.EndpointByNumber(n), d.lanes[n]
	if d.stopping || l == nil || view == nil || view.Deleted || !view.Deliverable() || !d.pulled(view) {
		return nil // what is to happen to the queue is the rotation's to say
	}
	l.reach.pulled = true
	if !d.leased() {
		d.offer(l) // which tells who waits, once it is renewed
		return nil
	}
	for l.queue.len() > 0 {
		ok, wake := l.spares(d.now(), d.allowed(l, view))
		if !ok {
			d.wake(l, wake)
			return nil
		}
		c := d.pop(l)
		d.refills.want(l)
		if c.ended.Final() {
			d.forget(c)
			continue
		}
		d.run(c)
		c.taken = &Taken{d: d, claim: c, stored: make(chan error, 1)}
		return c.taken
	}
	return nil
}

// Message is what to deliver.
func (t *Taken) Message() *postern.Message { return t.message }

// Attempt is to be filled in before Settle with what came of it; see Line.
func (t *Taken) Attempt() *postern.Attempt { return &t.claim.attempt }

// Settle hands the attempt to the committer. The channel receives one value:
// nil once it is durable.
func (t *Taken) Settle() <-chan error {
	t.d.settle(t.claim, t.message.EventType, t.view)
	return t.stored
}

// Return gives the delivery back as if it had not been taken.
func (t *Taken) Return() { t.d.giveBack(t.claim) }
