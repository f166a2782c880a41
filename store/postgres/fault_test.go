package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// committer makes batches of one message each.
type committer struct {
	t    *testing.T
	head store.Head
}

func newCommitter(t *testing.T) *committer {
	return &committer{t, store.Head{Next: 1, Low: 1, LastTime: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)}}
}

// batch has the next message, of application 1 for endpoint 1.
func (c *committer) batch() *store.Batch {
	c.head.LastTime = c.head.LastTime.Add(time.Millisecond)
	m := &postern.Message{ID: postern.NewMessageID(c.head.LastTime, 0, c.head.Next, 7), Application: 1, EventType: "a", Routes: []postern.EndpointNumber{1}, Size: 2}
	c.head.Batch++
	c.head.Next++
	return &store.Batch{Head: c.head, Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: []byte("{}")}}}}
}

func (c *committer) commit(s *Store, b *store.Batch) {
	c.t.Helper()
	if err := s.Commit(c.t.Context(), b); err != nil {
		c.t.Fatal(err)
	}
}

// stored are the positions of all messages.
func stored(t *testing.T, s *Store) (positions []uint64) {
	t.Helper()
	err := s.Recover(t.Context(), 0, func(m *postern.Message, _ []postern.EndpointNumber) error {
		positions = append(positions, m.ID.Position())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return positions
}

// journalOf is a log that a test reads.
type journalOf struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journalOf) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journalOf) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journalOf) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// A store whose journal another one has taken writes nothing any more, and says why.
func TestFencing(t *testing.T) {
	url := cluster.Database(t)
	first := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(first, c.batch())
	if _, err := Open(t.Context(), url, Options{Fixed: true, Node: "two", Reclaim: true}); postern.KindOf(err) != postern.Conflict || !strings.Contains(err.Error(), `"postern"`) {
		t.Errorf("another node takes the same journal: %v", err)
	}
	second := open(t, url, Options{Reclaim: true})
	next := c.batch()
	for range 2 {
		if err := first.Commit(t.Context(), next); !errors.Is(err, errFenced) {
			t.Fatalf("Commit of a fenced store: %v", err)
		}
	}
	select {
	case <-first.Failed():
	default:
		t.Error("it has not failed")
	}
	if err := first.Admit(); postern.KindOf(err) != postern.Unavailable || !strings.Contains(err.Error(), "taken the journal over") {
		t.Errorf("Admit: %v", err)
	}
	if got := stored(t, second); !slices.Equal(got, []uint64{1}) {
		t.Errorf("stored: %v", got)
	}
	c.commit(second, next)
	if got := stored(t, second); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("stored: %v", got)
	}
}

// A lease that is somebody else's is noticed without a batch, and what is released
// in order is taken without a word.
func TestLease(t *testing.T) {
	t.Parallel() // it waits for a renewal
	url := cluster.Database(t)
	first := open(t, url, Options{Node: "one"})
	if err := first.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, url, Options{Node: "two", Fixed: true})
	open(t, url, Options{Node: "two", Fixed: true, Reclaim: true})
	if err := second.renew(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("a renewal of what was taken: %v", err)
	}
	<-second.Failed() // at the next renewal
}

// A batch whose answer is lost is stored once, whether the server had it or not;
// and a journal that was taken meanwhile ends the doubt as well.
func TestUnknownOutcome(t *testing.T) {
	for _, fates := range [][]fate{{lost}, {unheard}, {lost, unheard}, {unheard, lost}, {lost, lost, lost}, {panicked}} {
		t.Run(fmt.Sprint(fates), func(t *testing.T) {
			direct := cluster.Database(t)
			p, url := newProxy(t, direct)
			var log journalOf
			s := open(t, url, Options{Logger: log.logger()})
			c := newCommitter(t)
			c.commit(s, c.batch())
			p.mu.Lock()
			p.next = fates
			p.mu.Unlock()
			c.commit(s, c.batch())
			c.commit(s, c.batch())
			if got := stored(t, s); !slices.Equal(got, []uint64{1, 2, 3}) {
				t.Errorf("stored: %v", got)
			}
			if head, err := s.Head(t.Context()); err != nil || head != c.head {
				t.Errorf("head %+v, %v", head, err)
			}
			if epoch := query(t, direct, "SELECT epoch FROM journal"); epoch < 2 {
				t.Errorf("epoch %d: the doubt was not settled by raising it", epoch)
			}
			if n := query(t, direct, "SELECT count(*) FROM heartbeat h JOIN journal j ON j.id = h.journal AND j.epoch = h.epoch"); n != 1 {
				t.Error("the lease has not the journal's epoch")
			}
			if err := s.renew(t.Context()); err != nil {
				t.Errorf("renewal under the new epoch: %v", err)
			}
			outages := 1
			if slices.Equal(fates, []fate{unheard, lost}) { // of two batches
				outages = 2
			}
			if text := log.String(); strings.Count(text, "takes no batches") != outages || strings.Count(text, "takes batches again") != outages || strings.Contains(text, "hunter2") {
				t.Errorf("the log tells: %s", text)
			}
		})
	}
}

// A statement that still runs when its connection breaks is waited for, whichever
// way it ends, and nothing is sent beside it.
func TestUnknownOutcomeOfAStatementThatRuns(t *testing.T) {
	for _, ends := range []string{"committed", "given up"} {
		t.Run(ends, func(t *testing.T) {
			direct := cluster.Database(t)
			p, url := newProxy(t, direct)
			s := open(t, url, Options{})
			c := newCommitter(t)
			c.commit(s, c.batch())
			old := s.writer.conn.PgConn().PID()
			reached, release := stall(t, direct)
			committed := make(chan error, 1)
			b := c.batch()
			go func() { committed <- s.Commit(t.Context(), b) }()
			<-reached
			p.cut()
			until(t, func() bool { return query(t, direct, waiting) == 2 }) // the statement, and the raise behind it
			if ends == "given up" {
				query(t, direct, "SELECT count(pg_terminate_backend($1::int4, 5000))", int64(old))
			}
			release()
			if err := <-committed; err != nil {
				t.Fatal(err)
			}
			c.commit(s, c.batch())
			if got := stored(t, s); !slices.Equal(got, []uint64{1, 2, 3}) {
				t.Errorf("stored: %v", got)
			}
		})
	}
}

// Where somebody else takes the journal while a batch is in doubt, it counts as
// not written, and the store is fenced.
func TestUnknownOutcomeAndFenced(t *testing.T) {
	direct := cluster.Database(t)
	p, url := newProxy(t, direct)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	conn := connect(t, direct)
	if _, err := conn.Exec(t.Context(), "SELECT postern_take(0::int2, 'other', true, NULL, false, 'postern', 1000)"); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.next = []fate{unheard}
	p.mu.Unlock()
	if err := s.Commit(t.Context(), c.batch()); !errors.Is(err, errFenced) {
		t.Errorf("Commit: %v", err)
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1}) {
		t.Errorf("stored: %v", got)
	}
}

// Nor does the last batch count as the own one that somebody else has written
// between the raise and the look at it.
func TestTakenBehindTheRaise(t *testing.T) {
	direct := cluster.Database(t)
	p, url := newProxy(t, direct)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	const other = `CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			UPDATE journal SET epoch = epoch + 1, token = 'other';
			UPDATE head SET batch = batch + 1;
			RETURN NULL;
		END $$;
		CREATE TRIGGER other AFTER UPDATE ON journal FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION other()`
	if _, err := connect(t, direct).Exec(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.next = []fate{lost}
	p.mu.Unlock()
	if err := s.Commit(t.Context(), c.batch()); !errors.Is(err, errFenced) {
		t.Errorf("Commit of a batch that was never sent: %v", err)
	}
}

// A raise whose own answer was lost is known by its token, and raises nothing again.
func TestRaiseIsKnownByItsToken(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	conn := connect(t, url)
	s.hold.doubted()
	own := s.hold.epoch
	for range 2 {
		epoch, err := s.raise(t.Context(), conn)
		if err != nil || epoch == nil || *epoch != own+1 {
			t.Fatalf("raise: %v, %v", epoch, err)
		}
	}
}

// While the database is away the batch is kept and nothing is accepted; it is told
// once, and the batch is stored when the database is back.
func TestOutage(t *testing.T) {
	name := func(url string) string {
		a, err := parseAddress(url)
		if err != nil {
			t.Fatal(err)
		}
		return a.config.ConnConfig.Database
	}
	for _, outage := range []struct{ what, begin, end string }{
		{"it refuses connections", "ALTER DATABASE %s ALLOW_CONNECTIONS false", "ALTER DATABASE %s ALLOW_CONNECTIONS true"},
		{"it only reads", "ALTER DATABASE %s SET default_transaction_read_only = on", "ALTER DATABASE %s RESET default_transaction_read_only"},
		{"it takes too long", "ALTER DATABASE %s SET statement_timeout = 1", "ALTER DATABASE %s RESET statement_timeout"},
	} {
		t.Run(outage.what, func(t *testing.T) {
			var log journalOf
			url, admin := cluster.Database(t), connect(t, cluster.Database(t))
			s := open(t, url, Options{Logger: log.logger()})
			c := newCommitter(t)
			c.commit(s, c.batch())
			do := func(sql string) {
				t.Helper()
				if _, err := admin.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			anew := "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '" + name(url) + "'"
			do(fmt.Sprintf(outage.begin, name(url)))
			do(anew)
			committed := make(chan error, 1)
			b := c.batch()
			if outage.what == "it takes too long" {
				b.Accepts[0].Content.Payload = make([]byte, 8<<20)
			}
			go func() { committed <- s.Commit(t.Context(), b) }()
			until(t, func() bool { return s.Admit() != nil })
			if err := s.Admit(); postern.KindOf(err) != postern.Unavailable {
				t.Errorf("Admit: %v", err)
			}
			select {
			case err := <-committed:
				t.Fatalf("Commit: %v", err)
			case <-s.Failed():
				t.Fatal("the store failed")
			case <-time.After(300 * time.Millisecond): // a try or two more
			}
			do(fmt.Sprintf(outage.end, name(url)))
			if err := <-committed; err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return s.Admit() == nil })
			if text := log.String(); strings.Count(text, "takes no batches") != 1 || strings.Count(text, "takes batches again") != 1 {
				t.Errorf("the log tells: %s", text)
			}
			do(anew) // a session keeps the settings that it began with
			if got := stored(t, s); !slices.Equal(got, []uint64{1, 2}) {
				t.Errorf("stored: %v", got)
			}
		})
	}
}

// After a failover the database's name may still lead to the server that follows
// now. Neither batches nor reads are left to it.
func TestFollowersAreRefused(t *testing.T) {
	direct := cluster.Database(t)
	p, url := newProxy(t, direct)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	conn := connect(t, direct)
	do := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// Who connects from here on is told that the server follows another.
	do("CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
	do("ALTER DATABASE " + conn.Config().Database + " SET search_path = public, pg_catalog")
	p.cut()
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(t.Context(), b) }()
	until(t, func() bool { return s.Admit() != nil })
	if _, err := s.Message(t.Context(), 1, b.Accepts[0].Message.ID); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("a read: %v", err)
	}
	if _, err := Open(t.Context(), url, Options{}); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("Open: %v", err)
	}
	open(t, url, Options{ReadOnly: true})
	do("DROP FUNCTION public.pg_is_in_recovery()")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("stored: %v", got)
	}
}

// A connection that was cut while it was idle is no outage, and has no batch in doubt.
func TestCutWhileIdle(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	var log journalOf
	s := open(t, url, Options{Logger: log.logger()})
	c := newCommitter(t)
	c.commit(s, c.batch())
	p.cut()
	s.writer.used = time.Now().Add(-time.Hour)
	epoch := s.hold.epoch
	c.commit(s, c.batch())
	if strings.Contains(log.String(), "takes no batches") || s.hold.epoch != epoch {
		t.Errorf("epoch %d after %d; the log: %s", s.hold.epoch, epoch, log.String())
	}
}

// A pooler or a server that turns connections away for a reason of its own has
// nothing against the batch.
func TestTurnedAway(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	p.turnAway(true)
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(t.Context(), b) }()
	until(t, func() bool { return s.Admit() != nil })
	p.turnAway(false)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("stored: %v", got)
	}
}

// A caller that gives a batch up leaves a store that takes no other: it could pass
// for the one whose fate nobody knows.
func TestABatchIsGivenUp(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	p.turnAway(true)
	ctx, cancel := context.WithCancel(t.Context())
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(ctx, b) }()
	until(t, func() bool { return s.Admit() != nil })
	cancel()
	if err := <-committed; !errors.Is(err, errGivenUp) {
		t.Errorf("Commit: %v", err)
	}
	p.turnAway(false)
	if err := s.Commit(t.Context(), b); !errors.Is(err, errGivenUp) {
		t.Errorf("the next one: %v", err)
	}
	<-s.Failed()
}

// An outage that begins because an answer is late never begins after that answer.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telling, told := make(chan struct{}), make(chan struct{})
		s := &Store{address: &address{config: &pgxpool.Config{ConnConfig: &pgx.ConnConfig{}}}}
		s.opts.Logger = slog.New(blocked{slog.DiscardHandler, telling, told})
		stop := s.outage.watch(s)
		<-telling
		ended := make(chan struct{})
		go func() {
			stop()
			s.outage.end(s, byCommit)
			close(ended)
		}()
		synctest.Wait()
		close(told)
		<-ended
		if s.outage.underWay() {
			t.Error("the outage has no end")
		}
		s.outage.watch(s)()
		time.Sleep(2 * slow)
		if s.outage.underWay() {
			t.Error("an outage began after the watch")
		}
	})
}

// blocked is a log that says when it is written to first, and waits to be told to go on.
type blocked struct {
	slog.Handler
	telling, told chan struct{}
}

func (b blocked) Enabled(context.Context, slog.Level) bool { return true }

func (b blocked) Handle(context.Context, slog.Record) error {
	select {
	case b.telling <- struct{}{}:
	default:
	}
	<-b.told
	return nil
}

// A store that is closed while its database is away gives its batch up.
func TestCloseDuringAnOutage(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	_ = p.listener.Close()
	p.cut()
	committed := make(chan error, 1)
	b := c.batch()
	go func() { committed <- s.Commit(t.Context(), b) }()
	until(t, func() bool { return s.Admit() != nil })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-committed; !errors.Is(err, errClosed) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1}); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("a read of a closed store: %v", err)
	}
}

// A read whose connection is being made when the store is closed was not given up
// by its caller.
func TestCloseWhileAReadConnects(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	s := open(t, url, Options{})
	p.mu.Lock()
	p.silent = true
	before := len(p.conns)
	p.mu.Unlock()
	s.reads.Reset()
	read := make(chan error, 1)
	go func() {
		_, err := s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1})
		read <- err
	}()
	until(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.conns) > before })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; postern.KindOf(err) != postern.Unavailable {
		t.Errorf("the read: %v", err)
	}
}

// Where named statements do not reach their session, the store goes on without.
func TestPooler(t *testing.T) {
	var log journalOf
	s := open(t, cluster.Database(t), Options{Logger: log.logger()})
	c := newCommitter(t)
	for i := range 4 {
		if i == 1 { // as if the statement met another session
			if _, err := s.writer.conn.Exec(t.Context(), "DEALLOCATE ALL"); err != nil {
				t.Fatal(err)
			}
		}
		c.commit(s, c.batch())
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("stored: %v", got)
	}
	if n := strings.Count(log.String(), "going on without them"); n != 1 || !s.address.unnamed.Load() {
		t.Errorf("told %d times: %s", n, log.String())
	}
}

// Everything but reads and batches does without names from the start: it may come
// first, and has nobody to try it again.
func TestPoolerFromTheStart(t *testing.T) {
	p, url := newProxy(t, cluster.Database(t))
	p.mu.Lock()
	p.pooler = true
	p.mu.Unlock()
	var log journalOf
	s := open(t, url, Options{Logger: log.logger()})
	c := newCommitter(t)
	c.commit(s, c.batch())
	for what, err := range map[string]error{"renew": s.renew(t.Context()), "tidy": s.tidy(t.Context()), "purge": s.Purge(t.Context())} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Usage(t.Context()); err != nil {
		t.Error(err)
	}
	if kept, made, err := s.Keep(t.Context(), "x", []byte{0, 1}); string(kept) != "\x00\x01" || !made || err != nil {
		t.Errorf("kept %q, %t, %v", kept, made, err)
	}
	if err := s.Load(t.Context(), func(any) error { return nil }); err != nil {
		t.Error(err)
	}
	if log.String() != "" {
		t.Errorf("before the first read: %s", log.String())
	}
	if got := stored(t, s); !slices.Equal(got, []uint64{1}) || strings.Count(log.String(), "going on without them") != 1 {
		t.Errorf("stored %v: %s", got, log.String())
	}
}

// Nor is an epoch given out that a crash could take back.
func TestRaisesAreSynchronous(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	tx, err := s.writer.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	s.hold.doubted()
	if _, err := s.raise(t.Context(), tx.Conn()); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := tx.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != "on" {
		t.Errorf("a raise ends with %s, %v", got, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A batch is on the disk when it is answered, whatever the connection is set to
// do by default.
func TestCommitsAreSynchronous(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	for setting, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		conn := s.writer.conn
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SET LOCAL synchronous_commit = "+setting); err != nil {
			t.Fatal(err)
		}
		c.commit(s, c.batch())
		var got string
		if err := tx.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != want {
			t.Errorf("a transaction with %s ends with %s, want %s; %v", setting, got, want, err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A journal that does not end where it did, as after a restore, is not written to.
func TestUnexpectedHead(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	c := newCommitter(t)
	c.commit(s, c.batch())
	if _, err := connect(t, url).Exec(t.Context(), "UPDATE head SET batch = 9"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), c.batch()); !errors.Is(err, errUnexpected) {
		t.Errorf("Commit: %v", err)
	}
}

// Who gives up waiting for a connection leaves the question behind whether its other
// end is there, and Close waits for that.
func TestPingsAreBounded(t *testing.T) {
	for query, want := range map[string]time.Duration{"": pingTimeout, "?pool_ping_timeout=2s": 2 * time.Second} {
		a, err := parseAddress("postgres://postgres@/test" + query)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.config.PingTimeout; got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}
