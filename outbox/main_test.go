package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL by database/sql
	_ "modernc.org/sqlite"             // SQLite by database/sql

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/internal/userdb"
	"github.com/postern-dev/postern/outbox"
)

var cluster = pgtest.New(pgtest.Config{})

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// base is a user's database by one of the libraries.
type base struct {
	kind, address string
	db            outbox.DB
	begin         func(ctx context.Context) (transaction, error)
}

// transaction is a user's, with what their libraries have in common.
type transaction struct {
	outbox.Tx
	commit, rollback func() error
}

var kinds = []string{"pgx", "postgres", "sqlite"}

// newBase makes a database of a kind for a test.
func newBase(t *testing.T, kind string) *base {
	t.Helper()
	if kind == "sqlite" {
		return openBase(t, kind, "file:"+t.TempDir()+"/user.db?_txlock=immediate&_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	}
	return openBase(t, kind, cluster.Database(t))
}

// openBase opens one, also in a process that is going to be killed.
func openBase(t *testing.T, kind, address string) *base {
	t.Helper()
	if kind == "pgx" {
		pool, err := pgxpool.New(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return &base{kind, address, outbox.PGXDB(pool), func(ctx context.Context) (transaction, error) {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return transaction{}, err
			}
			end := context.WithoutCancel(ctx)
			return transaction{outbox.PGX(tx), func() error { return tx.Commit(end) }, func() error { return tx.Rollback(end) }}, nil
		}}
	}
	driver, wrap, wrapDB := "pgx", outbox.Postgres, outbox.PostgresDB
	if kind == "sqlite" {
		driver, wrap, wrapDB = "sqlite", outbox.SQLite, outbox.SQLiteDB
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &base{kind, address, wrapDB(db), func(ctx context.Context) (transaction, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return transaction{}, err
		}
		return transaction{wrap(tx), tx.Commit, tx.Rollback}, nil
	}}
}

// open begins a transaction that the test ends, its failure too.
func (b *base) open(t *testing.T) transaction {
	t.Helper()
	tx, err := b.begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.rollback() })
	return tx
}

// in runs do in a transaction and commits.
func (b *base) in(t *testing.T, do func(tx transaction) error) {
	t.Helper()
	tx := b.open(t)
	if err := errors.Join(do(tx), tx.commit()); err != nil {
		t.Fatal(err)
	}
}

// create makes a table, twice: the second time changes nothing.
func (b *base) create(t *testing.T, table *outbox.Table) {
	t.Helper()
	for range 2 {
		b.in(t, func(tx transaction) error { return table.Create(t.Context(), tx.Tx) })
	}
}

// publish writes a message of an event type and commits.
func (b *base) publish(t *testing.T, table *outbox.Table, p postern.Publish) (eventID string) {
	t.Helper()
	b.in(t, func(tx transaction) (err error) {
		eventID, err = table.Publish(t.Context(), tx.Tx, p)
		return err
	})
	return eventID
}

// count asks for a number.
func (b *base) count(t *testing.T, query string) (n int) {
	t.Helper()
	b.in(t, func(tx transaction) error {
		return userdb.Each(t.Context(), tx.Tx, func(scan func(...any) error) (bool, error) { return true, scan(&n) }, query)
	})
	return n
}

// eachKind runs a test on every kind of database, with a table made.
func eachKind(t *testing.T, test func(t *testing.T, b *base, table *outbox.Table)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			b, table := newBase(t, kind), &outbox.Table{Ordered: true}
			b.create(t, table)
			test(t, b, table)
		})
	}
}

// listens opens a connection for notifications.
func (b *base) listens(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, b.address) }
