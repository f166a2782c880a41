package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// purgeAfter is how long what was expunged may stay in the tables: erasing
// rewrites the tables that hold it, so that it is gathered for a while.
const purgeAfter = 12 * time.Hour

// expunge deletes a content, and notes that its bytes are still in the tables.
func (p *putter) expunge(c *store.ContentKey, at time.Time) {
	key := contentKey(p.w.key[:0], c.Application, c.Message)
	p.delete(key)
	p.noteExpunged(key, at)
}

// redact stores an attempt over itself.
func (p *putter) redact(a *postern.Attempt, at time.Time) {
	p.attempt(a)
	d := store.DeliveryKey{Application: a.Application, Endpoint: a.Endpoint, Message: a.Message}
	p.noteExpunged(attemptKey(p.w.key[:0], d, a.N), at)
}

func (p *putter) noteExpunged(key []byte, at time.Time) {
	var buf [maxKey]byte
	p.put(append(append(buf[:0], kindExpunged), key...), binary.BigEndian.AppendUint64(p.w.value[:0], uint64(at.UnixMilli())))
}

// Purge implements store.Maintenance. A crash before its end has it done again.
func (s *Store) Purge(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	begun := s.opts.Now()
	if last := s.head.Load().LastTime; last.After(begun) { // notes do not follow a clock that was set back
		begun = last
	}
	spans, due, err := s.expunged()
	if err != nil || !due {
		return err
	}
	for _, span := range spans {
		if err := s.db.Compact(ctx, span.first[1:], append(span.last[1:len(span.last):len(span.last)], 0), false); err != nil {
			return err
		}
		if err := s.purged(ctx, span, begun); err != nil {
			return err
		}
	}
	return nil
}

// purged removes the notes of a span that were made before a purge began. What
// was expunged since may still lie in the tables, for the next one.
func (s *Store) purged(ctx context.Context, of span, begun time.Time) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	it, err := v.keys(kindExpunged)
	if err != nil {
		return err
	}
	end := append(of.last[:len(of.last):len(of.last)], 0)
	n := 0
	for it.SeekGE(of.first); it.Valid() && bytes.Compare(it.Key(), end) < 0; it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if value := it.Value(); len(value) == 8 && int64(binary.BigEndian.Uint64(value)) >= begun.UnixMilli() {
			continue
		}
		// Not synced: what is lost of it is done once more.
		if err := s.db.Delete(it.Key(), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// span are notes of what lies together in the tables.
type span struct{ first, last []byte }

// sliceColumns is how much of a note two have in common whose keys are of one
// kind, day and slice.
const sliceColumns = 1 + 1 + 4 + 4

// expunged lists what there is to purge, and whether any of it has waited long
// enough.
func (s *Store) expunged() (spans []span, due bool, err error) {
	v, err := s.view()
	if err != nil {
		return nil, false, err
	}
	defer v.close(&err) // the snapshot would keep what is to be purged
	it, err := v.keys(kindExpunged)
	if err != nil {
		return nil, false, err
	}
	before := s.opts.Now().Add(-purgeAfter).UnixMilli()
	for it.First(); it.Valid(); it.Next() {
		note := append([]byte(nil), it.Key()...)
		if value := it.Value(); len(value) == 8 && int64(binary.BigEndian.Uint64(value)) <= before {
			due = true
		}
		if n := len(spans); n > 0 && len(note) > sliceColumns && bytes.HasPrefix(spans[n-1].last, note[:sliceColumns]) {
			spans[n-1].last = note
			continue
		}
		spans = append(spans, span{note, note})
	}
	return spans, due, nil
}
