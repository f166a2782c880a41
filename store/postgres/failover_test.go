package postgres

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

const (
	// moved is as if another server had been the database's until now, and stayed as
	// if it had been this one for long.
	moved  = "UPDATE server SET started = started - interval '1 day'"
	stayed = "UPDATE server SET since_ms = since_ms - 10000"
)

// Where a standby took over, leases that have run out meanwhile say nothing of their
// holders, who are about to renew them: nobody takes one before it could have been
// renewed. A lease that is by a clock far ahead lasts no longer than one that is new.
func TestAdoptAfterAFailover(t *testing.T) {
	url := cluster.Database(t)
	live, heir := still(t, url, "live"), still(t, url, "heir")
	unfinished(t, live)
	do(t, url, stayed)
	do(t, url, settleIn, 1)
	do(t, url, runOut, 0)
	do(t, url, moved)
	refused := func(when string) {
		t.Helper()
		if _, err := heir.Adopt(t.Context(), 0); !errors.Is(err, postern.ErrConflict) {
			t.Fatalf("adopted %s: %v", when, err)
		}
	}
	refused("at once")
	refused("though it was met before")
	if s := open(t, url, Options{}); s.opts.Journal != 2 {
		t.Errorf("a node that starts got journal %d", s.opts.Journal)
	}
	if err := live.renew(t.Context()); err != nil {
		t.Errorf("its holder goes on: %v", err)
	}

	do(t, url, "UPDATE heartbeat SET since_ms = postern_now() + 3600000, expires_ms = postern_now() + 3600000")
	do(t, url, moved)
	if err := heir.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := query(t, url, "SELECT count(*) FROM heartbeat WHERE since_ms <= postern_now() AND expires_ms <= postern_now() + 10000"); n != 3 {
		t.Errorf("%d of 3 leases are by the clock that there is", n)
	}
	do(t, url, settleIn, 1)
	do(t, url, runOut, 0)
	refused("before its holder could come back")
	do(t, url, stayed)
	shard, err := heir.Adopt(t.Context(), 0)
	if err != nil {
		t.Fatalf("not adopted though it was time: %v", err)
	}
	if err := shard.Close(); err != nil {
		t.Error(err)
	}
}

// promoted has whoever connects from here on meet a server of a timeline.
func promoted(t *testing.T, url, timeline string) {
	t.Helper()
	conn := connect(t, url)
	for _, sql := range []string{
		"CREATE OR REPLACE FUNCTION public.pg_walfile_name(pg_lsn) RETURNS text LANGUAGE sql AS $$SELECT '" + timeline + "0000000000000001'$$",
		"ALTER DATABASE " + conn.Config().Database + " SET search_path = public, pg_catalog",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that was the primary before a failover, and takes itself for it when it is
// back, gets neither batches nor renewals, nor is it read.
func TestElderServersAreRefused(t *testing.T) {
	direct := cluster.Database(t)
	p, url := newProxy(t, direct)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	promoted(t, direct, "000000FE")
	p.cut()
	c.commit(s, c.batch())
	promoted(t, direct, "000000FD")
	p.cut()
	s.writer.used = time.Now().Add(-time.Hour) // it is asked first, so that no batch is in doubt
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(t.Context(), b) }()
	until(t, func() bool { return s.Admit() != nil })
	if err := s.renew(t.Context()); err == nil {
		t.Error("the lease is renewed there")
	}
	if _, err := s.Message(t.Context(), 1, b.Accepts[0].Message.ID); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("a read: %v", err)
	}
	promoted(t, direct, "000000FE")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("stored: %v", got)
	}
}

// A batch that waits for the answer of a server which is gone without a word is looked
// for at the one that took over, as soon as anything has met that.
func TestABatchFollowsAFailover(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	begun := time.Now()
	reached, release := stall(t, url)
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(t.Context(), b) }()
	<-reached
	promoted(t, url, "000000FE")
	s.reads.Reset()
	if _, err := s.Message(t.Context(), 1, b.Accepts[0].Message.ID); err != nil && !errors.Is(err, postern.ErrNotFound) {
		t.Fatal(err)
	}
	until(t, func() bool { return s.Leased().IsZero() }) // nobody knows what became of it
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > tryTimeout/2 {
		t.Errorf("it took %v", took)
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("stored: %v", got)
	}
}

// Which servers are younger is known within one database, by the servers that tell.
func TestLineage(t *testing.T) {
	younger := 0
	var l lineage
	l.tell(func() { younger++ })
	for i, met := range []struct {
		system, timeline int64
		refused          bool
		younger          int
	}{{7, 2, false, 0}, {7, 2, false, 0}, {7, 3, false, 1}, {7, 2, true, 1}, {7, 3, false, 1}, {8, 1, false, 1}, {8, 2, false, 2}} {
		if err := l.saw(met.system, met.timeline); (err != nil) != met.refused || younger != met.younger {
			t.Errorf("%d: %v, a younger one was met %d times", i, err, younger)
		}
	}

	url := cluster.Database(t)
	conn := connect(t, url).PgConn()
	l = lineage{}
	if err := l.meet(t.Context(), conn); err != nil || l.system == 0 || l.timeline != 1 {
		t.Errorf("a server that was never promoted: %+v, %v", &l, err)
	}
	do(t, url, "CREATE FUNCTION public.pg_walfile_name(pg_lsn) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'not here'; END$$")
	if _, err := conn.Exec(t.Context(), "SET search_path = public, pg_catalog").ReadAll(); err != nil {
		t.Fatal(err)
	}
	l = lineage{}
	if err := l.meet(t.Context(), conn); err != nil || l.timeline != 0 {
		t.Errorf("a server that does not tell: %+v, %v", &l, err)
	}
}

// The hosts of an address are all told of, each once.
func TestHosts(t *testing.T) {
	a, err := parseAddress("postgres://u@one:5432,two:5433/db")
	if err != nil || a.name != "one,two/db" {
		t.Errorf("%+v, %v", a.name, err)
	}
}
