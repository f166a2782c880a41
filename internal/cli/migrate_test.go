package cli_test

import (
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/pgtest"
)

var cluster = pgtest.New(pgtest.Config{})

// TestMigrate brings a database up to date once, and shows before and after what
// there is to do.
func TestMigrate(t *testing.T) {
	store := "--store=" + cluster.Database(t)
	migrate := func(verb string) string {
		t.Helper()
		out, problem, code := run(t, nil, "migrate", verb, store)
		if code != 0 {
			t.Fatalf("%s: %d, %s", verb, code, problem)
		}
		return out
	}
	if status := migrate("status"); !strings.Contains(status, "not yet") {
		t.Errorf("a new database: %s", status)
	}
	if plan := migrate("plan"); !strings.Contains(plan, "CREATE TABLE message") {
		t.Errorf("the plan: %.200s", plan)
	}
	if applied := migrate("up"); !strings.Contains(applied, "applied 00001 schema") {
		t.Errorf("up: %s", applied)
	}
	if again := migrate("up"); again != "up to date\n" {
		t.Errorf("up again: %s", again)
	}
	if status := migrate("status"); strings.Contains(status, "not yet") {
		t.Errorf("an old database: %s", status)
	}
	if plan := migrate("plan"); plan != "" {
		t.Errorf("nothing to do: %s", plan)
	}
}

func TestMigrateRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"file:x":                    "only a database has migrations",
		"postgres://u:secret@%zz/d": "not a URL",
	} {
		_, problem, code := run(t, nil, "migrate", "status", "--store="+address)
		if code == 0 || !strings.Contains(problem, want) || strings.Contains(problem, "secret") {
			t.Errorf("%s: %d, %s", address, code, problem)
		}
	}
}
