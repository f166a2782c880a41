package catalogue

import (
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// KeyByHash finds by SHA-256 of the token; nil for none. Expiry is the
// caller's to check.
func (c *Catalogue) KeyByHash(hash [32]byte) *postern.Key { return c.keysByHash.get(hash) }

// Key finds by id.
func (c *Catalogue) Key(id postern.KeyID) (*postern.Key, error) {
	if k := c.keys.get(id); k != nil {
		return k, nil
	}
	return nil, postern.ErrNotFound
}

// Keys lists in the order of ids.
func (c *Catalogue) Keys(p postern.ListPage) ([]*postern.Key, bool) {
	after, ok := cursor(p.After, postern.ParseKeyID)
	if !ok {
		return nil, false
	}
	return c.keys.page(after, p, nil)
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
	c.keysByHash.put(k.Hash, &k)
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

// dropKey takes a deleted key out of memory.
func (c *Catalogue) dropKey(k *postern.Key) {
	c.keysByHash.remove(k.Hash)
	c.keys.remove(k.ID)
}
