package e2e_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/testkit"
)

// databaseFault is one that a database can have, and what ends it.
type databaseFault struct {
	what       string
	begin, end func()
}

// One fault of the database after the other, each under load and all under one
// server: messages are refused with the time to come back, attempts of what was
// accepted go on, and when the fault is over so does everything else. The user
// that the server has there owns the database, and is nobody special.
func TestSoakDatabaseFaults(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	cluster := pgtest.New(pgtest.Config{})
	cluster.Run(t)
	database := cluster.Database(t)
	admin := newDatabaseAdmin(t, database)
	l := newLink(t, database)
	l.address.User = url.User("webhooks")
	w := newCrashWorld(t, seed, l.address.String())
	m := newMeddler(w, rand.New(rand.NewPCG(seed, 2)))
	ingest := w.source()
	stop := w.publishers(testkit.Count(3, 4))
	faults := []databaseFault{
		{"it only reads", func() { admin.set("default_transaction_read_only", "on") }, func() { admin.set("default_transaction_read_only", "off") }},
		{"no connection is left", func() {
			admin.do("ALTER ROLE webhooks CONNECTION LIMIT 0")
			admin.do(terminate)
		}, func() { admin.do("ALTER ROLE webhooks CONNECTION LIMIT -1") }},
		{"its network hangs", l.freeze, l.thaw},
		{"it breaks connections and refuses more", func() {
			admin.do("ALTER ROLE webhooks NOLOGIN")
			admin.do(terminate)
		}, func() { admin.do("ALTER ROLE webhooks LOGIN") }},
	}
	if testkit.Soaking() { // a lost connection is noticed within a minute
		faults = append(faults, databaseFault{"its connections are lost", l.lose, func() {}})
	}
	for round := range testkit.Count(1, 3) {
		for i, fault := range faults {
			w.pass(300 * time.Millisecond)
			t.Logf("%s", fault.what)
			w.backlog(60)
			fault.begin()
			begun := time.Now()
			w.awaitPublish(503)
			if round+i == 0 { // a lane that was held up once may be fed by the database
				w.goesOn(begun)
			}
			w.refusesAll(ingest)
			fault.end()
			w.within(2*time.Minute, 202)
		}
	}
	// Slowness alone is none: everything takes its time.
	l.slow(100 * time.Millisecond)
	w.awaitPublish(202)
	w.pass(time.Second)
	l.slow(0)
	stop()
	m.stop()
	w.recovered(m)
	n := testkit.Count(1, 3) * len(faults)
	told := w.outagesTold(n, n)
	t.Logf("seed %d: %d faults, %d messages acknowledged, %d unknown, %d refused, %d requests, %d duplicates, %d resends, %d pauses, %d lines of log",
		seed, n, len(w.acknowledged), w.unknown, w.refused, len(w.receiver.requests("")), w.duplicates, len(m.resends), m.pauses, told)
}

// source makes a source and returns its path.
func (w *crashWorld) source() string {
	w.t.Helper()
	var source struct{ IngestURL string }
	w.api.want(201, "POST", "/app/"+w.app+"/source", object{"name": "s", "provider": "github", "secrets": []string{githubSecret}}, &source)
	return source.IngestURL[strings.Index(source.IngestURL, "/in/"):]
}

// refusesAll: whatever would have to be stored is refused at once, with the time to
// come back, and the server is well.
func (w *crashWorld) refusesAll(ingest string) {
	w.t.Helper()
	msg := "/api/v1/app/" + w.app + "/msg"
	for _, request := range []struct{ path, body string }{
		{msg, `{"eventType":"user.made","payload":{}}`},
		{msg, `{"eventType":"user.made","eventId":"chosen","payload":{}}`},
		{"/api/v1/app", `{"name":"another"}`},
		{ingest, `{}`},
	} {
		begun := time.Now()
		header := http.Header{"Content-Type": {"application/json"}, "X-Github-Event": {"push"}}
		r, err := w.api.send("POST", request.path, header, strings.NewReader(request.body))
		if err != nil || r.status != 503 || r.header.Get("Retry-After") == "" || time.Since(begun) > 5*time.Second {
			w.t.Errorf("%s %s during an outage, after %v: %+v, %v", request.path, request.body, time.Since(begun), r, err)
		}
	}
	if r := w.api.call("GET", "/health", nil); r.status != 200 {
		w.t.Errorf("health during an outage: %d %s", r.status, r.body)
	}
}

// steadyType goes to an endpoint that takes 5 a second.
const steadyType = "steady.made"

// backlog has so many messages accepted for that endpoint, in less time than it
// takes to deliver them, on a slow machine too.
func (w *crashWorld) backlog(n int) {
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c := newClient(w.t, "")
			for range n / 10 {
				w.publishType(c, steadyType, object{})
			}
		})
	}
	all.Wait()
}

// goesOn waits until an attempt of the backlog was begun after a moment.
func (w *crashWorld) goesOn(after time.Time) {
	w.t.Helper()
	await(w.t, "attempts go on", func() bool {
		for _, r := range w.receiver.requests("/steady") {
			if r.start.After(after) {
				return true
			}
		}
		return false
	})
}

// terminate ends the sessions of servers under test.
const terminate = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'postern'"

// databaseAdmin does to a database what its administrator can. webhooks is the
// user that owns it.
type databaseAdmin struct {
	t    *testing.T
	conn *pgx.Conn
}

func newDatabaseAdmin(t *testing.T, database string) *databaseAdmin {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	a := &databaseAdmin{t: t, conn: conn}
	t.Cleanup(func() {
		for _, sql := range []string{"ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"} {
			_, _ = conn.Exec(context.Background(), sql) // the cluster ends as well
		}
		_ = conn.Close(context.Background())
	})
	a.do("CREATE ROLE webhooks LOGIN")
	a.do("ALTER DATABASE " + config.Database + " OWNER TO webhooks")
	return a
}

// do carries a command out.
func (a *databaseAdmin) do(sql string) {
	a.t.Helper()
	if _, err := a.conn.Exec(a.t.Context(), sql); err != nil {
		a.t.Fatal(err)
	}
}

// set changes a setting of the whole cluster, at once.
func (a *databaseAdmin) set(name, value string) {
	a.t.Helper()
	a.do("ALTER SYSTEM SET " + name + " = " + value)
	a.do("SELECT pg_reload_conf()")
}
