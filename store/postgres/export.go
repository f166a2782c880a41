package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Export implements store.Mover. Everything is read in one transaction, which
// pictures one moment, and streams over a connection of its own: nothing is read
// twice, and no more is in memory than a chunk. A store whose database serves
// several journals has several heads, and cannot be moved: the error is of kind
// Conflict.
func (s *Store) Export(ctx context.Context, q store.ExportQuery, fn func(b *store.Batch, next store.Cursor) error) error {
	e := export{s: s, limit: q, fn: fn}
	parts := e.parts()
	if err := e.begin(q.After, parts); err != nil {
		return err
	}
	// What is still to come of a result would be read before the connection is
	// closed; canceled, it is broken off.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := s.address.connect(ctx)
	if err != nil {
		return s.address.unavailable(err)
	}
	defer func() {
		cancel()
		_ = conn.Close(context.WithoutCancel(ctx)) // nothing is expected of it any more
	}()
	err = e.read(ctx, conn, parts)
	if e.refused != nil {
		return e.refused
	}
	return s.unread(err)
}

// export gathers chunks.
type export struct {
	s     *Store
	limit store.ExportQuery
	fn    func(b *store.Batch, next store.Cursor) error
	tx    pgx.Tx
	// from is where the walk goes on, until it has.
	from place
	// refused is fn's own error, which is passed on as it is.
	refused error

	chunk          store.Batch
	records, bytes int
	// last is the record that was looked at last.
	last struct {
		part string
		day  int64
		key  []any
	}
}

// place is a cursor, in JSON: the part that a record is of, its day where the
// part is read by days, and its key as PostgreSQL reads it from text.
type place struct {
	Part string   `json:"part"`
	Day  int64    `json:"day,omitempty"`
	Key  []string `json:"key"`
}

// part is what is stored of one kind.
type part struct {
	name string
	// records lists those behind a key, in the order of keys; of one day, which is
	// the first parameter, where daily.
	records statement
	daily   bool
	// first is a key before all.
	first []string
	// add puts a record into the chunk and returns its key: of int64, string and
	// bytes. What is there but no more to be read is left out.
	add func(row pgx.CollectableRow) (key []any, err error)
}

// begin finds where to go on.
func (e *export) begin(after store.Cursor, parts []part) error {
	e.from = place{Part: parts[0].name, Key: parts[0].first}
	if len(after) == 0 {
		return nil
	}
	err := json.Unmarshal(after, &e.from)
	at := slices.IndexFunc(parts, func(p part) bool { return p.name == e.from.Part })
	if err != nil || at < 0 || len(parts[at].first) != len(e.from.Key) {
		return &postern.Error{Kind: postern.Invalid, Detail: "the cursor is not of an export of this store"}
	}
	return nil
}

// read walks over all parts in one picture of the database.
func (e *export) read(ctx context.Context, conn *pgx.Conn, parts []part) error {
	days, err := e.s.keptDays(ctx)
	if err != nil {
		return err
	}
	e.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	// It ends with its connection. Who takes the chunks may take long over them.
	if _, err := e.tx.Exec(ctx, pinned, "force_custom_plan"); err != nil {
		return err
	}
	const patient = "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')"
	if _, err := e.tx.Exec(ctx, patient); err != nil {
		return err
	}
	head, err := e.head(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(parts, func(p part) bool { return p.name == e.from.Part })
	for _, p := range parts[at:] {
		if err := e.part(ctx, p, days); err != nil {
			return err
		}
	}
	if err := e.flush(); err != nil {
		return err
	}
	e.refused = e.fn(&store.Batch{Head: head}, nil)
	return e.refused
}

// keptDays are those whose history may be read and has tables, in order.
func (s *Store) keptDays(ctx context.Context) ([]int64, error) {
	tables, err := s.partitions(ctx, maxDay)
	var days []int64
	for _, p := range tables {
		if p.parent == "message" && p.attached && p.day > int64(s.dropped()) {
			days = append(days, p.day)
		}
	}
	slices.Sort(days)
	return days, err
}

// head reads that of the store's journal, which has to be the only one.
func (e *export) head(ctx context.Context) (store.Head, error) {
	var others int
	err := e.tx.QueryRow(ctx, "SELECT count(*) FROM head WHERE journal <> $1::int2 AND batch > 0", int16(e.s.opts.Journal)).Scan(&others)
	if err != nil {
		return store.Head{}, err
	}
	if e.s.opts.Journal != store.SoleJournal {
		return store.Head{}, &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database's journal is number %d, of several that there were, and cannot be copied as one store", e.s.opts.Journal)}
	}
	if others > 0 {
		return store.Head{}, &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database has journals of %d other nodes, and cannot be copied as one store", others)}
	}
	return e.s.readHead(ctx, e.tx)
}

// part gives the records of one kind, from where the cursor says or from the
// first.
func (e *export) part(ctx context.Context, p part, days []int64) error {
	if !p.daily {
		return e.walk(ctx, p, 0)
	}
	for _, day := range days {
		if e.from.Part == p.name && day < e.from.Day {
			continue
		}
		if err := e.walk(ctx, p, day); err != nil {
			return err
		}
	}
	return nil
}

// walk gives what one statement finds.
func (e *export) walk(ctx context.Context, p part, day int64) error {
	behind := p.first
	if e.from.Part == p.name && e.from.Day == day {
		behind = e.from.Key
	}
	// In binary, and without a name that a pooler might lose.
	args := []any{pgx.QueryExecModeDescribeExec}
	if p.daily {
		args = append(args, day)
	}
	for _, text := range behind {
		args = append(args, text)
	}
	rows, err := e.tx.Query(ctx, string(p.records), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	e.last.part, e.last.day = p.name, day
	for rows.Next() {
		if e.last.key, err = p.add(rows); err != nil {
			return &postern.Error{Detail: "what is stored cannot be read", Err: err}
		}
		for _, column := range rows.RawValues() {
			e.bytes += len(column)
		}
		e.records++
		if e.records < e.limit.Records && e.bytes < e.limit.Bytes {
			continue
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// flush hands out what was gathered.
func (e *export) flush() error {
	if e.records == 0 {
		return nil
	}
	next := place{Part: e.last.part, Day: e.last.day}
	for _, column := range e.last.key {
		next.Key = append(next.Key, written(column))
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	e.refused = e.fn(&e.chunk, text)
	e.chunk.Reset()
	e.records, e.bytes = 0, 0
	return e.refused
}

// written is a column of a key as PostgreSQL reads it.
func written(column any) string {
	switch v := column.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	default:
		return fmt.Sprint(v)
	}
}
