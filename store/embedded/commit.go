package embedded

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// trimEvery is how many positions the journal keeps behind Low before they are
// removed. It is small beside what a memtable holds, so that most entries go
// before they reach a table, and large enough to make one range of many.
const trimEvery = 4096

// writer is Commit's memory between batches.
type writer struct {
	// key and value are reused for every put; the database copies them.
	key, value []byte
	// trimmed is the position up to which the journal is gone, bucket the half
	// day up to which dedupe records are.
	trimmed uint64
	bucket  halfDay
	sweep   sweep
}

func (w *writer) begin() { w.key, w.value = make([]byte, 0, maxKey), make([]byte, 0, 4096) }

// Admit implements store.Journal.
func (s *Store) Admit() error {
	if err := s.failed(); err != nil {
		return &postern.Error{Kind: postern.Unavailable, Detail: "the store has failed and accepts nothing until it is opened again", Err: err}
	}
	if _, _, full := s.disk.state(); full {
		return errFull
	}
	return nil
}

// Commit implements store.Journal.
func (s *Store) Commit(ctx context.Context, b *store.Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.whole(); err != nil {
		return err
	}
	if err := advances(s.head.Load(), &b.Head); err != nil {
		s.fail(err)
		return s.failed()
	}
	batch := s.db.NewBatch()
	defer batch.Close() //nolint:errcheck // it only returns the memory
	if err := s.build(batch, b); err != nil {
		s.fail(err)
		return s.failed()
	}
	s.newest.Store(uint32(halfDayOf(b.Head.LastTime.UnixMilli())))
	s.disk.wrote(batch.Len()) // gives the ballast back in time, whatever the batch holds
	if err := s.apply(batch); err != nil {
		return err
	}
	head := b.Head
	s.head.Store(&head)
	if b.DropDay != 0 {
		s.reclaim(ctx, b.DropDay)
	}
	return nil
}

// apply writes and syncs the batch while no reader takes a picture. Once it
// returns nil the batch is on the disk; the fault is asked for before readers
// go on, since a batch that failed can be read from the database's memory.
func (s *Store) apply(batch *pebble.Batch) error {
	s.visible.Lock()
	defer s.visible.Unlock()
	if err := s.db.Apply(batch, pebble.Sync); err != nil {
		s.fail(err)
	}
	return s.failed()
}

// advances refuses a head that goes back behind the last: it would give ids
// and positions out a second time.
func advances(last, next *store.Head) error {
	if next.Batch <= last.Batch || next.Next < last.Next || next.LastTime.Before(last.LastTime) {
		return fmt.Errorf("the head goes back: batch %d, next %d after batch %d, next %d", next.Batch, next.Next, last.Batch, last.Next)
	}
	return nil
}

// build puts the batch together in the order of its fields.
func (s *Store) build(batch *pebble.Batch, b *store.Batch) error {
	w := &s.writer
	p := putter{batch: batch, w: w, known: &s.known}
	if err := s.records(&p, b); err != nil {
		return err
	}
	for i := range b.Expunged {
		p.expunge(&b.Expunged[i], b.Head.LastTime)
	}
	for _, a := range b.Redacted {
		p.redact(a, b.Head.LastTime)
	}
	for _, r := range b.DropRefusals {
		p.delete(refusalKey(w.key[:0], kindRefusal, r.Source, r.ID))
		p.delete(refusalKey(w.key[:0], kindRefusalBody, r.Source, r.ID))
	}
	if b.DropDay != 0 {
		p.dropDay(b.DropDay)
		w.sweep.begin(b.DropDay)
		s.known.events.drop((int64(b.DropDay) + 1) * 2 * halfDayMillis)
	}
	p.trim(b.Head.Low)
	p.dropBuckets(s.outlived(b.Head.LastTime.UnixMilli()))
	if err := s.sweepEvents(&p, b.Accepts); err != nil {
		return err
	}
	p.put(headKey, appendHead(w.value[:0], b.Head))
	return p.err
}

// records puts what a batch brings, which is all that one of a move has.
func (s *Store) records(p *putter, b *store.Batch) error {
	for i := range b.Changes {
		if err := s.change(p, &b.Changes[i]); err != nil {
			return err
		}
	}
	for i := range b.Accepts {
		p.accept(&b.Accepts[i])
	}
	for i := range b.Answers {
		p.dedupe(0, &b.Answers[i])
	}
	for i := range b.Records {
		p.dedupe(b.Records[i].Application, &b.Records[i].DedupeRecord)
	}
	for _, a := range b.Attempts {
		p.attempt(a)
	}
	for i := range b.Dead {
		p.dead(&b.Dead[i])
	}
	for i := range b.Finals {
		p.final(&b.Finals[i])
	}
	for i := range b.Rows {
		p.row(&b.Rows[i])
	}
	for i := range b.Behind {
		p.behind(&b.Behind[i])
	}
	for i := range b.Health {
		p.health(&b.Health[i])
	}
	for _, r := range b.Refusals {
		p.refusal(r)
	}
	return nil
}

// putter fills one batch out of the writer's memory. Its first failure stays;
// a batch in memory fails only for its size.
type putter struct {
	batch *pebble.Batch
	w     *writer
	known *known
	err   error
}

func (p *putter) note(err error) {
	if p.err == nil {
		p.err = err
	}
}

// put stores a value that was appended to the writer's memory, and keeps that
// memory when it grew.
func (p *putter) put(key, value []byte) {
	p.note(p.batch.Set(key, value, nil))
	if cap(value) > cap(p.w.value) && cap(value) <= 1<<20 {
		p.w.value = value[:0]
	}
}

func (p *putter) delete(key []byte) { p.note(p.batch.Delete(key, nil)) }

func (p *putter) deleteRange(start, end []byte) { p.note(p.batch.DeleteRange(start, end, nil)) }

func (p *putter) accept(a *store.Accept) {
	m, k := a.Message, p.w.key[:0]
	p.put(headerKey(k, m.Application, m.ID), appendHeader(p.w.value[:0], m))
	if a.Content != nil {
		p.content(contentKey(k, m.Application, m.ID), a.Content)
	}
	p.put(journalKey(k, m.ID.Position()), append(appendApp(p.w.value[:0], m.Application), m.ID[:]...))
	for i := range a.Dedupe {
		p.dedupe(m.Application, &a.Dedupe[i])
	}
}

// content copies the payload straight into the batch.
func (p *putter) content(key []byte, c *postern.Content) {
	prefix := appendContentPrefix(p.w.value[:0], c)
	op := p.batch.SetDeferred(len(key), len(prefix)+len(c.Payload))
	copy(op.Key, key)
	copy(op.Value[copy(op.Value, prefix):], c.Payload)
	p.note(op.Finish())
}

func (p *putter) attempt(a *postern.Attempt) {
	key := store.DeliveryKey{Application: a.Application, Endpoint: a.Endpoint, Message: a.Message}
	p.put(attemptKey(p.w.key[:0], key, a.N), appendAttempt(p.w.value[:0], a))
	p.put(byEndpointKey(p.w.key[:0], a.Endpoint, a.ID), appendOutcome(p.w.value[:0], a))
}

func (p *putter) dead(c *store.DeadChange) {
	key := deadKey(p.w.key[:0], c.Key)
	if c.Delete {
		p.delete(key)
		return
	}
	p.put(key, nil)
}

func (p *putter) final(f *postern.Final) {
	key := store.DeliveryKey{Application: f.Application, Endpoint: f.Endpoint, Message: f.Message}
	p.put(finalKey(p.w.key[:0], key), appendFinal(p.w.value[:0], f))
}

// row keeps the two keys of a row together.
func (p *putter) row(c *store.RowChange) {
	k := p.w.key[:0]
	if r := c.Delete; r != nil {
		p.delete(rowKey(k, r.Endpoint, r.Message))
		p.delete(scheduleKey(k, r.Endpoint, r.Next.UnixMilli(), r.Message))
	}
	if r := c.Put; r != nil {
		value := appendRow(p.w.value[:0], r)
		p.put(rowKey(k, r.Endpoint, r.Message), value)
		p.put(scheduleKey(k, r.Endpoint, r.Next.UnixMilli(), r.Message), value)
	}
}

func (p *putter) behind(c *store.BehindChange) {
	key := endpointKey(p.w.key[:0], kindBehind, c.Row.Endpoint)
	if c.Delete {
		p.delete(key)
		return
	}
	p.put(key, append(appendApp(p.w.value[:0], c.Row.Application), c.Row.From[:]...))
}

func (p *putter) health(c *store.HealthChange) {
	key := endpointKey(p.w.key[:0], kindHealth, c.Endpoint)
	if c.Health == (postern.Health{}) {
		p.delete(key)
		return
	}
	p.put(key, appendHealth(p.w.value[:0], c.Health))
}

func (p *putter) refusal(r *postern.Refusal) {
	p.put(refusalKey(p.w.key[:0], kindRefusal, r.Source, r.ID), appendRefusal(p.w.value[:0], r))
	p.put(refusalKey(p.w.key[:0], kindRefusalBody, r.Source, r.ID), r.Body)
}

// dropDay removes all history up to and including a day.
func (p *putter) dropDay(day store.Day) {
	for _, kind := range dayKinds {
		p.deleteRange([]byte{kind}, appendDay([]byte{kind}, day+1))
	}
}

// trim removes the journal behind Low, a good piece at a time. The first piece
// of a run begins at 0, since nobody noted where the last run ended.
func (p *putter) trim(low uint64) {
	if low < p.w.trimmed+trimEvery {
		return
	}
	var start, end [maxKey]byte
	p.deleteRange(journalKey(start[:0], p.w.trimmed), journalKey(end[:0], low))
	p.w.trimmed = low
}
