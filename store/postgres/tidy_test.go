package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// day0 is the day of a committer's messages.
var day0 = store.DayOf(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))

// tables counts those of a day.
func tables(t *testing.T, url string, day store.Day) int64 {
	t.Helper()
	return query(t, url, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE $1", fmt.Sprintf("%%_d%d", day))
}

// quietly opens a store whose background the test takes over.
func quietly(t *testing.T, url string) *Store {
	t.Helper()
	s := open(t, url, Options{Reclaim: true})
	s.stop()
	s.tending.Wait()
	return s
}

// A dropped day is not read from the moment its batch is stored; its tables go
// later, wherever an earlier try has left them.
func TestDroppedDaysGo(t *testing.T) {
	for _, left := range []string{
		"", "ALTER TABLE message DETACH PARTITION message_d%d", "DROP TABLE attempt_d%d",
		"UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'content_d%d'::regclass",
	} {
		url := cluster.Database(t)
		s := quietly(t, url)
		c := newCommitter(t)
		c.commit(s, c.batch())
		b := c.batch()
		b.DropDay = day0
		c.commit(s, b)
		if got := stored(t, s); len(got) != 0 || tables(t, url, day0) != 5 {
			t.Errorf("%d messages are read of a dropped day, and %d tables are there", len(got), tables(t, url, day0))
		}
		if left != "" {
			if _, err := connect(t, url).Exec(t.Context(), fmt.Sprintf(left, day0)); err != nil {
				t.Fatal(err)
			}
		}
		// After a restart it goes on.
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = quietly(t, url)
		today := store.DayOf(time.Now())
		if err := s.tidy(t.Context()); err != nil {
			t.Error(err)
		}
		if n := tables(t, url, day0); n != 0 {
			t.Errorf("after %q: %d tables of a dropped day", left, n)
		}
		if n := tables(t, url, today+daysAhead); n != 5 {
			t.Errorf("%d tables of the last day ahead", n)
		}
		// History of a dropped day has no place any more, and stops no batch.
		late := c.batch()
		late.Attempts = []*postern.Attempt{{ID: postern.AttemptID{1}, Message: b.Accepts[0].Message.ID, Application: 1, Endpoint: 1, N: 1}}
		late.Accepts = nil
		c.commit(s, late)
		if n := tables(t, url, day0); n != 0 {
			t.Errorf("%d tables were made for a dropped day", n)
		}
	}
}

// Whoever reads for long delays the end of a day, and no batch.
func TestADroppedDayIsInUse(t *testing.T) {
	url := cluster.Database(t)
	s := quietly(t, url)
	c := newCommitter(t)
	c.commit(s, c.batch())
	tx, err := connect(t, url).Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "SELECT count(*) FROM message")
	}
	if err != nil {
		t.Fatal(err)
	}
	drop := c.batch()
	drop.Accepts, drop.DropDay = nil, day0
	c.commit(s, drop)
	tidied := make(chan error, 1)
	go func() { tidied <- s.dropDays(t.Context()) }()
	until(t, func() bool {
		return query(t, url, waiting) > 0
	})
	c.head.LastTime = c.head.LastTime.Add(24 * time.Hour)
	c.commit(s, c.batch()) // makes a partition, too, once the lock is given up
	if err := <-tidied; err == nil {
		t.Error("the day went while it was read")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.dropDays(t.Context()); err != nil || tables(t, url, day0) != 0 {
		t.Errorf("%d tables left, %v", tables(t, url, day0), err)
	}
}

// The history of a deleted application goes, its neighbour's stays.
func TestDeletedApplicationsAreErased(t *testing.T) {
	url := cluster.Database(t)
	s := quietly(t, url)
	c := newCommitter(t)
	for app := range postern.ApplicationNumber(2) {
		b := c.batch()
		m := b.Accepts[0].Message
		m.Application = app + 1
		b.Attempts = []*postern.Attempt{{ID: postern.AttemptID{1}, Message: m.ID, Application: app + 1, Endpoint: 1, N: 1}}
		b.Finals = []postern.Final{{Message: m.ID, Application: app + 1, Endpoint: 1}}
		b.Dead = []store.DeadChange{{Key: store.DeliveryKey{Message: m.ID, Application: app + 1, Endpoint: 1}}}
		c.commit(s, b)
	}
	b := c.batch()
	b.Accepts, b.Changes = nil, []store.Change{{Delete: &postern.Application{Number: 1}}}
	c.commit(s, b)
	if !s.gone(1) || s.gone(2) {
		t.Error("the wrong one is gone")
	}
	for range 2 {
		if err := s.tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"message", "content", "attempt", "final", "dead"} {
		if n := query(t, url, "SELECT sum(application) FROM "+table); n != 2 {
			t.Errorf("%s: %d", table, n)
		}
	}
	if n := query(t, url, "SELECT count(*) FROM tombstone WHERE swept"); n != 1 {
		t.Errorf("%d tombstones are swept", n)
	}
	if again := quietly(t, url); !again.gone(1) {
		t.Error("after a restart it is back")
	}
}

// Dedupe records go when they are too old: an event's with its day, others' after
// the window. The node that has them go need not have stored anything itself.
func TestDedupeIsSwept(t *testing.T) {
	url := cluster.Database(t)
	idle, s := still(t, url, "idle"), quietly(t, url)
	c := newCommitter(t)
	c.head.Journal = s.opts.Journal
	for range 3 {
		c.head.LastTime = c.head.LastTime.Add(24 * time.Hour)
		b := c.batch()
		a := &b.Accepts[0]
		for _, scope := range []store.Scope{store.ScopeEvent, store.ScopeSource, store.ScopeIdempotency} {
			a.Dedupe = append(a.Dedupe, store.DedupeRecord{Scope: scope, Digest: store.Digest{byte(c.head.Batch)}, Message: a.Message.ID})
		}
		if c.head.Batch == 3 {
			b.DropDay = day0 + 1
		}
		c.commit(s, b)
	}
	if err := errors.Join(idle.loadGone(t.Context()), idle.sweepDedupe(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := query(t, url, "SELECT count(*) FROM dedupe WHERE scope = 'e'"); n != 2 {
		t.Errorf("%d records of events, one of which is dropped", n)
	}
	// Of the others those that are over a day old, by the ids' own time.
	if n := query(t, url, "SELECT count(*) FROM dedupe WHERE scope <> 'e'"); n != 2 {
		t.Errorf("%d records of requests", n)
	}
	// A clock that leaps takes no record along.
	if got := s.outlived(time.Now().Add(1000 * time.Hour).UnixMilli()); got > time.Now().Add(-23*time.Hour).UnixMilli() {
		t.Errorf("a leap of the clock outlives records up to %v", time.UnixMilli(got))
	}
}

// What was expunged is noted until its tables are rewritten, once they have rest.
func TestPurge(t *testing.T) {
	url := cluster.Database(t)
	s := quietly(t, url)
	now := c0().Add(time.Hour)
	c := newCommitter(t)
	first := c.batch()
	c.commit(s, first)
	b := c.batch()
	b.Expunged = []store.ContentKey{{Application: 1, Message: first.Accepts[0].Message.ID}}
	c.commit(s, b)
	file := func() int64 {
		return query(t, url, fmt.Sprintf("SELECT relfilenode::int8 FROM pg_class WHERE relname = 'content_d%d'", day0))
	}
	notes := func() int64 { return query(t, url, "SELECT count(*) FROM expunged") }
	original := file()
	for _, step := range []struct {
		after      time.Duration
		notes      int64
		rewritten  bool
		whatItSays string
	}{
		{0, 1, false, "too early"},
		{20 * time.Hour, 1, false, "still written to"},
		{80 * time.Hour, 0, true, "at rest"},
		{1, 0, true, "nothing left to do"},
	} {
		now = now.Add(step.after)
		s.node.clock.set(now)
		s.ready.Clear() // of tables that others made nothing is known
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if notes() != step.notes || (file() != original) != step.rewritten {
			t.Errorf("%s: %d notes, rewritten %t", step.whatItSays, notes(), file() != original)
		}
	}
	if n := query(t, url, "SELECT count(*) FROM content"); n != 1 {
		t.Errorf("%d contents, want the one that was not expunged", n)
	}
}

// A rewrite has nobody wait who needs another day, and gives way to who needs
// the same.
func TestRewritesGiveWay(t *testing.T) {
	url := cluster.Database(t)
	s := quietly(t, url)
	now := c0().Add(80 * time.Hour)
	s.node.clock.set(now)
	c := newCommitter(t)
	first, second := c.batch(), c.batch()
	c.commit(s, first)
	c.commit(s, second)
	c.head.LastTime = c.head.LastTime.Add(72 * time.Hour)
	later := c.batch()
	later.Expunged = []store.ContentKey{{Application: 1, Message: first.Accepts[0].Message.ID}}
	c.commit(s, later)
	s.node.clock.set(now.Add(purgeAfter))
	conn := connect(t, url)
	// What is rewritten gets its indexes anew, one of which takes its time.
	slowly := fmt.Sprintf(`CREATE TABLE public.slow (once int);
		CREATE FUNCTION public.slow(bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
			BEGIN
				PERFORM pg_sleep(20) FROM public.slow;
				RETURN $1;
			END $$;
		CREATE INDEX ON content_d%d (public.slow(message));
		INSERT INTO public.slow VALUES (1)`, day0)
	if _, err := conn.Exec(t.Context(), slowly); err != nil {
		t.Fatal(err)
	}
	purged := make(chan error, 1)
	go func() { purged <- s.Purge(t.Context()) }()
	locked := fmt.Sprintf("SELECT count(*) FROM pg_locks WHERE relation = 'content_d%d'::regclass AND mode = 'AccessExclusiveLock' AND granted", day0)
	until(t, func() bool { return query(t, url, locked) > 0 })
	if _, err := s.Content(t.Context(), 1, later.Accepts[0].Message.ID); err != nil || query(t, url, locked) == 0 {
		t.Errorf("a content of another day had to wait for the end: %v", err)
	}
	if _, err := s.Content(t.Context(), 1, second.Accepts[0].Message.ID); err != nil {
		t.Errorf("a content of the same day: %v", err)
	}
	if err := <-purged; err != nil {
		t.Fatal(err)
	}
	notes := func() int64 { return query(t, url, "SELECT count(*) FROM expunged") }
	if notes() != 1 {
		t.Error("it counts as rewritten")
	}
	if _, err := conn.Exec(t.Context(), "DELETE FROM public.slow"); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil || notes() != 0 {
		t.Errorf("in the end: %d notes, %v", notes(), err)
	}
}

// What a session of the store's own is set to never stays behind in a pooler's.
func TestPoolersKeepTheirSettings(t *testing.T) {
	direct := cluster.Database(t)
	p, url := newProxy(t, direct)
	for _, pooler := range []bool{false, true} {
		p.mu.Lock()
		p.pooler = pooler
		p.mu.Unlock()
		s := open(t, url+"&statement_timeout=60000", Options{ReadOnly: true})
		conn, err := s.direct(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wait, work string
		err = conn.QueryRow(t.Context(), "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')").Scan(&wait, &work)
		if err != nil || (wait == "0") != pooler || (work == "1min") != pooler {
			t.Errorf("pooler %t: lock_timeout %s, statement_timeout %s, %v", pooler, wait, work, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A day's tables stand beside their parents: one of the same name elsewhere is none.
func TestPartitionsStandByTheirParents(t *testing.T) {
	url := cluster.Database(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`CREATE SCHEMA other; CREATE TABLE other.message_d%d ();
		ALTER DATABASE %s SET search_path = other, public`, day0, conn.Config().Database)); err != nil {
		t.Fatal(err)
	}
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	list, err := s.partitions(t.Context(), int64(day0))
	if err != nil || len(list) != 5 {
		t.Errorf("%d tables of the day, want 5; %v", len(list), err)
	}
}

// A table that somebody works on for long is no reason not to start.
func TestTablesInUseAtTheStart(t *testing.T) {
	url := cluster.Database(t)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE message IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	s := open(t, url, Options{})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := newCommitter(t)
	c.commit(s, c.batch())
}

// c0 is when a committer begins.
func c0() time.Time { return day0.Start().Add(12 * time.Hour) }

// A running store does all that by itself, as soon as there is something to do.
func TestTheBackgroundTidies(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	b := c.batch()
	b.Accepts, b.DropDay = nil, day0
	c.commit(s, b)
	until(t, func() bool { return tables(t, url, day0) == 0 })
}

// What cannot be tidied is told once, however often it is tried.
func TestUntidyTablesAreToldOnce(t *testing.T) {
	url := cluster.Database(t)
	var log journalOf
	s := open(t, url, Options{Logger: log.logger()})
	conn := connect(t, url)
	// A sequence counts on where its transaction fails.
	const failing = `CREATE SEQUENCE tried; CREATE OR REPLACE FUNCTION postern_sweep(bigint, bigint, integer) RETURNS bigint
		LANGUAGE sql AS $$ SELECT 1 / (nextval('tried') * 0) $$`
	if _, err := conn.Exec(t.Context(), "DROP FUNCTION postern_sweep; "+failing); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		s.wake()
		return query(t, url, "SELECT last_value FROM tried") > 6
	})
	if n := strings.Count(log.String(), "not tidy yet"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}
