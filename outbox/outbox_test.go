package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/event"
	"github.com/postern-dev/postern/internal/userdb"
	"github.com/postern-dev/postern/outbox"
)

var _ outbox.Publisher = (*engine.Engine)(nil)

// ledger is a publisher: it keeps what it has accepted, and knows event ids.
type ledger struct {
	mu       sync.Mutex
	accepted []postern.Publish
	changed  chan struct{} // closed and renewed at every call
	// refuse is why a message is not accepted; nil for accepting all.
	refuse func(p postern.Publish) error
}

func newLedger() *ledger { return &ledger{changed: make(chan struct{})} }

func (l *ledger) Publish(_ context.Context, p postern.Publish) (*postern.Message, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		close(l.changed)
		l.changed = make(chan struct{})
	}()
	if l.refuse != nil {
		if err := l.refuse(p); err != nil {
			return nil, false, err
		}
	}
	for _, known := range l.accepted {
		if known.Application == p.Application && known.EventID == p.EventID {
			return &postern.Message{}, true, nil
		}
	}
	l.accepted = append(l.accepted, p)
	return &postern.Message{}, false, nil
}

// wait blocks until so many messages are accepted and returns their types.
func (l *ledger) wait(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		types, changed := make([]string, 0, n), l.changed
		for _, p := range l.accepted {
			types = append(types, p.EventType)
		}
		l.mu.Unlock()
		if len(types) >= n {
			return types
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("accepted %v, want %d", types, n)
		}
	}
}

// relay runs one until the test ends or stop is called.
func relay(t *testing.T, cfg outbox.RelayConfig) (r *outbox.Relay, stop func()) {
	t.Helper()
	r, err := outbox.NewRelay(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { r.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
	})
	t.Cleanup(stop)
	return r, stop
}

// until polls a database that says nothing of itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	untilEvery(t, 5*time.Millisecond, what, done)
}

// untilEvery is until where to look is in others' way.
func untilEvery(t *testing.T, pause time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(pause)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatal("in vain: " + what)
		}
	}
}

func (b *base) untilEmpty(t *testing.T) {
	t.Helper()
	until(t, "the table gets empty", func() bool { return b.count(t, "SELECT count(*) FROM postern_outbox WHERE parked IS NULL") == 0 })
}

func typed(name string) postern.Publish {
	return postern.Publish{Application: 1, EventType: name, Payload: []byte(name)}
}

func TestWhatIsCommittedIsPublishedWhole(t *testing.T) {
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		cause := postern.NewMessageID(time.Now(), 0, 7, 9)
		full := postern.Publish{
			Application: 1<<32 - 1, EventType: "invoice.paid", EventID: "mine", ContentType: "text/plain",
			Channels: []string{"a", "b"}, Tags: []string{`quo"te`, "ü"}, Payload: []byte("\x00\xff payload"), CausedBy: cause, Depth: 3,
		}
		bare := postern.Publish{Application: 1, EventType: "x", Payload: []byte{}, Depth: 1}
		if id := b.publish(t, table, full); id != "mine" {
			t.Errorf("event id %q, want the one given", id)
		}
		bare.EventID = b.publish(t, table, bare)
		if !strings.HasPrefix(bare.EventID, "out_") || len(bare.EventID) < 20 {
			t.Errorf("event id %q", bare.EventID)
		}
		gone := b.open(t)
		if _, err := table.Publish(t.Context(), gone.Tx, typed("gone")); err != nil {
			t.Fatal(err)
		}
		if err := gone.rollback(); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		r, _ := relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
		l.wait(t, 2)
		b.untilEmpty(t)
		byType := map[string]postern.Publish{}
		for _, p := range l.accepted { // nothing is left that would add to it
			byType[p.EventType] = p
		}
		if diff := cmp.Diff(map[string]postern.Publish{"invoice.paid": full, "x": bare}, byType); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		until(t, "the counts are there", func() bool { return r.Stats() == outbox.RelayStats{Published: 2} })
	})
}

// A transaction that inserts first and commits last is not skipped.
func TestCommitsInReverse(t *testing.T) {
	for _, kind := range []string{"pgx", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			b, table, l := newBase(t, kind), &outbox.Table{}, newLedger()
			b.create(t, table)
			relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
			late := b.open(t)
			if _, err := table.Publish(t.Context(), late.Tx, typed("inserted.first")); err != nil {
				t.Fatal(err)
			}
			b.publish(t, table, typed("inserted.second"))
			l.wait(t, 1)
			b.untilEmpty(t)
			if err := late.commit(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"inserted.second", "inserted.first"}, l.wait(t, 2)); diff != "" {
				t.Errorf("published (-want +got):\n%s", diff)
			}
		})
	}
}

// With Ordered the second waits for the first, in its application alone.
func TestOrderedWaits(t *testing.T) {
	b, table, l := newBase(t, "pgx"), &outbox.Table{Ordered: true}, newLedger()
	b.create(t, table)
	relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
	first, second, third := b.open(t), b.open(t), b.open(t)
	if _, err := table.Publish(t.Context(), first.Tx, typed("first")); err != nil {
		t.Fatal(err)
	}
	elsewhere := typed("elsewhere")
	elsewhere.Application = 0 // the engine's own
	if _, err := table.Publish(t.Context(), third.Tx, elsewhere); err != nil {
		t.Fatal(err)
	}
	entered := make(chan error, 1)
	go func() {
		_, err := table.Publish(context.Background(), second.Tx, typed("second"))
		entered <- errors.Join(err, second.commit())
	}()
	until(t, "the second waits for a lock", func() bool {
		return b.count(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1
	})
	if err := errors.Join(third.commit(), first.commit(), <-entered); err != nil {
		t.Fatal(err)
	}
	types := l.wait(t, 3)
	if got := strings.Join(types, " "); strings.Index(got, "first") > strings.Index(got, "second") {
		t.Errorf("published %v", types)
	}
}

// Bad rows are parked with their reason, and the rest goes on.
func TestBadRowsAreParked(t *testing.T) {
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		l := newLedger()
		broken := true
		l.refuse = func(p postern.Publish) error {
			switch {
			case p.Application == 404:
				return postern.ErrNotFound
			case p.EventType == "broken" && broken:
				return errors.New("nobody knows why")
			}
			return nil
		}
		unknown := typed("unknown")
		unknown.Application = 404
		b.publish(t, table, unknown)
		b.publish(t, table, typed("before"))
		b.publish(t, table, typed("broken"))
		large := typed("large")
		large.Payload = make([]byte, 2000)
		b.publish(t, table, large)
		b.publish(t, table, typed("after"))
		b.in(t, func(tx transaction) error { // as no Publish writes it
			_, err := userdb.Exec(t.Context(), tx.Tx, "INSERT INTO postern_outbox (event_id, application, event_type, content_type, channels, tags, caused_by, payload) VALUES ('e', 1, 'garbled', '', 'no json', '', '', '')")
			return err
		})
		narrow := &outbox.Table{MaxPayload: 1000}
		r, _ := relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: narrow, MaxPoll: 20 * time.Millisecond})
		if diff := cmp.Diff([]string{"before", "after"}, l.wait(t, 2)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		b.untilEmpty(t)
		reasons := map[string]string{}
		b.in(t, func(tx transaction) error {
			return userdb.Each(t.Context(), tx.Tx, func(scan func(...any) error) (bool, error) {
				var eventType, reason string
				err := scan(&eventType, &reason)
				reasons[eventType] = reason
				return true, err
			}, "SELECT event_type, parked FROM postern_outbox")
		})
		want := map[string]string{
			"unknown": "application 404: Entity not found", "broken": "nobody knows why",
			"large":   "the payload has 2000 bytes, and a relay takes 1000",
			"garbled": "invalid character 'o' in literal null (expecting 'u')",
		}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("parked (-want +got):\n%s", diff)
		}
		until(t, "the counts are there", func() bool {
			s := r.Stats()
			return s.Published == 2 && s.Parked == 4 && s.Failures >= 9
		})
		l.mu.Lock()
		broken = false
		l.mu.Unlock()
		b.in(t, func(tx transaction) error {
			if n, err := table.Unpark(t.Context(), tx.Tx); n != 4 || err != nil {
				t.Errorf("Unpark = %d, %v", n, err)
			}
			return nil
		})
		if diff := cmp.Diff([]string{"before", "after", "broken"}, l.wait(t, 3)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// What is unavailable for long is no reason to park anything, and changes no
// order.
func TestAnEngineThatIsBusy(t *testing.T) {
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		l := newLedger()
		refused := 0
		l.refuse = func(postern.Publish) error {
			if refused++; refused < 30 {
				return &postern.Error{Kind: postern.Unavailable}
			}
			return nil
		}
		for _, name := range []string{"a", "b", "c"} {
			b.publish(t, table, typed(name))
		}
		relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table, MinPoll: time.Millisecond, MaxPoll: time.Millisecond})
		if diff := cmp.Diff([]string{"a", "b", "c"}, l.wait(t, 3)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// An application whose messages fail, however many they are, holds up no other, and
// keeps its order.
func TestAnApplicationThatFails(t *testing.T) {
	const many = 130 // more than a round
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		l := newLedger()
		failing := true
		l.refuse = func(p postern.Publish) error {
			if p.Application == 1 && failing {
				return &postern.Error{Kind: postern.Unavailable}
			}
			return nil
		}
		var want []string
		b.in(t, func(tx transaction) (err error) {
			for n := range many {
				want = append(want, fmt.Sprintf("n%04d", n))
				_, published := table.Publish(t.Context(), tx.Tx, typed(want[n]))
				err = errors.Join(err, published)
			}
			return err
		})
		other := typed("other")
		other.Application = 2
		b.publish(t, table, other)
		relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table, MaxPoll: 50 * time.Millisecond})
		if diff := cmp.Diff([]string{"other"}, l.wait(t, 1)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		l.mu.Lock()
		failing = false
		l.mu.Unlock()
		if diff := cmp.Diff(append([]string{"other"}, want...), l.wait(t, many+1)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// What a handler publishes in its transaction was caused by its message, and that
// has an end, as it has with an engine.
func TestWhatAHandlerPublishes(t *testing.T) {
	b, table, l := newBase(t, "sqlite"), new(outbox.Table), newLedger()
	b.create(t, table)
	relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
	cause := event.Cause{Message: postern.NewMessageID(time.Now(), 0, 7, 9), Depth: event.MaxDepth - 1}
	tx := b.open(t)
	if _, err := table.Publish(event.Causing(t.Context(), cause), tx.Tx, typed("last")); err != nil {
		t.Fatal(err)
	}
	cause.Depth++
	_, err := table.Publish(event.Causing(t.Context(), cause), tx.Tx, typed("endless"))
	if !errors.Is(err, postern.ErrInvalid) || !postern.IsPermanent(err) {
		t.Errorf("a chain without an end: %v", err)
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	l.wait(t, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.accepted[0]; p.CausedBy != cause.Message || p.Depth != event.MaxDepth || p.EventType != "last" {
		t.Errorf("published %+v", p)
	}
}

// Several relays of a table accept each message once and in order, of what is
// there and of what comes.
func TestSeveralRelays(t *testing.T) {
	const before, after = 600, 200
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		l := newLedger()
		var want []string
		next := func(tx transaction) error {
			want = append(want, fmt.Sprintf("n%04d", len(want)))
			_, err := table.Publish(t.Context(), tx.Tx, typed(want[len(want)-1]))
			return err
		}
		b.in(t, func(tx transaction) (err error) {
			for range before {
				err = errors.Join(err, next(tx))
			}
			return err
		})
		for range 3 {
			relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table, MinPoll: time.Millisecond, MaxPoll: 5 * time.Millisecond})
		}
		for range after {
			b.in(t, next)
		}
		if diff := cmp.Diff(want, l.wait(t, before+after)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		b.untilEmpty(t)
	})
}

// A row that came into the place of another while that was published is not
// deleted with it.
func TestNoRowIsTakenForAnother(t *testing.T) {
	b, table, l := newBase(t, "sqlite"), new(outbox.Table), newLedger()
	b.create(t, table)
	at, goOn := make(chan struct{}), make(chan struct{})
	l.refuse = func(p postern.Publish) error {
		if p.EventType == "a" {
			close(at)
			<-goOn
		}
		return nil
	}
	b.publish(t, table, typed("a"))
	relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
	<-at
	b.in(t, func(tx transaction) error {
		_, err := userdb.Exec(t.Context(), tx.Tx, "DELETE FROM postern_outbox")
		return err
	})
	b.publish(t, table, typed("b"))
	close(goOn)
	if diff := cmp.Diff([]string{"a", "b"}, l.wait(t, 2)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// A relay that is stopped has deleted what it has published.
func TestAStoppedRelaySettles(t *testing.T) {
	eachKind(t, func(t *testing.T, b *base, table *outbox.Table) {
		l := newLedger()
		at, goOn := make(chan struct{}), make(chan struct{})
		l.refuse = func(p postern.Publish) error {
			if p.EventType == "b" {
				close(at)
				<-goOn
				return context.Canceled // as an engine does whose caller gave up
			}
			return nil
		}
		for _, name := range []string{"a", "b", "c"} {
			b.publish(t, table, typed(name))
		}
		r, err := outbox.NewRelay(outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		<-at
		cancel()
		close(goOn)
		run.Wait()
		if n := b.count(t, "SELECT count(*) FROM postern_outbox WHERE event_type <> 'a' AND failures = 0"); n != 2 {
			t.Errorf("%d rows wait untouched, want b and c", n)
		}
		if n := b.count(t, "SELECT count(*) FROM postern_outbox"); n != 2 {
			t.Errorf("%d rows are there, want b and c", n)
		}
	})
}

// Notifications and Wake beat a poll of hours.
func TestWaking(t *testing.T) {
	b, table, l := newBase(t, "pgx"), &outbox.Table{Notify: true}, newLedger()
	b.create(t, table)
	r, _ := relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table, MinPoll: time.Hour, MaxPoll: time.Hour})
	b.publish(t, new(outbox.Table), typed("woken"))
	r.Wake()
	l.wait(t, 1)

	other := &outbox.Table{Name: "other", Notify: true}
	b.create(t, other)
	relay(t, outbox.RelayConfig{
		DB: b.db, Publisher: l, Table: other, MinPoll: time.Hour, MaxPoll: time.Hour, Listen: b.listens,
	})
	until(t, "it listens", func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND wait_event = 'ClientRead'") == 1
	})
	b.publish(t, other, typed("notified"))
	if diff := cmp.Diff([]string{"woken", "notified"}, l.wait(t, 2)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestWhatPublishRefuses(t *testing.T) {
	table := &outbox.Table{MaxPayload: 10}
	for name, edit := range map[string]func(p *postern.Publish){
		"no event type":  func(p *postern.Publish) { p.EventType = "" },
		"an event type":  func(p *postern.Publish) { p.EventType = "a b" },
		"an event id":    func(p *postern.Publish) { p.EventID = "ü" },
		"a content type": func(p *postern.Publish) { p.ContentType = "text/plain\r\nX-Evil: 1" },
		"a long chain":   func(p *postern.Publish) { p.Depth = event.MaxDepth + 1 },
		"a channel":      func(p *postern.Publish) { p.Channels = []string{"a", ""} },
		"a source":       func(p *postern.Publish) { p.Source[0] = 1 },
		"an endpoint":    func(p *postern.Publish) { p.Only = 3 },
		"a request":      func(p *postern.Publish) { p.Repeat[0] = 1 },
		"no transaction": func(*postern.Publish) {},
	} {
		p := typed("a.b")
		edit(&p)
		if _, err := table.Publish(t.Context(), outbox.Tx{}, p); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := typed("a.b")
	large.Payload = make([]byte, 11)
	if _, err := table.Publish(t.Context(), outbox.Tx{}, large); !errors.Is(err, postern.ErrTooLarge) {
		t.Errorf("a large payload: %v", err)
	}
	large.Payload = make([]byte, 1<<20+1)
	if _, err := outbox.Publish(t.Context(), outbox.Tx{}, large); !errors.Is(err, postern.ErrTooLarge) {
		t.Errorf("a payload of more than 1 MiB: %v", err)
	}
}

func TestWhatARelayNeeds(t *testing.T) {
	b := newBase(t, "sqlite")
	for name, cfg := range map[string]outbox.RelayConfig{
		"no database":         {Publisher: newLedger()},
		"no publisher":        {DB: b.db},
		"a publisher of nil":  {DB: b.db, Publisher: (*engine.Engine)(nil)},
		"a table's name":      {DB: b.db, Publisher: newLedger(), Table: &outbox.Table{Name: "a b"}},
		"listening to SQLite": {DB: b.db, Publisher: newLedger(), Listen: b.listens},
	} {
		if _, err := outbox.NewRelay(cfg); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := &outbox.Table{Name: "a; DROP TABLE b"}
	_, postgres := bad.PostgresSchema()
	_, sqlite := bad.SQLiteSchema()
	_, unpark := bad.Unpark(t.Context(), outbox.Tx{})
	_, publish := bad.Publish(t.Context(), outbox.Tx{}, typed("a"))
	for _, err := range []error{postgres, sqlite, unpark, publish, bad.Create(t.Context(), outbox.Tx{})} {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("a table's name that is a statement: %v", err)
		}
	}
}

// What is nil is said to be, where it is given.
func TestWhatIsNil(t *testing.T) {
	for name, tx := range map[string]outbox.Tx{
		"pgx": outbox.PGX(nil), "a nil of pgx": outbox.PGX((*pgxpool.Tx)(nil)), "postgres": outbox.Postgres(nil), "sqlite": outbox.SQLite(nil),
	} {
		if _, err := outbox.Publish(t.Context(), tx, typed("a.b")); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "nil") {
			t.Errorf("a transaction of %s: %v", name, err)
		}
	}
	for name, db := range map[string]outbox.DB{
		"pgx": outbox.PGXDB(nil), "a nil of pgx": outbox.PGXDB((*pgxpool.Pool)(nil)), "postgres": outbox.PostgresDB(nil), "sqlite": outbox.SQLiteDB(nil),
	} {
		if _, err := outbox.NewRelay(outbox.RelayConfig{DB: db, Publisher: newLedger()}); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("a database of %s: %v", name, err)
		}
	}
	b := newBase(t, "sqlite")
	tx := b.open(t)
	var none *outbox.Table
	_, published := none.Publish(t.Context(), tx.Tx, typed("a.b"))
	_, unparked := none.Unpark(t.Context(), tx.Tx)
	_, schema := none.SQLiteSchema()
	for _, err := range []error{published, unparked, schema, none.Create(t.Context(), tx.Tx)} {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("a table: %v", err)
		}
	}
}

// A table has its schema in its name, and is notified of under any that PostgreSQL
// takes.
func TestATableInASchema(t *testing.T) {
	for kind, schema := range map[string]string{"pgx": strings.Repeat("s", 60), "sqlite": "main"} {
		t.Run(kind, func(t *testing.T) {
			b, table, l := newBase(t, kind), &outbox.Table{Name: schema + ".mine", Notify: true}, newLedger()
			cfg := outbox.RelayConfig{DB: b.db, Publisher: l, Table: table}
			if kind == "pgx" {
				b.in(t, func(tx transaction) error {
					_, err := userdb.Exec(t.Context(), tx.Tx, "CREATE SCHEMA "+schema)
					return err
				})
				cfg.Listen = b.listens
			}
			b.create(t, table)
			relay(t, cfg)
			b.publish(t, table, typed("a.b"))
			l.wait(t, 1)
		})
	}
}

// Where all transactions are serializable, a relay's are not: that it reads the table
// is no reason for a user's to fail.
func TestARelayAmongSerializableTransactions(t *testing.T) {
	for _, kind := range []string{"pgx", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			first := newBase(t, kind)
			first.in(t, func(tx transaction) error {
				_, err := userdb.Exec(t.Context(), tx.Tx, `DO $$ BEGIN
					EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET default_transaction_isolation = serializable';
					CREATE TABLE accounts (id int PRIMARY KEY, amount int); INSERT INTO accounts VALUES (1, 1); END $$`)
				return err
			})
			b, table, l := openBase(t, kind, first.address), new(outbox.Table), newLedger() // by connections made since
			b.create(t, table)
			b.publish(t, table, typed("first"))
			at, goOn := make(chan struct{}), make(chan struct{})
			l.refuse = func(p postern.Publish) error {
				if p.EventType == "first" {
					close(at)
					<-goOn
				}
				return nil
			}
			relay(t, outbox.RelayConfig{DB: b.db, Publisher: l, Table: table})
			<-at // the relay has read the table, and has not committed

			reads, writes := b.open(t), b.open(t)
			var amount int
			err := userdb.Each(t.Context(), reads.Tx, func(scan func(...any) error) (bool, error) { return true, scan(&amount) }, "SELECT amount FROM accounts")
			_, published := table.Publish(t.Context(), reads.Tx, typed("second"))
			_, written := userdb.Exec(t.Context(), writes.Tx, "UPDATE accounts SET amount = 2")
			err = errors.Join(err, published, written, writes.commit(), reads.commit())
			close(goOn)
			if err != nil {
				t.Fatalf("without a relay both commit: %v", err)
			}
			l.wait(t, 2)
		})
	}
}
