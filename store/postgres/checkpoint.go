package postgres

import (
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// maxBatchBytes is what a batch's contents may come to: the statement is held in
// memory on both sides.
const maxBatchBytes = 4 << 20

var _ store.Store = (*Store)(nil)

// Checkpoint implements store.Maintenance: a database has tools of its own.
func (s *Store) Checkpoint(context.Context, string) error {
	return &postern.Error{Kind: postern.Conflict, Code: "no_checkpoint",
		Detail: "a store in PostgreSQL is copied by its own tools: pg_dump, or a base backup with its log"}
}

// Capabilities implements store.Maintenance.
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{Durable: true, Fenced: true, MaxBatchBytes: maxBatchBytes, NoCheckpoint: true}
}
