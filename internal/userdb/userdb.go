// Package userdb works in the database of the program that embeds Postern,
// through the library which that program uses: in transactions that the user
// began, and in short ones of its own.
//
// Statements are written once, with $1 for an argument, and hold for every
// dialect unless they say otherwise.
package userdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

// Dialect is the language of a database.
type Dialect uint8

// The dialects; the zero value is none.
const (
	Postgres Dialect = iota + 1
	SQLite
)

// Tx is a transaction that somebody else ends. Its zero value refuses to work.
type Tx struct {
	dialect Dialect
	on      runner
}

// runner is what the libraries have in common. each calls do for every row
// until it reports that it has enough, and closes the rows.
type runner interface {
	exec(ctx context.Context, statement string, args []any) (rows int64, err error)
	each(ctx context.Context, do RowFunc, query string, args []any) error
}

// RowFunc reads a row with scan, and reports whether it wants another.
type RowFunc func(scan func(into ...any) error) (more bool, err error)

// FromPGX is a transaction of pgx on PostgreSQL; the zero Tx for nil.
func FromPGX(tx pgx.Tx) Tx {
	if IsNil(tx) {
		return Tx{}
	}
	return Tx{Postgres, pgxTx{tx}}
}

// FromSQL is a transaction of database/sql; the zero Tx for nil.
func FromSQL(d Dialect, tx *sql.Tx) Tx {
	if tx == nil {
		return Tx{}
	}
	return Tx{d, sqlTx{d, tx}}
}

// IsNil reports whether an interface holds nothing, or a nil pointer: what a
// library returns beside an error that nobody looked at.
func IsNil(v any) bool {
	value := reflect.ValueOf(v)
	return v == nil || value.Kind() == reflect.Pointer && value.IsNil()
}

// DialectOf is that of a transaction's database; 0 for the zero Tx. What is done
// with a Tx and a DB are functions, because both are names in public packages: what
// users see of them is that they are made and passed on.
func DialectOf(t Tx) Dialect { return t.dialect }

// Exec runs a statement and returns how many rows it changed.
func Exec(ctx context.Context, t Tx, statement string, args ...any) (rows int64, err error) {
	if t.on == nil {
		return 0, errNone
	}
	return t.on.exec(ctx, statement, args)
}

// Each calls do for the rows of a query, in their order.
func Each(ctx context.Context, t Tx, do RowFunc, query string, args ...any) error {
	if t.on == nil {
		return errNone
	}
	return t.on.each(ctx, do, query, args)
}

var (
	errNone = &postern.Error{Kind: postern.Invalid, Detail: "no transaction: make one of yours, which is not nil, with PGX, Postgres or SQLite of this package"}
	errNoDB = &postern.Error{Kind: postern.Invalid, Detail: "no database: make one of yours, which is not nil, with PGXDB, PostgresDB or SQLiteDB of this package"}
)

// DB begins transactions. Its zero value refuses to.
type DB struct {
	dialect Dialect
	begin   func(ctx context.Context) (Tx, ender, error)
	outside Tx // for statements that are transactions by themselves; zero for none
}

// Beginner begins transactions of pgx: a *pgxpool.Pool or a *pgx.Conn.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// ender ends a transaction, by either of the two.
type ender struct {
	commit, rollback func(ctx context.Context) error
}

// PGXDB is a PostgreSQL that is reached with pgx; the zero DB for nil.
func PGXDB(db Beginner) DB {
	if IsNil(db) {
		return DB{}
	}
	return DB{dialect: Postgres, begin: func(ctx context.Context) (Tx, ender, error) {
		tx, err := db.Begin(ctx)
		if err != nil {
			return Tx{}, ender{}, err
		}
		return FromPGX(tx), ender{tx.Commit, tx.Rollback}, nil
	}}
}

// SQLDB is a database that is reached with database/sql; the zero DB for nil.
func SQLDB(d Dialect, db *sql.DB) DB {
	if db == nil {
		return DB{}
	}
	return DB{dialect: d, outside: Tx{d, sqlTx{d, db}}, begin: func(ctx context.Context) (Tx, ender, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return Tx{}, ender{}, err
		}
		return FromSQL(d, tx), ender{
			commit:   func(context.Context) error { return tx.Commit() },
			rollback: func(context.Context) error { return tx.Rollback() },
		}, nil
	}}
}

// DialectOfDB is the database's; 0 for the zero DB.
func DialectOfDB(db DB) Dialect { return db.dialect }

// In runs do in a transaction, and commits it when do returns nil. On PostgreSQL it
// is READ COMMITTED, whatever the user's are: it sees what was committed before each
// statement, and has no serializable transaction of the user's fail for its sake.
func In(ctx context.Context, db DB, do func(tx Tx) error) error {
	if db.begin == nil {
		return errNoDB
	}
	tx, end, err := db.begin(ctx)
	if err != nil {
		return err
	}
	if db.dialect == Postgres {
		_, err = Exec(ctx, tx, `SET TRANSACTION ISOLATION LEVEL READ COMMITTED`)
	}
	if err == nil {
		err = do(tx)
	}
	if err != nil {
		// The database ends it in any case, at the latest with its connection.
		_ = end.rollback(context.WithoutCancel(ctx))
		return err
	}
	return end.commit(ctx)
}

// Read runs do without a transaction where the library can: one that only reads
// would take SQLite's lock of writers where the user has all of them do so.
func Read(ctx context.Context, db DB, do func(tx Tx) error) error {
	if db.outside.on != nil {
		return do(db.outside)
	}
	return In(ctx, db, do)
}

// validTable is a plain name, after a plain name of a schema or not: it goes
// into statements as it is.
var validTable = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*\.)?[a-zA-Z_][a-zA-Z0-9_]{0,50}$`)

// Table is name, or def where that is "". Its errors are of kind Invalid.
func Table(name, def string) (string, error) {
	if name == "" {
		name = def
	}
	if !validTable.MatchString(name) {
		return "", postern.InvalidField("must be letters, digits and _, at most 51, with a schema and a dot before them or not", "Table", "Name")
	}
	return name, nil
}

// Create executes statements that make what is not there. IF NOT EXISTS alone fails
// on PostgreSQL for all but one of several at once: they wait for one another.
func Create(ctx context.Context, tx Tx, statements []string) error {
	if tx.dialect == Postgres {
		if _, err := Exec(ctx, tx, `SELECT pg_advisory_xact_lock($1, $2)`, LockClass(statements[0]), int32(-1)); err != nil {
			return err
		}
	}
	for _, statement := range statements {
		if _, err := Exec(ctx, tx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Index is the statement that makes an index of a table, named after both, on
// columns. A schema stands before the table on PostgreSQL, and before the index on
// SQLite.
func Index(d Dialect, table, name, columns string) string {
	schema, plain, found := strings.Cut(table, ".")
	if !found {
		schema, plain = "", table
	} else {
		schema += "."
	}
	on, index := table, plain+"_"+name
	if d == SQLite {
		on, index = plain, schema+index
	}
	return `CREATE INDEX IF NOT EXISTS ` + index + ` ON ` + on + ` ` + columns
}

// LockClass is a table's part of the keys of advisory locks, which are shared
// by everything in a database.
func LockClass(table string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte("postern " + table)) // never fails
	return int32(h.Sum32())
}

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) exec(ctx context.Context, statement string, args []any) (int64, error) {
	tag, err := t.tx.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}

func (t pgxTx) each(ctx context.Context, do RowFunc, query string, args []any) error {
	rows, err := t.tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return walk(rows, do)
}

type sqlTx struct {
	dialect Dialect
	tx      sqlRunner
}

// sqlRunner is a *sql.Tx or a *sql.DB.
type sqlRunner interface {
	ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (t sqlTx) exec(ctx context.Context, statement string, args []any) (int64, error) {
	result, err := t.tx.ExecContext(ctx, t.dialect.text(statement), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t sqlTx) each(ctx context.Context, do RowFunc, query string, args []any) (err error) {
	rows, err := t.tx.QueryContext(ctx, t.dialect.text(query), args...) //nolint:rowserrcheck // walk looks at it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return walk(rows, do)
}

// cursor is what rows of pgx and of database/sql have in common.
type cursor interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}

func walk(rows cursor, do RowFunc) error {
	for rows.Next() {
		if more, err := do(rows.Scan); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// text has a statement's arguments the way that the dialect writes them.
func (d Dialect) text(statement string) string {
	if d == SQLite {
		return strings.ReplaceAll(statement, "$", "?")
	}
	return statement
}

// String is the dialect's name, for messages.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}
