package e2e_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store/postgres"
)

// PostgreSQL is restarted again and again, in order or by a crash, under a server
// that lives on. Meanwhile messages are refused with the time to come back, and
// everything else waits; afterwards it all goes on by itself. Nothing that was
// acknowledged is lost, nothing is sent twice, and the log tells of each restart
// once, and once of its end.
func TestSoakDatabaseRestarts(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	random := rand.New(rand.NewPCG(seed, 1))
	cluster := pgtest.New(pgtest.Config{Fsync: true, Prepare: postgres.Migrate})
	cluster.Run(t)
	w := newCrashWorld(t, seed, cluster.Database(t))
	m := newMeddler(w, rand.New(rand.NewPCG(seed, 2)))
	stop := w.publishers(testkit.Count(3, 4))
	restarts := testkit.Count(3, 25)
	for i := range restarts {
		w.pass(time.Duration(100+random.IntN(600)) * time.Millisecond)
		cluster.Stop(t, [...]string{"fast", "immediate"}[(i+int(seed))%2])
		w.awaitPublish(503)
		w.pass(time.Duration(random.IntN(testkit.Count(1000, 6000))) * time.Millisecond)
		cluster.Start(t)
		w.awaitPublish(202)
	}
	stop()
	m.stop()
	w.recovered(m)
	told := w.outagesTold(restarts, restarts)
	t.Logf("seed %d: %d restarts, %d messages acknowledged, %d unknown, %d refused, %d requests, %d duplicates, %d resends, %d pauses, %d lines of log",
		seed, restarts, len(w.acknowledged), w.unknown, w.refused, len(w.receiver.requests("")), w.duplicates, len(m.resends), m.pauses, told)
}

// A server that is stopped while its database is away does not wait for it for
// ever: it says that it could not store everything. The next one loses nothing.
func TestStopWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(pgtest.Config{Prepare: postgres.Migrate})
	cluster.Run(t)
	w := newCrashWorld(t, testkit.Seed(t), cluster.Database(t))
	w.stopWithout(func() { cluster.Stop(t, "fast") })
	if code, _, said := run(t, nil, serveArgs(w.store)...); code == 0 || !strings.Contains(said, "does not answer") {
		t.Errorf("a start without the database ends with code %d: %s", code, said)
	}
	cluster.Start(t)
	w.next()
}

// The same where the database is there and its network hangs, which the whole time
// to drain is given to.
func TestSoakStopWithAHangingDatabase(t *testing.T) {
	if !testkit.Soaking() {
		t.Skip("it takes 40 seconds: make soak")
	}
	t.Parallel()
	l := newLink(t, databases.Database(t))
	l.address.User = url.User("postgres")
	w := newCrashWorld(t, testkit.Seed(t), l.address.String())
	w.stopWithout(l.freeze)
	l.thaw()
	w.next()
}

// stopWithout takes the database away and stops the first server.
func (w *crashWorld) stopWithout(take func()) {
	w.t.Helper()
	stop := w.publishers(3)
	defer stop()
	w.pass(300 * time.Millisecond)
	take()
	w.awaitPublish(503)
	stopped := time.Now()
	if code := w.first.terminate(2 * patience); code != exitDisk {
		w.t.Errorf("it ends with code %d, want %d:\n%s", code, exitDisk, tail(w.first.stderr.String(), 4000))
	}
	w.t.Logf("it ended after %v", time.Since(stopped).Round(100*time.Millisecond))
}

// next starts another server, which delivers what the first one left.
func (w *crashWorld) next() {
	w.t.Helper()
	w.first = w.start()
	w.api.base = w.first.url()
	w.healthy.Store(true)
	w.deliverAll()
}

// pass lets time go by, in which the first server must not end.
func (w *crashWorld) pass(span time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(span):
	case <-w.first.exited:
		w.t.Fatalf("the server ended by itself with code %d", w.first.code(0))
	}
}

// awaitPublish publishes until the answer has a status.
func (w *crashWorld) awaitPublish(status int) { w.t.Helper(); w.within(patience, status) }

// within is awaitPublish with a time of its own.
func (w *crashWorld) within(span time.Duration, status int) {
	w.t.Helper()
	c, last := newClient(w.t, ""), 0
	c.http.Timeout = time.Second // one that is on its way when the database goes waits for it
	if !holds(span, func() bool {
		last = w.publish(c, -1, 0)
		return last == status
	}) {
		w.t.Fatalf("publishing is answered %d, want %d", last, status)
	}
}

// recovered waits until all that the first server was given is delivered, and
// checks that nothing is missing, and nothing was done twice.
func (w *crashWorld) recovered(m *meddler) {
	w.t.Helper()
	w.healthy.Store(true)
	m.end()
	w.deliverAll()
	m.check()
	w.checkHistory()
	w.checkDuplicates()
	if code := w.first.terminate(patience); code != 0 {
		w.t.Errorf("the server ends with code %d", code)
	}
}

// outagesTold checks that the first server's log tells of so many outages, at most
// of most, once each, and once of their end, and of little else. It returns the
// log's lines.
func (w *crashWorld) outagesTold(outages, most int) int {
	w.t.Helper()
	log := w.first.stderr.String()
	lines, told := 0, map[string]int{}
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Level string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			w.t.Errorf("in the log: %q", line)
		}
		told[entry.Msg]++
		lines++
	}
	begun, over := told["the database takes no batches: nothing is accepted until it does, and what was is kept"], told["the database takes batches again"]
	if begun < outages || begun > most || over != begun {
		w.t.Errorf("%d to %d outages, the log tells of %d, and of the end of %d", outages, most, begun, over)
	}
	if most := 20 + 4*most; lines > most {
		w.t.Errorf("%d lines of log: %v", lines, told)
	}
	if w.t.Failed() {
		w.t.Log(tail(log, 8000))
	}
	return lines
}
