package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/postgres"
)

const (
	// lockTimeout is what the store waits at most for a table that it changes.
	lockTimeout = 3 * time.Second
	// readFor is how long each of the reads beside it takes. Who waits behind one waits
	// for half of that, on average, and on a busy machine nobody else does.
	readFor = time.Second
)

// Retention drops a day of many messages under load, while somebody reads the
// tables all the time. No commit waits for it, none of its own statements waits as
// long as it may, its tables go, and nothing else is missing. The full count waits
// for the disk, and for the engine's own sweep.
func TestSoakDatabaseDropsADay(t *testing.T) {
	t.Parallel()
	full := testkit.Soaking()
	cluster := pgtest.New(pgtest.Config{Fsync: full, Prepare: postgres.Migrate})
	cluster.Run(t)
	url, stored := cluster.Database(t), testkit.Count(20_000, 1_000_000)
	db := newDatabase(t, url)
	old := store.DayOf(time.Now()) - 40
	began := time.Now()
	db.fill(old, stored)
	t.Logf("%d messages in %v, %d MB", stored, time.Since(began).Round(time.Second), db.number("SELECT pg_database_size(current_database()) >> 20"))

	w := newDropWorld(t, url)
	if full {
		w.run(time.Until(w.began.Add(sweep.First - 10*time.Second)))
	}
	load := w.load(testkit.Count(300, 4000))
	w.run(time.Duration(testkit.Count(1, 5)) * time.Second)
	before := w.longest.Swap(0)
	stop, read := db.sample(), db.read()
	if !full {
		w.store.drop.Store(int64(old)) // by the next batch
	}
	dropped := w.awaitDrop(db, old, 2*sweep.First)
	w.run(time.Second)
	during := w.longest.Swap(0)
	waits := stop()
	read()
	load()

	for what, longest := range waits {
		t.Logf("a wait of %v: %s", longest.Round(time.Millisecond), what)
		if longest >= lockTimeout || strings.Contains(what, "postern_commit") && longest > readFor/2 {
			t.Errorf("that was too long")
		}
	}
	w.check(db)
	t.Logf("dropped in %v; longest commit %v before, %v meanwhile; %d published, %d refused, %d arrived",
		dropped.Round(time.Millisecond), time.Duration(before), time.Duration(during), w.published.Load(), w.refused.Load(), w.arrived.Load())
	if during := time.Duration(during); during >= lockTimeout {
		t.Errorf("a commit took %v", during)
	}
}

// A server that is killed while it takes a day out of its tables, or before it
// removes what it took out, leaves to the next one what is left to do, and nothing
// that is in anybody's way.
func TestDatabaseDropOutlivesAKill(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"pending", "out of its parent"} {
		t.Run(left, func(t *testing.T) {
			t.Parallel()
			url := databases.Database(t)
			db := newDatabase(t, url)
			old := store.DayOf(time.Now()) - 40
			db.fill(old, 100)
			db.exec("INSERT INTO setting VALUES ('dropped_day', $1::text::bytea)", fmt.Sprint(old)) // its batch is stored
			// Whoever reads a table keeps every part of it.
			reader, err := db.conn.Begin(t.Context())
			if err == nil {
				_, err = reader.Exec(t.Context(), "SELECT count(*) FROM message")
			}
			if err != nil {
				t.Fatal(err)
			}
			watch, part := newDatabase(t, url), fmt.Sprintf("message_d%d", old)
			first := serve(t, url)
			await(t, "it waits for the reader", func() bool { return watch.part(part) == "pending" && watch.number(tableWaits) == 1 })
			first.kill()
			if left == "pending" { // its session gives up, or would go on by itself
				await(t, "nobody waits any more", func() bool { return watch.number(tableWaits) == 0 })
			}
			if err := reader.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !holds(patience, func() bool { return watch.part(part) == left }) {
				t.Fatalf("a part is %s", watch.part(part))
			}
			second := serve(t, url)
			await(t, "the tables are gone", func() bool { return watch.tables(old) == 0 })
			// What is kept is read and written as ever.
			app := second.application("a")
			r := newReceiver(t, nil)
			second.endpoint(app, r.URL+"/hook", nil)
			second.publish(app, "a.b", object{})
			r.await(t, "/hook", 1)
		})
	}
}

// tableWaits counts who waits to change a table.
const tableWaits = `SELECT count(*) FROM pg_stat_activity
	WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'`

// database is a connection beside the server's.
type database struct {
	t    *testing.T
	url  string
	conn *pgx.Conn
}

func newDatabase(t *testing.T, url string) *database {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // nothing is expected of it any more
	return &database{t, url, conn}
}

func (d *database) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) number(sql string, args ...any) (n int64) {
	d.t.Helper()
	if err := d.conn.QueryRow(d.t.Context(), sql, args...).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// part says where a part of a table is on its way out.
func (d *database) part(name string) (state string) {
	d.t.Helper()
	const find = `SELECT coalesce((SELECT CASE WHEN inhdetachpending THEN 'pending' ELSE 'attached' END FROM pg_inherits WHERE inhrelid = to_regclass($1)),
		CASE WHEN to_regclass($1) IS NULL THEN 'gone' ELSE 'out of its parent' END)`
	if err := d.conn.QueryRow(d.t.Context(), find, name).Scan(&state); err != nil {
		d.t.Fatal(err)
	}
	return state
}

// tables counts those of a day.
func (d *database) tables(day store.Day) int64 {
	return d.number("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ $1", fmt.Sprintf("_d%d$", day))
}

// fill gives an empty database a past: so many delivered messages of 1 KiB on one
// day, and a thousand on the next day but one. Their positions come first.
func (d *database) fill(day store.Day, count int) {
	d.t.Helper()
	const kept = 1000
	d.exec("SELECT postern_partition($1::int4)", int32(day))
	d.exec("SELECT postern_partition($1::int4)", int32(day+2))
	for _, part := range [...]struct {
		day          store.Day
		first, count int
	}{{day, 1, count}, {day + 2, count + 1, kept}} {
		const messages = `WITH seed AS MATERIALIZED (
				SELECT p, substring(int8send(($1::int8 * 86400000 + (p - $2::int8) * 80000000 / $3::int8) << 16) FOR 6) || '\x0000'::bytea
					|| substring(int8send(p) FROM 3) || '\x000000000000'::bytea AS id
				FROM generate_series($2::int8, $2::int8 + $3::int8 - 1) p),
			messages AS (INSERT INTO message SELECT $1::int4, 1, id, 0, p, 'invoice.paid', 'application/json', '', NULL, NULL, '{1}', 1024, NULL, '', NULL, 0 FROM seed),
			contents AS (INSERT INTO content SELECT $1::int4, 1, id, convert_to(repeat(md5(p::text), 32), 'UTF8') FROM seed)
			INSERT INTO attempt SELECT $1::int4, 1, id, 1, 1, id, 3, '', true, false, false, 0, 200, '', 'https://example.com/hook', 'ok', 1, 0, 0, 1, 1, 1, 1, 1 FROM seed`
		d.exec(messages, int64(part.day), part.first, part.count)
	}
	next, last := count+kept+1, (day + 2).Start().Add(23*time.Hour).UnixMilli()
	d.exec("INSERT INTO journal VALUES (0, 0, '')")
	d.exec("INSERT INTO heartbeat VALUES (0, 0, '', true, 0, 0, 0, true)")
	d.exec("INSERT INTO head VALUES (0, 0, $1::int8, $1::int8, $2::int8, $2::int8, 0, 0, 0, 0)", next, last)
}

// sample looks every 5 ms at who waits for a lock, until the returned function is
// called, which tells the longest wait of each kind of statement.
func (d *database) sample() (stop func() map[string]time.Duration) {
	const look = `SELECT a.backend_type || ': ' || l.locktype || ' ' || l.mode || ' for ' || left(regexp_replace(a.query, '\s+', ' ', 'g'), 60),
			(extract(epoch FROM clock_timestamp() - l.waitstart) * 1000000000)::int8
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND l.waitstart IS NOT NULL`
	watcher := newDatabase(d.t, d.url)
	quit, done := make(chan struct{}), make(chan struct{})
	longest, looks := map[string]time.Duration{}, 0
	go func() { // ends with quit
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-quit:
				return
			}
			rows, _ := watcher.conn.Query(d.t.Context(), look) // its error is that of reading it
			var what string
			var wait int64
			if _, err := pgx.ForEachRow(rows, []any{&what, &wait}, func() error {
				longest[what] = max(longest[what], time.Duration(wait))
				return nil
			}); err != nil {
				d.t.Error(err)
				return
			}
			looks++
		}
	}()
	return func() map[string]time.Duration {
		close(quit)
		<-done
		d.t.Logf("looked at the locks %d times", looks)
		return longest
	}
}

// read reads all tables of messages again and again, each time for a while, until
// the returned function is called.
func (d *database) read() (stop func()) {
	reader := newDatabase(d.t, d.url)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with quit
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if _, err := reader.conn.Exec(d.t.Context(), "SELECT pg_sleep($1) FROM (SELECT FROM message LIMIT 1) m", readFor.Seconds()); err != nil {
				d.t.Error(err)
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// droppingStore drops a day when a test wants it to, rather than 30 s after its start.
type droppingStore struct {
	*postgres.Store
	drop atomic.Int64
}

// Commit implements store.Journal.
func (s *droppingStore) Commit(ctx context.Context, b *store.Batch) error {
	if day := s.drop.Swap(0); day != 0 {
		b.DropDay = store.Day(day)
	}
	return s.Store.Commit(ctx, b)
}

// dropWorld is an engine on a database, a receiver, and what was published.
type dropWorld struct {
	t         *testing.T
	store     *droppingStore
	engine    *engine.Engine
	app       postern.ApplicationNumber
	began     time.Time
	longest   atomic.Int64 // the longest commit, in nanoseconds
	published atomic.Int64
	refused   atomic.Int64
	attempts  atomic.Int64
	arrived   atomic.Int64
	mu        sync.Mutex
	missing   map[string]bool // published and not yet there, or the other way round
}

func newDropWorld(t *testing.T, url string) *dropWorld {
	st, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &dropWorld{t: t, store: &droppingStore{Store: st}, missing: map[string]bool{}, began: time.Now()}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	secrets, err := engine.LoadSecrets(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.engine, err = engine.New(t.Context(), engine.Config{
		Store: w.store, Secrets: secrets, AdminKey: adminKey, EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Observer: engine.Observer{
			Committed: func(b engine.Batch) { w.committed(b.Commit) },
			Attempted: func(a *postern.Attempt) { w.attempts.Add(1) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.engine.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	w.listen()
	return w
}

func (w *dropWorld) committed(took time.Duration) {
	if int64(took) > w.longest.Load() { // one batch at a time
		w.longest.Store(int64(took))
	}
}

// listen makes an endpoint of the engine's application that answers at once.
func (w *dropWorld) listen() {
	w.t.Helper()
	app, err := w.engine.EnsureApplication(w.t.Context(), "default")
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = app.Number
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // half a request is sent again
		w.arrived.Add(1)
		w.note(r.Header.Get("webhook-id"))
	}))
	w.t.Cleanup(receiver.Close)
	api := httptest.NewServer(w.engine.Handler())
	w.t.Cleanup(api.Close)
	newClient(w.t, api.URL).endpoint("default", receiver.URL, nil)
}

// note notes one of the two ends of a message.
func (w *dropWorld) note(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missing[id] {
		delete(w.missing, id)
	} else {
		w.missing[id] = true
	}
}

// load publishes so many a second, until the returned function is called.
func (w *dropWorld) load(rate int) (stop func()) {
	const publishers = 16
	payload := []byte(`{"text":"` + strings.Repeat("0123456789abcdef", 63) + `"}`)
	quit := make(chan struct{})
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			pace := time.NewTicker(time.Second * publishers / time.Duration(rate))
			defer pace.Stop()
			for {
				select {
				case <-pace.C:
				case <-quit:
					return
				}
				m, _, err := w.engine.Publish(w.t.Context(), postern.Publish{Application: w.app, EventType: "invoice.paid", Payload: payload})
				var known *postern.Error
				switch {
				case err == nil:
					w.published.Add(1)
					w.note(m.ID.String())
				case errors.As(err, &known) && known.Kind == postern.Unavailable:
					w.refused.Add(1)
				default:
					w.t.Error(err)
					return
				}
			}
		})
	}
	return func() { close(quit); all.Wait() }
}

// run lets time go by.
func (w *dropWorld) run(span time.Duration) { <-time.After(span) }

// awaitDrop waits until a day's tables are gone, and tells how long that took since
// its batch was stored.
func (w *dropWorld) awaitDrop(db *database, day store.Day, within time.Duration) time.Duration {
	w.t.Helper()
	var begun time.Time
	if !holds(within, func() bool {
		if begun.IsZero() && db.number("SELECT count(*) FROM setting WHERE name = 'dropped_day'") == 1 {
			begun = time.Now()
		}
		return db.tables(day) == 0
	}) {
		w.t.Fatalf("%d tables are left", db.tables(day))
	}
	return time.Since(begun)
}

// check looks for all that was published: where it was sent and in the history.
func (w *dropWorld) check(db *database) {
	w.t.Helper()
	await(w.t, "everything has arrived and is stored", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.missing) == 0 && w.attempts.Load() == w.published.Load()
	})
	const kept = 1000
	for _, table := range []string{"message", "content", "attempt"} {
		if got, want := db.number("SELECT count(*) FROM "+table), w.published.Load()+kept; got != want {
			w.t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
	if refused := w.refused.Load(); refused > 0 {
		w.t.Errorf("%d messages were refused", refused)
	}
}
