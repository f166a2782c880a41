package dispatch

import "github.com/postern-dev/postern"

// health is an endpoint's in commit order: what the batch in hand stores, else what
// everybody sees, be it this dispatcher's doing or somebody else's. Called with the
// lock held.
func (d *Dispatcher) health(l *lane) postern.Health {
	if l.unsynced {
		return l.health
	}
	if view := d.cfg.Catalogue.EndpointByNumber(l.number); view != nil {
		return view.Health
	}
	return postern.Health{}
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

// Reset sets an endpoint's health in commit order: it is called while the batch
// is built that stores it, and who stores it makes it visible. Should it leave the
// batch, it is forgotten with that.
func (d *Dispatcher) Reset(n postern.EndpointNumber, h postern.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if view := d.cfg.Catalogue.EndpointByNumber(n); view != nil {
		d.setHealth(d.lane(n, view.Application), h) // also for a lane made before the batch is synced
	}
}

// healthsSynced has lanes go by what everybody sees again. Called with the lock
// held.
func (d *Dispatcher) healthsSynced() {
	for _, l := range d.unsynced {
		l.unsynced = false
	}
	clear(d.unsynced)
	d.unsynced = d.unsynced[:0]
}
