package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// migrationLock is the number of the advisory lock that migrations run under.
	migrationLock = 0x706f73746572
	// ddlTimeout bounds every wait for a table, since whoever comes next waits
	// behind it.
	ddlTimeout = 3 * time.Second
)

// Migration is one step of the tables' history.
type Migration struct {
	// Version counts from 1; Name says what the step does.
	Version int
	Name    string
	// SQL is the step itself, and Applied when the database took it; zero for not
	// yet.
	SQL     string
	Applied time.Time

	checksum [sha256.Size]byte
}

// Migrate applies what a database lacks, each step in a transaction of its own.
// Of several processes that start at once one applies it. It fails with kind
// Conflict where a newer version has been at work, or where a step that was
// applied reads differently today.
func Migrate(ctx context.Context, url string) error {
	a, err := parseAddress(url)
	if err != nil {
		return err
	}
	a.primary(&lineage{})
	return migrating(ctx, a, func(conn *pgx.Conn, steps []Migration) error {
		for i := range steps {
			if err := apply(ctx, conn, &steps[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Status lists all steps, and when the database took them.
func Status(ctx context.Context, url string) (steps []Migration, err error) {
	a, err := parseAddress(url)
	if err != nil {
		return nil, err
	}
	err = migrating(ctx, a, func(_ *pgx.Conn, all []Migration) error {
		steps = all
		return nil
	})
	return steps, err
}

// Plan lists the steps that Migrate would apply.
func Plan(ctx context.Context, url string) ([]Migration, error) {
	steps, err := Status(ctx, url)
	var plan []Migration
	for _, step := range steps {
		if step.Applied.IsZero() {
			plan = append(plan, step)
		}
	}
	return plan, err
}

// prepare brings a database up to date, or refuses one that is not.
func prepare(ctx context.Context, url string, refuse bool) error {
	if !refuse {
		return Migrate(ctx, url)
	}
	plan, err := Plan(ctx, url)
	if err == nil && len(plan) > 0 {
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database lacks %d migrations, up to %d: run postern migrate up", len(plan), plan[len(plan)-1].Version)}
	}
	return err
}

// migrating connects and compares the steps with those that were applied.
func migrating(ctx context.Context, a *address, do func(*pgx.Conn, []Migration) error) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return a.unavailable(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is answered
	steps, err := compared(ctx, conn)
	if err == nil {
		err = do(conn, steps)
	}
	var known *postern.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &postern.Error{Kind: postern.Unavailable, Detail: "the database " + a.name + " cannot be migrated", Err: a.scrub(err)}
}

// oldestServer is the first version that takes partitions out of a table without
// having anybody wait.
const oldestServer = 140000

// suits refuses a database that this store cannot work in.
func suits(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var encoding string
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding')").Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < oldestServer:
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("PostgreSQL %d is too old: want %d or later", version/10000, oldestServer/10000)}
	case encoding != "UTF8":
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database's encoding is %s, which not every text fits: make one with ENCODING 'UTF8'", encoding)}
	}
	return nil
}

// compared reads which steps were applied and refuses what is not of this
// binary's making.
func compared(ctx context.Context, conn *pgx.Conn) ([]Migration, error) {
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	if err := suits(ctx, conn); err != nil {
		return nil, err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('postern_migration') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return steps, err
	}
	// Both in a form that no setting of the session's changes.
	rows, err := conn.Query(ctx, "SELECT version, encode(checksum, 'hex'), (extract(epoch FROM applied_at) * 1000000)::int8 FROM postern_migration ORDER BY version")
	if err != nil {
		return nil, err
	}
	var version int
	var sum string
	var at int64
	_, err = pgx.ForEachRow(rows, []any{&version, &sum, &at}, func() error {
		if version > len(steps) {
			return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database is at version %d, this binary knows up to %d: use a newer postern", version, len(steps))}
		}
		step := &steps[version-1]
		if sum != hex.EncodeToString(step.checksum[:]) {
			return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("migration %d (%s) was applied in another form than this binary's", version, step.Name)}
		}
		step.Applied = microseconds(at)
		return nil
	})
	return steps, err
}

// apply runs one step, unless somebody else has meanwhile.
func apply(ctx context.Context, conn *pgx.Conn, step *Migration) error {
	if !step.Applied.IsZero() {
		return nil
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS postern_migration (
			version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
		if err != nil {
			return err
		}
		// Whoever waited for the lock finds the step done.
		done, err := tx.Exec(ctx, "INSERT INTO postern_migration (version, name, checksum) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
			step.Version, step.Name, step.checksum[:])
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
		// In the simple protocol, which takes several statements at once.
		_, err = tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d;\n", ddlTimeout.Milliseconds())+step.SQL).ReadAll()
		return err
	})
}

// migrations are the embedded steps in their order: NNNNN_name.sql, from 1 on
// without gaps.
func migrations() ([]Migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]Migration, len(names))
	for i, file := range names {
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql"), "_")
		if version, err := strconv.Atoi(number); err != nil || version != i+1 {
			return nil, fmt.Errorf("postgres: migration %s is not number %d", file, i+1)
		}
		steps[i] = Migration{Version: i + 1, Name: name, SQL: string(text), checksum: sha256.Sum256(text)}
	}
	return steps, nil
}
