package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL by database/sql
	_ "modernc.org/sqlite"             // SQLite by database/sql

	"github.com/postern-dev/postern/inbox"
	"github.com/postern-dev/postern/internal/pgtest"
)

var cluster = pgtest.New(pgtest.Config{})

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// base is a user's database by one of the libraries.
type base struct {
	db    inbox.DB
	begin func(ctx context.Context) (transaction, error)
}

// transaction is a user's, with what their libraries have in common.
type transaction struct {
	inbox.Tx
	commit, rollback func() error
}

// bases opens the same kinds of database in tests and in processes to be killed.
var bases = map[string]func(t *testing.T, address string) base{
	"pgx": func(t *testing.T, address string) base {
		return base{
			db: inbox.PGXDB(pgxConn(t, address)),
			begin: func(ctx context.Context) (transaction, error) {
				conn, err := pgx.Connect(ctx, address)
				if err != nil {
					return transaction{}, err
				}
				tx, err := conn.Begin(ctx)
				if err != nil {
					return transaction{}, errors.Join(err, conn.Close(ctx))
				}
				return transaction{
					inbox.PGX(tx),
					func() error { return errors.Join(tx.Commit(ctx), conn.Close(ctx)) },
					func() error { return errors.Join(tx.Rollback(ctx), conn.Close(ctx)) },
				}, nil
			},
		}
	},
	"postgres": func(t *testing.T, address string) base {
		db := open(t, "pgx", address)
		return base{db: inbox.PostgresDB(db), begin: beginSQL(db, inbox.Postgres)}
	},
	"sqlite": func(t *testing.T, address string) base {
		db := open(t, "sqlite", address)
		return base{db: inbox.SQLiteDB(db), begin: beginSQL(db, inbox.SQLite)}
	},
}

// address makes a database of a kind for a test.
func address(t *testing.T, kind string) string {
	t.Helper()
	if kind == "sqlite" {
		return "file:" + t.TempDir() + "/user.db?_txlock=immediate&_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)"
	}
	return cluster.Database(t)
}

func pgxConn(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func open(t *testing.T, driver, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func beginSQL(db *sql.DB, wrap func(*sql.Tx) inbox.Tx) func(ctx context.Context) (transaction, error) {
	return func(ctx context.Context) (transaction, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return transaction{}, err
		}
		return transaction{wrap(tx), tx.Commit, tx.Rollback}, nil
	}
}

// in runs do in a transaction and commits.
func (b base) in(t *testing.T, do func(tx transaction)) {
	t.Helper()
	tx, err := b.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do(tx)
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
}

// eachKind runs a test on every kind of database, with its inbox made.
func eachKind(t *testing.T, table inbox.Table, test func(t *testing.T, b base)) {
	for kind, open := range bases {
		t.Run(kind, func(t *testing.T) {
			b := open(t, address(t, kind))
			for range 2 { // a second time changes nothing
				b.in(t, func(tx transaction) {
					if err := table.Create(t.Context(), tx.Tx); err != nil {
						t.Fatal(err)
					}
				})
			}
			test(t, b)
		})
	}
}
