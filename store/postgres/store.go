// Package postgres keeps a store in PostgreSQL, version 13 or later, where a
// team's backups and SQL are.
//
// A batch is one statement, which writes nothing unless the journal's epoch is
// still this store's own: whoever takes the journal over raises the epoch, and
// thereby waits for the batch under way and shuts out every later one. What
// PostgreSQL shows is durable, so that readers need no snapshot of their own.
// History lies in partitions by the message's day, and a day is dropped as a
// table; migrations/ has the layout.
//
// A store outlives outages of its database: Commit keeps its batch until the
// database is back, and a batch whose fate is unknown is settled by the epoch
// before anything else is written.
package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Options of a store. The zero value is right for one node.
type Options struct {
	// Logger gets what the operator should know; nil for slog.Default.
	Logger *slog.Logger
	// Now is the wall clock; nil for time.Now.
	Now func() time.Time
	// DedupeWindow is how long idempotency and source records are kept at
	// least; 0 for 24 hours.
	DedupeWindow time.Duration
	// Journal is whose batches this store writes.
	Journal uint16
	// Node names the process in the journal's lease; "" for "postern".
	Node string
	// ListenURL is a direct connection to the same database, for what a pooler
	// between takes away; "" where the store's own is one.
	ListenURL string
	// NoMigrate has Open refuse a database that lacks migrations, in place of
	// applying them.
	NoMigrate bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.DedupeWindow <= 0 {
		o.DedupeWindow = 24 * time.Hour
	}
	if o.Node == "" {
		o.Node = "postern"
	}
	return o
}

// Store is an open database. It is safe for concurrent use, but for Commit,
// which has one caller.
type Store struct {
	opts    Options
	address *address
	// reads serves everything but Commit.
	reads *pgxpool.Pool

	// day is the last one that was dropped, and deleted the applications that
	// were: their history may still be there, and is not to be read.
	day     atomic.Uint32
	deleted sync.Map // of postern.ApplicationNumber

	// fault is why the store failed for good, nil while it has not; down is
	// closed once it is set.
	fault   atomic.Pointer[error]
	down    chan struct{}
	closing chan struct{}
	closed  sync.Once
}

// Open connects to a database by its address, postgres://..., brings its tables
// up to date and takes the journal. Its errors are of kind Invalid for a wrong
// address, Unavailable for a database that cannot be reached, and Conflict for
// one that a newer version wrote.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	o = o.withDefaults()
	a, err := parseAddress(url)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, url, o.NoMigrate); err != nil {
		return nil, err
	}
	s := &Store{opts: o, address: a, down: make(chan struct{}), closing: make(chan struct{})}
	if s.reads, err = a.pool(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin reads what is dropped and deleted.
func (s *Store) begin(ctx context.Context) error {
	return s.loadGone(ctx)
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.reads.Close()
	})
	return nil
}

// Failed implements store.Maintenance.
func (s *Store) Failed() <-chan struct{} { return s.down }

// failed is why the store takes no batches any more; nil while it does.
func (s *Store) failed() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends writing for good. The first reason stays.
func (s *Store) fail(err error) {
	if s.fault.CompareAndSwap(nil, &err) {
		close(s.down)
	}
}

// dropped is the last day whose history is gone, also where its tables are
// still there: every read of history is of days after it.
func (s *Store) dropped() store.Day { return store.Day(s.day.Load()) }

// gone reports that an application was deleted: it has no history, whatever of
// it is not yet erased.
func (s *Store) gone(app postern.ApplicationNumber) bool {
	_, ok := s.deleted.Load(app)
	return ok
}
