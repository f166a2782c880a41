package outbox

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/userdb"
)

// Publisher accepts messages; an engine is one. An error of kind Unavailable or
// RateLimited is tried again, as is one of kind Internal, ten times; what is
// refused for another reason is parked. It is called by several goroutines at
// once, and keeps no copy of a message that has been accepted under its EventID.
type Publisher interface {
	Publish(ctx context.Context, p postern.Publish) (m *postern.Message, duplicate bool, err error)
}

// RelayConfig says what a relay moves from where to where. DB and Publisher are
// required; the zero value of every other field stands for the default that it
// names.
type RelayConfig struct {
	// DB is where the table is, Publisher what accepts the messages: an engine.
	DB        DB
	Publisher Publisher
	// Table is the one that messages were written to; the default one if nil.
	Table *Table
	// MinPoll is how often the relay looks while there are rows, MaxPoll how
	// rarely it does when there have been none for long; 10 ms and 1 s.
	MinPoll, MaxPoll time.Duration
	// Listen opens a connection on which a Table with Notify wakes the relay,
	// PostgreSQL only; none by default. The relay closes it, and opens another
	// when it breaks. It must be a direct one, not of a pooler.
	Listen func(ctx context.Context) (*pgx.Conn, error)
	// Log gets what an operator should know; silent by default.
	Log *slog.Logger
}

// RelayStats count what a relay has done since it was made.
type RelayStats struct {
	// Published counts rows that were accepted, Duplicates those of them that the
	// engine had already, Parked rows that it will not accept.
	Published, Duplicates, Parked uint64
	// Failures counts rounds that ended with an error, of the database or of the
	// publisher.
	Failures uint64
}

// Relay publishes what is in a table. Make one with NewRelay.
type Relay struct {
	cfg   RelayConfig
	table string
	wake  chan struct{} // capacity 1

	published, duplicates, parked, failures atomic.Uint64
}

// NewRelay checks the configuration. Its errors are of kind Invalid.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if cfg.Table == nil {
		cfg.Table = new(Table)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MinPoll <= 0 {
		cfg.MinPoll = 10 * time.Millisecond
	}
	if cfg.MaxPoll <= 0 {
		cfg.MaxPoll = time.Second
	}
	table, err := cfg.Table.name()
	switch {
	case err != nil:
		return nil, err
	case userdb.DialectOfDB(cfg.DB) == 0:
		return nil, postern.InvalidField("is required: make it with PGXDB, PostgresDB or SQLiteDB", "RelayConfig", "DB")
	case userdb.IsNil(cfg.Publisher):
		return nil, postern.InvalidField("is required: an engine is one", "RelayConfig", "Publisher")
	case cfg.Listen != nil && userdb.DialectOfDB(cfg.DB) != userdb.Postgres:
		return nil, postern.InvalidField("is for PostgreSQL", "RelayConfig", "Listen")
	}
	return &Relay{cfg: cfg, table: table, wake: make(chan struct{}, 1)}, nil
}

// Run moves rows until ctx is done, then finishes the round under way, for 5 s at
// most. What fails, a database that is down included, is logged and tried again.
func (r *Relay) Run(ctx context.Context) {
	var listener sync.WaitGroup
	defer listener.Wait()
	if r.cfg.Listen != nil {
		listener.Go(func() { r.listen(ctx) })
	}
	pace := pace{least: r.cfg.MinPoll, most: r.cfg.MaxPoll}
	stalled := stalls{least: r.cfg.MinPoll, most: r.cfg.MaxPoll, of: map[postern.ApplicationNumber]stall{}}
	failing := false
	for ctx.Err() == nil {
		moved, full, err := r.round(ctx, &stalled)
		if err != nil && ctx.Err() == nil {
			r.failures.Add(1)
			if !failing {
				r.cfg.Log.Warn("the outbox cannot be relayed, trying again", "table", r.table, "error", err)
			}
		}
		failing = err != nil || len(stalled.of) > 0
		if pause := pace.next(moved, full); pause > 0 {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-r.wake:
				pace.reset()
			case <-ctx.Done():
			}
			timer.Stop()
		}
	}
}

// Wake has the relay look at once, for a caller who has just committed.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is going to look
	}
}

// Stats are the counts so far.
func (r *Relay) Stats() RelayStats {
	return RelayStats{
		Published: r.published.Load(), Duplicates: r.duplicates.Load(),
		Parked: r.parked.Load(), Failures: r.failures.Load(),
	}
}

// How long a round may publish, how long after that PostgreSQL ends a
// transaction whose relay is stuck, and how long a round may take to end when
// the relay is stopped.
const (
	publishTime = 30 * time.Second
	stuckAfter  = "60000" // ms
	stopTime    = 5 * time.Second
)

// round moves some rows: moved is how many there were, and full that there may be
// more which can be moved. An error that came of the publisher is returned after all is settled.
func (r *Relay) round(ctx context.Context, stalled *stalls) (moved int, full bool, err error) {
	hold, cancel := outlive(ctx, stopTime)
	defer cancel()
	var rows []*row
	if userdb.DialectOfDB(r.cfg.DB) == userdb.Postgres {
		rows, err = r.lockedRound(ctx, hold, stalled)
	} else {
		rows, err = r.openRound(ctx, hold, stalled)
	}
	if err != nil {
		return 0, false, err
	}
	left := stalled.note(rows, time.Now())
	bytes := 0
	for _, row := range rows {
		bytes += len(row.publish.Payload)
		switch row.outcome {
		case published:
			r.published.Add(1)
			moved++
		case parked:
			r.parked.Add(1)
			moved++
			r.cfg.Log.Error("a message of the outbox is parked: the reason is in its row", "table", r.table, "seq", row.seq,
				"event_id", row.publish.EventID, "application", row.publish.Application, "kind", postern.KindOf(row.err).String())
		case failed:
			err = row.err
		}
	}
	return moved, left && (len(rows) == maxRows || bytes >= maxBytes), err
}

// lockedRound is a round on PostgreSQL: one transaction, under a lock that one
// relay of the table has at a time, so that the order holds over several. Who
// does not get it has nothing to do now.
func (r *Relay) lockedRound(ctx, hold context.Context, stalled *stalls) (rows []*row, err error) {
	err = userdb.In(hold, r.cfg.DB, func(tx Tx) error {
		mine := false
		err := userdb.Each(hold, tx, func(scan func(...any) error) (bool, error) {
			var setting string
			return false, scan(&setting, &mine)
		}, `SELECT set_config('idle_in_transaction_session_timeout', '`+stuckAfter+`', true), pg_try_advisory_xact_lock($1, 0)`, userdb.LockClass(r.table+" relay"))
		if err != nil || !mine {
			return err
		}
		if rows, err = r.cfg.Table.read(hold, tx, r.table, stalled.now(time.Now())); err != nil {
			return err
		}
		r.publishInTime(ctx, rows)
		return r.cfg.Table.settle(hold, tx, r.table, rows)
	})
	return rows, err
}

// openRound is a round on SQLite, where a transaction would keep everybody from
// writing. Relays that read the same rows publish them in the same order, and
// all but the first copy of each are known.
func (r *Relay) openRound(ctx, hold context.Context, stalled *stalls) (rows []*row, err error) {
	err = userdb.Read(ctx, r.cfg.DB, func(tx Tx) (err error) {
		rows, err = r.cfg.Table.read(ctx, tx, r.table, stalled.now(time.Now()))
		return err
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r.publishInTime(ctx, rows)
	err = userdb.In(hold, r.cfg.DB, func(tx Tx) error { return r.cfg.Table.settle(hold, tx, r.table, rows) })
	return rows, err
}

func (r *Relay) publishInTime(ctx context.Context, rows []*row) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	r.publishAll(ctx, rows)
}

// listen wakes the relay at notifications until ctx is done.
func (r *Relay) listen(ctx context.Context) {
	for failing := false; ctx.Err() == nil; {
		listening, err := r.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if listening || !failing {
			r.cfg.Log.Warn("no notifications of the outbox, polling meanwhile", "table", r.table, "error", err)
		}
		failing = true
		timer := time.NewTimer(r.cfg.MaxPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// listenOnce listens on a connection until it breaks. listening is whether it
// came to that.
func (r *Relay) listenOnce(ctx context.Context) (listening bool, err error) {
	conn, err := r.cfg.Listen(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it is broken, or of no more use
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel(r.table)}.Sanitize()); err != nil {
		return false, err
	}
	for {
		r.Wake() // at first for what came before
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return true, err
		}
	}
}

// pace is how long a relay waits between two rounds.
type pace struct{ least, most, pause time.Duration }

// next is the time to wait after a round.
func (p *pace) next(moved int, full bool) time.Duration {
	switch {
	case full:
		p.pause = 0
	case moved == 0:
		p.pause = min(max(2*p.pause, p.least), p.most)
	default:
		p.pause = p.least
	}
	return p.pause
}

func (p *pace) reset() { p.pause = 0 }

// outlive is a context that ends some time after ctx.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	hold, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(by, cancel)
		context.AfterFunc(hold, func() { timer.Stop() })
	})
	return hold, func() {
		stop()
		cancel()
	}
}
