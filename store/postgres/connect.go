package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
)

const (
	connectTimeout = 5 * time.Second
	// pingTimeout bounds the question whether a connection that rested still has its
	// other end, unless the address says otherwise by pool_ping_timeout. Who closes
	// the pool waits for it.
	pingTimeout = 5 * time.Second
	// readConns is how many connections reads may use, unless the address says
	// otherwise by pool_max_conns.
	readConns = 8
)

// address is where a database is and how to speak to it. It holds a password,
// and is never printed.
type address struct {
	config *pgxpool.Config
	// name is host and database, for errors and the log.
	name string
	// unnamed: nothing is prepared under a name, since a pooler between would
	// have the next statement meet another session.
	unnamed atomic.Bool
}

// parseAddress reads a store's address. An address that cannot be read is not
// repeated, since what is wrong with it may well be its password.
func parseAddress(url string) (*address, error) {
	invalid := &postern.Error{Kind: postern.Invalid, Detail: "the store's address is not one of a PostgreSQL database: want postgres://USER:PASSWORD@HOST:5432/DATABASE, " +
		"with %XX for special characters in user and password"}
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return nil, invalid
	}
	plain, err := pgx.ParseConfig(url)
	if file, ok := errors.AsType[*fs.PathError](err); ok { // of certificates, say
		return nil, &postern.Error{Kind: postern.Invalid, Detail: "the store's address names a file that cannot be read", Err: file}
	}
	if err != nil {
		return nil, invalid
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, invalid
	}
	if plain.RuntimeParams["pool_max_conns"] == "" {
		config.MaxConns = readConns
	}
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
	c := config.ConnConfig
	// Text is sent as it is, whatever the role is used to.
	c.RuntimeParams["client_encoding"] = "UTF8"
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "postern"
	}
	a := &address{config: config, name: hosts(c) + "/" + c.Database}
	a.unnamed.Store(c.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement)
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		if a.unnamed.Load() && c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
			c.DefaultQueryExecMode = pgx.QueryExecModeExec
		}
		return nil
	}
	return a, nil
}

// hosts are those that an address names, in their order.
func hosts(c *pgx.ConnConfig) string {
	names := []string{c.Host}
	for _, f := range c.Fallbacks { // a host is there once more where TLS is as it comes
		if !slices.Contains(names, f.Host) {
			names = append(names, f.Host)
		}
	}
	return strings.Join(names, ",")
}

// pool is connections for reads. Its batches are prepared under names, unless the
// address says otherwise: see Store.each, which notices a pooler. Single statements,
// which are rare, do without.
type pool struct{ *pgxpool.Pool }

// Query, QueryRow and Exec take no mode among their arguments.
func (p pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.Pool.Query(ctx, sql, unprepared(args)...)
}

func (p pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return p.Pool.QueryRow(ctx, sql, unprepared(args)...)
}

func (p pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return p.Pool.Exec(ctx, sql, unprepared(args)...)
}

func unprepared(args []any) []any {
	return append([]any{pgx.QueryExecModeExec}, args...)
}

// open opens the pool, and its first connection at once.
func (a *address) open(ctx context.Context) (pool, error) {
	p, err := pgxpool.NewWithConfig(ctx, a.config.Copy())
	if err != nil {
		return pool{}, a.unavailable(err)
	}
	if err := p.Ping(ctx); err != nil {
		p.Close()
		return pool{}, a.unavailable(err)
	}
	return pool{p}, nil
}

// connect opens a connection that prepares nothing by itself.
func (a *address) connect(ctx context.Context) (*pgx.Conn, error) {
	config := a.config.ConnConfig.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// unavailable is what callers are told of a database that does not answer.
func (a *address) unavailable(err error) error {
	return &postern.Error{Kind: postern.Unavailable, Detail: "the database " + a.name + " does not answer", Err: a.scrub(err)}
}

// unread is the error of a failed read, for its caller: of kind Unavailable,
// without anything of the address or of what is stored. An error of the domain stays
// what it is, and so does a caller's giving up; one who waited too long is told of
// the database. A store that is closed gives up connections that are being made,
// which is none of the caller's doing.
func (s *Store) unread(err error) error {
	var known *postern.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		select {
		case <-s.closing:
			return errClosed
		default:
			return err
		}
	case errors.Is(err, context.DeadlineExceeded):
		return s.address.unavailable(context.DeadlineExceeded)
	}
	s.address.notePooler(s, err)
	return s.address.unavailable(err)
}

// notePooler gives names up when err shows that a pooler hands each statement to
// another session, and says so once.
func (a *address) notePooler(s *Store, err error) bool {
	switch code(err) {
	case "26000", "42P05": // no such prepared statement; there is one of that name
	default:
		return false
	}
	if a.unnamed.CompareAndSwap(false, true) {
		s.opts.Logger.Info("prepared statements do not reach their session, as behind a pooler of transactions: going on without them")
		s.reads.Reset()
	}
	return true
}

// code is PostgreSQL's five characters for what went wrong; "" for an error that
// is none of its answers.
func code(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// scrub makes an error fit for the log: PostgreSQL's words can repeat what was
// stored, those of a failed connection its address.
func (a *address) scrub(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch answer.Code[:min(2, len(answer.Code))] {
		case "22", "23", "44", "P0": // of data
			return fmt.Errorf("SQLSTATE %s %s", answer.Code, answer.ConstraintName)
		}
		return fmt.Errorf("SQLSTATE %s: %s", answer.Code, answer.Message)
	}
	text := err.Error()
	if secret := a.config.ConnConfig.Password; secret != "" {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return errors.New(text)
}
