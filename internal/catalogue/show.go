package catalogue

import (
	"reflect"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// showOwn shows what this node has just stored, but for what is newer by now.
func (c *Catalogue) showOwn(o *ownChange, changes []store.Change) {
	c.showing.Lock()
	defer c.showing.Unlock()
	shown := make([]store.Change, 0, len(changes))
	for _, change := range changes {
		record := recordOf(change)
		identity := identify(record)
		_, key := record.(*postern.Key)
		if key {
			c.underWay.stored(identity)
		}
		// A key that is revoked is so for good, whoever notes a use of it.
		if !c.underWay.overtook(o, identity) || key && change.Put == nil {
			shown = append(shown, change)
		}
	}
	c.show(shown)
}

// show shows stored changes to readers, each application's in one step. What is
// there already changes nothing, and what belongs to an application that is not
// there is left out. The caller holds showing.
func (c *Catalogue) show(changes []store.Change) {
	c.freeUIDs(changes) // before others take them
	var order []postern.ApplicationNumber
	parts := map[postern.ApplicationNumber][]store.Change{}
	add := func(app postern.ApplicationNumber, change store.Change) {
		if _, known := parts[app]; !known {
			order = append(order, app)
		}
		parts[app] = append(parts[app], change)
	}
	for _, change := range changes {
		switch r := recordOf(change).(type) {
		case *postern.Application:
			add(r.Number, change)
		case *postern.Endpoint:
			add(r.Application, change)
		case *postern.Source:
			add(r.Application, change)
		case *postern.EventType:
			c.showEventType(r, change.Put != nil)
		case *postern.Key:
			c.showKey(r, change.Put != nil)
		}
	}
	for _, app := range order {
		c.showApplication(app, parts[app])
	}
}

// freeUIDs frees the uids that records have now and will not keep. A uid that goes
// from one record to another in the same changes is then nobody's for a moment, and
// never the wrong one's.
func (c *Catalogue) freeUIDs(changes []store.Change) {
	for _, change := range changes {
		put := change.Put != nil
		switch r := recordOf(change).(type) {
		case *postern.Application:
			if a := c.byNumber.get(r.Number); a != nil {
				if old := a.snapshot.Load().Application; old.UID != "" && (!put || r.UID != old.UID) {
					c.byUID.free(uid{name: old.UID}, a)
				}
			}
		case *postern.Endpoint:
			if e := c.endpoints.get(r.Number); e != nil {
				if old := e.View(); old.UID != "" && (!put || r.UID != old.UID) {
					c.endpointUIDs.free(uid{old.Application, old.UID}, e)
				}
			}
		}
	}
}

// showEventType leaves one that is as it was alone: to compile its schema anew costs
// milliseconds, and a reading of others' changes has this node's own ones too.
func (c *Catalogue) showEventType(t *postern.EventType, put bool) {
	old := c.eventTypes.get(t.Name)
	switch {
	case !put:
		c.eventTypes.remove(t.Name)
		c.enforced.set(t.Name, nil)
	case old == nil || !reflect.DeepEqual(old, t):
		c.eventTypes.put(t.Name, t)
		c.enforced.set(t.Name, t)
	}
}

// showKey replaces a key where requests find it, so that what is noted there of its
// use is kept.
func (c *Catalogue) showKey(k *postern.Key, put bool) {
	held := c.keysByHash.get(k.Hash)
	switch {
	case !put:
		if old := c.keys.get(k.ID); old != nil {
			c.keysByHash.remove(old.Hash)
			c.keys.remove(k.ID)
		}
	case held != nil:
		held.key.Store(k)
		c.keys.put(k.ID, k)
	default:
		c.keys.put(k.ID, k)
		c.keysByHash.put(k.Hash, hold(k))
	}
}

// showApplication shows changes of one application and of what belongs to it.
func (c *Catalogue) showApplication(n postern.ApplicationNumber, changes []store.Change) {
	record, deleted := applicationIn(changes)
	a := c.byNumber.get(n)
	created := a == nil && record != nil
	switch {
	case deleted && a != nil:
		c.remove(a)
		return
	case deleted, a == nil && !created:
		return
	case created:
		a = newApplication(record)
	}
	told := c.swap(a, changes)
	if created {
		c.list(record, a) // with all that it has
	}
	if record != nil && record.UID != "" {
		c.byUID.put(uid{name: record.UID}, a)
	}
	for _, e := range told {
		c.config.OnChange(e)
	}
}

// swap shows changes in an application's snapshot and views, and returns which
// endpoints changed. Readers see the snapshot before or after all of them, an endpoint's
// own view as each is made. Routes are made anew once, whatever the changes.
func (c *Catalogue) swap(a *application, changes []store.Change) []postern.EndpointNumber {
	a.swapping.Lock()
	defer a.swapping.Unlock()
	next := *a.snapshot.Load()
	var told []postern.EndpointNumber
	reroute := false
	for _, change := range changes {
		put := change.Put != nil
		switch r := recordOf(change).(type) {
		case *postern.Application:
			next.Application = r
		case *postern.Endpoint:
			changed, routes := c.swapEndpoint(a, &next, r, put)
			reroute = reroute || routes
			if changed {
				told = append(told, r.Number)
			}
		case *postern.Source:
			c.swapSource(&next, r, put)
		}
	}
	if reroute {
		next.route()
	}
	a.snapshot.Store(&next)
	return told
}

// swapEndpoint reports whether the endpoint changed, and whether the routes are
// to be made anew. The caller holds swapping.
func (c *Catalogue) swapEndpoint(a *application, next *Snapshot, record *postern.Endpoint, put bool) (changed, routes bool) {
	e := c.endpoints.get(record.Number)
	switch {
	case e == nil && !put:
		return false, false
	case e == nil:
		e = c.newEntry(a, record)
		return true, next.add(e)
	}
	view := *e.View()
	if put {
		if reflect.DeepEqual(view.Endpoint, *record) {
			return false, false
		}
		old := e.View()
		view.Endpoint = *record
		e.view.Store(&view)
		if record.UID != "" {
			c.endpointUIDs.put(uid{record.Application, record.UID}, e)
		}
		return true, reroutes(old, &view)
	}
	at, _ := next.find(e.ID)
	next.endpoints = slices.Delete(slices.Clone(next.endpoints), at, at+1) // readers have the old list
	e.retire()                                                             // lanes have the entry
	c.endpoints.remove(e.Number)
	return true, true
}

// swapSource copies the list, which readers of older snapshots go through.
func (c *Catalogue) swapSource(next *Snapshot, record *postern.Source, put bool) {
	at, found := next.findSource(record.ID)
	switch {
	case found && put:
		next.sources = slices.Clone(next.sources)
		next.sources[at] = record
	case put:
		next.sources = slices.Insert(slices.Clone(next.sources), at, record)
	case found:
		record = next.sources[at] // with the hash of its token
		next.sources = slices.Delete(slices.Clone(next.sources), at, at+1)
	}
	if put {
		c.sources.put(record.TokenHash, record)
	} else {
		c.sources.remove(record.TokenHash)
	}
}

// remove takes a deleted application out of memory, with what belongs to it.
// Lanes that still hold one of its endpoints see it deleted, and are told of it last:
// they look at the catalogue then.
func (c *Catalogue) remove(a *application) {
	a.swapping.Lock()
	old := a.snapshot.Swap(nil)
	for _, e := range old.endpoints {
		e.retire()
	}
	a.swapping.Unlock()
	for _, s := range old.sources {
		c.sources.remove(s.TokenHash)
	}
	for _, k := range c.keysOf(old.Application.Number) {
		c.showKey(k, false)
	}
	c.applications.remove(old.Application.ID)
	c.byNumber.remove(old.Application.Number)
	for _, e := range old.endpoints {
		view := e.View()
		c.endpoints.remove(view.Number)
		if view.UID != "" {
			c.endpointUIDs.free(uid{view.Application, view.UID}, e)
		}
		c.config.OnChange(view.Number)
	}
}

// applicationIn finds the application's own record among changes of it.
func applicationIn(changes []store.Change) (record *postern.Application, deleted bool) {
	for _, change := range changes {
		if a, is := recordOf(change).(*postern.Application); is {
			record, deleted = a, change.Put == nil
		}
	}
	return record, deleted
}
