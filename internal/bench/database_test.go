package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/pgtest"
)

// cluster does without fsync, as which only a quick look is allowed.
var cluster = pgtest.New(pgtest.Config{})

// oneBench is held by the bench that uses the cluster: two of one process would make
// databases of one name.
var oneBench sync.Mutex

// onCluster are small options for measuring on a database, which the test has alone.
func onCluster(t *testing.T, runs ...string) Options {
	t.Helper()
	o := small(t, runs...)
	oneBench.Lock()
	t.Cleanup(oneBench.Unlock)
	o.Store, o.Quick = cluster.Database(t), true
	return o
}

// TestDatabaseIsMeasured: every measurement has a database of its own, whose CPU time
// counts; afterwards none is left, and the named one is as it was.
func TestDatabaseIsMeasured(t *testing.T) {
	o := onCluster(t, "one")
	o.Stored, o.Before = 100, o.Exe
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, s := range got.Samples {
		subjects = append(subjects, s.Subject)
		if s.Subject == subjectFloor {
			continue
		}
		for _, figure := range []string{figureServerCPU, figureLogged, figureCheckpoints} {
			if !(s.Figures[figure] > 0) {
				t.Errorf("%s: %s is %v", s.Subject, figure, s.Figures[figure])
			}
		}
		if sum := s.Figures[figureServerCPU] + s.Figures[figureDatabaseCPU]; sum < s.Figures[figureCPU]-0.01 || sum > s.Figures[figureCPU]+0.01 {
			t.Errorf("%s: the parts come to %v of %v us", s.Subject, sum, s.Figures[figureCPU])
		}
	}
	slices.Sort(subjects)
	if want := []string{"100 stored", subjectBefore, subjectFloor, subjectServer}; !slices.Equal(subjects, want) {
		t.Errorf("measured were %v, want %v", subjects, want)
	}
	if got.Environment.Database == nil || got.Environment.Database.Version == "" {
		t.Errorf("the report knows nothing of the database: %+v", got.Environment)
	}
	if left := databasesOf(t, o.Store); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := query[int](t, o.Store, "SELECT count(*) FROM pg_class WHERE relname = 'message'"); n != 0 {
		t.Error("the database that was named has tables now")
	}
}

// databasesOf lists what benches made on a server.
func databasesOf(t *testing.T, address string) []string {
	t.Helper()
	return query[[]string](t, address, `SELECT coalesce(array_agg(datname::text), '{}') FROM pg_database WHERE datname LIKE 'postern\_bench\_%'`)
}

func query[T any](t *testing.T, address, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestCopiesOweNothing: what a store was filled with is vacuumed once, not in each
// copy. It runs beside no other bench of the cluster, as no test does that is not
// parallel.
func TestCopiesOweNothing(t *testing.T) {
	o, err := Options{Store: cluster.Database(t), Quick: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDatabase(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close(t.Context())
	filled, err := d.storeAt(t.Context(), "filled")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), filled)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE TABLE many AS SELECT FROM generate_series(1, 1000)")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.vacuum(t.Context(), "filled"), d.copy(t.Context(), "filled", "copy")); err != nil {
		t.Fatal(err)
	}
	copied, err := d.storeAt(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, copied, "SELECT relallvisible FROM pg_class WHERE relname = 'many'"); n == 0 {
		t.Error("the copy's table was never vacuumed")
	}
}

// TestRefusedDatabases: what cannot be measured says why, before anything is made.
func TestRefusedDatabases(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no fsync":       {func(o *Options) { o.Quick = false }, "fsync is off"},
		"a folder":       {func(o *Options) { o.Store = "file:here" }, "want postgres://"},
		"a run about it": {func(o *Options) { o.Runs = []string{"retention"} }, "run retention: messages that are past retention"},
		"nobody there":   {func(o *Options) { o.Store = "postgres://nobody:hunter2@127.0.0.1:1/db" }, "store: failed to connect"},
		"no address":     {func(o *Options) { o.Store = "postgres://nobody:hunter2@[/db" }, "store: not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, "one")
			o.Store, o.Quick = cluster.Database(t), true
			tc.change(&o)
			_, err := runJSON(t, o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// TestCarelessDatabaseIsToldOf: settings that lose what was acknowledged must meet
// the eye.
func TestCarelessDatabaseIsToldOf(t *testing.T) {
	sure := &databaseInfo{Version: "15", Settings: []databaseSetting{{"fsync", "on"}, {"synchronous_commit", "on"}, {"autovacuum", "off"}}}
	if got, want := sure.note(), "PostgreSQL 15, fsync=on, synchronous_commit=on, autovacuum=off\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	sure.Settings[1].Value = "off"
	if got := sure.note(); !strings.Contains(got, "\nNOT A MEASUREMENT: synchronous_commit is off\n") {
		t.Errorf("%q", got)
	}
	if got := (*databaseInfo)(nil).note(); got != "" {
		t.Errorf("without a database: %q", got)
	}
}

// TestDatabaseBars: the cost of a database is held against its own bar, in place of
// the floor's; what is no matter of cost stays.
func TestDatabaseBars(t *testing.T) {
	for _, r := range onDatabase(speedRuns()) {
		for _, b := range r.bars {
			if b.against == subjectFloor || b.figure == figureCPU && r.name != "one" {
				t.Errorf("run %s is held against %s of %q", r.name, b.figure, b.against)
			}
		}
		if r.name == "rate" && len(r.bars) != 1 {
			t.Errorf("run rate has %d bars, want that of its latency", len(r.bars))
		}
	}
	if before := speedRuns()[0].bars; len(before) != 3 {
		t.Errorf("run one has %d bars of a folder", len(before))
	}
}
