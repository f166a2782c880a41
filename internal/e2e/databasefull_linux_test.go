package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store/postgres"
)

// The disk of the database's tables runs full under load, and has space again.
func TestSoakDatabaseFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("in a namespace of an ordinary user there is nobody but root, as whom PostgreSQL does not run")
	}
	t.Parallel()
	inNamespace(t, unix.CLONE_NEWNS, func(t *testing.T) {
		seed := testkit.Seed(t)
		cluster := pgtest.New(pgtest.Config{Prepare: postgres.Migrate})
		cluster.Run(t)
		d := mount(t, 256<<20)
		database := databaseOn(t, cluster, d)
		w := newCrashWorld(t, seed, database)
		m := newMeddler(w, rand.New(rand.NewPCG(seed, 2)))
		stop := w.publishers(3)
		rounds := testkit.Count(2, 10)
		for range rounds {
			w.pass(300 * time.Millisecond)
			d.leave(0)
			w.awaitPublish(503)
			w.pass(time.Second)
			d.leave(d.size)
			w.awaitPublish(202)
		}
		stop()
		m.stop()
		w.recovered(m)
		// A small batch may find room in a page that its table has already, again and
		// again on a slow machine.
		told := w.outagesTold(rounds, 50*rounds)
		t.Logf("seed %d: full %d times, %d messages acknowledged, %d unknown, %d refused, %d requests, %d duplicates, %d lines of log",
			seed, rounds, len(w.acknowledged), w.unknown, w.refused, len(w.receiver.requests("")), w.duplicates, told)
	})
}

// databaseOn makes a database whose tables lie on a disk; its journal of changes
// does not.
func databaseOn(t *testing.T, cluster *pgtest.Cluster, d *disk) string {
	t.Helper()
	database, admin := cluster.Database(t), newDatabaseAdmin(t, cluster.Database(t))
	if err := os.Chmod(d.dir, 0o777); err != nil { // PostgreSQL runs as somebody else
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(d.dir), 0o711); err != nil { // and has to pass here
		t.Fatal(err)
	}
	place := d.dir + "/tables"
	admin.do(fmt.Sprintf("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; mkdir -m 700 %s'", place))
	admin.do(fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", place))
	admin.do(fmt.Sprintf("ALTER DATABASE %s SET TABLESPACE small", config.Database))
	return database
}
