package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// statement is a query of the read side. There are constants of it, and each
// calls it passes: TestPlans finds them all in the source, and holds what the
// planner makes of them. Every parameter is cast, since behind a pooler nobody
// asks PostgreSQL for its type.
type statement string

// pinned goes before each statement, within its transaction and within its round
// trip. Tables that are young look small to the planner: it would read them
// whole, or sort what an index has in order, and keep that plan while they grow.
// Bytes that are not sent in binary, behind a pooler, come in hexadecimal digits.
const pinned = `SELECT set_config('plan_cache_mode', $1::text, true), set_config('bytea_output', 'hex', true), set_config(name, 'off', true) FROM unnest(ARRAY[
	'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_sort', 'enable_material', 'jit']) AS s (name)`

// planning says whether a plan is made once for all parameters. With a month of
// partitions planning costs more than most reads; behind a pooler, where no plan
// is kept, it costs least with the parameters, which rule most partitions out. A
// plan for all parameters locks all partitions, and would wait for one of them.
func (s *Store) planning() string {
	if s.address.unnamed.Load() || s.rewriting.Load() {
		return "force_custom_plan"
	}
	return "force_generic_plan"
}

// readTimeout bounds one read, which is of a page at most. A connection whose other
// end is gone would hold it for a quarter of an hour.
const readTimeout = 30 * time.Second

// each calls row for every row of a statement's result, which is one picture of
// what is committed. A connection is in use until it returns: row looks nothing
// up, and takes no longer than decoding does.
func (s *Store) each(ctx context.Context, q statement, row func(r pgx.CollectableRow) error, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	begun, err := s.ask(ctx, q, row, args)
	if err == nil || begun || ctx.Err() != nil {
		return s.unread(err)
	}
	if again := s.address.notePooler(s, err); again || stale(err) {
		s.reads.Reset() // others that wait are as old
		_, err = s.ask(ctx, q, row, args)
	}
	return s.unread(err)
}

// ask reports besides whether there was a row.
func (s *Store) ask(ctx context.Context, q statement, row func(r pgx.CollectableRow) error, args []any) (begun bool, err error) {
	var batch pgx.Batch
	batch.Queue(pinned, s.planning())
	batch.Queue(string(q), args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			begun = true
			if err := row(rows); err != nil {
				return &postern.Error{Detail: "what is stored cannot be read", Err: err}
			}
		}
		return rows.Err()
	})
	err = s.reads.SendBatch(ctx, &batch).Close()
	return begun, err
}

// stale reports the error of a connection that is from before a restart of the
// database. A read does no harm twice.
func stale(err error) bool {
	switch code(err) {
	case "": // broken, and not by an answer
	case "57P01", "57P02", "57P03": // the server ends, crashed, or starts
		return true
	default:
		return false
	}
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		return false
	}
	_, broken := errors.AsType[*net.OpError](err)
	return broken || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// one reads a single row and reports whether there is one. The statement says
// that there can be no second, by a key or by LIMIT.
func (s *Store) one(ctx context.Context, q statement, row func(r pgx.CollectableRow) error, args ...any) (found bool, err error) {
	err = s.each(ctx, q, func(r pgx.CollectableRow) error {
		found = true
		return row(r)
	}, args...)
	return found && err == nil, err
}

// days are the partitions that may hold what is asked for, both included. None
// is empty: what may not be read any more is not asked for.
type days struct{ first, last int64 }

// days of messages from lo to hi.
func (s *Store) days(lo, hi [20]byte) days {
	return days{first: max(dayOf(lo), int64(s.dropped())+1), last: dayOf(hi)}
}

// empty: there is nothing to ask for, and asking would still open a connection.
func (d days) empty() bool { return d.first > d.last }

// kept reports whether a message may still be there, and its day: what was dropped
// or deleted is gone from the moment it is committed, though tables go later.
func (s *Store) kept(app postern.ApplicationNumber, id [20]byte) (day int64, ok bool) {
	day = dayOf(id)
	return day, !s.gone(app) && day > int64(s.dropped())
}

// dayOf is a store.Day as parameters have it. A message's id tells its partition.
func dayOf(id [20]byte) int64 { return int64(store.DayOf(postern.MessageID(id).Time())) }

// journal is the store's own as a parameter. Numbers over 32767 are negative in
// the table.
func (s *Store) journal() int64 { return int64(int16(s.opts.Journal)) }
