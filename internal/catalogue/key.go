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
	c.changingKeys.Lock()
	defer c.changingKeys.Unlock()
	if err := checkKey(&k); err != nil {
		return nil, err
	}
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
	k.ID, k.CreatedAt = id, c.now()
	if err := c.commit(ctx, []store.Change{{Put: &k}}); err != nil {
		return nil, err
	}
	c.keys.put(k.ID, &k)
	c.keysByHash.put(k.Hash, hold(&k))
	return &k, nil
}

// DeleteKey revokes a key: it is worth nothing once this returns.
func (c *Catalogue) DeleteKey(ctx context.Context, id postern.KeyID) error {
	c.changingKeys.Lock()
	defer c.changingKeys.Unlock()
	k := c.keys.get(id)
	if k == nil {
		return postern.ErrNotFound
	}
	if err := c.commit(ctx, []store.Change{{Delete: k}}); err != nil {
		return err
	}
	c.dropKey(k)
	return nil
}

// keyBatch is how many keys one commit changes, so that none grows large.
const keyBatch = 512

// StoreKeyUse notes the moment as last use of all keys that were used since it
// was called before. Visitors of the portal are left out: nobody asks when they
// were there.
func (c *Catalogue) StoreKeyUse(ctx context.Context) error {
	c.changingKeys.Lock()
	defer c.changingKeys.Unlock()
	now := c.now()
	keys, _ := c.keys.page(nil, postern.ListPage{Limit: noLimit}, func(k *postern.Key) bool {
		return k.Scope != postern.ScopePortal && k.Live(now)
	})
	used := slices.DeleteFunc(keys, func(k *postern.Key) bool { return !c.keysByHash.get(k.Hash).used.Swap(false) })
	return c.replaceKeys(ctx, used, func(k *postern.Key) { k.LastUsedAt = now })
}

// replaceKeys changes keys, some at a time. The caller holds changingKeys.
func (c *Catalogue) replaceKeys(ctx context.Context, keys []*postern.Key, change func(k *postern.Key)) error {
	for part := range slices.Chunk(keys, keyBatch) {
		changes := make([]store.Change, len(part))
		for i, k := range part {
			changed := *k
			change(&changed)
			part[i], changes[i] = &changed, store.Change{Put: &changed}
		}
		if err := c.commit(ctx, changes); err != nil {
			return err
		}
		for _, k := range part {
			c.keys.put(k.ID, k)
			c.keysByHash.get(k.Hash).key.Store(k)
		}
	}
	return nil
}

// deleteKeys revokes keys, some at a time. The caller holds changingKeys.
func (c *Catalogue) deleteKeys(ctx context.Context, keys []*postern.Key) error {
	for part := range slices.Chunk(keys, keyBatch) {
		changes := make([]store.Change, len(part))
		for i, k := range part {
			changes[i] = store.Change{Delete: k}
		}
		if err := c.commit(ctx, changes); err != nil {
			return err
		}
		for _, k := range part {
			c.dropKey(k)
		}
	}
	return nil
}

// dropKey takes a deleted key out of memory.
func (c *Catalogue) dropKey(k *postern.Key) {
	c.keysByHash.remove(k.Hash)
	c.keys.remove(k.ID)
}
