package catalogue

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// heldKey is a key as tokens find it. used is set by every look-up, so that it
// must cost nothing: it is read before it is written, and when the key was used
// is told from it later, by StoreKeyUse.
type heldKey struct {
	key  atomic.Pointer[postern.Key]
	used atomic.Bool
}

func hold(k *postern.Key) *heldKey {
	h := new(heldKey)
	h.key.Store(k)
	return h
}

// KeyByHash finds by SHA-256 of the token, which counts as a use of the key;
// nil for none. Expiry is the caller's to check.
func (c *Catalogue) KeyByHash(hash [32]byte) *postern.Key {
	h := c.keysByHash.get(hash)
	if h == nil {
		return nil
	}
	if !h.used.Load() {
		h.used.Store(true)
	}
	return h.key.Load()
}

// Key finds by id. The tokens of the portal's visitors are no keys that anybody
// asks for: they come and go by themselves.
func (c *Catalogue) Key(id postern.KeyID) (*postern.Key, error) {
	if k := c.keys.get(id); k != nil && k.Scope != postern.ScopePortal {
		return k, nil
	}
	return nil, postern.ErrNotFound
}

// Keys lists in the order of ids, without the tokens of the portal's visitors.
func (c *Catalogue) Keys(p postern.ListPage) ([]*postern.Key, bool) {
	after, ok := cursor(p.After, postern.ParseKeyID)
	if !ok {
		return nil, false
	}
	return c.keys.page(after, p, func(k *postern.Key) bool { return k.Scope != postern.ScopePortal })
}

// CreateKey fills in ID and CreatedAt; ErrConflict for a token in use,
// ErrNotFound for an application that does not exist.
func (c *Catalogue) CreateKey(ctx context.Context, k postern.Key) (*postern.Key, error) {
	if err := checkKey(&k); err != nil {
		return nil, err
	}
	return change(ctx, c, func(o *ownChange) (*postern.Key, error) {
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()
		o.locked()
		// Under changingKeys, which a deletion of the application takes as well:
		// no key of it is left behind.
		if k.Application != 0 && c.Snapshot(k.Application) == nil {
			return nil, postern.ErrNotFound
		}
		if c.keysByHash.get(k.Hash) != nil {
			return nil, &postern.Error{Kind: postern.Conflict, Detail: "A key of this token exists already"}
		}
		id, err := c.config.IDs.Next()
		if err != nil {
			return nil, err
		}
		record := k
		record.ID, record.CreatedAt = id, c.now()
		return &record, o.commit(ctx, []store.Change{{Put: &record}})
	})
}

// DeleteKey revokes a key: it is worth nothing once this returns.
func (c *Catalogue) DeleteKey(ctx context.Context, id postern.KeyID) error {
	return do(ctx, c, func(o *ownChange) error {
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()
		o.locked()
		k := c.keys.get(id)
		if k == nil {
			return postern.ErrNotFound
		}
		return o.commit(ctx, []store.Change{{Delete: k}})
	})
}

// keyBatch is how many keys one commit changes, so that none grows large.
const keyBatch = 512

// StoreKeyUse notes the moment as last use of all keys that were used since it
// was called before. Visitors of the portal are left out: nobody asks when they
// were there.
func (c *Catalogue) StoreKeyUse(ctx context.Context) error {
	return do(ctx, c, func(o *ownChange) error {
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()
		o.locked()
		now := c.now()
		used := c.selectKeys(func(k *postern.Key) bool { return k.Scope != postern.ScopePortal && k.Live(now) })
		used = slices.DeleteFunc(used, func(k *postern.Key) bool {
			h := c.keysByHash.get(k.Hash) // nil where another node just deleted it
			return h == nil || !h.used.Swap(false)
		})
		return o.replaceKeys(ctx, used, func(k *postern.Key) { k.LastUsedAt = now })
	})
}

// replaceKeys changes keys, some at a time. The caller holds changingKeys.
func (o *ownChange) replaceKeys(ctx context.Context, keys []*postern.Key, edit func(k *postern.Key)) error {
	return o.commitKeys(ctx, keys, func(k *postern.Key) store.Change {
		edited := *k
		edit(&edited)
		return store.Change{Put: &edited}
	})
}

// deleteKeys revokes keys, some at a time. The caller holds changingKeys.
func (o *ownChange) deleteKeys(ctx context.Context, keys []*postern.Key) error {
	return o.commitKeys(ctx, keys, func(k *postern.Key) store.Change { return store.Change{Delete: k} })
}

func (o *ownChange) commitKeys(ctx context.Context, keys []*postern.Key, change func(k *postern.Key) store.Change) error {
	for part := range slices.Chunk(keys, keyBatch) {
		changes := make([]store.Change, len(part))
		for i, k := range part {
			changes[i] = change(k)
		}
		if err := o.commit(ctx, changes); err != nil {
			return err
		}
	}
	return nil
}

// selectKeys returns keys in the order of ids.
func (c *Catalogue) selectKeys(wanted func(k *postern.Key) bool) []*postern.Key {
	keys, _ := c.keys.page(nil, postern.ListPage{Limit: noLimit}, wanted)
	return keys
}

// keysOf are the keys bound to an application.
func (c *Catalogue) keysOf(n postern.ApplicationNumber) []*postern.Key {
	return c.selectKeys(func(k *postern.Key) bool { return k.Application == n })
}
