package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/testkit"
)

// failover is two nodes under load, on a primary that waits for its standby with each
// commit. The nodes' addresses name both servers, first the primary.
type failover struct {
	*nodesWorld
	*nodesLedger
	t       *testing.T
	standby *pgtest.Cluster
	// first and second are the networks to the two, of all nodes.
	first, second *link
	stop          func() // the publishers
	before        []lease
	tries         int    // publishes of goOn
	dead          string // a node that died with the primary, "" for none
}

func newFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{t: t}
	f.nodesWorld = newNodesWorld(t, func(got *request, _ *http.Request) int {
		if got.path == "/slow" {
			pass(400 * time.Millisecond)
		}
		return 200
	}, crashSchedule)
	f.standby = f.cluster.Standby(t)
	f.exec(f.database, "ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'")
	f.exec(f.database, "SELECT pg_reload_conf()")
	await(t, "the primary waits for its standby", func() bool {
		return f.number(f.database, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	})
	f.first, f.second = newLink(t, f.database), newLink(t, f.standby.Same(t, f.database))
	// Which server is to be written to goes without saying.
	a, b := f.node(""), f.node("&target_session_attrs=read-write")
	a.await()
	b.await()
	f.nodesLedger = newNodesLedger(f.nodesWorld, a, map[string][]string{"/good": nil, "/slow": {"slow.made"}})
	f.stop = f.publishers(3, 10*time.Millisecond, testkit.Seed(t), []string{"user.made", "slow.made"})
	f.receiver.await(t, "/slow", 50)
	f.before = f.leases()
	return f
}

// node starts a node.
func (f *failover) node(more string) *node {
	return f.beginOn(f.first, fmt.Sprintf("postgres://postgres@%s,%s/%s?sslmode=disable&connect_timeout=2%s",
		f.first.address.Host, f.second.address.Host, f.first.address.Path, more))
}

// takeOver has the standby be the primary.
func (f *failover) takeOver() {
	f.t.Helper()
	f.standby.Promote(f.t)
	f.database = f.standby.Same(f.t, f.database)
}

// goOn waits until all nodes accept and deliver.
func (f *failover) goOn(when string) {
	f.t.Helper()
	begun := time.Now()
	for _, n := range f.senders() {
		c := newClient(f.t, n.base)
		c.http.Timeout = 2 * time.Second
		await(f.t, n.name+" accepts "+when, func() bool {
			f.tries++
			return f.publish(c, n, event{fmt.Sprintf("%s-%d", n.name, f.tries), "user.made"})
		})
	}
	f.t.Logf("all accept %s after %v", when, time.Since(begun).Round(100*time.Millisecond))
	sent := len(f.receiver.requests("/slow"))
	f.receiver.await(f.t, "/slow", sent+20)
}

// end checks that nothing is missing, that nothing was done twice but what a node
// that died excuses, and that everybody who lives still has what they had.
func (f *failover) end() {
	f.t.Helper()
	f.stop()
	f.check()
	after := f.leases()
	if len(after) != len(f.before) {
		f.t.Errorf("leases before: %+v, after: %+v", f.before, after)
	}
	for i, was := range f.before {
		if is := after[i]; was.Node != f.dead && (is.Node != was.Node || !is.Main || !is.Held) {
			f.t.Errorf("a lease before: %+v, after: %+v", was, is)
		}
	}
	adopted := 0
	for _, n := range f.senders() {
		adopted += n.told("adopted a journal: its deliveries go on here")
		if times := n.told("serving again"); times != 0 {
			f.t.Errorf("%s started anew %d times", n.name, times)
		}
		if code := n.terminate(patience); code != 0 {
			f.t.Errorf("%s ends with code %d", n.name, code)
		}
	}
	if f.dead == "" && (adopted > 0 || f.duplicates > 0) || adopted > 1 {
		f.t.Errorf("%d journals adopted, %d duplicates", adopted, f.duplicates)
	}
	f.t.Logf("%d events acknowledged, %d refused, %d unknown", len(f.acknowledged), f.refused, f.unknown)
}

// sentBy are the requests to a path that a node sent.
func (f *failover) sentBy(n *node, path string) []request {
	return slices.DeleteFunc(f.receiver.requests(path), func(r request) bool { return r.life != n.life })
}

// exec runs a statement on a server, by its address.
func (f *failover) exec(url, sql string) {
	f.t.Helper()
	f.on(url, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// number asks a server for one.
func (f *failover) number(url, sql string) (n int64) {
	f.t.Helper()
	f.on(url, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&n) })
	return n
}

func (f *failover) on(url string, do func(context.Context, *pgx.Conn) error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := do(ctx, conn); err != nil {
		f.t.Fatal(err)
	}
}

// The primary crashes and its standby is promoted. Nodes go on there by themselves,
// nothing that was acknowledged is missing, nothing is delivered twice, and nobody takes
// what another has. The former primary comes back, and stands before the present one
// in every address: as a standby, and then as one that takes itself for the primary.
// Nodes pass it by.
func TestFailover(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	former := f.database
	f.cluster.Stop(t, "immediate")
	f.takeOver()
	f.goOn("on the new primary")

	f.first.lead(t, f.standby.Standby(t).Same(t, former))
	f.cutBoth()
	f.goOn("beside a standby")

	f.first.sever()
	f.first.lead(t, former)
	f.cluster.Start(t)
	f.exec(former, "ALTER SYSTEM RESET synchronous_standby_names") // it would take anything
	f.exec(former, "SELECT pg_reload_conf()")
	const state = "SELECT (SELECT sum(batch) FROM head) + (SELECT sum(expires_ms) FROM heartbeat)"
	was := f.number(former, state)
	f.first.mend()
	f.cutBoth()
	f.goOn("beside the former primary")
	f.end()
	if is := f.number(former, state); is != was {
		t.Error("the former primary was written to")
	}
}

// cutBoth has all nodes connect anew.
func (f *failover) cutBoth() {
	f.first.cut()
	f.second.cut()
}

// The primary is gone without a word: what was sent to it is never answered, and who
// connects waits. Later it is there again, with the batch that it was sent. A node that
// dies at the same moment is adopted once those that live have had time to come back.
func TestFailoverWithoutAWord(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	c := f.node("")
	c.await()
	f.dead = c.name
	await(t, "it has something to do", func() bool { return len(f.sentBy(c, "/slow")) >= 10 })
	f.before = f.leases()
	f.first.freeze()
	c.crash()
	begun := time.Now()
	f.takeOver()
	f.goOn("on the new primary")
	if took := time.Since(begun); took > 45*time.Second { // a batch is given up after a minute
		t.Errorf("that took %v", took)
	}
	f.first.thaw()
	f.cutBoth()
	f.goOn("beside the former primary")
	f.end()
}
