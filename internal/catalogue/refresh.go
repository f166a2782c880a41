package catalogue

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Log is where others' changes are read: store.Cluster's.
type Log interface {
	Changed(ctx context.Context, since uint64, fn func(change any) error) (version uint64, err error)
}

// mostReadings bounds how often others' changes are read while this node
// changes the same.
const mostReadings = 4

// Version is that of the newest of others' changes up to which readers see all
// of them.
func (c *Catalogue) Version() uint64 { return c.version.Load() }

// Refresh takes over what other nodes changed until now. It waits for the log and
// for no commit, and may be called by any number of goroutines.
// postern.ErrConflict when what changed is not known any more, or does not fit:
// nothing is shown then, and Reload is needed.
func (c *Catalogue) Refresh(ctx context.Context, from Log) error {
	for readings := 1; ; readings++ {
		r := c.underWay.beginReading()
		var changes []any
		version, err := from.Changed(ctx, c.Version(), func(change any) error {
			changes = append(changes, change)
			return nil
		})
		done := false
		if err == nil {
			done, err = c.takeOver(version, changes, r, readings >= mostReadings)
		}
		c.underWay.endReading(r)
		if done || err != nil {
			return err
		}
	}
}

// takeOver shows what was read of others' changes; records are the catalogue's
// from then on. It shows nothing and reports false when it is to be read again:
// when somebody else's reading was shown meanwhile, or this node stored the same,
// of which a reading that begins later has the newer, unless it is to be shown
// anyway.
func (c *Catalogue) takeOver(version uint64, changes []any, r *reading, anyway bool) (bool, error) {
	set, err := sortOut(changes)
	if err != nil {
		return false, err
	}
	c.showing.Lock()
	defer c.showing.Unlock()
	c.settling.Lock()
	defer c.settling.Unlock()
	switch {
	case version <= c.version.Load():
		return true, nil
	case r.outdated || !anyway && r.touched(changes):
		return false, nil
	}
	if err := c.fits(set.records); err != nil {
		return false, err
	}
	set.records = slices.DeleteFunc(set.records, func(change store.Change) bool {
		k, put := change.Put.(*postern.Key)
		return put && r.has(k.ID) && c.keys.get(k.ID) == nil // revoked meanwhile
	})
	c.apply(set)
	c.version.Store(version)
	return true, nil
}

// others are changes that other nodes made, by what becomes of them.
type others struct {
	records []store.Change
	health  []store.HealthChange
	replays []store.Change
}

func sortOut(changes []any) (set others, err error) {
	for _, change := range changes {
		switch change := change.(type) {
		case store.HealthChange:
			set.health = append(set.health, change)
		case store.Change:
			record := recordOf(change)
			if _, is := record.(*postern.Replay); is {
				set.replays = append(set.replays, change)
			} else if identify(record) != nil {
				set.records = append(set.records, change)
			} else {
				return set, fmt.Errorf("a record of type %T is not of the catalogue", record)
			}
		default:
			return set, fmt.Errorf("a change of type %T is not of the catalogue", change)
		}
	}
	return set, nil
}

// fits reports whether all applications are known that something is put into.
func (c *Catalogue) fits(changes []store.Change) error {
	created := map[postern.ApplicationNumber]bool{}
	for _, change := range changes {
		if a, is := change.Put.(*postern.Application); is {
			created[a.Number] = true
		}
	}
	for _, change := range changes {
		var app postern.ApplicationNumber
		switch r := change.Put.(type) {
		case *postern.Endpoint:
			app = r.Application
		case *postern.Source:
			app = r.Application
		default:
			continue
		}
		if !created[app] && c.byNumber.get(app) == nil {
			return &postern.Error{Kind: postern.Conflict, Detail: "a change belongs to an application that is not known"}
		}
	}
	return nil
}

// apply shows others' changes and tells who is to know. The caller holds showing
// and settling.
func (c *Catalogue) apply(set others) {
	c.underWay.outdate()
	for _, change := range set.records {
		record := recordOf(change)
		c.underWay.overtake(identify(record))
		switch r := record.(type) {
		case *postern.Application: // numbers of what is deleted are not used again either
			raise(&c.lastApplication, uint32(r.Number))
		case *postern.Endpoint:
			raise(&c.lastEndpoint, uint32(r.Number))
		}
	}
	c.show(set.records)
	for _, h := range set.health {
		raise(&c.lastEndpoint, uint32(h.Endpoint))
		if c.setHealth(h.Endpoint, h.Health) && c.config.Learned != nil {
			c.config.Learned(h.Endpoint, h.Health)
		}
	}
	if c.config.ReplayChanged == nil {
		return
	}
	for _, change := range set.replays {
		put, _ := change.Put.(*postern.Replay)
		deleted, _ := change.Delete.(*postern.Replay)
		c.config.ReplayChanged(put, deleted)
	}
}

// Reload replaces everything by what is stored, of which version is known to be
// part: for when the log of changes does not reach back far enough. This node's
// own changes wait meanwhile to be shown; readers do not.
func (c *Catalogue) Reload(ctx context.Context, from store.Catalogue, head store.Head, version uint64) error {
	c.showing.Lock()
	defer c.showing.Unlock()
	r := c.underWay.beginReading()
	defer c.underWay.endReading(r)
	var stored []any
	err := from.Load(ctx, func(record any) error {
		if _, is := record.(store.HealthChange); !is {
			record = store.Change{Put: record}
		}
		stored = append(stored, record)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load the catalogue: %w", err)
	}
	set, err := sortOut(stored)
	if err != nil {
		return err
	}
	c.settling.Lock()
	defer c.settling.Unlock()
	set.records = c.difference(set.records)
	set.health = changedHealth(c.healths(), set.health, r)
	if err := c.fits(set.records); err != nil {
		return err
	}
	raise(&c.lastApplication, uint32(head.Applications))
	raise(&c.lastEndpoint, uint32(head.Endpoints))
	c.apply(set)
	c.version.Store(max(version, c.version.Load()))
	return nil
}

// difference is what makes the memory the same as what is stored: deletions of
// what is not there any more, and what is new or another.
func (c *Catalogue) difference(stored []store.Change) []store.Change {
	known, changes := c.records(), []store.Change(nil)
	for _, change := range stored {
		identity := identify(change.Put)
		if !reflect.DeepEqual(known[identity], change.Put) {
			changes = append(changes, change)
		}
		delete(known, identity)
	}
	for _, gone := range known {
		changes = append(changes, store.Change{Delete: gone})
	}
	return changes
}

// records is everything in memory but health, by identity.
func (c *Catalogue) records() map[any]any {
	records := map[any]any{}
	all := postern.ListPage{Limit: noLimit}
	applications, _ := c.Applications(all)
	for _, a := range applications {
		records[a.Number] = a
		s := c.Snapshot(a.Number)
		for _, e := range s.endpoints {
			records[e.Number] = &e.View().Endpoint
		}
		for _, source := range s.sources {
			records[source.ID] = source
		}
	}
	types, _ := c.EventTypes(all, true)
	for _, t := range types {
		records[t.Name] = t
	}
	for _, k := range c.selectKeys(nil) {
		records[k.ID] = k
	}
	return records
}

// healths are those of all endpoints.
func (c *Catalogue) healths() map[postern.EndpointNumber]postern.Health {
	healths := map[postern.EndpointNumber]postern.Health{}
	for _, record := range c.records() {
		if e, is := record.(*postern.Endpoint); is {
			healths[e.Number] = c.EndpointByNumber(e.Number).Health
		}
	}
	return healths
}

// changedHealth is what makes healths those that are stored, but for endpoints
// whose health this node stored meanwhile. One that is not stored is zero.
func changedHealth(known map[postern.EndpointNumber]postern.Health, stored []store.HealthChange, r *reading) []store.HealthChange {
	var changes []store.HealthChange
	add := func(n postern.EndpointNumber, h postern.Health) {
		if !r.has(healthOf(n)) {
			changes = append(changes, store.HealthChange{Endpoint: n, Health: h})
		}
	}
	for _, h := range stored {
		add(h.Endpoint, h.Health)
		delete(known, h.Endpoint)
	}
	for n, h := range known {
		if h != (postern.Health{}) {
			add(n, postern.Health{})
		}
	}
	return changes
}
