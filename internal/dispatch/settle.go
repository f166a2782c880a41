package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// settle hands an attempt to the committer. What a worker does on the common
// way takes no lock that lanes are under: thousands end at once, and the
// committer would stand in their queue.
func (d *Dispatcher) settle(c *claim, eventType string, view *postern.EndpointView) {
	c.schedule = d.schedule(eventType, view)
	d.hand(c)
}

// giveUp settles a claim for which there is nothing to try any more.
func (d *Dispatcher) giveUp(c *claim, reason postern.Reason) {
	d.mu.Lock()
	c.phase, c.gone, c.reason = settling, true, reason
	d.mu.Unlock()
	d.hand(c)
}

// hand queues a claim's settle. It is refused only when the store has failed:
// the claim then stays where it is, and the next start goes on with it.
func (d *Dispatcher) hand(c *claim) {
	size := 256 + len(c.attempt.Response)
	if err := d.cfg.Settle(c, size); err != nil {
		d.Hold()
		c.Done(err)
		d.Release()
	}
}

// schedule is the delivery's retry schedule: the endpoint's, else the event
// type's, else the general one.
func (d *Dispatcher) schedule(eventType string, view *postern.EndpointView) postern.RetrySchedule {
	if view.RetrySchedule != nil {
		return view.RetrySchedule
	}
	if s := d.cfg.Catalogue.RetrySchedule(eventType); s != nil {
		return s
	}
	return d.cfg.Schedule
}

// Hold has settles built and told, which Release ends.
func (d *Dispatcher) Hold() { d.mu.Lock() }

// Release ends what Hold began.
func (d *Dispatcher) Release() { d.mu.Unlock() }

// learn has the lane adapt to how an attempt went.
func (d *Dispatcher) learn(c *claim) {
	c.phase = settling
	c.lane.reach.ended(c)
	if c.taken != nil {
		return // its consumer decides on the pace
	}
	now := d.now()
	d.census.note(c.lane.number, !c.attempt.Succeeded, now)
	c.lane.reach.learn(&c.attempt, now)
	d.rate(c.lane.reach, now)
}

// Build settles the claim: the attempt, what it did to the delivery's row, to
// the endpoint's health, and to what holds Low. It is called in commit order,
// so that a cancel or resend of the same batch is seen, within Hold.
func (c *claim) Build(b *store.Batch) {
	d := c.lane.d
	if c.gone {
		c.buildGone(b)
		return
	}
	d.learn(c)
	delivery := postern.Delivery{
		State: postern.Sending, Tries: c.start.Tries, Resent: c.resent, Health: d.health(c.lane),
	}
	if c.ended.Final() {
		delivery.State, delivery.Reason = c.ended, c.reason
	}
	a, now := &c.attempt, d.now()
	policy := postern.Policy{Schedule: c.schedule, Jitter: jitter(), KeepEnabled: d.census.most(now)}
	c.outcome = postern.Settle(delivery, *a, policy, now.UTC().Truncate(time.Millisecond)) // as it is stored
	out := &c.outcome
	a.ID = postern.NewAttemptID(b.Head.LastTime, b.Head.Journal, b.Head.Batch, len(b.Attempts), c.lane.number)
	a.State, a.Reason = out.State, out.Reason
	if out.State == postern.Retrying && out.PutRow {
		a.Next = out.Next
	}
	b.Attempts = append(b.Attempts, a)
	c.buildRow(b)
	if out.State == postern.Dead && !c.ended.Final() {
		b.Dead = append(b.Dead, store.DeadChange{Key: c.key()})
	}
	if out.Health != delivery.Health {
		d.setHealth(c.lane, out.Health)
		c.unhealthy = true
		b.Health = append(b.Health, store.HealthChange{Endpoint: c.lane.number, Health: out.Health})
	}
	d.settled(c)
}

// buildRow deletes the row that the attempt started from and puts the next
// one. A row that came meanwhile, by a resend, stays.
func (c *claim) buildRow(b *store.Batch) {
	var change store.RowChange
	if c.hasRow && !c.resent {
		old := c.row
		change.Delete = &old
		c.hasRow = false
	}
	if c.outcome.PutRow {
		c.row = postern.Row{
			Endpoint: c.lane.number, Application: c.lane.app.app, Message: c.id,
			Generation: b.Head.Batch, Tries: c.outcome.Tries, Attempts: c.attempt.N,
			Next: c.outcome.Next.UTC().Truncate(time.Millisecond), Wait: c.outcome.Wait,
			Replay: c.start.Replay,
		}
		put := c.row
		change.Put, c.hasRow = &put, true
	}
	if change.Delete != nil || change.Put != nil {
		b.Rows = append(b.Rows, change)
	}
}

// buildGone removes the row of a delivery whose message or endpoint is gone. One
// whose message stays without its content is recorded as ended.
func (c *claim) buildGone(b *store.Batch) {
	if c.reason == postern.ReasonExpunged && !c.ended.Final() {
		b.Finals = append(b.Finals, postern.Final{
			Endpoint: c.lane.number, Application: c.lane.app.app, Message: c.id,
			State: postern.Canceled, Reason: c.reason, Attempts: c.start.Attempts, At: b.Head.LastTime,
		})
	}
	if c.hasRow {
		old := c.row
		b.Rows = append(b.Rows, store.RowChange{Delete: &old})
		c.hasRow = false
	}
	c.lane.d.settled(c)
}

// settled is what every built settle does to its lane.
func (d *Dispatcher) settled(c *claim) {
	c.built = true
	d.uncover(c)
	if c.lane.rowState != rowNone {
		d.mark(c.lane)
	}
}

// Done ends the claim once its settle is durable. After an error nothing of the
// journal is tried any more: the store has failed. It is called within Hold.
func (c *claim) Done(err error) {
	d := c.lane.d
	d.freePlace(c)
	if c.taken != nil {
		c.taken.stored <- err
	}
	if err != nil {
		d.failed = true
		d.pump() // other journals have its place
		return
	}
	d.forget(c)
	if c.unhealthy {
		d.healths = append(d.healths, store.HealthChange{Endpoint: c.lane.number, Health: c.outcome.Health})
	}
	d.told = append(d.told, c)
	d.refills.want(c.lane)
}

// tell passes a settled claim on to who listens.
func (d *Dispatcher) tell(c *claim) {
	switch {
	case c.gone && d.cfg.Events.Ended != nil:
		d.cfg.Events.Ended(c.reason)
	case !c.gone && d.cfg.Events.Attempted != nil:
		d.cfg.Events.Attempted(&c.attempt)
	}
}

func (c *claim) key() store.DeliveryKey {
	return store.DeliveryKey{Application: c.lane.app.app, Endpoint: c.lane.number, Message: c.id}
}
