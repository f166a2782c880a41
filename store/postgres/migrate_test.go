package postgres

import (
	"testing"
)

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
