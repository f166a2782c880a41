package inbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/inbox"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/internal/userdb"
)

func TestOnceIsOnce(t *testing.T) {
	eachKind(t, inbox.Table{}, func(t *testing.T, b base) {
		once := func(end func(transaction) error, m inbox.Message) (first bool) {
			t.Helper()
			tx, err := b.begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first, err = inbox.Once(t.Context(), tx.Tx, m)
			if err := errors.Join(err, end(tx)); err != nil {
				t.Fatal(err)
			}
			return first
		}
		commit := func(tx transaction) error { return tx.commit() }
		rollback := func(tx transaction) error { return tx.rollback() }
		got := []bool{
			once(rollback, inbox.Message{Handler: "billing", ID: "msg_1"}),
			once(commit, inbox.Message{Handler: "billing", ID: "msg_1"}), // the other rolled back
			once(commit, inbox.Message{Handler: "billing", ID: "msg_1"}),
			once(commit, inbox.Message{Handler: "mail", ID: "msg_1"}),
			once(commit, inbox.Message{Handler: "billing", ID: "msg_2"}),
		}
		if diff := cmp.Diff([]bool{true, true, false, true, true}, got); diff != "" {
			t.Errorf("first times differ (-want +got):\n%s", diff)
		}
	})
}

// Many at once want the effect of one message.
func TestOnceAmongMany(t *testing.T) {
	eachKind(t, inbox.Table{Name: "mine"}, func(t *testing.T, b base) {
		var firsts, others int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				tx, err := b.begin(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				first, err := inbox.Table{Name: "mine"}.Once(context.Background(), tx.Tx, inbox.Message{Handler: "h", ID: "m"})
				if err := errors.Join(err, tx.commit()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if first {
					firsts++
				} else {
					others++
				}
			})
		}
		all.Wait()
		if firsts != 1 || others != 7 {
			t.Errorf("%d were first and %d were not, want 1 and 7", firsts, others)
		}
	})
}

func TestSweepDeletesTheOld(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	table := inbox.Table{Now: func() time.Time { return at }}
	eachKind(t, table, func(t *testing.T, b base) {
		at = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		record := func(id string) (first bool) {
			b.in(t, func(tx transaction) {
				var err error
				if first, err = table.Once(t.Context(), tx.Tx, inbox.Message{Handler: "h", ID: id}); err != nil {
					t.Fatal(err)
				}
			})
			return first
		}
		record("old")
		b.in(t, func(tx transaction) { // more than one transaction of Sweep deletes
			if _, err := userdb.Exec(t.Context(), tx.Tx, `INSERT INTO postern_inbox (handler, message, at)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500) SELECT 'many', 'msg' || i, 1 FROM n`); err != nil {
				t.Fatal(err)
			}
		})
		at = at.Add(40 * 24 * time.Hour)
		record("new")
		if n, err := table.Sweep(t.Context(), b.db, 35*24*time.Hour); n != 10501 || err != nil {
			t.Errorf("Sweep = %d, %v, want 10501 records", n, err)
		}
		if record("new") || !record("old") {
			t.Error("the new record is gone, or the old one is there")
		}
	})
}

func TestATableInASchema(t *testing.T) {
	for kind, schema := range map[string]string{"pgx": "own", "sqlite": "main"} {
		b := bases[kind](t, address(t, kind))
		table := inbox.Table{Name: schema + ".inbox"}
		b.in(t, func(tx transaction) {
			var err error
			if kind == "pgx" {
				_, err = userdb.Exec(t.Context(), tx.Tx, "CREATE SCHEMA own")
			}
			err = errors.Join(err, table.Create(t.Context(), tx.Tx))
			first, onceErr := table.Once(t.Context(), tx.Tx, inbox.Message{Handler: "h", ID: "m"})
			again, againErr := table.Once(t.Context(), tx.Tx, inbox.Message{Handler: "h", ID: "m"})
			if err := errors.Join(err, onceErr, againErr); err != nil || !first || again {
				t.Errorf("%s: first %v, in the same transaction again %v, %v", kind, first, again, err)
			}
		})
	}
}

func TestWhatCannotBeRecorded(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, m := range map[string]inbox.Message{
		"no text": {Handler: "h", ID: "\xff"}, "a NUL": {Handler: "h\x00", ID: "m"},
		"no handler": {ID: "m"}, "no id": {Handler: "h"}, "a long id": {Handler: "h", ID: long}, "a long handler": {Handler: long, ID: "m"},
	} {
		if _, err := inbox.Once(t.Context(), inbox.Tx{}, m); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := inbox.Message{Handler: "h", ID: "m"}
	for _, tx := range []inbox.Tx{{}, inbox.PGX(nil), inbox.Postgres(nil), inbox.SQLite(nil)} {
		if _, err := inbox.Once(t.Context(), tx, m); !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("without a transaction: %v", err)
		}
	}
	bad := inbox.Table{Name: "a; DROP TABLE b"}
	_, once := bad.Once(t.Context(), inbox.Tx{}, m)
	_, swept := bad.Sweep(t.Context(), inbox.DB{}, time.Hour)
	_, schema := bad.Schema()
	for _, err := range []error{once, swept, schema, bad.Create(t.Context(), inbox.Tx{})} {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("a table's name that is a statement: %v", err)
		}
	}
	for _, db := range []inbox.DB{{}, inbox.PGXDB(nil), inbox.PostgresDB(nil), inbox.SQLiteDB(nil)} {
		if _, err := (inbox.Table{}).Sweep(t.Context(), db, time.Hour); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "database") {
			t.Errorf("without a database: %v", err)
		}
	}
}

// victim tells this binary that it is to be killed: a kind and an address.
const victim = "POSTERN_TEST_INBOX_VICTIM"

// Handlers are given every message several times and are killed in the middle,
// again and again. Each message has its effect once.
func TestSoakEffectsOnce(t *testing.T) {
	messages, kills := testkit.Count(60, 2000), testkit.Count(3, 10)
	if kind, address, ok := strings.Cut(os.Getenv(victim), " "); ok {
		handleAll(t, bases[kind](t, address), messages)
		return
	}
	random := testkit.Rand(t)
	for _, kind := range []string{"pgx", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			address := address(t, kind)
			b := bases[kind](t, address)
			b.in(t, func(tx transaction) {
				_, err := userdb.Exec(t.Context(), tx.Tx, "CREATE TABLE effects (id text NOT NULL)")
				if err := errors.Join(err, inbox.Table{}.Create(t.Context(), tx.Tx)); err != nil {
					t.Fatal(err)
				}
			})
			for range kills {
				life(t, kind+" "+address, 1+random.IntN(messages))
			}
			life(t, kind+" "+address, -1)
			got := map[string]int{}
			b.in(t, func(tx transaction) {
				err := userdb.Each(t.Context(), tx.Tx, func(scan func(...any) error) (bool, error) {
					var id string
					var n int
					err := scan(&id, &n)
					got[id] = n
					return true, err
				}, "SELECT id, count(*) FROM effects GROUP BY id")
				if err != nil {
					t.Fatal(err)
				}
			})
			want := map[string]int{}
			for n := range messages {
				want[fmt.Sprint("msg_", n)] = 1
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("effects differ (-want +got):\n%s", diff)
			}
		})
	}
}

// life runs a process until it has said so many lines, or to its end.
func life(t *testing.T, what string, lines int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSoakEffectsOnce$")
	child.Env = append(os.Environ(), victim+"="+what)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	var last string
	for n := 0; said.Scan(); n++ {
		if last = said.Text(); n == lines {
			_ = child.Process.Kill() // what it is for
		}
	}
	if err := child.Wait(); lines < 0 && err != nil {
		t.Fatalf("the last process: %v, %s", err, last)
	}
}

// handleAll delivers each message three times, in four handlers at once; one
// delivery in three fails after its effect.
func handleAll(t *testing.T, b base, messages int) {
	deliveries := rand.Perm(3 * messages)
	work := make(chan int)
	var handlers sync.WaitGroup
	for range 4 {
		handlers.Go(func() {
			for n := range work {
				if err := handle(b, fmt.Sprint("msg_", n%messages), n < messages); err != nil {
					t.Error(err)
				}
				fmt.Println("handled", n)
			}
		})
	}
	for _, n := range deliveries {
		work <- n
	}
	close(work)
	handlers.Wait()
}

func handle(b base, id string, fails bool) error {
	ctx := context.Background()
	tx, err := b.begin(ctx)
	if err != nil {
		return err
	}
	first, err := inbox.Once(ctx, tx.Tx, inbox.Message{Handler: "effects", ID: id})
	if err == nil && first {
		_, err = userdb.Exec(ctx, tx.Tx, "INSERT INTO effects (id) VALUES ($1)", id)
	}
	if err != nil || fails {
		return errors.Join(err, tx.rollback())
	}
	return tx.commit()
}
