package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

// loadGone reads which history is not to be read.
func (s *Store) loadGone(ctx context.Context) error {
	var value []byte
	err := s.reads.QueryRow(ctx, "SELECT value FROM setting WHERE name = 'dropped_day'").Scan(&value)
	if err == nil {
		s.day.Store(parseDay(value))
	} else if err != pgx.ErrNoRows {
		return s.unread(err)
	}
	rows, err := s.reads.Query(ctx, "SELECT application FROM tombstone")
	if err != nil {
		return s.unread(err)
	}
	var app int64
	_, err = pgx.ForEachRow(rows, []any{&app}, func() error {
		s.deleted.Store(postern.ApplicationNumber(app), true)
		return nil
	})
	return s.unread(err)
}
