package outbox

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/userdb"
)

// Tx is a transaction of the caller's: PGX, Postgres or SQLite makes one. The
// caller ends it. It is that of package inbox, too; the zero Tx is refused.
type Tx = userdb.Tx

// PGX is a transaction of pgx.
func PGX(tx pgx.Tx) Tx { return userdb.FromPGX(tx) }

// Postgres is a transaction of database/sql on PostgreSQL, by whatever driver.
func Postgres(tx *sql.Tx) Tx { return userdb.FromSQL(userdb.Postgres, tx) }

// SQLite is a transaction of database/sql on SQLite, by whatever driver.
func SQLite(tx *sql.Tx) Tx { return userdb.FromSQL(userdb.SQLite, tx) }

// DB is a database of the caller's, for a Relay: PGXDB, PostgresDB or SQLiteDB
// makes one. It is that of package inbox, too; the zero DB is refused.
type DB = userdb.DB

// PGXDB is a PostgreSQL: a *pgxpool.Pool, or a *pgx.Conn that nobody else uses.
func PGXDB(db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}) DB {
	return userdb.PGXDB(db)
}

// PostgresDB is a PostgreSQL through database/sql.
func PostgresDB(db *sql.DB) DB { return userdb.SQLDB(userdb.Postgres, db) }

// SQLiteDB is a SQLite file. Its connections should have a busy timeout.
func SQLiteDB(db *sql.DB) DB { return userdb.SQLDB(userdb.SQLite, db) }
