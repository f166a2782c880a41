package embedded

import (
	"context"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern/store"
)

// reclaimer frees the disk of dropped days in the background. A later day's
// work takes over an earlier one's, whose range it covers.
type reclaimer struct {
	mu     sync.Mutex
	cancel context.CancelFunc
}

// begin ends what is under way and notes how to end what comes now.
func (r *reclaimer) begin(cancel context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
	r.cancel = cancel
}

func (r *reclaimer) stop() { r.begin(nil) }

// reclaim frees the space of all days up to one, on a goroutine that Close
// cuts short and waits for.
func (s *Store) reclaim(ctx context.Context, day store.Day) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the commit that dropped the day
	s.reclaimer.begin(cancel)
	if !s.gate.enter() {
		cancel()
		return
	}
	s.ending.Add(1)
	go func() {
		defer s.ending.Done()
		defer s.gate.leave()
		defer cancel()
		if err := s.exciseDays(ctx, day); err != nil && ctx.Err() == nil && s.failed() == nil {
			s.opts.Logger.Warn("a dropped day's space is not free yet, the next one's drop tries again", slog.Any("error", err))
		}
	}()
}

// exciseDays takes the tables of the days out of the database, and the ends of
// those that hold other days as well; nothing is read or written anew. What is
// still in memory is flushed before: an excision that meets it has commits wait
// for the flush. Compactions alone would not do: they remove tables unread only
// where these have sunk below the range deletion, and a day's worth may be still
// at its level, whose rewriting takes a minute and the one place for compactions.
func (s *Store) exciseDays(ctx context.Context, day store.Day) error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, kind := range dayKinds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		span := pebble.KeyRange{Start: []byte{kind}, End: appendDay([]byte{kind}, day+1)}
		if err := s.db.Excise(ctx, span); err != nil {
			return err
		}
	}
	return nil
}
