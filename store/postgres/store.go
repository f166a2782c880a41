// Package postgres keeps a store in PostgreSQL, version 14 or later, where a
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

	"github.com/jackc/pgx/v5"

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
	// Fixed has Open take the journal with the number Journal and no other, and fail
	// with kind Conflict where somebody has it. Otherwise it is one that is free, or
	// a new one; with ReadOnly the first that is in use.
	Fixed   bool
	Journal uint16
	// Node names the process in the journal's lease; "" for "postern".
	Node string
	// Reclaim has Open take the journal that a node of the same name had, at once,
	// though its lease may still run. It is for names that only one process bears
	// at a time: another one that still runs writes nothing any more.
	Reclaim bool
	// ListenURL is a direct connection to the same database, for what a pooler of
	// transactions takes away: a table that leaves its parent, and VACUUM, with
	// settings of their own. "" where the store's own is direct.
	ListenURL string
	// ReadOnly has Open take no journal and change nothing, not even by migrations;
	// Commit and Import are refused with kind Conflict. Whoever holds the journal
	// goes on: what is written meanwhile is seen or not.
	ReadOnly bool
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
	store.Sole
	opts    Options
	address *address
	// listen is that of Options.ListenURL, nil for none.
	listen *address
	// reads serves everything but Commit.
	reads pool

	// writer is Commit's, head what its last batch left behind, hold the right to
	// write one, and outage the time while the database takes none.
	writer writer
	head   atomic.Pointer[store.Head]
	hold   hold
	outage outage
	// moving is where a move into the store stands; nil for none.
	moving atomic.Pointer[store.Progress]

	// node and known are shared with the stores of adopted journals; main is whose
	// connections they use, nil for the store that was opened.
	node *node
	*known
	main *Store

	// began is when the store was opened, mono the same by the monotonic clock.
	began, mono time.Time
	// fault is why the store failed for good, nil while it has not; down is
	// closed once it is set, closing by Close, and work is sent to by wake.
	fault         atomic.Pointer[error]
	down, closing chan struct{}
	work          chan struct{}
	closed        sync.Once
	// stop ends what goes on in the background, and tending is done when it has.
	stop    context.CancelFunc
	tending sync.WaitGroup
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
	line := &lineage{}
	if !o.ReadOnly {
		a.primary(line)
	}
	var listen *address
	if o.ListenURL != "" {
		if listen, err = parseAddress(o.ListenURL); err != nil {
			return nil, err
		}
		listen.primary(line)
	}
	if err := prepare(ctx, url, o.NoMigrate || o.ReadOnly); err != nil {
		return nil, err
	}
	s := newStore(o, a, newNode(o.Now), &known{})
	s.listen = listen
	if s.reads, err = a.open(ctx); err != nil {
		return nil, err
	}
	if s.node.control, err = a.few(ctx, controlConns); err != nil {
		s.reads.Close()
		return nil, err
	}
	if s.node.alone, err = a.few(ctx, aloneConns); err != nil {
		s.node.control.Close()
		s.reads.Close()
		return nil, err
	}
	line.tell(s.follow)
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(s.unread(err), s.Close()) //nolint:contextcheck // closing is bounded by itself
	}
	return s, nil
}

// newStore is a store without a journal or connections.
func newStore(o Options, a *address, n *node, k *known) *Store {
	s := &Store{
		opts: o, address: a, node: n, known: k, stop: func() {},
		down: make(chan struct{}), closing: make(chan struct{}), work: make(chan struct{}, 1),
	}
	s.hold.again = make(chan struct{}, 1)
	s.writer.args = newArguments()
	s.writer.statement = s.writer.args.statement()
	return s
}

// errReadOnly is what a store answers that was opened to be read.
var errReadOnly = &postern.Error{Kind: postern.Conflict, Detail: "the store was opened to be read only"}

// begin takes a journal and reads what its last holder left behind.
func (s *Store) begin(ctx context.Context) error {
	if s.opts.ReadOnly {
		return errors.Join(s.look(ctx), s.load(ctx))
	}
	var err error
	if s.writer.conn, err = s.address.connect(ctx); err != nil {
		return err
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	s.began, s.mono = s.Now().Round(0), time.Now()
	if err := s.load(ctx); err != nil {
		return err
	}
	// A table that somebody holds for long, to analyze it or for an index, is no
	// reason not to start: what is missing is made when it is needed.
	if err := s.prepareDays(ctx); err != nil && code(err) != lockTimeout {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.tending.Go(func() { s.beat(background) })
	s.tending.Go(func() { s.tend(background) })
	s.tending.Go(func() { s.tick(background) })
	s.tending.Go(func() { s.hear(background) })
	return nil
}

// look is for a store that takes no journal: which one it reads, and the time.
func (s *Store) look(ctx context.Context) error {
	var database int64
	var journal int16
	asked := time.Now()
	err := s.node.control.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
		coalesce((SELECT min(journal) FROM head WHERE batch > 0), 0::int2)`).Scan(&database, &journal)
	if err != nil {
		return err
	}
	s.node.clock.measured(asked, time.Since(asked), microseconds(database))
	s.began, s.mono = s.Now().Round(0), time.Now()
	if !s.opts.Fixed {
		s.opts.Journal = uint16(journal)
	}
	return nil
}

// load reads what is kept in memory.
func (s *Store) load(ctx context.Context) error {
	head, err := s.readHead(ctx, s.reads)
	s.head.Store(&head)
	return errors.Join(err, s.loadGone(ctx), s.loadPartitions(ctx), s.loadMove(ctx))
}

// asker is a pool or a transaction.
type asker interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readHead reads what the last batch left behind; the zero Head where nobody took
// the journal yet. Numbers of the catalogue are given out by all journals, days dropped
// for all, and by what all accepted: of these it has the highest.
func (s *Store) readHead(ctx context.Context, from asker) (h store.Head, err error) {
	var last, newest, dropped int64
	err = from.QueryRow(ctx, `SELECT batch, next, low, last_time_ms, (SELECT max(newest_ms) FROM head), (SELECT max(dropped_us) FROM head), rows,
		(SELECT max(applications) FROM head), (SELECT max(endpoints) FROM head) FROM head WHERE journal = $1::int2`,
		int16(s.opts.Journal)).Scan(&h.Batch, &h.Next, &h.Low, &last, &newest, &dropped, &h.Rows, &h.Applications, &h.Endpoints)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	h.Journal, h.LastTime, h.Newest, h.Dropped = s.opts.Journal, microseconds(1000*last), microseconds(1000*newest), microseconds(dropped)
	return h, err
}

// closeGrace is how long Close waits for a batch under way to be answered.
const closeGrace = 5 * time.Second

// Close implements store.Store. A batch that waits for the database is given up.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.end()
		s.node.drop(s)
		if s.hold.epoch > 0 && !errors.Is(s.failed(), errFenced) {
			s.release(context.Background())
		}
		if s.main == nil {
			s.node.lapse.Stop()
			s.node.alone.Close()
			s.node.control.Close()
			s.reads.Close()
		}
	})
	return nil
}

// end waits for the batch under way, and for the background.
func (s *Store) end() {
	grace := time.AfterFunc(closeGrace, s.writer.abort.call)
	defer grace.Stop()
	s.stop()
	s.tending.Wait()
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disconnect(context.Background())
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
