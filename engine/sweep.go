package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/store"
)

// sweeper drops what is older than it is kept: whole days of history, one at a
// time, the refusals of sources that refuse no more, and the tokens of visitors
// that have expired.
type sweeper struct {
	engine *Engine
	// dropped is when a day was last dropped; the zero time if never.
	dropped time.Time
	// ahead is how far the wall clock was when that was last told.
	ahead time.Duration
}

// start sweeps now and then until the returned function is called, which waits
// for a sweep under way.
func (s *sweeper) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // ends with ctx, by stop alone
		defer close(done)
		timer := time.NewTimer(sweep.First)
		defer timer.Stop()
		uses := time.NewTicker(storeKeyUse)
		defer uses.Stop()
		for {
			select {
			case <-timer.C:
			case <-uses.C:
				s.storeKeyUse(ctx)
				continue
			case <-ctx.Done():
				return
			}
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.engine.cfg.Log.Error("retention failed", "error", err)
			}
			timer.Reset(sweep.Every)
		}
	}()
	return func() {
		cancel(errStopping)
		<-done
		last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancelLast()
		s.storeKeyUse(last)
	}
}

func (s *sweeper) sweep(ctx context.Context) error {
	s.watchClock()
	if !s.engine.nodes.leads() {
		return nil // another node does it for all
	}
	return errors.Join(s.dropDay(ctx), s.dropRefusals(ctx), s.engine.catalogue.DropVisitors(ctx), s.engine.cfg.Store.Purge(ctx))
}

// storeKeyUse is how often the last uses of keys are stored, which is how exact
// they are.
const storeKeyUse = 5 * time.Minute

// storeKeyUse writes nothing where no key was used. What fails is tried again
// with the next use: nothing depends on it.
func (s *sweeper) storeKeyUse(ctx context.Context) {
	if err := s.engine.catalogue.StoreKeyUse(ctx); err != nil && ctx.Err() == nil {
		s.engine.cfg.Log.Warn("the last use of keys is not stored", "error", err)
	}
}

// watchClock tells when things begin to be kept for longer than they should,
// because the wall clock was set, or the machine slept.
func (s *sweeper) watchClock() {
	ahead := s.engine.clock.Ahead()
	if ahead-s.ahead >= time.Hour {
		s.engine.cfg.Log.Warn("the clock leapt: until the next start nothing is taken to be as old as it says", "ahead", ahead)
	}
	s.ahead = ahead
}

// dropDay drops at most one day.
func (s *sweeper) dropDay(ctx context.Context) error {
	e, now := s.engine, s.engine.clock.Now()
	oldest, any, err := e.cfg.Store.OldestDay(ctx)
	if err != nil || !any {
		return err
	}
	head, err := e.cfg.Store.Head(ctx) // of all nodes, as far as time goes
	if err != nil {
		return err
	}
	if head.Dropped.After(s.dropped) {
		s.dropped = head.Dropped
	}
	if !sweep.Due(s.dropped, now) || !sweep.Expired(oldest, head.Newest, now, e.cfg.Retention) {
		return nil
	}
	e.cfg.Log.Info("retention drops a day", "day", oldest.Start().Format(time.DateOnly))
	err = e.shards.main.dispatcher.Expire(ctx, oldest, func(ctx context.Context) error {
		return e.store(ctx, 0, func(b *store.Batch) {
			b.DropDay, b.Head.Dropped = oldest, now.UTC().Truncate(time.Millisecond)
		})
	})
	if err == nil {
		s.dropped = now
	}
	return err
}

// dropRefusals drops those that are too old of every source. New ones push old
// ones out by themselves.
func (s *sweeper) dropRefusals(ctx context.Context) error {
	c := s.engine.catalogue
	for page := (postern.ListPage{Limit: sweepPage}); ; {
		apps, more := c.Applications(page)
		for _, app := range apps {
			if err := s.dropRefusalsOf(ctx, app.Number); err != nil {
				return err
			}
			page.After = app.ID.String()
		}
		if !more || len(apps) == 0 {
			return nil
		}
	}
}

// sweepPage is how many of the catalogue are looked at at a time.
const sweepPage = 100

func (s *sweeper) dropRefusalsOf(ctx context.Context, app postern.ApplicationNumber) error {
	for page := (postern.ListPage{Limit: sweepPage}); ; {
		sources, more := s.engine.catalogue.Sources(app, page)
		for _, source := range sources {
			if err := s.dropExpired(ctx, source.ID); err != nil {
				return fmt.Errorf("refusals of %s: %w", source.ID, err)
			}
			page.After = source.ID.String()
		}
		if !more || len(sources) == 0 {
			return nil
		}
	}
}

// dropExpired drops the refusals of one source, some hundreds in a batch.
func (s *sweeper) dropExpired(ctx context.Context, source postern.SourceID) error {
	for {
		old, err := s.engine.refusals.Expired(ctx, source)
		if err != nil || len(old) == 0 {
			return err
		}
		err = s.engine.store(ctx, 0, func(b *store.Batch) { b.DropRefusals = append(b.DropRefusals, old...) })
		if err != nil {
			return err
		}
	}
}
