package postgres

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// do runs a statement over a connection of the test's own.
func do(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	if _, err := connect(t, url).Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

const (
	// isUp and isYoung say how long the database has been up.
	isUp    = "CREATE OR REPLACE FUNCTION postern_up(_lease_ms bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true'"
	isYoung = "CREATE OR REPLACE FUNCTION postern_up(_lease_ms bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false'"
	// runOut has the lease of a journal run out, and settleIn has one held for long.
	runOut   = "UPDATE heartbeat SET expires_ms = postern_now() WHERE journal = $1"
	settleIn = "UPDATE heartbeat SET since_ms = since_ms - 10000 WHERE journal = $1"
)

// still opens a store as a node that then does nothing by itself: its lease runs out.
func still(t *testing.T, url, node string) *Store {
	t.Helper()
	s := open(t, url, Options{Node: node})
	s.stop()
	s.tending.Wait()
	return s
}

// unfinished has a message in the store's journal that is not delivered.
func unfinished(t *testing.T, s *Store) *committer {
	t.Helper()
	c := newCommitter(t)
	c.head.Journal = s.opts.Journal
	c.commit(s, c.batch())
	return c
}

// Nodes that start at once get a journal each, and later ones those that are free:
// first what nothing is left of.
func TestStartingNodes(t *testing.T) {
	url := cluster.Database(t)
	do(t, url, isUp)
	started := make(chan *Store)
	for range 4 {
		go func() {
			s, err := Open(t.Context(), url, Options{})
			if err != nil {
				t.Error(err)
			}
			started <- s
		}()
	}
	stores := map[uint16]*Store{}
	for range 4 {
		s := <-started
		if s == nil {
			t.FailNow()
		}
		t.Cleanup(func() { _ = s.Close() })
		stores[s.opts.Journal] = s
	}
	for j := range uint16(4) {
		if stores[j] == nil {
			t.Fatalf("the journals are %v", stores)
		}
	}
	unfinished(t, stores[0])
	for _, j := range []uint16{0, 2} {
		if err := stores[j].Close(); err != nil {
			t.Fatal(err)
		}
	}
	stores[3].stop()
	stores[3].tending.Wait()
	do(t, url, runOut, 3)
	for _, want := range []uint16{2, 3, 0, 4} {
		if s := open(t, url, Options{}); s.opts.Journal != want {
			t.Errorf("the next node gets journal %d, want %d", s.opts.Journal, want)
		}
	}
}

// What a young database says of leases is not believed, nor does a name take what
// another has.
func TestStartingBesideLeases(t *testing.T) {
	url := cluster.Database(t)
	do(t, url, isYoung)
	still(t, url, "one")
	do(t, url, runOut, 0)
	if s := open(t, url, Options{Node: "two", Reclaim: true}); s.opts.Journal != 1 {
		t.Errorf("got journal %d", s.opts.Journal)
	}
	if _, err := Open(t.Context(), url, Options{Node: "two", Reclaim: true, Fixed: true}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("took it by its number: %v", err)
	}
	if s := open(t, url, Options{Node: "one", Reclaim: true}); s.opts.Journal != 0 {
		t.Errorf("under its own name it got journal %d", s.opts.Journal)
	}
}

// A journal is adopted when its lease has run out, by a node that has held its own
// for as long, from a database that has been up for as long; then its holder writes
// nothing more.
func TestAdopt(t *testing.T) {
	url := cluster.Database(t)
	do(t, url, isUp)
	old := still(t, url, "old")
	c := unfinished(t, old)
	heir := open(t, url, Options{Node: "heir"})
	refused := func(why string) {
		t.Helper()
		if _, err := heir.Adopt(t.Context(), 0); !errors.Is(err, postern.ErrConflict) {
			t.Fatalf("adopted while %s: %v", why, err)
		}
	}
	refused("its lease holds, and the own one is young")
	do(t, url, settleIn, 1)
	refused("its lease holds")
	do(t, url, runOut, 0)
	do(t, url, isYoung)
	refused("the database is young")
	do(t, url, isUp)
	do(t, url, "UPDATE heartbeat SET since_ms = postern_now() WHERE journal = 1")
	refused("the own lease is young")
	do(t, url, settleIn, 1)

	shard, err := heir.Adopt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := shard.Head(t.Context()); err != nil || head != c.head {
		t.Errorf("it is at %+v, %v", head, err)
	}
	if until := time.Until(shard.Leased()); until <= 0 || until > lease {
		t.Errorf("leased for %v", until)
	}
	if _, err := heir.Adopt(t.Context(), 0); !errors.Is(err, postern.ErrConflict) || len(heir.node.numbers()) != 2 {
		t.Errorf("adopted again: %v; it holds %v", err, heir.node.numbers())
	}
	if err := old.renew(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("the old holder renews: %v", err)
	}
	next := c.batch()
	if err := old.Commit(t.Context(), next); !errors.Is(err, errFenced) || !old.Leased().IsZero() {
		t.Errorf("the old holder writes: %v", err)
	}
	c.commit(shard.(*Store), next)
	if got := stored(t, shard.(*Store)); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("stored: %v", got)
	}
	if err := shard.Close(); err != nil {
		t.Fatal(err)
	}
	if query(t, url, "SELECT count(*) FROM heartbeat WHERE journal = 0 AND released AND NOT main AND node = 'heir'") != 1 {
		t.Error("closed, it did not give the journal back")
	}
	if held := heir.node.numbers(); len(held) != 1 || held[0] != 1 {
		t.Errorf("the node holds %v", held)
	}
	if _, err := heir.Poll(t.Context()); err != nil {
		t.Errorf("its closing ended more than itself: %v", err)
	}
}

// What its holder has released is adopted at once, and of several nodes by one.
func TestAdoptReleased(t *testing.T) {
	url := cluster.Database(t)
	do(t, url, isYoung)
	old := open(t, url, Options{Node: "old"})
	c := unfinished(t, old)
	heirs := []*Store{open(t, url, Options{}), open(t, url, Options{}), open(t, url, Options{})}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	shards := make(chan store.Cluster)
	for _, heir := range heirs {
		go func() {
			shard, err := heir.Adopt(t.Context(), 0)
			if err != nil && !errors.Is(err, postern.ErrConflict) {
				t.Error(err)
			}
			shards <- shard
		}()
	}
	held := 0
	for range heirs {
		if shard := <-shards; shard != nil {
			held++
			c.commit(shard.(*Store), c.batch())
			defer func() { _ = shard.Close() }()
		}
	}
	if held != 1 {
		t.Errorf("%d have it", held)
	}
}

// Adoption waits for the batch under way, and begins behind it; a lost answer to it
// counts for the old holder as the batch of somebody who has nothing to say.
func TestAdoptDuringABatch(t *testing.T) {
	direct := cluster.Database(t)
	do(t, direct, isUp)
	p, url := newProxy(t, direct)
	old := still(t, url, "old")
	c := unfinished(t, old)
	heir := open(t, direct, Options{Node: "heir"})
	do(t, direct, settleIn, 1)
	reached, release := stall(t, direct)
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- old.Commit(t.Context(), b) }()
	<-reached
	do(t, direct, runOut, 0)
	adopted := make(chan store.Cluster, 1)
	go func() {
		shard, err := heir.Adopt(t.Context(), 0)
		if err != nil {
			t.Error(err)
		}
		adopted <- shard
	}()
	until(t, func() bool { return query(t, direct, waiting) == 2 })
	p.cut()
	until(t, func() bool { return query(t, direct, waiting) == 3 }) // the raise by which the old holder would know
	release()
	shard := <-adopted
	if shard == nil {
		t.FailNow()
	}
	defer func() { _ = shard.Close() }()
	if err := <-committed; !errors.Is(err, errFenced) {
		t.Errorf("the old holder was told %v", err)
	}
	if head, err := shard.Head(t.Context()); err != nil || head.Batch != b.Head.Batch {
		t.Errorf("adopted at batch %d, want %d: %v", head.Batch, b.Head.Batch, err)
	}
}

// Numbers of the catalogue that any journal has given out are not given out again.
func TestHeadOfANewJournal(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	head := store.Head{Batch: 1, Next: 5, Low: 5, Applications: 7, Endpoints: 9, Dropped: c0()}
	if err := s.Commit(t.Context(), &store.Batch{Head: head}); err != nil {
		t.Fatal(err)
	}
	other := open(t, url, Options{})
	got, err := other.Head(t.Context())
	if want := (store.Head{Journal: 1, Applications: 7, Endpoints: 9, Dropped: c0()}); err != nil || got != want {
		t.Errorf("a new journal's head is %+v, %v, want %+v", got, err, want)
	}
	// Who was away for long asks anew, and may never hear of what is gone again.
	head.Batch, head.Applications, head.Endpoints, head.Newest, head.Dropped = 2, 8, 12, c0().Add(time.Hour), c0().Add(time.Minute)
	if err := s.Commit(t.Context(), &store.Batch{Head: head}); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Head(t.Context()); err != nil || got.Applications != 8 || got.Endpoints != 12 || got.Batch != 0 || got.Newest != head.Newest || got.Dropped != head.Dropped {
		t.Errorf("after others went on it is %+v, %v", got, err)
	}
}

// The lease ends by this machine's clock no later than in the database, and is
// nothing while there is doubt.
func TestLeased(t *testing.T) {
	url := cluster.Database(t)
	s := still(t, url, "one")
	ends := func() time.Duration {
		database := time.Duration(query(t, url, "SELECT expires_ms - postern_now() FROM heartbeat")) * time.Millisecond
		return time.Until(s.Leased()) - database // asked later, it is shorter
	}
	if off := ends(); off > 2*time.Millisecond {
		t.Errorf("it ends %v later than in the database", off)
	}
	before := s.Leased()
	if err := s.renew(t.Context()); err != nil || !s.Leased().After(before) {
		t.Errorf("a renewal does not prolong it: %v", err)
	}
	s.hold.doubted()
	if err := s.renew(t.Context()); err != nil || !s.Leased().IsZero() {
		t.Errorf("in doubt it ends %v, %v", s.Leased(), err)
	}
	if _, err := s.settleDoubt(t.Context(), s.writer.conn); err != nil {
		t.Fatal(err)
	}
	if off := ends(); s.Leased().IsZero() || off > 2*time.Millisecond {
		t.Errorf("after the doubt it ends %v later than in the database", off)
	}
	select {
	case <-s.hold.again:
	default:
		t.Error("who waits for a renewal is not told that there is no doubt any more")
	}
}

// A gap in the lease is known by when it began to hold again.
func TestLeaseSince(t *testing.T) {
	url := cluster.Database(t)
	s := still(t, url, "one")
	do(t, url, settleIn, 0)
	since := func() int64 { return query(t, url, "SELECT postern_now() - since_ms FROM heartbeat") }
	for _, renewal := range []func() error{
		func() error { return s.renew(t.Context()) },
		func() error {
			s.hold.doubted()
			_, err := s.settleDoubt(t.Context(), s.writer.conn)
			return err
		},
	} {
		do(t, url, settleIn, 0)
		if err := renewal(); err != nil || since() < 10_000 {
			t.Errorf("a renewal in time has it begin %d ms ago, %v", since(), err)
		}
		do(t, url, runOut, 0)
		if err := renewal(); err != nil || since() > 9_000 {
			t.Errorf("a late renewal has it begin %d ms ago, %v", since(), err)
		}
	}
}

// Who is told of renewals is told of the first after a word that is to be said now.
func TestTellNow(t *testing.T) {
	url := cluster.Database(t)
	s, other := open(t, url, Options{Node: "one"}), open(t, url, Options{Node: "two"})
	renewed := make(chan struct{}, 10)
	s.Renewed(func() { renewed <- struct{}{} })
	said := func(want string) bool {
		state, err := other.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l := state.Leases[0]
		return l.Held(other.Now()) && l.Main && l.Node == "one" && string(l.Word) == want
	}
	if !said("") {
		t.Error("says something by itself")
	}
	until(t, func() bool { return other.node.listening.Load() })
	s.Tell([]byte("\x00hungry"), true)
	<-renewed
	if !said("\x00hungry") {
		<-renewed // the first was under way already
	}
	if !said("\x00hungry") {
		t.Error("what is to be said now is not said by the next renewal")
	}
	s.Tell([]byte("later"), false)
	if err := s.renew(t.Context()); err != nil || !said("later") {
		t.Errorf("a later word is not said: %v", err)
	}
}

// Nodes go by the database's clock, whatever their own says.
func TestNow(t *testing.T) {
	url := cluster.Database(t)
	for _, wrong := range []time.Duration{0, 5 * time.Minute, -5 * time.Minute} {
		s := open(t, url, Options{Now: func() time.Time { return time.Now().Add(wrong) }})
		before := s.Now()
		database := time.UnixMilli(query(t, url, "SELECT postern_now()"))
		if early, late := before.Sub(database), database.Sub(s.Now()); max(early, late) > time.Second {
			t.Errorf("a clock that is %v ahead is off by %v", wrong, max(early, late))
		}
		if before := s.Now(); s.Now().Sub(before) < 0 {
			t.Error("goes back")
		}
	}
}

// While a database cannot be reached, or hangs, nobody renews a lease: those that
// run out first say nothing of their holders, whoever comes back first.
func TestAdoptAfterAShortOutage(t *testing.T) {
	url := cluster.Database(t)
	do(t, url, isUp)
	live, heir := still(t, url, "live"), still(t, url, "heir")
	unfinished(t, live)
	do(t, url, settleIn, 1)
	// Eight seconds passed in which neither was renewed, the live one's last time a
	// little earlier.
	do(t, url, "UPDATE heartbeat SET expires_ms = postern_now() + CASE journal WHEN 0 THEN -500 ELSE 2000 END")
	for _, when := range []string{"at once", "after it renewed its own"} {
		if _, err := heir.Adopt(t.Context(), 0); !errors.Is(err, postern.ErrConflict) {
			t.Errorf("adopted %s: %v", when, err)
		}
		if err := heir.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := live.renew(t.Context()); err != nil {
		t.Errorf("its holder goes on: %v", err)
	}
	do(t, url, runOut, 0)
	do(t, url, settleIn, 1)
	shard, err := heir.Adopt(t.Context(), 0)
	if err != nil {
		t.Fatalf("not adopted though it was time: %v", err)
	}
	if err := shard.Close(); err != nil {
		t.Error(err)
	}
}
