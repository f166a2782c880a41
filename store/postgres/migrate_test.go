package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

// bare is the address of a database without tables.
func bare(t *testing.T) string {
	t.Helper()
	url := cluster.Database(t)
	if _, err := connect(t, url).Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestMigrationsAreAppliedOnce(t *testing.T) {
	url := bare(t)
	ctx := t.Context()
	all, err := Plan(ctx, url)
	if err != nil || len(all) < 2 || all[0].Version != 1 || all[0].Name != "schema" || !strings.Contains(all[0].SQL, "CREATE TABLE journal") {
		t.Fatalf("the plan for an empty database: %d steps, %v", len(all), err)
	}
	if _, err := Open(ctx, url, Options{NoMigrate: true}); postern.KindOf(err) != postern.Conflict {
		t.Errorf("opened without its tables: %v", err)
	}
	// Several processes at once: one applies each step, the others wait for it.
	done := make(chan error, 3)
	for range cap(done) {
		go func() { done <- Migrate(ctx, url) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	steps, err := Status(ctx, url)
	for _, step := range steps {
		if step.Applied.IsZero() {
			t.Errorf("step %d is not applied", step.Version)
		}
	}
	if plan, err2 := Plan(ctx, url); err != nil || err2 != nil || len(plan) != 0 || len(steps) != len(all) {
		t.Errorf("%d of %d steps left, %v, %v", len(plan), len(steps), err, err2)
	}
	s := open(t, url, Options{NoMigrate: true})
	if s.dropped() != 0 || s.gone(1) {
		t.Error("a new database has lost something")
	}
}

// A step that fails leaves nothing behind, and is applied the next time.
func TestAMigrationThatIsCutShort(t *testing.T) {
	url := bare(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE setting ()"); err != nil { // in the way of the last statement
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), url); err == nil {
		t.Fatal("migrated over a table of somebody else's")
	}
	if n := query(t, url, "SELECT count(*) FROM pg_class WHERE relname IN ('journal', 'message')"); n != 0 {
		t.Errorf("%d tables of a step that failed", n)
	}
	if _, err := conn.Exec(t.Context(), "DROP TABLE setting"); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Error(err)
	}
}

func TestStrangeVersions(t *testing.T) {
	for change, want := range map[string]string{
		"INSERT INTO postern_migration VALUES (999, 'future', '')":          "is at version 999",
		"UPDATE postern_migration SET checksum = 'other' WHERE version = 1": "in another form",
	} {
		url := cluster.Database(t)
		if _, err := connect(t, url).Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), url, Options{}); postern.KindOf(err) != postern.Conflict || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// A database whose encoding is not that of all texts is refused before a message
// that does not fit stops a batch.
func TestEncodings(t *testing.T) {
	url := cluster.Database(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "DROP DATABASE IF EXISTS latin"); err != nil { // of an earlier count
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), strings.Replace(url, "/"+conn.Config().Database+"?", "/latin?", 1), Options{})
	if postern.KindOf(err) != postern.Conflict || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("%v", err)
	}
}

// Whatever is wrong with an address, its password is nobody's business.
func TestSecretsStayOutOfErrors(t *testing.T) {
	const secret = "s3cr3t"
	for _, url := range []string{
		"postgres://postern:" + secret + "@127.0.0.1:1/none?connect_timeout=1",
		"postgres://postern:" + secret + "@127.0.0.1:port/none",
		"postgres://postern:" + secret + "/x@127.0.0.1/none",
		"postgres://postern:" + secret + "%zz@127.0.0.1/none",
		"postgres://postern@127.0.0.1:1/none?password=" + secret,
		"postgres://postern:" + secret + "@127.0.0.1/none?sslmode=" + secret,
		"postgres://postern:" + secret + "@127.0.0.1/none?sslmode=verify-full&sslrootcert=/nowhere",
		"postgresql://postern:" + secret + "@nowhere.invalid:1/none?connect_timeout=1",
		"mysql://postern:" + secret + "@127.0.0.1/none",
		"host=127.0.0.1 password=" + secret + " port=1",
	} {
		_, err := Open(t.Context(), url, Options{})
		if err == nil {
			t.Fatal("opened")
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) || strings.Contains(e.Error(), secret[:4]) {
				t.Errorf("an error tells the password: %v", e)
			}
		}
		if kind := postern.KindOf(err); kind != postern.Invalid && kind != postern.Unavailable {
			t.Errorf("%v: of kind %v", err, kind)
		}
	}
}

// A file that is not there is named, since nothing else tells what is wrong.
func TestMissingFilesAreNamed(t *testing.T) {
	_, err := Open(t.Context(), "postgres://postern@127.0.0.1/none?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", Options{})
	if postern.KindOf(err) != postern.Invalid || !strings.Contains(err.Error(), "/nowhere/ca.pem") {
		t.Errorf("%v", err)
	}
}

// What PostgreSQL says of stored data goes into no error.
func TestDataStaysOutOfErrors(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	_, err := s.reads.Exec(context.WithoutCancel(t.Context()), "SELECT 'customer data'::int")
	if err = s.unread(err); err == nil || strings.Contains(err.Error(), "customer") || !strings.Contains(err.Error(), "22P02") {
		t.Errorf("%v", err)
	}
}
