package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/store"
)

const selectHeads = "SELECT h.journal, h.batch, h.next, h.low, h.last_time_ms, h.rows FROM head h"

// Heads implements store.Cluster.
func (s *Store) Heads(ctx context.Context) ([]store.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	rows, err := s.node.control.Query(ctx, selectHeads)
	if err != nil {
		return nil, s.unread(err)
	}
	heads, err := pgx.CollectRows(rows, scanHead)
	return heads, s.unread(err)
}

func scanHead(row pgx.CollectableRow) (h store.Head, err error) {
	var journal int16
	var last int64
	err = row.Scan(&journal, &h.Batch, &h.Next, &h.Low, &last, &h.Rows)
	h.Journal, h.LastTime = uint16(journal), microseconds(1000*last)
	return h, err
}
