package catalogue

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// mostTries bounds how often a change is made that finds the catalogue moved.
const mostTries = 20

// ownChange is one of this node's changes, from before it looks at the memory
// until readers see it.
//
// Others' changes may be shown meanwhile. The store refuses what was made
// without knowing them, so that those that come while a change is under way and
// do not stop it were made after it was stored, by somebody who knew it: what
// they touch is newer. Only of a key's last use, which is noted without asking,
// memory may then have the older.
type ownChange struct {
	catalogue *Catalogue
	// version is what was known at least when the change was made, and overtaken
	// are the identities of records that others' changes touched since then. Both
	// are guarded by underWay.
	version   uint64
	overtaken map[any]struct{}
}

// underWay knows what is going on at once. Its lock is held for a few
// instructions and nothing is called under it.
type underWay struct {
	mu  sync.Mutex
	own map[*ownChange]struct{}
	// readings of others' changes have what this node stored of keys and health
	// since they began: what was read of the same may be older or newer.
	readings map[*reading]struct{}
}

// reading is one of others' changes.
type reading struct {
	// ours are the identities of what this node stored meanwhile.
	ours map[any]struct{}
	// outdated: another reading was shown meanwhile, so that this one may hold
	// what is not the newest any more, even of what this node knew and changed.
	outdated bool
}

// change makes one of this node's changes: fn looks at the memory, checks, and
// commits. One that finds the catalogue moved is made again, after others'
// changes were taken over. fn holds locks only until it returns.
func change[T any](ctx context.Context, c *Catalogue, fn func(o *ownChange) (T, error)) (T, error) {
	for tries := 1; ; tries++ {
		o := c.begin()
		made, err := fn(o)
		c.end(o)
		if err == nil {
			return made, nil
		}
		if tries < mostTries && c.config.Refresh != nil && moved(err) {
			if err = c.config.Refresh(ctx); err == nil {
				continue
			}
		}
		var none T
		return none, err
	}
}

// do is change for what returns nothing.
func do(ctx context.Context, c *Catalogue, fn func(o *ownChange) error) error {
	_, err := change(ctx, c, func(o *ownChange) (struct{}, error) { return struct{}{}, fn(o) })
	return err
}

// commit makes changes durable and shows them; nothing of them may be shown
// before. A caller that is gone already is refused. From then on its going away
// is not heard: an answer that nobody waited for would leave it open whether the
// store has the change (promise 4).
func (o *ownChange) commit(ctx context.Context, changes []store.Change, health ...store.HealthChange) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := o.catalogue
	if err := c.config.Committer.CommitChanges(context.WithoutCancel(ctx), changes, health); err != nil {
		return err
	}
	c.showOwn(o, changes)
	return nil
}

func (c *Catalogue) begin() *ownChange {
	c.underWay.mu.Lock()
	defer c.underWay.mu.Unlock()
	o := &ownChange{catalogue: c, version: c.version.Load()}
	c.underWay.own[o] = struct{}{}
	return o
}

// locked is called with the locks that the change needs, before it looks at the
// memory: what came while it waited it will see, and has not been overtaken by.
func (o *ownChange) locked() {
	c := o.catalogue
	c.underWay.mu.Lock()
	defer c.underWay.mu.Unlock()
	o.version, o.overtaken = c.version.Load(), nil
}

func (c *Catalogue) end(o *ownChange) {
	c.underWay.mu.Lock()
	defer c.underWay.mu.Unlock()
	delete(c.underWay.own, o)
}

// Basis is the version by which the oldest of this node's changes that are
// under way was made, Version where there is none. Read while a batch is built,
// it is not above that of any change in it.
func (c *Catalogue) Basis() uint64 {
	c.underWay.mu.Lock()
	defer c.underWay.mu.Unlock()
	basis := c.version.Load()
	for o := range c.underWay.own {
		basis = min(basis, o.version)
	}
	return basis
}

// overtake notes that others changed a record.
func (u *underWay) overtake(identity any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for o := range u.own {
		if o.overtaken == nil {
			o.overtaken = make(map[any]struct{})
		}
		o.overtaken[identity] = struct{}{}
	}
}

// overtook reports whether a record that the change is about is newer by now.
func (u *underWay) overtook(o *ownChange, identity any) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, newer := o.overtaken[identity]
	return newer
}

// stored notes that this node stored a key or an endpoint's health.
func (u *underWay) stored(identity any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for r := range u.readings {
		r.ours[identity] = struct{}{}
	}
}

func (u *underWay) beginReading() *reading {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &reading{ours: make(map[any]struct{})}
	u.readings[r] = struct{}{}
	return r
}

// has reports whether this node stored a record meanwhile. Who asks holds showing
// for keys and settling for health, so that none is stored now.
func (r *reading) has(identity any) bool {
	_, ours := r.ours[identity]
	return ours
}

// touched reports whether any of the changes is about what this node stored.
func (r *reading) touched(changes []any) bool {
	return slices.ContainsFunc(changes, func(change any) bool {
		if h, is := change.(store.HealthChange); is {
			return r.has(healthOf(h.Endpoint))
		}
		return r.has(identify(recordOf(change.(store.Change))))
	})
}

func (u *underWay) endReading(r *reading) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.readings, r)
}

// outdate ends all readings for whom one is shown now.
func (u *underWay) outdate() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for r := range u.readings {
		r.outdated = true
	}
	clear(u.readings)
}

// healthOf is the identity of an endpoint's health.
type healthOf postern.EndpointNumber

// identify returns what a record is known by, over nodes and for good.
func identify(record any) any {
	switch r := record.(type) {
	case *postern.Application:
		return r.Number
	case *postern.Endpoint:
		return r.Number
	case *postern.Source:
		return r.ID
	case *postern.EventType:
		return r.Name
	case *postern.Key:
		return r.ID
	default:
		return nil
	}
}

// recordOf is what a change is about.
func recordOf(change store.Change) any {
	if change.Put != nil {
		return change.Put
	}
	return change.Delete
}

func moved(err error) bool {
	known, ok := errors.AsType[*postern.Error](err)
	return ok && known.Code == store.CodeMoved
}
