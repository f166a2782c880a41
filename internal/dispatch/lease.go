package dispatch

import "time"

// leaseMargin is how long before the end of the journal's lease the last attempt
// starts: the next holder may start the same one once it is over.
const leaseMargin = 2 * time.Second

// leased reports whether the journal is ours for long enough yet that an attempt
// may start. A machine that was asleep shows in one of its clocks only, so that
// both have to say so.
func (d *Dispatcher) leased() bool {
	if d.cfg.Leased == nil {
		return true
	}
	until, now := d.cfg.Leased(), time.Now()
	return until.Sub(now) > leaseMargin && until.Round(0).Sub(now.Round(0)) > leaseMargin
}

// MayStart is for who begins an attempt some time after it was handed one: it is
// false where the journal is not ours for long enough by then.
func (d *Dispatcher) MayStart() bool { return d.leased() }

// Renewed starts what waited for a longer lease. It is called after each renewal
// and does not block.
func (d *Dispatcher) Renewed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lapsed {
		d.lapsed = false
		for _, l := range d.lanes {
			d.offer(l)
		}
	}
	d.pump()
}

// giveBack ends a claim that was not tried, as if it had never started: it is
// read again from the store, and nobody is to blame.
func (d *Dispatcher) giveBack(c *claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freePlace(c)
	d.putBack(c)
	d.refills.want(c.lane)
	d.pump()
}
