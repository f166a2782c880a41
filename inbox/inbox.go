// Package inbox gives a handler that writes to the user's database its effect
// exactly once. Deliveries come at least once: after a crash, a broken
// connection or a resend the same message comes again. The handler records the
// message in the transaction that has the effect, and skips what is recorded:
//
//	tx, err := pool.Begin(ctx)
//	...
//	first, err := inbox.Once(ctx, inbox.PGX(tx), inbox.Message{Handler: msg.Handler, ID: msg.ID.String()})
//	if err != nil || !first {
//		return err
//	}
//	... the effect, by tx ...
//	return tx.Commit(ctx)
//
// Effect and record commit together or not at all. It promises:
//
//  1. Of all transactions that record a message for a handler, one commits.
//     Another that comes meanwhile waits for it, then finds the record, or takes
//     its place if it rolled back.
//  2. A message that is delivered again, however often and by whatever process,
//     is found for as long as its record is kept; see Sweep.
//  3. A replay is a delivery of the same message: it has no second effect. Who
//     wants one deletes the record.
//
// The id may be any that repeats with the message: that of the engine.Message which
// a handler is given, or the webhook-id header where another program receives webhooks over HTTP. What
// the handler does outside of the database is not covered.
//
// It works with pgx and database/sql on PostgreSQL, and with database/sql on
// SQLite.
package inbox

import (
	"context"
	"database/sql"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/userdb"
)

// Tx is a transaction of the caller's: PGX, Postgres or SQLite makes one. The
// caller ends it. It is that of package outbox, too; the zero Tx is refused.
type Tx = userdb.Tx

// PGX is a transaction of pgx.
func PGX(tx pgx.Tx) Tx { return userdb.FromPGX(tx) }

// Postgres is a transaction of database/sql on PostgreSQL, by whatever driver.
func Postgres(tx *sql.Tx) Tx { return userdb.FromSQL(userdb.Postgres, tx) }

// SQLite is a transaction of database/sql on SQLite, by whatever driver.
func SQLite(tx *sql.Tx) Tx { return userdb.FromSQL(userdb.SQLite, tx) }

// DB is a database of the caller's, for Sweep: PGXDB, PostgresDB or SQLiteDB makes
// one. It is that of package outbox, too; the zero DB is refused.
type DB = userdb.DB

// PGXDB is a PostgreSQL: a *pgxpool.Pool, or a *pgx.Conn that nobody else uses.
func PGXDB(db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}) DB {
	return userdb.PGXDB(db)
}

// PostgresDB is a PostgreSQL through database/sql.
func PostgresDB(db *sql.DB) DB { return userdb.SQLDB(userdb.Postgres, db) }

// SQLiteDB is a SQLite file.
func SQLiteDB(db *sql.DB) DB { return userdb.SQLDB(userdb.SQLite, db) }

// Message is what is recorded.
type Message struct {
	// Handler keeps the records of several handlers of one message apart; text of
	// 1 to 256 bytes in UTF-8, without NUL.
	Handler string
	// ID is the message's; as long.
	ID string
}

// Table is where records are kept. The zero value is usable; a Table is safe for
// concurrent use.
type Table struct {
	// Name is the table's, with its schema or not; "postern_inbox" if "".
	Name string
	// Now is the clock of stored times; time.Now if nil.
	Now func() time.Time
}

// Once records a message in the table postern_inbox; see Table.Once.
func Once(ctx context.Context, tx Tx, m Message) (first bool, err error) {
	return Table{}.Once(ctx, tx, m)
}

// Once records a message, and reports whether that is its first time. When it is
// not, the transaction has changed nothing. It waits for another transaction
// that has recorded the same message and has not ended. On PostgreSQL above READ
// COMMITTED it then fails with a serialization failure, upon which the caller
// tries again, as with any other.
//
// An error of kind Invalid says what is wrong with m or the table's name; others
// are the database's, and on PostgreSQL end the transaction.
func (t Table) Once(ctx context.Context, tx Tx, m Message) (first bool, err error) {
	table, err := t.name()
	if err != nil {
		return false, err
	}
	for field, text := range map[string]string{"Handler": m.Handler, "ID": m.ID} {
		if text == "" || len(text) > maxText || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return false, postern.InvalidField("must be text of 1 to 256 bytes", "Message", field)
		}
	}
	rows, err := userdb.Exec(ctx, tx, `INSERT INTO `+table+` (handler, message, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		m.Handler, m.ID, t.now().Unix())
	return rows == 1, err
}

const maxText = 256

// Create makes the table and its index if they are not there. It is an
// alternative to putting Schema into one's own migrations.
func (t Table) Create(ctx context.Context, tx Tx) error {
	statements, err := t.statements(userdb.DialectOf(tx))
	if err != nil {
		return err
	}
	return userdb.Create(ctx, tx, statements)
}

// Schema is what Create executes, the same for PostgreSQL and SQLite unless the
// table's name has a schema: it is PostgreSQL's then.
func (t Table) Schema() (string, error) {
	statements, err := t.statements(userdb.Postgres)
	return strings.Join(statements, ";\n") + ";\n", err
}

func (t Table) statements(d userdb.Dialect) ([]string, error) {
	table, err := t.name()
	if err != nil {
		return nil, err
	}
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
	handler text NOT NULL,
	message text NOT NULL,
	at bigint NOT NULL, -- seconds since 1970
	PRIMARY KEY (handler, message)
)`,
		userdb.Index(d, table, "at", "(at)"),
	}, nil
}

// Sweep deletes records older than keep and returns how many, in transactions of
// 10,000 at most, so that none holds its locks for long. A message that comes
// again after its record is gone has its effect again: keep records for longer
// than the engine keeps messages, whose default is 30 days.
func (t Table) Sweep(ctx context.Context, db DB, keep time.Duration) (deleted int64, err error) {
	table, err := t.name()
	if err != nil {
		return 0, err
	}
	before := t.now().Add(-keep).Unix()
	for {
		var rows int64
		err := userdb.In(ctx, db, func(tx Tx) (err error) {
			rows, err = userdb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE (handler, message) IN (
				SELECT handler, message FROM `+table+` WHERE at < $1 ORDER BY at LIMIT $2)`, before, sweepRows)
			return err
		})
		if err != nil {
			return deleted, err
		}
		if deleted += rows; rows < sweepRows {
			return deleted, nil
		}
	}
}

const sweepRows = 10_000

func (t Table) name() (string, error) { return userdb.Table(t.Name, "postern_inbox") }

func (t Table) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}
