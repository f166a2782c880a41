package postgres

import (
	"context"
	"testing"

	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/storetest"
)

// The suite on a real PostgreSQL. What a process leaves behind that is killed is
// what the server has been sent: its connections are ended, and nothing is said.
// The cluster does without fsync, so that it cannot be told what a loss of power
// would take: to PostgreSQL's own promise there is nothing to add.
func TestStore(t *testing.T) {
	storetest.Run(t, harness())
}

func harness() storetest.Harness {
	return storetest.Harness{
		Open:   func(t *testing.T) store.Store { return open(t, cluster.Database(t), Options{}) },
		Reopen: reopen,
		Join: func(t *testing.T, s store.Store) store.Cluster {
			return open(t, s.(*Store).address.config.ConnConfig.ConnString(), Options{})
		},
		Stall: func(t *testing.T, s store.Store) (<-chan struct{}, func()) {
			return stall(t, s.(*Store).address.config.ConnConfig.ConnString())
		},
	}
}

func reopen(t *testing.T, old store.Store, how storetest.How) store.Store {
	t.Helper()
	s := old.(*Store)
	url := s.address.config.ConnConfig.ConnString()
	if how == storetest.Clean {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		s.kill(t, url)
	}
	return open(t, url, Options{Reclaim: true})
}

// kill ends a store as the end of its process would: nothing is released, and the
// server ends what it was still doing.
func (s *Store) kill(t *testing.T, url string) {
	t.Helper()
	s.closed.Do(func() {
		close(s.closing)
		s.writer.abort.call()
		s.end()
		s.node.control.Close()
		s.reads.Close()
	})
	query(t, url, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'postern'")
}

// waiting counts who waits for somebody else's lock.
const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

// stall holds the row that every batch writes first.
func stall(t *testing.T, url string) (<-chan struct{}, func()) {
	tx, err := connect(t, url).Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "SELECT FROM head FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	reached, watcher := make(chan struct{}), connect(t, url)
	go func() {
		defer close(reached)
		until(t, func() bool {
			var n int
			err := watcher.QueryRow(t.Context(), waiting).Scan(&n)
			return err != nil || n > 0
		})
	}()
	return reached, func() {
		if err := tx.Rollback(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
