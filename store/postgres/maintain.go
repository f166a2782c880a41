package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/store"
)

// measureEvery is how old the database's size may be: to find it, PostgreSQL looks
// at every file.
const measureEvery = time.Minute

// meter keeps the database's size for a while.
type meter struct {
	mu    sync.Mutex
	taken time.Time
	bytes int64
}

// Usage implements store.Maintenance. It knows the database's size, at most a
// minute old, and nothing of the disk under it.
func (s *Store) Usage(ctx context.Context) (store.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout) // others wait for the answer as well
	defer cancel()
	m := &s.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken.IsZero() || time.Since(m.taken) > measureEvery {
		if err := s.reads.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&m.bytes); err != nil {
			return store.Usage{}, s.unread(err)
		}
		m.taken = time.Now()
	}
	return store.Usage{Bytes: m.bytes}, nil
}

// oldestDay goes by positions, of which the first of a journal has its oldest day:
// no index has all messages by day.
const oldestDay statement = `SELECT min(m.day) FROM journal j CROSS JOIN LATERAL (
		SELECT m.day FROM message m WHERE m.journal = j.id AND m.day > $1::int4 ORDER BY m.position LIMIT 1) m
	HAVING min(m.day) IS NOT NULL`

// OldestDay implements store.Maintenance.
func (s *Store) OldestDay(ctx context.Context) (day store.Day, ok bool, err error) {
	ok, err = s.one(ctx, oldestDay, func(row pgx.CollectableRow) error { return row.Scan(&day) }, int32(s.dropped()))
	return day, ok, err
}
