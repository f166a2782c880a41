package postgres

import (
	"log/slog"
	"testing"
)

func open(t *testing.T, url string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestMigrationsAreAppliedOnce(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{NoMigrate: true})
	if s.dropped() != 0 || s.gone(1) {
		t.Error("a new database has lost something")
	}
	open(t, url, Options{})
	plan, err := Plan(t.Context(), url)
	if len(plan) != 0 || err != nil {
		t.Errorf("%d steps left, %v", len(plan), err)
	}
}
