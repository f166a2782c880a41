package catalogue

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/sign"
	"github.com/postern-dev/postern/store"
)

// Entry is the place of one endpoint over its changes. Who works for an
// endpoint keeps its entry and reads the view anew for each delivery.
type Entry struct {
	ID     postern.EndpointID
	Number postern.EndpointNumber

	application *application
	view        atomic.Pointer[postern.EndpointView]
}

// View is the endpoint as it stands; never nil, but Deleted in the end.
func (e *Entry) View() *postern.EndpointView { return e.view.Load() }

// Entry finds an endpoint by its number; nil for one that does not exist or
// was deleted.
func (c *Catalogue) Entry(n postern.EndpointNumber) *Entry { return c.endpoints.get(n) }

// EndpointByNumber is the view of an endpoint; nil for one that is deleted.
func (c *Catalogue) EndpointByNumber(n postern.EndpointNumber) *postern.EndpointView {
	if e := c.endpoints.get(n); e != nil {
		return e.View()
	}
	return nil
}

// Endpoint finds by id or uid in one application.
func (c *Catalogue) Endpoint(app postern.ApplicationNumber, ref string) (*postern.EndpointView, error) {
	e := c.endpointUIDs.get(uid{app, ref})
	if strings.HasPrefix(ref, postern.EndpointID{}.Prefix()) {
		e = nil
		if id, err := postern.ParseEndpointID(ref); err == nil {
			e = c.Snapshot(app).endpoint(id)
		}
	}
	if e != nil {
		if view := e.View(); !view.Deleted {
			return view, nil
		}
	}
	return nil, postern.ErrNotFound
}

// Endpoints lists in the order of ids.
func (c *Catalogue) Endpoints(app postern.ApplicationNumber, p postern.ListPage) ([]*postern.EndpointView, bool) {
	s := c.Snapshot(app)
	after, ok := cursor(p.After, postern.ParseEndpointID)
	if s == nil || !ok {
		return nil, false
	}
	at, found := 0, false
	if after != nil {
		at, found = s.find(*after)
	}
	return window(len(s.endpoints), at, found, after != nil, p, func(i int) (*postern.EndpointView, bool) {
		return s.endpoints[i].View(), true
	})
}

// CreateEndpoint fills in ID, Number and times, and makes a secret where e has
// none: the text of a key of package sign, sealed. Kind "" is http, Version 0
// is 1. What is wrong with e is told in an Invalid error with its fields, a
// uid in use is ErrConflict, an unknown application ErrNotFound.
func (c *Catalogue) CreateEndpoint(ctx context.Context, e postern.Endpoint) (*postern.EndpointView, error) {
	return change(ctx, c, func(o *ownChange) (*postern.EndpointView, error) {
		place, old, err := o.lock(e.Application)
		if err != nil {
			return nil, err
		}
		defer place.changing.Unlock()
		record := cloneEndpoint(&e)
		if err := c.completeEndpoint(record); err != nil {
			return nil, err
		}
		if err := c.checkEndpoint(record, nil); err != nil {
			return nil, err
		}
		record.Number = postern.EndpointNumber(c.lastEndpoint.Add(1))
		end, err := claimUID(ctx, c.endpointUIDs, record.Application, "", record.UID)
		if err != nil {
			return nil, err
		}
		defer end()
		if err := o.commit(ctx, []store.Change{{Put: record}, {Put: old.next()}}); err != nil {
			return nil, err
		}
		return c.viewOf(record), nil
	})
}

// UpdateEndpoint hands fn a copy, checks it and stores it. ID, Number,
// Application and CreatedAt stay whatever fn does, and the kind may not change.
// With enable, the health that the engine gave it is cleared in the same batch.
func (c *Catalogue) UpdateEndpoint(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, enable bool, fn func(*postern.Endpoint) error) (*postern.EndpointView, error) {
	return change(ctx, c, func(o *ownChange) (*postern.EndpointView, error) {
		place, old, err := o.lock(app)
		if err != nil {
			return nil, err
		}
		defer place.changing.Unlock()
		entry := c.endpoints.get(n)
		if entry == nil || entry.application != place {
			return nil, postern.ErrNotFound
		}
		before := entry.View()
		record, err := c.editEndpoint(&before.Endpoint, fn)
		if err != nil {
			return nil, err
		}
		var health []store.HealthChange
		if enable {
			health = append(health, store.HealthChange{Endpoint: n})
		}
		end, err := claimUID(ctx, c.endpointUIDs, app, before.UID, record.UID)
		if err != nil {
			return nil, err
		}
		defer end()
		if err := o.commit(ctx, []store.Change{{Put: record}, {Put: old.next()}}, health...); err != nil {
			return nil, err
		}
		return c.viewOf(record), nil
	})
}

// DeleteEndpoint deletes an endpoint and its health. Its entry reads Deleted
// from then on. ErrConflict for a handler that a running program has.
func (c *Catalogue) DeleteEndpoint(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber) error {
	return do(ctx, c, func(o *ownChange) error {
		place, old, err := o.lock(app)
		if err != nil {
			return err
		}
		defer place.changing.Unlock()
		entry := c.endpoints.get(n)
		if entry == nil || entry.application != place {
			return postern.ErrNotFound
		}
		if err := mayDelete(entry.View()); err != nil {
			return err
		}
		changes := []store.Change{{Delete: &entry.View().Endpoint}, {Put: old.next()}}
		return o.commit(ctx, changes, store.HealthChange{Endpoint: n})
	})
}

// mayDelete is nil, or why an endpoint stays: a handler of the running program would
// be back at the next start, and miss what came until then.
func mayDelete(v *postern.EndpointView) error {
	if v.Kind != postern.HandlerEndpoint || v.Unattended {
		return nil
	}
	return &postern.Error{Kind: postern.Conflict, Code: "attended", Detail: "The running program has the handler " + v.UID + ": disable it here, or take it out of the program first"}
}

// ApplyHealth takes over an endpoint's health once the batch that stored it is
// durable. The committer calls it in the order of batches, for settles as for
// CommitChanges; it never waits for a commit. An endpoint that is deleted
// keeps what it had.
func (c *Catalogue) ApplyHealth(n postern.EndpointNumber, health postern.Health) {
	c.settling.Lock()
	defer c.settling.Unlock()
	c.underWay.stored(healthOf(n))
	c.setHealth(n, health)
}

// setHealth shows an endpoint's health, and reports whether it was another. The
// caller holds settling.
func (c *Catalogue) setHealth(n postern.EndpointNumber, health postern.Health) bool {
	entry := c.endpoints.get(n)
	if entry == nil {
		return false
	}
	place := entry.application
	place.swapping.Lock()
	old := entry.View()
	snapshot := place.snapshot.Load()
	if old.Deleted || snapshot == nil || old.Health == health {
		place.swapping.Unlock()
		return false
	}
	view := *old
	view.Health = health
	entry.view.Store(&view)
	if reroutes(old, &view) {
		next := *snapshot
		next.route()
		place.snapshot.Store(&next)
	}
	place.swapping.Unlock()
	if old.Enabled() != view.Enabled() {
		c.config.OnChange(n)
	}
	return true
}

// Attend tells whether the program has a function for a handler, or another node,
// or a pull endpoint consumers: without, its deliveries wait. It is forgotten with the
// program, and with the endpoint.
func (c *Catalogue) Attend(n postern.EndpointNumber, attended bool) {
	entry := c.endpoints.get(n)
	if entry == nil {
		return
	}
	place := entry.application
	place.swapping.Lock()
	view := *entry.View()
	view.Unattended = !attended
	entry.view.Store(&view) // routes do not depend on it
	place.swapping.Unlock()
	c.config.OnChange(n)
}

// editEndpoint returns what fn makes of a record, checked. An fn that fails
// has changed nothing but its copy, and its error is the caller's own.
func (c *Catalogue) editEndpoint(old *postern.Endpoint, fn func(*postern.Endpoint) error) (*postern.Endpoint, error) {
	edited := cloneEndpoint(old)
	if err := fn(edited); err != nil {
		return nil, err
	}
	record := cloneEndpoint(edited) // what fn put into it may be its caller's
	record.ID, record.Number, record.Application = old.ID, old.Number, old.Application
	record.CreatedAt, record.UpdatedAt = old.CreatedAt, c.now()
	record.Secrets = liveSecrets(record.Secrets, record.UpdatedAt)
	return record, c.checkEndpoint(record, old)
}

// completeEndpoint gives a new endpoint what its owner does not choose, but for
// the number: an endpoint that is refused uses none up.
func (c *Catalogue) completeEndpoint(e *postern.Endpoint) error {
	id, err := c.config.IDs.Next()
	if err != nil {
		return err
	}
	e.ID = id
	e.CreatedAt = c.now()
	e.UpdatedAt = e.CreatedAt
	if e.Kind == "" {
		e.Kind = postern.HTTPEndpoint
	}
	if e.Version == 0 {
		e.Version = 1
	}
	e.Secrets = liveSecrets(e.Secrets, e.CreatedAt)
	if len(e.Secrets) > 0 {
		return nil
	}
	sealed, err := c.seal([]byte(sign.GenerateSymmetric().Reveal()))
	if err != nil {
		return err
	}
	e.Secrets = []postern.EndpointSecret{{Key: sealed, CreatedAt: e.CreatedAt}}
	return nil
}

// viewOf is the view of an endpoint that was just stored. Where somebody deleted
// it already it is as it was stored.
func (c *Catalogue) viewOf(record *postern.Endpoint) *postern.EndpointView {
	if view := c.EndpointByNumber(record.Number); view != nil {
		return view
	}
	return firstView(record)
}

// newEntry makes an endpoint known that is stored.
func (c *Catalogue) newEntry(a *application, record *postern.Endpoint) *Entry {
	e := &Entry{ID: record.ID, Number: record.Number, application: a}
	e.view.Store(firstView(record))
	c.endpoints.put(e.Number, e)
	raise(&c.lastEndpoint, uint32(e.Number))
	if record.UID != "" {
		c.endpointUIDs.put(uid{record.Application, record.UID}, e)
	}
	return e
}

// firstView is an endpoint before anybody has heard of its health, of a
// handler's function, or of a consumer.
func firstView(record *postern.Endpoint) *postern.EndpointView {
	return &postern.EndpointView{Endpoint: *record, Unattended: record.Kind != postern.HTTPEndpoint}
}

// retire marks the endpoint deleted. The caller holds the application's
// swapping.
func (e *Entry) retire() {
	view := *e.View()
	view.Deleted = true
	e.view.Store(&view)
}

// add puts a new endpoint into the lists. It mostly comes last, as ids ascend,
// and is appended in place then: readers of older snapshots do not look beyond
// the ends of theirs, and only the newest snapshot is ever added to. Ten
// thousand creations then do not copy ten thousand lists. It reports whether the
// routes are to be made anew.
func (s *Snapshot) add(e *Entry) bool {
	if at, _ := s.find(e.ID); at < len(s.endpoints) {
		s.endpoints = slices.Insert(slices.Clone(s.endpoints), at, e)
		return true
	}
	s.endpoints = append(s.endpoints, e)
	s.Routes = s.Routes.With(e.View())
	return false
}

// reroutes reports whether routes depend on what changed of an endpoint.
func reroutes(old, view *postern.EndpointView) bool {
	return old.Enabled() != view.Enabled() ||
		!slices.Equal(old.EventTypes, view.EventTypes) || !slices.Equal(old.Channels, view.Channels)
}

// endpoint finds by id; nil for none, also on a nil snapshot.
func (s *Snapshot) endpoint(id postern.EndpointID) *Entry {
	if s == nil {
		return nil
	}
	if at, found := s.find(id); found {
		return s.endpoints[at]
	}
	return nil
}

// find is where an endpoint of this id is, or would be.
func (s *Snapshot) find(id postern.EndpointID) (int, bool) {
	return slices.BinarySearchFunc(s.endpoints, id, func(e *Entry, id postern.EndpointID) int { return e.ID.Compare(id) })
}

// checkEndpoint reports what is wrong with a record; old is what it replaces,
// nil for a new one.
func (c *Catalogue) checkEndpoint(e, old *postern.Endpoint) error {
	if err := all(checkEndpointFields(e, old), c.checkLongest(e.RetrySchedule)); err != nil {
		return err
	}
	for _, name := range e.EventTypes {
		// A type that was deleted while it was selected does not stand in the
		// way of other changes.
		if route.IsPattern(name) || old != nil && slices.Contains(old.EventTypes, name) {
			continue
		}
		if c.eventTypes.get(name) == nil {
			return postern.InvalidField("The event type "+name+" does not exist", "body", "eventTypes")
		}
	}
	return nil
}
