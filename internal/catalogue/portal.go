package catalogue

import (
	"context"
	"slices"
	"time"

	"github.com/postern-dev/postern"
)

// Tokens of the portal's visitors are keys that end by themselves. Opening the
// portal makes one, so that there are as many as visitors in a week.

// ExpireVisitors ends the tokens of an application's visitors at a moment, or
// at once when that has come; those of some sessions only, where any are named.
// It makes no token last longer.
func (c *Catalogue) ExpireVisitors(ctx context.Context, app postern.ApplicationNumber, sessions []string, at time.Time) error {
	return do(ctx, c, func(o *ownChange) error {
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()
		o.locked()
		keys := c.selectKeys(func(k *postern.Key) bool {
			return k.Scope == postern.ScopePortal && k.Application == app && k.Live(at) &&
				(len(sessions) == 0 || slices.Contains(sessions, k.Portal.Session))
		})
		if !at.After(c.now()) {
			return o.deleteKeys(ctx, keys)
		}
		return o.replaceKeys(ctx, keys, func(k *postern.Key) { k.ExpiresAt = at })
	})
}

// DropVisitors deletes the tokens of visitors that have expired.
func (c *Catalogue) DropVisitors(ctx context.Context) error {
	return do(ctx, c, func(o *ownChange) error {
		c.changingKeys.Lock()
		defer c.changingKeys.Unlock()
		o.locked()
		now := c.now()
		return o.deleteKeys(ctx, c.selectKeys(func(k *postern.Key) bool {
			return k.Scope == postern.ScopePortal && !k.Live(now)
		}))
	})
}
