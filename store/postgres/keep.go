package postgres

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Keep stores a value under a name, unless there is one, and returns what is
// there: made is true where that is value. What a node needs beside its journals
// is kept so, such as a key ring. Names are the caller's; the store's own are
// dropped_day and those that begin with "postern".
func (s *Store) Keep(ctx context.Context, name string, value []byte) (kept []byte, made bool, err error) {
	tag, err := s.reads.Exec(ctx, "INSERT INTO setting VALUES ($1::text, $2::bytea) ON CONFLICT DO NOTHING", name, value)
	if err != nil {
		return nil, false, s.unread(err)
	}
	kept, err = s.Kept(ctx, name)
	return kept, tag.RowsAffected() == 1, err
}

// Kept is what was kept under a name; nil for nothing.
func (s *Store) Kept(ctx context.Context, name string) (kept []byte, err error) {
	kept, err = s.setting(ctx, name)
	return kept, s.unread(err)
}

// setting is what stands under a name; nil for nothing. It is read in hexadecimal
// digits, since a session may be set to write bytes in a form of its own.
func (s *Store) setting(ctx context.Context, name string) ([]byte, error) {
	var digits string
	err := s.reads.QueryRow(ctx, "SELECT encode(value, 'hex') FROM setting WHERE name = $1::text", name).Scan(&digits)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(digits)
}

// Held tells who holds a journal of a database under a lease that still runs; "" for
// nobody, and one of several. Who copies into the database is nobody: another copy takes its place,
// and goes on. It changes nothing, and makes no tables.
func Held(ctx context.Context, url string) (node string, err error) {
	a, err := parseAddress(url)
	if err != nil {
		return "", err
	}
	a.primary(&lineage{})
	conn, err := a.connect(ctx)
	if err != nil {
		return "", a.unavailable(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is expected of it any more
	err = conn.QueryRow(ctx, `SELECT coalesce(min(node), '') FROM heartbeat
		WHERE NOT released AND expires_ms > extract(epoch FROM clock_timestamp()) * 1000
			AND NOT EXISTS (SELECT FROM setting WHERE name = $1::text)`, moveName).Scan(&node)
	if code(err) == "42P01" { // no such table: nobody has been here
		return "", nil
	}
	if err != nil {
		return "", a.unavailable(err)
	}
	return node, nil
}
