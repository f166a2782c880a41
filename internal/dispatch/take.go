package dispatch

import (
	"context"
	"slices"

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

// Take gives a pull endpoint's oldest delivery that waits, of all journals that the
// node holds, to a consumer, with the content, which nobody keeps; nil when none may
// start now. Events.Waiting tells when to ask again.
func (d *Dispatcher) Take(ctx context.Context, n postern.EndpointNumber) (*Taken, *postern.Content) {
	ctx = context.WithoutCancel(ctx) // a read that is given up would count as a fault of ours
	for {
		t := d.takeOf(n)
		if t == nil {
			return nil, nil
		}
		var content *postern.Content
		t.view, t.message, content = t.d.prepare(ctx, t.claim)
		switch {
		case t.view == nil:
			continue
		case !t.d.leased():
			t.d.giveBack(t.claim)
			continue
		}
		t.begun()
		return t, content
	}
}

// begun ends what a row of faults on our side did, and lets go of the payload, which
// is read again if the delivery comes back.
func (t *Taken) begun() {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.claim.lane.reach.faults = 0
	if shared := t.claim.load; shared != nil {
		t.d.release(shared)
		t.claim.load = nil
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

// takeOf starts the first delivery that one of an endpoint's lanes has in memory.
func (d *Dispatcher) takeOf(n postern.EndpointNumber) *Taken {
	d.mu.Lock()
	defer d.mu.Unlock()
	view, r := d.cfg.Catalogue.EndpointByNumber(n), d.reaches[n]
	if r == nil || view == nil || view.Deleted || !view.Deliverable() || !d.pulled(view) {
		return nil // what is to happen to the queues is the rotation's to say
	}
	r.pulled = true
	for _, l := range r.byAge() {
		if t := l.d.takeFirst(l, view); t != nil {
			return t
		}
	}
	return nil
}

// byAge are the lanes that have something, who has the oldest message first.
func (r *reach) byAge() []*lane {
	var lanes []*lane
	for l := r.first; l != nil; l = l.sibling {
		if l.queue.len() > 0 {
			lanes = append(lanes, l)
		}
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return a.queue.peek().id.Time().Compare(b.queue.peek().id.Time()) })
	return lanes
}

// takeFirst starts a lane's first delivery in memory.
func (d *Dispatcher) takeFirst(l *lane, view *postern.EndpointView) *Taken {
	if d.stopping || d.failed || d.workers.spawn == nil {
		return nil
	}
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
