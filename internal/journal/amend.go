package journal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Amender is a Part that can be made right in a batch that the store refused.
// Where the catalogue has moved, that is known by then: b.Version is the version
// that the batch will be stored by.
type Amender interface {
	Part
	// Amend changes what Build added. With an error it has taken all of that out,
	// and Done is called with the error, at once. It must not block.
	Amend(b *store.Batch, why *store.Amend) error
}

// errMoved is what becomes of Change parts.
var errMoved = &postern.Error{Kind: postern.Unavailable, Code: store.CodeMoved, Detail: "another node has changed the catalogue at the same time: try again"}

// span is how much of a batch's lists Change parts made, who are the first to.
type span struct{ changes, health int }

const (
	// patientAfter is how many refusals of one batch are ordinary. From then on
	// there is a growing pause before the next, and manyRefusals are told.
	patientAfter, manyRefusals = 3, 10
	firstPause, maxPause       = 5 * time.Millisecond, time.Second
)

// write commits the batch, amended as often as other nodes were faster.
func (c *Committer) write(ctx context.Context, b *store.Batch) error {
	pause := firstPause
	for refusals := 1; ; refusals++ {
		err := c.cfg.Store.Commit(ctx, b)
		why, refused := errors.AsType[*store.Amend](err)
		if !refused {
			return err
		}
		if refusals == manyRefusals {
			c.cfg.Log.Warn("a batch is refused again and again, for what other nodes store meanwhile", "refusals", refusals, "last", why)
		}
		if refusals > patientAfter {
			if err := wait(ctx, &pause); err != nil {
				return err
			}
		}
		if err := c.amend(ctx, b, why); err != nil {
			return err
		}
	}
}

// amend makes a refused batch right.
func (c *Committer) amend(ctx context.Context, b *store.Batch, why *store.Amend) error {
	c.cfg.Cover.Reopen(c.head.Next)
	if why.Stale {
		if err := c.catchUp(ctx, b); err != nil {
			return err
		}
	}
	c.leave(func(e entry) error {
		if p, ok := e.part.(Amender); ok {
			return p.Amend(b, why)
		}
		return nil
	})
	c.cfg.Cover.Close(b)
	return nil
}

// catchUp takes the changes of the catalogue out, which were made by an old one,
// and has it refreshed. Who waits for a change is told before, and no other is
// queued until afterwards: they hold what refreshing may wait for.
func (c *Committer) catchUp(ctx context.Context, b *store.Batch) error {
	b.Changes = slices.Delete(b.Changes, 0, c.built.changes)
	b.Health = slices.Delete(b.Health, 0, c.built.health)
	c.built = span{}
	c.leave(func(e entry) error {
		if e.class == Change {
			return errMoved
		}
		return nil
	})
	for _, e := range c.refuseChanges() {
		e.part.Done(errMoved)
	}
	defer c.admitChanges()
	for pause := firstPause; c.cfg.Refresh(ctx) != nil; {
		if err := wait(ctx, &pause); err != nil {
			return err
		}
	}
	b.Version = c.cfg.Version()
	return nil
}

// leave takes those parts out of the batch that refuse gives an error for, and
// tells them.
func (c *Committer) leave(refuse func(e entry) error) {
	kept := c.taken[:0]
	for _, e := range c.taken {
		if err := refuse(e); err != nil {
			c.counts[e.class]--
			e.part.Done(err)
			continue
		}
		kept = append(kept, e)
	}
	clear(c.taken[len(kept):])
	c.taken = kept
}

// refuseChanges takes the Change parts out of the queue, and has Enqueue refuse
// others until admitChanges.
func (c *Committer) refuseChanges() []entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = true
	queued := c.queues[Change]
	c.queues[Change] = nil
	return queued
}

func (c *Committer) admitChanges() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = false
}

// wait sleeps, longer each time; with an error when ctx ends first.
func wait(ctx context.Context, pause *time.Duration) error {
	timer := time.NewTimer(*pause)
	defer timer.Stop()
	*pause = min(2**pause, maxPause)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
