package postgres

import (
	"context"
	"fmt"
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
)

// Purge implements store.Maintenance. The tables of days that are still written
// to are vacuumed, which lets the bytes be overwritten; once nobody writes to them
// any more they are rewritten whole, and until then they stay noted. A crash
// before its end has it done again. Backups and the database's log are out of its
// reach.
func (s *Store) Purge(ctx context.Context) error {
	return s.unread(s.purge(ctx))
}

func (s *Store) purge(ctx context.Context) error {
	now := max(s.opts.Now().UnixMilli(), millis(s.head.Load().LastTime)) // notes do not follow a clock that was set back
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
	full, settled := "", day <= int64(store.DayOf(s.opts.Now()))-settledDays
	if settled {
		full = "FULL "
	}
	_, there := s.ready.Load(day)
	if there && day > int64(s.dropped()) {
		for _, table := range [...]string{"content", "attempt"} {
			if err := alone(ctx, conn, fmt.Sprintf("VACUUM %s%s_d%d", full, table, day)); err != nil {
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
