package engine

import (
	"context"
	"time"

	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/store"
)

// sweeper drops whole days of history once they are older than retention.
type sweeper struct{ engine *Engine }

// start sweeps now and then until the returned function is called, which waits
// for a sweep under way.
func (s *sweeper) start(ctx context.Context) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	clocks := sweep.NewClocks(s.engine.cfg.Now)
	go func() { // ends when quit is closed, by stop alone
		defer close(done)
		ticker := time.NewTicker(sweep.Every)
		defer ticker.Stop()
		for {
			if err := s.sweep(ctx, clocks); err != nil {
				s.engine.cfg.Log.Error("retention failed", "error", err)
			}
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// sweep drops at most one day.
func (s *sweeper) sweep(ctx context.Context, clocks *sweep.Clocks) error {
	e := s.engine
	oldest, any, err := e.cfg.Store.OldestDay(ctx)
	if err != nil || !any {
		return err
	}
	newest := time.UnixMilli(e.newest.Load()) // of a store without messages long ago
	if !clocks.Agree() || !sweep.Expired(oldest, newest, e.cfg.Now(), e.cfg.Retention) {
		return nil
	}
	e.cfg.Log.Info("retention drops a day", "day", oldest.Start().Format(time.DateOnly))
	return e.store(ctx, 0, func(b *store.Batch) { b.DropDay = oldest }, nil)
}
