package dispatch

import "github.com/postern-dev/postern/store"

// Idle reports whether nothing of the journal is left to be done that memory knows
// of; the committer knows of rows. Where all that is missing is a batch that says
// so, as after the last delivery of a lane that was behind, it asks for one: ask
// again later. It looks at every lane, and is for journals that accept nothing.
func (d *Dispatcher) Idle() bool {
	busy, tidy := d.left()
	if busy || tidy {
		return !busy
	}
	// A committer that takes no settles has ended, and its journal is not idle.
	_ = d.cfg.Settle(nothing{}, 0)
	return false
}

// left reports whether something is to be done, and if not, whether the last batch
// told so.
func (d *Dispatcher) left() (busy, tidy bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.active.lanes)+d.arrivals.queue.len()+d.refills.active > 0 {
		return true, false
	}
	tidy = d.cover.low == d.next
	for _, l := range d.lanes {
		switch {
		case l.dirty && len(l.set) == 0:
			tidy = false // the next batch may take its row away
		case !l.rests():
			return true, false
		}
	}
	return false, tidy
}

// nothing is a part that makes a batch of what Close has to tell.
type nothing struct{}

// Build implements Part.
func (nothing) Build(*store.Batch) {}

// Done implements Part.
func (nothing) Done(error) {}
