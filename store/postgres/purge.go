package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/store"
)

const (
	// purgeAfter is how long what was expunged may stay in the tables: erasing
	// rewrites them, so that it is gathered for a while.
	purgeAfter = 12 * time.Hour
	// settledDays is how old a day is whose tables hardly anybody writes to any
	// more, and which may be locked while they are rewritten.
	settledDays = 3
	// waitsEvery is how often it is looked whether anybody waits for a rewrite, and
	// waitsLong how many times in a row somebody may.
	waitsEvery = time.Second
	waitsLong  = 2
)

// Purge implements store.Maintenance. The tables of days that are still written
// to are vacuumed, which lets the bytes be overwritten; once nobody writes to them
// any more they are rewritten whole, and until then they stay noted. A crash
// before its end has it done again, and so has somebody who waits for a table. Backups and the database's log are out of its
// reach.
func (s *Store) Purge(ctx context.Context) error {
	return s.unread(s.purge(ctx))
}

func (s *Store) purge(ctx context.Context) error {
	now := max(s.Now().UnixMilli(), millis(s.head.Load().LastTime)) // notes do not follow a clock that was set back
	rows, err := s.reads.Query(ctx, "SELECT day, first_ms <= $1::int8 FROM expunged ORDER BY day", now-purgeAfter.Milliseconds())
	if err != nil {
		return err
	}
	var days []int64
	var day int64
	var old, due bool
	_, err = pgx.ForEachRow(rows, []any{&day, &old}, func() error {
		days, due = append(days, day), due || old
		return nil
	})
	if err != nil || !due {
		return err
	}
	conn, err := s.direct(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is answered
	for _, day := range days {
		if err := s.purgeDay(ctx, conn, day, now); err != nil {
			return err
		}
	}
	return nil
}

// purgeDay rewrites the tables of one day, if they are still there, and removes
// the note of it that was made before now.
func (s *Store) purgeDay(ctx context.Context, conn *pgx.Conn, day, now int64) error {
	settled := day <= int64(store.DayOf(s.Now()))-settledDays
	var there bool // which other nodes may have made
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1::text) IS NOT NULL", fmt.Sprintf("content_d%d", day)).Scan(&there); err != nil {
		return err
	}
	if there && day > int64(s.dropped()) {
		for _, table := range [...]string{"content", "attempt"} {
			name := fmt.Sprintf("%s_d%d", table, day)
			if !settled {
				if err := alone(ctx, conn, "VACUUM "+name); err != nil {
					return err
				}
				continue
			}
			if whole, err := s.rewrite(ctx, name); err != nil || !whole {
				return err
			}
		}
		if !settled {
			return nil
		}
	}
	_, err := conn.Exec(ctx, "DELETE FROM expunged WHERE day = $1::int4 AND last_ms < $2::int8", int32(day), now)
	return err
}

// rewrite writes a table anew, without what was deleted, and reports whether it
// did: nobody else reads or writes the table meanwhile, and so it is broken off
// once somebody has to wait. Statements whose plan is good for all days lock the
// tables of all days; until it ends there are none.
func (s *Store) rewrite(ctx context.Context, table string) (whole bool, err error) {
	conn, err := s.direct(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is answered
	ctx, giveWay := context.WithCancel(ctx)
	defer giveWay()
	s.rewriting.Store(true)
	defer s.rewriting.Store(false)
	var watching sync.WaitGroup
	watched, end := context.WithCancel(ctx)
	inUse := false
	watching.Go(func() {
		if inUse = s.waitedFor(watched, table); inUse {
			giveWay()
		}
	})
	err = alone(ctx, conn, "VACUUM FULL "+table)
	end()
	watching.Wait()
	if err != nil && (inUse || code(err) == lockTimeout) { // nor was it free to begin with
		s.opts.Logger.Info("a table of expunged contents is in use: it is rewritten later", slog.String("table", table))
		return false, nil
	}
	return err == nil, err
}

// waitedFor returns true once somebody waits too long for a table that is rewritten,
// and false when ctx ends. Where not even the question is answered, all reads wait.
func (s *Store) waitedFor(ctx context.Context, table string) bool {
	// The rewrite itself may still wait, for the one lock that shuts out everybody.
	const find = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass($1::text) AND NOT granted AND mode <> 'AccessExclusiveLock')"
	look := time.NewTicker(waitsEvery)
	defer look.Stop()
	for times := 0; times < waitsLong; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
		asking, cancel := context.WithTimeout(ctx, waitsEvery)
		var waits bool
		err := s.reads.QueryRow(asking, find, table).Scan(&waits)
		cancel()
		if times++; err == nil && !waits {
			times = 0
		}
	}
	return ctx.Err() == nil
}
