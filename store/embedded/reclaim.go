package embedded

import (
	"context"
	"log/slog"
	"sync"
	"time"

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
// cuts short and waits for. Writing out the range deletions lets the database
// remove, unread, the tables that hold nothing else; some seconds later what
// is left, tables that hold other days as well, is written anew, so that what
// was dropped is gone from the disk.
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
		if err := s.compactDays(ctx, day); err != nil && ctx.Err() == nil && s.failed() == nil {
			s.opts.Logger.Warn("a dropped day's space is not free yet, the next one's drop tries again", slog.Any("error", err))
		}
	}()
}

func (s *Store) compactDays(ctx context.Context, day store.Day) error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	settled := time.NewTimer(s.opts.compactAfter)
	defer settled.Stop()
	select {
	case <-flushed:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-settled.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, kind := range dayKinds {
		if err := s.db.Compact(ctx, []byte{kind}, appendDay([]byte{kind}, day+1), false); err != nil {
			return err
		}
	}
	return nil
}
