package postgres

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/postern-dev/postern/store"
)

// aloneConns bounds how many requests may be alone at once, and wait to be. They hold
// a connection each, which is none that they need meanwhile: what they do inside
// reads and writes with others.
const aloneConns = 4

// Alone implements store.Cluster. It is a lock of the database's, held by a
// transaction, which also a pooler gives a session of its own. Digests that share
// their first half wait for one another for nothing.
func (s *Store) Alone(ctx context.Context, digest store.Digest) (release func(), err error) {
	tx, err := s.node.alone.Begin(ctx)
	if err != nil {
		return nil, s.unread(err)
	}
	release = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // a connection that fails at it is closed, which lets go as well
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1::int8)", int64(binary.BigEndian.Uint64(digest[:8]))); err != nil {
		release()
		return nil, s.unread(err)
	}
	return release, nil
}
