package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

var _ store.Mover = (*Store)(nil)

const (
	// moveName is what a move's progress is kept under, in the table setting.
	moveName = "postern_move"
	// fencedCode is postern_hold's answer under another epoch.
	fencedCode = "PN001"
)

// The statements of a chunk. What is there already is the same, or is put again
// as it is. Their parameters are columns of arguments.
const (
	importMessages = `INSERT INTO message SELECT x.day, x.application, x.id, $1::int2, x.position, x.event_type, x.content_type, x.event_id,
		x.channels::text[], x.tags::text[], x.routes::bigint[], x.size, x.source, x.provider_event_type, x.caused_by, x.depth
	FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) AS x(day, application, id, position, event_type, content_type,
		event_id, channels, tags, routes, size, source, provider_event_type, caused_by, depth) ON CONFLICT DO NOTHING`
	importContents = `INSERT INTO content SELECT * FROM unnest($1, $2, $3, $4, $5) AS x(day, application, id, payload, request)
	WHERE x.payload IS NOT NULL ON CONFLICT DO NOTHING`
	importRecords = `INSERT INTO dedupe SELECT x.scope::"char", x.digest, x.application, x.message, x.at_ms, x.status, x.answer
	FROM unnest($1, $2, $3, $4, $5, $6, $7) AS x(scope, digest, application, message, at_ms, status, answer)
	ON CONFLICT (scope, digest) DO UPDATE SET application = excluded.application, message = excluded.message,
		at_ms = excluded.at_ms, status = excluded.status, answer = excluded.answer`
	importAttempts = `INSERT INTO attempt SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
		$21, $22, $23, $24) ON CONFLICT DO NOTHING`
	importRows = `INSERT INTO delivery SELECT x.endpoint, x.message, x.application, $1::int2, x.generation, x.tries, x.attempts, x.next_ms, x.wait_ns, x.trigger, x.replay
	FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS x(endpoint, message, application, generation, tries, attempts, next_ms, wait_ns, trigger, replay)
	ON CONFLICT DO NOTHING`
	importHead = `UPDATE head SET batch = ($2)[1], next = ($2)[2], low = ($2)[3], last_time_ms = ($2)[4], newest_ms = ($2)[5],
		dropped_us = ($2)[6], rows = ($2)[7], applications = ($2)[8], endpoints = ($2)[9] WHERE journal = $1::int2`
)

// Import implements store.Mover. A chunk is one transaction in one round trip,
// and so is there with its progress or not at all. Like Commit it has one caller;
// after an error of the database the store takes nothing more, and whether the
// chunk is there shows when it is opened again.
func (s *Store) Import(ctx context.Context, b *store.Batch, p store.Progress) error {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.mayImport(ctx); err != nil {
		return err
	}
	if err := w.args.fill(s.opts.Journal, b, int64(s.dropped())); err != nil {
		return err
	}
	if err := s.importChunk(ctx, b, p); err != nil {
		if passing(err) || errors.Is(err, errFenced) {
			err = s.unread(err)
		} else {
			err = &postern.Error{Kind: postern.Internal, Detail: "the database refused a part of a copy", Err: s.address.scrub(err)}
		}
		s.fail(err)
		return s.failed()
	}
	s.moving.Store(&p)
	if p.Next == nil {
		head := b.Head
		s.head.Store(&head)
		s.moving.Store(nil)
	}
	s.committed(b)
	return nil
}

// mayImport is nil in the midst of a move, and for a database that no batch was
// written to yet.
func (s *Store) mayImport(ctx context.Context) error {
	if err := s.failed(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return errClosed
	default:
	}
	if s.opts.ReadOnly {
		return errReadOnly
	}
	if s.moving.Load() != nil {
		return nil
	}
	var batch int64
	if err := s.reads.QueryRow(ctx, "SELECT coalesce(max(batch), 0) FROM head").Scan(&batch); err != nil {
		return s.unread(err)
	}
	if batch > 0 {
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database %s holds something already", s.address.name)}
	}
	return nil
}

// importChunk sends what the arguments were filled with.
func (s *Store) importChunk(ctx context.Context, b *store.Batch, p store.Progress) error {
	// A caller that gives up must not leave a chunk of unknown fate behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
	defer cancel()
	w := &s.writer
	if err := s.makePartitions(ctx, w.conn, b); err != nil {
		return err
	}
	c := chunk{args: w.args}
	c.add("SELECT postern_hold($1::int2, $2::int8)", c.journal(), raw{typeInt8, w.args.under(s.hold.epoch)})
	c.columns()
	if w.args.rare != nil {
		c.add("SELECT postern_commit_rare($1::int2, $2::jsonb)", c.journal(), raw{typeJSONB, w.args.rare})
	}
	if p.Next == nil {
		c.add(importHead, c.journal(), c.column(&w.args.head))
		c.add("DELETE FROM setting WHERE name = $1", raw{typeText, []byte(moveName)})
	} else {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		c.add("INSERT INTO setting VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			raw{typeText, []byte(moveName)}, raw{typeBytea, text})
	}
	_, err := w.conn.PgConn().ExecBatch(ctx, &c.batch).ReadAll()
	if code(err) == fencedCode {
		return errFenced
	}
	return err
}

// chunk is a batch of statements, which PostgreSQL takes for one transaction.
type chunk struct {
	args  *arguments
	batch pgconn.Batch
}

// raw is a parameter in its binary form.
type raw struct {
	oid   uint32
	value []byte
}

func (c *chunk) add(sql string, parameters ...raw) {
	values, types := make([][]byte, len(parameters)), make([]uint32, len(parameters))
	for i, p := range parameters {
		values[i], types[i] = p.value, p.oid
	}
	c.batch.ExecParams(sql, values, types, c.args.formats, nil)
}

func (c *chunk) journal() raw { return raw{typeInt2, c.args.journal[:2]} }

// column is one of the arguments, with its type.
func (c *chunk) column(a *array) raw {
	at := slices.Index(c.args.columns, a)
	return raw{c.args.types[len(c.args.types)-1-len(c.args.columns)+at], a.value()}
}

// from is a table's columns from one on, in the order of the arguments.
func (c *chunk) from(first *array, n int) []raw {
	at := slices.Index(c.args.columns, first)
	list := make([]raw, n)
	for i := range list {
		list[i] = c.column(c.args.columns[at+i])
	}
	return list
}

// columns adds a statement for each table that there is something for.
func (c *chunk) columns() {
	a := c.args
	if m := &a.messages; m.id.n > 0 {
		all := c.from(&m.day, 17)
		c.add(importMessages, append([]raw{c.journal()}, all[:15]...)...)
		c.add(importContents, all[0], all[1], all[2], all[15], all[16])
	}
	if a.dedupe.digest.n > 0 {
		c.add(importRecords, c.from(&a.dedupe.scope, 7)...)
	}
	if a.attempts.id.n > 0 {
		c.add(importAttempts, c.from(&a.attempts.day, 24)...)
	}
	if a.rows.endpoint.n > 0 {
		c.add(importRows, append([]raw{c.journal()}, c.from(&a.rows.endpoint, 10)...)...)
	}
}

// Moved implements store.Mover.
func (s *Store) Moved(context.Context) (store.Progress, bool, error) {
	if err := s.failed(); err != nil {
		return store.Progress{}, false, err
	}
	if p := s.moving.Load(); p != nil {
		return *p, true, nil
	}
	return store.Progress{}, false, nil
}

// loadMove finds out whether the last run left a move half-way.
func (s *Store) loadMove(ctx context.Context) error {
	value, err := s.setting(ctx, moveName)
	if err != nil || value == nil {
		return err
	}
	var p store.Progress
	if err := json.Unmarshal(value, &p); err != nil {
		return &postern.Error{Kind: postern.Internal, Detail: "the progress of a copy cannot be read", Err: err}
	}
	s.moving.Store(&p)
	return nil
}

// whole refuses half of a store, and one that has failed.
func (s *Store) whole() error {
	if err := s.failed(); err != nil || s.moving.Load() == nil {
		return err
	}
	return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("the database %s is half of a copy: run the copy again, which goes on where it stopped", s.address.name)}
}
