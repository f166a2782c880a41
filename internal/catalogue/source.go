package catalogue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// tokenChars of 62 are 190 bits: nobody guesses a source's address.
const tokenChars = 32

// SourceByTokenHash finds the source that a request came in for by SHA-256 of
// its token; nil for none. A paused source is found.
func (c *Catalogue) SourceByTokenHash(hash [32]byte) *postern.Source { return c.sources.get(hash) }

// Source finds by id or uid in one application.
func (c *Catalogue) Source(app postern.ApplicationNumber, ref string) (*postern.Source, error) {
	s := c.Snapshot(app)
	if s == nil {
		return nil, postern.ErrNotFound
	}
	if strings.HasPrefix(ref, postern.SourceID{}.Prefix()) {
		if id, err := postern.ParseSourceID(ref); err == nil {
			if at, found := s.findSource(id); found {
				return s.sources[at], nil
			}
		}
		return nil, postern.ErrNotFound
	}
	if at := s.sourceOfUID(ref); at >= 0 {
		return s.sources[at], nil
	}
	return nil, postern.ErrNotFound
}

// Sources lists in the order of ids.
func (c *Catalogue) Sources(app postern.ApplicationNumber, p postern.ListPage) ([]*postern.Source, bool) {
	s := c.Snapshot(app)
	after, ok := cursor(p.After, postern.ParseSourceID)
	if s == nil || !ok {
		return nil, false
	}
	at, found := 0, false
	if after != nil {
		at, found = s.findSource(*after)
	}
	return window(len(s.sources), at, found, after != nil, p, func(i int) (*postern.Source, bool) {
		return s.sources[i], true
	})
}

// CreateSource fills in ID and times and makes the token, whose text is found
// by opening Token. Refusals are as CreateEndpoint's; what ValidateSource
// finds is returned as it is.
func (c *Catalogue) CreateSource(ctx context.Context, s postern.Source) (*postern.Source, error) {
	return change(ctx, c, func(o *ownChange) (*postern.Source, error) {
		place, old, err := o.lock(s.Application)
		if err != nil {
			return nil, err
		}
		defer place.changing.Unlock()
		record := cloneSource(&s)
		if err := c.completeSource(record); err != nil {
			return nil, err
		}
		if err := c.sealSettings(record); err != nil {
			return nil, err
		}
		if err := c.checkSource(record, old); err != nil {
			return nil, err
		}
		return record, o.commit(ctx, []store.Change{{Put: record}, {Put: old.next()}})
	})
}

// UpdateSource hands fn a copy, checks it and stores it. ID, Application,
// Token, TokenHash and CreatedAt stay whatever fn does: the address is in the
// provider's settings, where nobody would think of changing it. A request that
// came before still runs on the old record.
func (c *Catalogue) UpdateSource(ctx context.Context, app postern.ApplicationNumber, id postern.SourceID, fn func(*postern.Source) error) (*postern.Source, error) {
	return change(ctx, c, func(o *ownChange) (*postern.Source, error) {
		place, old, err := o.lock(app)
		if err != nil {
			return nil, err
		}
		defer place.changing.Unlock()
		at, found := old.findSource(id)
		if !found {
			return nil, postern.ErrNotFound
		}
		before := old.sources[at]
		edited := cloneSource(before)
		if err := fn(edited); err != nil {
			return nil, err
		}
		record := cloneSource(edited)
		record.ID, record.Application = before.ID, before.Application
		record.Token, record.TokenHash = before.Token, before.TokenHash
		record.CreatedAt, record.UpdatedAt = before.CreatedAt, c.now()
		if err := c.sealSettings(record); err != nil {
			return nil, err
		}
		if err := c.checkSource(record, old); err != nil {
			return nil, err
		}
		return record, o.commit(ctx, []store.Change{{Put: record}, {Put: old.next()}})
	})
}

// DeleteSource deletes a source; its address leads nowhere from then on.
func (c *Catalogue) DeleteSource(ctx context.Context, app postern.ApplicationNumber, id postern.SourceID) error {
	return do(ctx, c, func(o *ownChange) error {
		place, old, err := o.lock(app)
		if err != nil {
			return err
		}
		defer place.changing.Unlock()
		at, found := old.findSource(id)
		if !found {
			return postern.ErrNotFound
		}
		return o.commit(ctx, []store.Change{{Delete: old.sources[at]}, {Put: old.next()}})
	})
}

// completeSource gives a new source what its owner does not choose.
func (c *Catalogue) completeSource(s *postern.Source) error {
	id, err := c.config.IDs.Next()
	if err != nil {
		return err
	}
	s.ID = id
	s.CreatedAt = c.now()
	s.UpdatedAt = s.CreatedAt
	token := newToken()
	s.TokenHash = sha256.Sum256(token)
	s.Token, err = c.seal(token)
	return err
}

// checkSource reports what is wrong with a record among its application's
// sources. Its secrets are opened, because a provider may want them in a form
// of its own.
func (c *Catalogue) checkSource(s *postern.Source, in *Snapshot) error {
	settings, err := c.openSettings(s)
	if err != nil {
		return err
	}
	open := *s
	open.Config = settings
	if err := checkSourceFields(&open); err != nil {
		return err
	}
	if s.UID != "" {
		if at := in.sourceOfUID(s.UID); at >= 0 && in.sources[at].ID != s.ID {
			return uidInUse(s.UID)
		}
	}
	secrets := make([][]byte, len(s.Secrets))
	for i, sealed := range s.Secrets {
		plain, err := c.config.Secrets.Open(sealed)
		if err != nil {
			return fmt.Errorf("open a secret of source %s: %w", s.ID, err)
		}
		secrets[i] = plain
	}
	return c.config.ValidateSource(&open, secrets)
}

// findSource is where a source of this id is, or would be.
func (s *Snapshot) findSource(id postern.SourceID) (int, bool) {
	return slices.BinarySearchFunc(s.sources, id, func(s *postern.Source, id postern.SourceID) int { return s.ID.Compare(id) })
}

// sourceOfUID is where the source of a uid is, -1 for none. An application has
// few sources, and this is not asked for requests.
func (s *Snapshot) sourceOfUID(uid string) int {
	return slices.IndexFunc(s.sources, func(s *postern.Source) bool { return uid != "" && s.UID == uid })
}

// newToken makes 32 letters and digits, each equally likely.
func newToken() []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	token := make([]byte, 0, tokenChars)
	var random [2 * tokenChars]byte
	for len(token) < tokenChars {
		rand.Read(random[:])
		for _, b := range random {
			// 248 is the largest multiple of 62 in a byte.
			if b < 248 && len(token) < tokenChars {
				token = append(token, digits[b%62])
			}
		}
	}
	return token
}
