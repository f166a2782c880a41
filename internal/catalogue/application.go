package catalogue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/store"
)

// application is the place of one application over its changes.
type application struct {
	// changing is held by who changes the application or what belongs to it,
	// over the commit.
	changing sync.Mutex
	// swapping guards the replacement of the snapshot and of the endpoints'
	// views; it is never held over a commit. A change takes it after its
	// commit, ApplyHealth takes it alone.
	swapping sync.Mutex
	// snapshot is nil once the application is deleted.
	snapshot atomic.Pointer[Snapshot]
}

// Snapshot is an application with what belongs to it, at one version. It is
// never changed.
type Snapshot struct {
	Application *postern.Application
	// Routes matches messages against the endpoints.
	Routes *route.Table

	// By id.
	endpoints []*Entry
	sources   []*postern.Source
}

// Snapshot is the current state of an application; nil for one that does not
// exist or was deleted.
func (c *Catalogue) Snapshot(n postern.ApplicationNumber) *Snapshot {
	if a := c.byNumber.get(n); a != nil {
		return a.snapshot.Load()
	}
	return nil
}

// ApplicationByNumber is the record of an application; nil for one that is
// deleted.
func (c *Catalogue) ApplicationByNumber(n postern.ApplicationNumber) *postern.Application {
	if s := c.Snapshot(n); s != nil {
		return s.Application
	}
	return nil
}

// Application finds by id or uid, without allocating.
func (c *Catalogue) Application(ref string) (*postern.Application, error) {
	var a *application
	if strings.HasPrefix(ref, postern.ApplicationID{}.Prefix()) {
		if id, err := postern.ParseApplicationID(ref); err == nil {
			a = c.applications.get(id)
		}
	} else {
		a = c.byUID.get(uid{name: ref})
	}
	if a != nil {
		if s := a.snapshot.Load(); s != nil {
			return s.Application, nil
		}
	}
	return nil, postern.ErrNotFound
}

// Applications lists in the order of ids.
func (c *Catalogue) Applications(p postern.ListPage) ([]*postern.Application, bool) {
	after, ok := cursor(p.After, postern.ParseApplicationID)
	if !ok {
		return nil, false
	}
	// The records are kept as they are met: one that is deleted a moment later
	// must not leave an empty page from which nobody can go on.
	var records []*postern.Application
	places, more := c.applications.page(after, p, func(a *application) bool {
		s := a.snapshot.Load()
		if s != nil {
			records = append(records, s.Application)
		}
		return s != nil
	})
	return records[:len(places)], more
}

// CreateApplication fills in ID, Number, Version and times; ErrConflict for a
// uid in use.
func (c *Catalogue) CreateApplication(ctx context.Context, a postern.Application) (*postern.Application, error) {
	return change(ctx, c, func(o *ownChange) (*postern.Application, error) {
		if err := checkApplication(&a); err != nil {
			return nil, err
		}
		id, err := c.config.IDs.Next()
		if err != nil {
			return nil, err
		}
		record := cloneApplication(&a)
		record.ID = id
		record.Number = postern.ApplicationNumber(c.lastApplication.Add(1))
		record.Version = 1
		record.CreatedAt = c.now()
		record.UpdatedAt = record.CreatedAt
		// Nobody else knows the application, so that only the uid needs guarding:
		// any number of them are created side by side.
		end, err := claimUID(ctx, c.byUID, 0, "", record.UID)
		if err != nil {
			return nil, err
		}
		defer end()
		return record, o.commit(ctx, []store.Change{{Put: record}})
	})
}

// UpdateApplication hands fn a copy, checks it and stores it. ID, Number,
// Version and CreatedAt stay whatever fn does.
func (c *Catalogue) UpdateApplication(ctx context.Context, n postern.ApplicationNumber, fn func(*postern.Application) error) (*postern.Application, error) {
	return change(ctx, c, func(o *ownChange) (*postern.Application, error) {
		place, old, err := o.lock(n)
		if err != nil {
			return nil, err
		}
		defer place.changing.Unlock()
		edited := cloneApplication(old.Application)
		if err := fn(edited); err != nil {
			return nil, err
		}
		if err := checkApplication(edited); err != nil {
			return nil, err
		}
		record := cloneApplication(edited)
		fixed := old.next()
		record.ID, record.Number, record.Version, record.CreatedAt = fixed.ID, fixed.Number, fixed.Version, fixed.CreatedAt
		record.UpdatedAt = c.now()
		end, err := claimUID(ctx, c.byUID, 0, fixed.UID, record.UID)
		if err != nil {
			return nil, err
		}
		defer end()
		return record, o.commit(ctx, []store.Change{{Put: record}})
	})
}

// DeleteApplication deletes an application with its endpoints, its sources and
// the keys bound to it. ErrConflict where a running program has handlers in it.
func (c *Catalogue) DeleteApplication(ctx context.Context, n postern.ApplicationNumber) error {
	return do(ctx, c, func(o *ownChange) error {
		place, old, err := o.lock(n)
		if err != nil {
			return err
		}
		defer place.changing.Unlock()
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()

		// The health goes too: an endpoint's number is never used again, so that
		// nobody would ever remove it.
		changes := []store.Change{{Delete: old.Application}}
		var health []store.HealthChange
		for _, e := range old.endpoints {
			view := e.View()
			if err := mayDelete(view); err != nil {
				return err
			}
			changes = append(changes, store.Change{Delete: &view.Endpoint})
			health = append(health, store.HealthChange{Endpoint: view.Number})
		}
		for _, s := range old.sources {
			changes = append(changes, store.Change{Delete: s})
		}
		for _, k := range c.keysOf(n) {
			changes = append(changes, store.Change{Delete: k})
		}
		return o.commit(ctx, changes, health...)
	})
}

// lock takes the application's lock for a change and returns what is to be
// changed; ErrNotFound for one that does not exist. The caller unlocks
// changing. Until then the snapshot is replaced by ApplyHealth, which touches its
// routes only, and by Refresh, after which the change is refused or is shown beside
// what is newer.
func (o *ownChange) lock(n postern.ApplicationNumber) (*application, *Snapshot, error) {
	place := o.catalogue.byNumber.get(n)
	if place == nil {
		return nil, nil, postern.ErrNotFound
	}
	place.changing.Lock()
	o.locked()
	s := place.snapshot.Load()
	if s == nil { // deleted while we waited
		place.changing.Unlock()
		return nil, nil, postern.ErrNotFound
	}
	return place, s, nil
}

// list makes an application findable by id and number; its uid follows, for
// who finds it by uid goes on with its number.
func (c *Catalogue) list(record *postern.Application, a *application) {
	c.byNumber.put(record.Number, a)
	c.applications.put(record.ID, a)
	raise(&c.lastApplication, uint32(record.Number))
}

func newApplication(record *postern.Application) *application {
	a := &application{}
	a.snapshot.Store(&Snapshot{Application: record})
	return a
}

// next is the application's record at its next version, which is stored with
// whatever of it changes: a node that routed at an older one can tell.
func (s *Snapshot) next() *postern.Application {
	record := *s.Application
	record.Version++
	return &record
}

// route makes the routes anew from the endpoints' current views. It costs a
// walk over them, tens of microseconds for 10,000, under swapping; the table's
// index is built by the next message.
func (s *Snapshot) route() {
	views := make([]*postern.EndpointView, len(s.endpoints))
	for i, e := range s.endpoints {
		views[i] = e.View()
	}
	s.Routes = route.New(views)
}

// sort puts what belongs to the application in the order of ids.
func (s *Snapshot) sort() {
	slices.SortFunc(s.endpoints, func(a, b *Entry) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(s.sources, func(a, b *postern.Source) int { return a.ID.Compare(b.ID) })
}

// cursor reads the id that a page goes on behind; nil for the start, false for
// what is no id, behind which there is nothing.
func cursor[ID any](after string, parse func(string) (ID, error)) (*ID, bool) {
	if after == "" {
		return nil, true
	}
	id, err := parse(after)
	return &id, err == nil
}

// raise lifts a counter to at least n.
func raise(counter *atomic.Uint32, n uint32) {
	for {
		last := counter.Load()
		if last >= n || counter.CompareAndSwap(last, n) {
			return
		}
	}
}
