package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// tidyStep is how many rows one statement of the background's removes.
const tidyStep = 5000

// partition is one table of a day, as the database has it.
type partition struct {
	name, parent string
	day          int64
	// attached: it is still a part of its parent. pending: taking it out was begun,
	// and not ended.
	attached, pending bool
}

// dropDays takes the tables of dropped days out of their parents, which has
// nobody wait, and removes them. What was begun before a restart goes on where it
// was; what is locked by others for too long is tried again later.
func (s *Store) dropDays(ctx context.Context) error {
	dropped := int64(s.dropped())
	list, err := s.partitions(ctx, dropped)
	if err != nil || len(list) == 0 {
		return err
	}
	conn, err := s.direct(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is answered
	for _, p := range list {
		// One after the other: each is whole or gone, and the next run finds the rest.
		s.ready.Delete(p.day)
		if err := p.drop(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// partitions are the tables of days up to one, also those that are no part of
// their parent any more.
func (s *Store) partitions(ctx context.Context, until int64) ([]partition, error) {
	const find = `SELECT c.relname::text, split_part(c.relname, '_d', 1), i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
		FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE c.relkind = 'r' AND c.relname ~ '^(message|content|attempt|final|dead)_d[0-9]+$'
			AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'message'::regclass)
		ORDER BY c.relname`
	rows, err := s.reads.Query(ctx, find)
	if err != nil {
		return nil, err
	}
	var list []partition
	var p partition
	_, err = pgx.ForEachRow(rows, []any{&p.name, &p.parent, &p.attached, &p.pending}, func() error {
		if day, ok := partitionDay(p.name); ok && day <= until {
			p.day = day
			list = append(list, p)
		}
		return nil
	})
	return list, err
}

// drop removes one table, from wherever an earlier try has left it.
func (p *partition) drop(ctx context.Context, conn *pgx.Conn) error {
	parent, name := pgx.Identifier{p.parent}.Sanitize(), pgx.Identifier{p.name}.Sanitize()
	// Without it the parent would be locked against everybody. It needs two
	// transactions of its own: a table can be left between them.
	how := "CONCURRENTLY"
	if p.pending {
		how = "FINALIZE"
	}
	if p.attached {
		if err := alone(ctx, conn, "ALTER TABLE "+parent+" DETACH PARTITION "+name+" "+how); err != nil {
			return err
		}
	}
	return alone(ctx, conn, "DROP TABLE "+name)
}

// direct opens a connection of its own for what cannot run in a transaction: not
// through a pooler, if the options name a way round it. A statement may take as long
// as it has to, whatever the role is set to, and its waits are bounded, unless
// there is a pooler all the same: then the bound would stay with a session that
// serves others next, and nobody waits behind what is done here but this.
func (s *Store) direct(ctx context.Context) (*pgx.Conn, error) {
	a := s.address
	if s.listen != nil {
		a = s.listen
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	var pid uint32 // a pooler tells one of its own making
	if err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err == nil && pid == conn.PgConn().PID() {
		err = errors.Join(alone(ctx, conn, "SET statement_timeout = 0"), alone(ctx, conn, fmt.Sprintf("SET lock_timeout = %d", ddlTimeout.Milliseconds())))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// alone runs a statement in no transaction but its own.
func alone(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// eraseApplications removes the history of deleted applications, a few rows at a
// time. It begins again where it was cut short.
func (s *Store) eraseApplications(ctx context.Context) error {
	rows, err := s.reads.Query(ctx, "SELECT application FROM tombstone WHERE NOT swept")
	if err != nil {
		return err
	}
	apps, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(apps) == 0 {
		return err
	}
	days, err := s.partitions(ctx, maxDay)
	if err != nil {
		return err
	}
	for _, app := range apps {
		for _, p := range days {
			if p.parent != "message" {
				continue
			}
			if err := s.repeat(ctx, "SELECT postern_erase($1::int8, $2::int4, $3::int4)", app, p.day, tidyStep); err != nil {
				return err
			}
		}
		// A batch that was under way may have left a row behind: it goes with its day.
		if _, err := s.reads.Exec(ctx, "UPDATE tombstone SET swept = true WHERE application = $1::int8", app); err != nil {
			return err
		}
	}
	return nil
}

// maxDay is later than every day.
const maxDay = 1 << 31

// sweepDedupe removes the records that count no more.
func (s *Store) sweepDedupe(ctx context.Context) error {
	events := (s.dropped() + 1).Start().UnixMilli()
	var newest int64 // of all journals: this node's own may have none
	if err := s.reads.QueryRow(ctx, "SELECT coalesce(max(last_time_ms), 0) FROM head").Scan(&newest); err != nil {
		return err
	}
	return s.repeat(ctx, "SELECT postern_sweep($1::int8, $2::int8, $3::int4)", events, s.outlived(newest), tidyStep)
}

// repeat calls a function until it finds nothing more.
func (s *Store) repeat(ctx context.Context, call string, args ...any) error {
	for {
		var n int64
		if err := s.reads.QueryRow(ctx, call, args...).Scan(&n); err != nil || n == 0 {
			return err
		}
	}
}
