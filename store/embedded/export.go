package embedded

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Export implements store.Mover. A cursor is the key of the last record. Lists
// by endpoint, the journal and schedules follow from what is given; notes of what
// was expunged stay, since its bytes do.
func (s *Store) Export(ctx context.Context, q store.ExportQuery, fn func(b *store.Batch, next store.Cursor) error) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	e := export{v: v, limit: q, fn: fn}
	if err := e.begin(); err != nil {
		return err
	}
	// What others refer to comes first, so that half of a store reads sensibly.
	kinds := []byte{
		kindTombstone, kindCatalogue, kindHeader, kindAttempt, kindDead, kindRow,
		kindBehind, kindHealth, kindRefusal, kindEvent, kindIdempotency, kindSource,
	}
	if len(q.After) > 0 {
		at := slices.Index(kinds, q.After[0])
		if at < 0 {
			return &postern.Error{Kind: postern.Invalid, Detail: "the cursor is not of an export of this store"}
		}
		kinds = kinds[at:]
	}
	for i, kind := range kinds {
		from := []byte{kind}
		if i == 0 && len(q.After) > 0 { // the first key behind it
			from = append(slices.Clone([]byte(q.After)), 0)
		}
		if err := e.kind(ctx, kind, from); err != nil {
			return err
		}
	}
	if err := e.flush(); err != nil {
		return err
	}
	return fn(&store.Batch{Head: *s.head.Load()}, nil)
}

// export gathers chunks. It belongs to one call of Export.
type export struct {
	// v is the one moment that everything is of.
	v     *view
	limit store.ExportQuery
	fn    func(b *store.Batch, next store.Cursor) error
	// contents and headers are looked up beside the walk.
	// Contents mostly lie in the order of their headers, so that a step finds the
	// next; digests have no order.
	contents, headers near
	cost              walk // what near charges; nobody looks
	// chunk holds records and bytes so far; last is the key of the latest, which
	// becomes the chunk's cursor.
	chunk          store.Batch
	records, bytes int
	last           []byte
}

// begin opens the iterators that are used beside the walk's own.
func (e *export) begin() (err error) {
	if e.contents.it, err = e.v.keys(kindContent); err == nil {
		e.headers.it, err = e.v.keys(kindHeader)
	}
	return err
}

// kind gives the records of one kind from a key on.
func (e *export) kind(ctx context.Context, kind byte, from []byte) error {
	it, err := e.v.keys(kind)
	if err != nil {
		return err
	}
	for ok := it.SeekGE(from); ok; ok = it.Next() {
		if err := e.add(it.Key(), it.Value()); err != nil {
			return err
		}
		e.records++
		e.bytes += len(it.Key()) + len(it.Value())
		e.last = append(e.last[:0], it.Key()...)
		if e.records < e.limit.Records && e.bytes < e.limit.Bytes {
			continue
		}
		if ctx.Err() != nil { // between chunks, where it can be resumed
			return context.Cause(ctx)
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
	return it.Error()
}

// flush hands out what was gathered, and takes the memory back. The cursor is the
// receiver's to keep.
func (e *export) flush() error {
	if e.records == 0 {
		return nil
	}
	err := e.fn(&e.chunk, slices.Clone(store.Cursor(e.last)))
	e.chunk.Reset()
	e.records, e.bytes = 0, 0
	return err
}

// add puts one record into the chunk. Everything is decoded and so copied: nothing
// refers to the database's memory once the iterator moves.
func (e *export) add(key, value []byte) (err error) {
	b := &e.chunk
	switch key[0] {
	case kindTombstone: // the same change that made it makes it again
		gone := &postern.Application{Number: postern.ApplicationNumber(binary.BigEndian.Uint32(key[1:]))}
		b.Changes = append(b.Changes, store.Change{Delete: gone})
	case kindCatalogue:
		var record any
		record, err = decodeRecord(key, value)
		b.Changes = append(b.Changes, store.Change{Put: record})
	case kindHeader:
		err = e.message(key, value)
	case kindAttempt:
		err = e.attempt(key, value)
	case kindDead:
		b.Dead = append(b.Dead, store.DeadChange{Key: store.DeliveryKey{
			Application: postern.ApplicationNumber(binary.BigEndian.Uint32(key[5:])),
			Endpoint:    postern.EndpointNumber(binary.BigEndian.Uint32(key[9:])), Message: postern.MessageID(key[13:]),
		}})
	case kindRow:
		var row postern.Row
		row, err = decodeRow(postern.EndpointNumber(binary.BigEndian.Uint32(key[1:])), postern.MessageID(key[5:]), value)
		b.Rows = append(b.Rows, store.RowChange{Put: &row})
	case kindBehind:
		var row store.BehindRow
		row.Endpoint = postern.EndpointNumber(binary.BigEndian.Uint32(key[1:]))
		row.Application, row.From, err = decodeJournal(value) // the same two columns
		b.Behind = append(b.Behind, store.BehindChange{Row: row})
	case kindHealth:
		var health postern.Health
		health, err = decodeHealth(value)
		b.Health = append(b.Health, store.HealthChange{Endpoint: postern.EndpointNumber(binary.BigEndian.Uint32(key[1:])), Health: health})
	case kindRefusal:
		err = e.refusal(key, value)
	default:
		err = e.record(key, value)
	}
	return err
}

// message joins a header with its content, if that was not expunged.
func (e *export) message(key, value []byte) error {
	m, err := decodeHeader(postern.ApplicationNumber(binary.BigEndian.Uint32(key[5:])), postern.MessageID(key[9:]), value)
	if err != nil {
		return err
	}
	a := store.Accept{Message: m}
	var buf [maxKey]byte
	if content := e.contents.get(&e.cost, contentKey(buf[:0], m.Application, m.ID)); content != nil {
		if a.Content, err = decodeContent(content); err != nil {
			return err
		}
		e.bytes += len(content)
	}
	e.chunk.Accepts = append(e.chunk.Accepts, a)
	return nil
}

// attempt tells attempts and final records apart, which share a kind.
func (e *export) attempt(key, value []byte) error {
	d := store.DeliveryKey{Application: postern.ApplicationNumber(binary.BigEndian.Uint32(key[9:])), Message: postern.MessageID(key[13:33])}
	var n int
	if d.Endpoint, n = splitAttempt(key); n == finalN {
		final, err := decodeFinal(d, value)
		e.chunk.Finals = append(e.chunk.Finals, final)
		return err
	}
	attempt, err := decodeAttempt(d, value)
	e.chunk.Attempts = append(e.chunk.Attempts, &attempt)
	return err
}

// refusal joins the two halves of a refusal.
func (e *export) refusal(key, value []byte) error {
	source, id := postern.SourceID(key[1:21]), postern.RefusalID(key[21:])
	r, err := decodeRefusal(source, id, value)
	if err != nil {
		return err
	}
	r.Body, err = e.v.get(refusalKey(nil, kindRefusalBody, source, id))
	e.bytes += len(r.Body)
	e.chunk.Refusals = append(e.chunk.Refusals, r)
	return err
}

// record gives a dedupe record, unless it is an event's whose message is gone, which
// counts as free, or there is a later one of its digest, which alone is found.
func (e *export) record(key, value []byte) error {
	v, err := decodeDedupe(value)
	if err != nil {
		return err
	}
	r := store.MovedRecord{Application: v.application, DedupeRecord: store.DedupeRecord{
		Digest: store.Digest(key[len(key)-16:]), Message: v.message, Status: v.status, Answer: v.answer,
	}}
	switch key[0] {
	case kindEvent:
		r.Scope = store.ScopeEvent
		var buf [maxKey]byte
		if e.headers.get(&e.cost, headerKey(buf[:0], v.application, v.message)) == nil {
			return nil
		}
	case kindIdempotency:
		r.Scope = store.ScopeIdempotency
	case kindSource:
		r.Scope = store.ScopeSource
	}
	if key[0] != kindEvent {
		if replaced, err := e.replaced(key); err != nil || replaced {
			return err
		}
	}
	e.chunk.Records = append(e.chunk.Records, r)
	return nil
}

// replaced reports whether a later half day has a record of the same digest. Few
// half days are kept.
func (e *export) replaced(key []byte) (bool, error) {
	newest := halfDay(e.v.s.newest.Load())
	var buf [maxKey]byte
	for bucket := halfDay(binary.BigEndian.Uint32(key[1:])) + 1; bucket <= newest; bucket++ {
		if found, err := e.v.has(bucketKey(buf[:0], key[0], bucket, store.Digest(key[5:]))); err != nil || found {
			return found, err
		}
	}
	return false, nil
}
