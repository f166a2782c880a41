package postgres

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-dev/postern/store"
)

const (
	// noPartition is what PostgreSQL says of a row that no partition takes.
	noPartition = "23514"
	// lockTimeout is what it says of a lock that was not to be had in time.
	lockTimeout = "55P03"
	// daysAhead is how many partitions stand ready.
	daysAhead = 7
)

// makePartitions makes those that a batch needs and that are not known to be
// there. A day that nobody prepared is rare: a message of the past, or a clock
// that was set.
func (s *Store) makePartitions(ctx context.Context, conn *pgx.Conn, b *store.Batch) error {
	var last int64
	need := func(id [20]byte) error {
		day := dayOf(id)
		if day == last { // as nearly always
			return nil
		}
		last = day
		if _, ok := s.ready.Load(day); ok || day <= int64(max(s.dropped(), b.DropDay)) {
			return nil
		}
		return s.makePartition(ctx, conn.Exec, day)
	}
	var err error
	for i := 0; i < len(b.Accepts) && err == nil; i++ {
		err = need(b.Accepts[i].Message.ID)
	}
	for i := 0; i < len(b.Attempts) && err == nil; i++ {
		err = need(b.Attempts[i].Message)
	}
	for i := 0; i < len(b.Redacted) && err == nil; i++ {
		err = need(b.Redacted[i].Message)
	}
	for i := 0; i < len(b.Finals) && err == nil; i++ {
		err = need(b.Finals[i].Message)
	}
	for i := 0; i < len(b.Dead) && err == nil; i++ {
		err = need(b.Dead[i].Key.Message)
	}
	return err
}

// execute is the Exec of a connection or of a pool.
type execute func(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)

// makePartition makes the tables of one day, unless they are there.
func (s *Store) makePartition(ctx context.Context, exec execute, day int64) error {
	if _, err := exec(ctx, "SELECT postern_partition($1::int4)", int32(day)); err != nil {
		return err
	}
	s.ready.Store(day, true)
	return nil
}

// prepareDays makes the partitions of the days to come, and yesterday's, so that
// no batch has to wait for one: a server that runs meets midnight once a day.
func (s *Store) prepareDays(ctx context.Context) error {
	today := int64(store.DayOf(s.Now()))
	for day := today - 1; day <= today+daysAhead; day++ {
		if _, ok := s.ready.Load(day); ok || day <= int64(s.dropped()) {
			continue
		}
		if err := s.makePartition(ctx, s.reads.Exec, day); err != nil {
			return err
		}
	}
	return nil
}

// loadPartitions reads which there are. Those of all tables are made at once.
func (s *Store) loadPartitions(ctx context.Context) error {
	rows, err := s.reads.Query(ctx, "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'message'::regclass")
	if err != nil {
		return err
	}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
		if day, ok := partitionDay(name); ok {
			s.ready.Store(day, true)
		}
		return nil
	})
	return err
}

// partitionDay reads the day in a partition's name, as in message_d20500.
func partitionDay(name string) (int64, bool) {
	_, digits, ok := strings.Cut(name, "_d")
	day, err := strconv.ParseInt(digits, 10, 32)
	return day, ok && err == nil
}

// tend does what is due now and then, until the store is closed: partitions
// ahead, and what dropped days, deleted applications and time leave behind.
func (s *Store) tend(ctx context.Context) {
	for told := false; ; {
		wait := tendEvery
		err := s.tidy(ctx)
		if err != nil {
			wait = tendAgain
			if !told && ctx.Err() == nil && !s.outage.underWay() {
				told = true // a dump of hours keeps a day for as long
				s.opts.Logger.Warn("the tables are not tidy yet, it is tried every minute until they are", slog.Any("error", s.address.scrub(err)))
			}
		}
		told = told && err != nil
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.work:
		case <-ctx.Done():
		case <-s.down:
		}
		timer.Stop()
		if ctx.Err() != nil || s.failed() != nil {
			return
		}
	}
}

// tendEvery is how often tend looks, tendAgain how soon after it failed.
const tendEvery, tendAgain = time.Hour, time.Minute

// wake has tend look at once. It never waits: a look that is due already is enough.
func (s *Store) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// tidy does all of it once, the rest also where one fails. What is for all nodes is
// done by one; where two believe that they are it, one of them finds it done, or
// locked, and tries again.
func (s *Store) tidy(ctx context.Context) error {
	err := s.prepareDays(ctx)
	first, asked := s.first(ctx)
	if !first {
		return errors.Join(err, asked)
	}
	return errors.Join(err, s.dropDays(ctx), s.eraseApplications(ctx), s.sweepDedupe(ctx), s.trimLog(ctx))
}
