package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
)

var errClosed = &postern.Error{Kind: postern.Internal, Detail: "the store is closed"}

// fail ends the store for good. It may be called from inside the database,
// with its locks held, and so leaves the closing to a goroutine, which Close
// waits for.
func (s *Store) fail(cause error) {
	var err error = &postern.Error{Kind: postern.Internal, Detail: "the store has failed and takes no more batches", Err: cause}
	// Frozen, the database's work under way comes to an end, also a flush that
	// a commit is waiting for. It comes first: whoever fails second is told of
	// success, and must not go on and remove what the disk still needs.
	s.guard.frozen.Store(true)
	if !s.fault.CompareAndSwap(nil, &err) {
		return
	}
	close(s.down)
	if !s.opened.Load() {
		return // Open looks at the fault and closes
	}
	s.ending.Add(1)
	go func() {
		defer s.ending.Done()
		if closing := s.shut(); closing != nil {
			s.opts.Logger.Warn("closing the failed store", slog.Any("error", closing))
		}
		s.opts.OnFatal(err)
	}()
}

// Failed implements store.Maintenance.
func (s *Store) Failed() <-chan struct{} { return s.down }

// failed is why the store takes no more batches; nil while it does.
func (s *Store) failed() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// enter begins a call; leave on the gate ends it.
func (s *Store) enter() error {
	if err := s.failed(); err != nil {
		return err
	}
	if !s.gate.enter() {
		if err := s.failed(); err != nil {
			return err
		}
		return errClosed
	}
	return nil
}

// backgroundError hears of a flush or compaction that failed and will be tried
// again at once, for ever; that ends the store. A full disk has been given the
// ballast by then, and that was not enough.
func (s *Store) backgroundError(err error) {
	if !errors.Is(err, pebble.ErrCancelledCompaction) {
		s.fail(fmt.Errorf("background work: %w", err))
	}
}

// diskFull hears of a write that found no space, before it is tried once more.
func (s *Store) diskFull() {
	if s.disk != nil && s.disk.giveBack() { // nil while the folder is being locked
		s.opts.Logger.Warn("the disk is full: the reserve was given back", slog.String("dir", s.dir))
	}
}

// logger hands the database's errors on and keeps its chatter for debugging.
type logger struct{ s *Store }

var _ pebble.Logger = logger{}

func (l logger) Infof(format string, args ...any) {
	if l.s.opts.Logger.Enabled(context.Background(), slog.LevelDebug) {
		l.s.opts.Logger.Debug("database", slog.String("text", fmt.Sprintf(format, args...)))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.s.opts.Logger.Error("database", slog.String("error", fmt.Sprintf(format, args...)))
}

// Fatalf must not end the process. When it returns, the database reports
// success for what has failed, which is why Commit asks for the fault first.
func (l logger) Fatalf(format string, args ...any) { l.s.fail(fmt.Errorf(format, args...)) }
