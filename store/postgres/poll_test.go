package postgres

import "testing"

// Whoever asks knew the catalogue as it was: a look that has the request has a
// version no older than that, however long it takes.
func TestPollRequestsAreNotAhead(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	other := connect(t, url)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Leases cannot be read until another node has changed the catalogue, and asked.
	if _, err := tx.Exec(t.Context(), "LOCK TABLE heartbeat IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	polled := make(chan struct{})
	var version uint64
	var requests int
	go func() {
		defer close(polled)
		state, err := s.Poll(t.Context())
		if err != nil {
			t.Error(err)
		}
		version, requests = state.Version, len(state.Requests)
	}()
	until(t, func() bool {
		return query(t, url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE 'SELECT h.journal, h.node%'") > 0
	})
	if _, err := tx.Exec(t.Context(), "UPDATE catalogue_version SET seq = 7"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT postern_ask(1, 0::int2, 'do it', 60000)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-polled
	if requests > 0 && version < 7 {
		t.Errorf("a request was read with version %d of the catalogue, whose asker knew 7", version)
	}
}
