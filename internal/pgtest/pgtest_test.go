package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/pgtest"
)

var cluster = pgtest.New(pgtest.Config{Prepare: func(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE things (n int)")
	return errors.Join(err, conn.Close(ctx))
}})

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestDatabasesAreCopiesApart(t *testing.T) {
	first, second := connect(t, cluster.Database(t)), connect(t, cluster.Database(t))
	if _, err := first.Exec(t.Context(), "INSERT INTO things VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := second.QueryRow(t.Context(), "SELECT count(*) FROM things").Scan(&n); err != nil || n != 0 {
		t.Errorf("the other database has %d things, %v", n, err)
	}
}

func TestADatabaseEndsWithItsTest(t *testing.T) {
	var url string
	t.Run("its test", func(t *testing.T) {
		url = cluster.Database(t)
		connect(t, url) // dropped all the same
	})
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("the database is still there")
	}
}

// A cluster that was stopped, in order or not, has its databases when it is
// started again.
func TestStoppedAndStarted(t *testing.T) {
	own := pgtest.New(pgtest.Config{Fsync: true, Settings: map[string]string{"work_mem": "1MB"}})
	own.Run(t)
	url := own.Database(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE things (n int)"); err != nil {
		t.Fatal(err)
	}
	for i, mode := range []string{"fast", "immediate"} {
		if _, err := conn.Exec(t.Context(), "INSERT INTO things VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		own.Stop(t, mode)
		if _, err := pgx.Connect(t.Context(), url); err == nil {
			t.Error("it still takes connections")
		}
		own.Start(t)
		conn = connect(t, url)
		var n int
		var memory string
		err := conn.QueryRow(t.Context(), "SELECT count(*), current_setting('work_mem') FROM things").Scan(&n, &memory)
		if err != nil || n != i+1 || memory != "1MB" {
			t.Errorf("after a stop that was %s: %d things, %s, %v", mode, n, memory, err)
		}
	}
}

// A standby has what was written before it and after, takes nothing until it is
// promoted, and goes on without the one that it followed.
func TestAStandbyTakesOver(t *testing.T) {
	own := pgtest.New(pgtest.Config{})
	own.Run(t)
	url := own.Database(t)
	first := connect(t, url)
	write := func(conn *pgx.Conn, sql string) error {
		_, err := conn.Exec(t.Context(), sql)
		return err
	}
	if err := write(first, "CREATE TABLE things (n int)"); err != nil {
		t.Fatal(err)
	}
	standby := own.Standby(t)
	// Whoever writes now waits for it.
	if err := errors.Join(write(first, "ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'"), write(first, "SELECT pg_reload_conf()")); err != nil {
		t.Fatal(err)
	}
	for look := time.NewTicker(10 * time.Millisecond); ; <-look.C { // until go test's own deadline
		var n int
		if err := first.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
	}
	if err := write(first, "INSERT INTO things VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	second := connect(t, standby.Same(t, url))
	if err := write(second, "INSERT INTO things VALUES (2)"); err == nil {
		t.Error("it takes writes before it is promoted")
	}
	own.Stop(t, "immediate")
	standby.Promote(t)
	if err := write(second, "INSERT INTO things VALUES (3)"); err != nil {
		t.Error(err)
	}
	var sum int
	if err := second.QueryRow(t.Context(), "SELECT sum(n) FROM things").Scan(&sum); err != nil || sum != 4 {
		t.Errorf("it has %d, %v", sum, err)
	}
}

// asksForDirs has this binary show where its cluster is, and wait to be killed.
const asksForDirs = "POSTERN_TEST_PGTEST_KILLED"

func TestTheClusterEndsWithAKilledProcess(t *testing.T) {
	if os.Getenv(asksForDirs) != "" {
		fmt.Println(cluster.Database(t))
		select {}
	}
	cluster.Database(t) // skips where there is none
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), asksForDirs+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child says %q, %v", line, err)
	}
	config, err := pgx.ParseConfig(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	_ = child.Process.Kill() // what it is for
	_ = child.Wait()
	for look := time.NewTicker(10 * time.Millisecond); ; <-look.C { // until go test's own deadline
		if entries, err := os.ReadDir(config.Host); err == nil && len(entries) == 0 {
			break
		}
	}
	if err := os.Remove(config.Host); err != nil {
		t.Error(err)
	}
}
