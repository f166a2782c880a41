package dispatch

import "github.com/postern-dev/postern"

// Reset sets an endpoint's health in commit order: it is called while the batch
// is built that stores it.
func (d *Dispatcher) Reset(n postern.EndpointNumber, h postern.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if view := d.cfg.Catalogue.EndpointByNumber(n); view != nil {
		d.setHealth(d.lane(n, view.Application), h) // also for a lane made before the batch is synced
	}
}

// Unset takes back what Reset did for a part that left its batch: the endpoint's
// lane goes by the health that everybody sees.
func (d *Dispatcher) Unset(n postern.EndpointNumber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, view := d.lanes[n], d.cfg.Catalogue.EndpointByNumber(n); l != nil && view != nil {
		l.health = view.Health
	}
}

// Learned has a lane go by a health that somebody else than this dispatcher has
// stored, and the catalogue shows. Attempts under way are settled by it. Where the
// batch in hand stores one as well, that is the later one.
func (d *Dispatcher) Learned(n postern.EndpointNumber, h postern.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lanes[n]; l != nil && !l.unsynced {
		l.health = h
	}
}

// setHealth is for a health that the batch in hand stores. Called with the lock
// held.
func (d *Dispatcher) setHealth(l *lane, h postern.Health) {
	l.health = h
	if !l.unsynced {
		l.unsynced = true
		d.unsynced = append(d.unsynced, l)
	}
}

// healthsSynced ends what setHealth began. Called with the lock held.
func (d *Dispatcher) healthsSynced() {
	for _, l := range d.unsynced {
		l.unsynced = false
	}
	clear(d.unsynced)
	d.unsynced = d.unsynced[:0]
}
