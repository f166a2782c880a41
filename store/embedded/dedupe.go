package embedded

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func (p *putter) dedupe(app postern.ApplicationNumber, r *store.DedupeRecord) {
	k, value := p.w.key[:0], appendDedupe(p.w.value[:0], app, r)
	p.known.of(r.Scope).add(digestOf{r.Digest, idMillis(r.Message)})
	if r.Scope == store.ScopeEvent {
		p.put(eventKey(k, r.Digest), value)
		return
	}
	p.put(bucketKey(k, bucketKind(r.Scope), halfDayOf(idMillis(r.Message)), r.Digest), value)
}

func bucketKind(scope store.Scope) byte {
	if scope == store.ScopeSource {
		return kindSource
	}
	return kindIdempotency
}

// outlived is the time before which dedupe records are too old, in Unix
// milliseconds, when the newest id is of newest. That id's time alone does not
// tell: a clock that is set forth takes it along, and what was recorded just
// before would be forgotten at once. So no more counts than went by since the
// store was opened; a clock that was right to be set has records kept for
// longer, until the next start.
func (s *Store) outlived(newest int64) int64 {
	elapsed := s.began.Add(time.Since(s.mono)).UnixMilli()
	return min(newest, max(elapsed, newest-maxLeap.Milliseconds())) - s.opts.DedupeWindow.Milliseconds()
}

// maxLeap bounds how many half days Dedupe looks at, and is how far a clock may
// be set without harm: one that leaps farther had never been set before.
const maxLeap = 62 * 24 * time.Hour

// dropBuckets removes the half days that end before the oldest moment of a
// window.
func (p *putter) dropBuckets(oldest int64) {
	bucket := halfDayOf(oldest)
	if bucket <= p.w.bucket {
		return
	}
	p.w.bucket = bucket
	p.known.requests.drop(int64(bucket) * halfDayMillis)
	for _, kind := range [...]byte{kindIdempotency, kindSource} {
		p.deleteRange([]byte{kind}, bucketKey(nil, kind, bucket, store.Digest{}))
	}
}

// Dedupe implements store.Journal. It reads beside Commit, and may see what is
// not yet synced.
func (s *Store) Dedupe(_ context.Context, scope store.Scope, digest store.Digest, since time.Time) (store.DedupeRecord, bool, error) {
	if err := s.enter(); err != nil {
		return store.DedupeRecord{}, false, err
	}
	defer s.gate.leave()
	if s.lacks(scope, digest) {
		return store.DedupeRecord{}, false, nil
	}
	var buf [maxKey]byte
	if scope == store.ScopeEvent {
		return s.dedupeEvent(digest, since)
	}
	newest := halfDay(s.newest.Load())
	oldest := min(max(halfDayOf(since.UnixMilli()), s.oldestBucket(newest)), newest)
	for bucket := newest; ; bucket-- {
		value, err := s.get(s.db, bucketKey(buf[:0], bucketKind(scope), bucket, digest))
		if err != nil {
			return store.DedupeRecord{}, false, err
		}
		if value != nil {
			return dedupeRecord(scope, digest, since, value)
		}
		if bucket <= oldest {
			return store.DedupeRecord{}, false, nil
		}
	}
}

// oldestBucket bounds a window that is longer than what is kept.
func (s *Store) oldestBucket(newest halfDay) halfDay {
	return halfDayOf(s.outlived(int64(newest) * halfDayMillis))
}

// dedupeEvent holds as long as the message does.
func (s *Store) dedupeEvent(digest store.Digest, since time.Time) (store.DedupeRecord, bool, error) {
	var buf [maxKey]byte
	value, err := s.get(s.db, eventKey(buf[:0], digest))
	if value == nil || err != nil {
		return store.DedupeRecord{}, false, err
	}
	v, err := decodeDedupe(value)
	if err != nil {
		return store.DedupeRecord{}, false, err
	}
	header, err := s.get(s.db, headerKey(buf[:0], v.application, v.message))
	if header == nil || err != nil {
		return store.DedupeRecord{}, false, err
	}
	return dedupeRecord(store.ScopeEvent, digest, since, value)
}

func dedupeRecord(scope store.Scope, digest store.Digest, since time.Time, value []byte) (store.DedupeRecord, bool, error) {
	v, err := decodeDedupe(value)
	if err != nil || idMillis(v.message) < since.UnixMilli() {
		return store.DedupeRecord{}, false, err
	}
	return store.DedupeRecord{Scope: scope, Digest: digest, Message: v.message, Status: v.status, Answer: v.answer}, true, nil
}

// sweepStep is how many event records one commit looks at while a sweep is
// under way.
const sweepStep = 256

// sweep goes slowly over all event records after a day was dropped and removes
// those whose message went with it. It rides on commits, which keeps it from
// racing with one that stores the digest anew; it is not resumed after a
// restart, since the next day's begins from the start.
type sweep struct {
	active bool
	from   []byte
	day    store.Day
}

func (w *sweep) begin(day store.Day) {
	*w = sweep{active: true, from: []byte{kindEvent}, day: day}
}

// sweepEvents looks at the next few records. Those that the batch itself puts
// are left: the database shows only what was there before.
func (s *Store) sweepEvents(p *putter, accepts []store.Accept) error {
	w := &s.writer.sweep
	if !w.active {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: w.from, UpperBound: []byte{kindEvent + 1}})
	if err != nil {
		return err
	}
	n := 0
	for it.First(); it.Valid() && n < sweepStep; it.Next() {
		n++
		w.from = append(append(w.from[:0:0], it.Key()...), 0)
		v, err := decodeDedupe(it.Value())
		if err == nil && dayOf(v.message) <= w.day && !puts(accepts, it.Key()[1:]) {
			p.delete(it.Key())
		}
	}
	w.active = n == sweepStep
	return it.Close()
}

// puts reports whether the batch stores an event record of this digest.
func puts(accepts []store.Accept, digest []byte) bool {
	for i := range accepts {
		for _, r := range accepts[i].Dedupe {
			if r.Scope == store.ScopeEvent && string(r.Digest[:]) == string(digest) {
				return true
			}
		}
	}
	return false
}
