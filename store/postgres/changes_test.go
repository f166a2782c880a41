package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// peer is one of two nodes on a database.
type peer struct {
	*book
	version uint64
}

// peers opens a database twice.
func peers(t *testing.T) (url string, a, b *peer) {
	url = cluster.Database(t)
	a, b = &peer{book: newBook(t, open(t, url, Options{}))}, &peer{book: newBook(t, open(t, url, Options{}))}
	for _, p := range []*peer{a, b} {
		p.head.Journal = p.s.opts.Journal
		p.learn()
	}
	return url, a, b
}

// learn reads what others changed, and counts it.
func (p *peer) learn() (n int) {
	p.t.Helper()
	version, err := p.s.Changed(context.WithoutCancel(p.t.Context()), p.version, func(any) error { n++; return nil })
	if err != nil {
		p.t.Error(err)
	}
	p.version = version
	return n
}

// offer commits a batch by the version that the peer knows.
func (p *peer) offer(b *store.Batch) error {
	p.head.Batch++
	p.head.LastTime = p.now
	b.Head, b.Version = p.head, p.version
	err := p.s.Commit(context.WithoutCancel(p.t.Context()), b)
	if err != nil {
		p.head.Batch--
	}
	return err
}

// message makes the next one, with digests.
func (p *peer) message(digests ...byte) store.Accept {
	p.now = p.now.Add(time.Millisecond)
	a := p.accept(1)
	a.Message.ID = postern.NewMessageID(p.now, p.head.Journal, a.Message.ID.Position(), 1)
	for _, d := range digests {
		a.Dedupe = append(a.Dedupe, store.DedupeRecord{Scope: store.ScopeSource, Digest: store.Digest{d}, Message: a.Message.ID, Since: time.UnixMilli(0)})
	}
	return a
}

// held has a batch of a's wait for the end of a transaction of the test's own, half
// of it written. The function ends that, and returns what became of the batch.
func held(t *testing.T, url string, a *peer, batch store.Batch) (end func() error) {
	t.Helper()
	m := a.message()
	a.commit(store.Batch{Accepts: []store.Accept{m}, Rows: []store.RowChange{a.row(m.Message, 1, time.Hour)}})
	tx, err := connect(t, url).Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "SELECT FROM delivery FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	batch.Rows = append(batch.Rows, a.row(m.Message, 1, time.Minute))
	done := make(chan error, 1)
	go func() { done <- a.offer(&batch) }()
	until(t, func() bool { return query(t, url, waiting) == 1 })
	return func() error {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			return err
		}
		return <-done
	}
}

// behind offers a batch of b's that waits for the one of a's, and lets that go on.
func behind(t *testing.T, url string, b *peer, batch *store.Batch, end func() error) *store.Amend {
	t.Helper()
	pid := b.s.writer.conn.PgConn().PID()
	done := make(chan error, 1)
	go func() { done <- b.offer(batch) }()
	until(t, func() bool { return query(t, url, waiting) == 2 })
	if err := end(); err != nil {
		t.Fatal(err)
	}
	err := <-done
	why, ok := errors.AsType[*store.Amend](err)
	if !ok {
		t.Fatalf("the later one: %v", err)
	}
	if b.s.writer.conn.PgConn().PID() != pid || b.s.Admit() != nil {
		t.Error("a refusal ended the connection, or the store")
	}
	return why
}

// Two copies of a message in two nodes' batches at once: the later one waits for the
// earlier one, and is refused.
func TestCopiesAtOnce(t *testing.T) {
	url, a, b := peers(t)
	first, copied := a.message(3, 1), b.message(1, 2, 3)
	end := held(t, url, a, store.Batch{Accepts: []store.Accept{first}})
	why := behind(t, url, b, &store.Batch{Accepts: []store.Accept{copied}}, end)
	want := &store.Amend{Taken: []store.DedupeRecord{
		{Scope: store.ScopeSource, Digest: store.Digest{1}, Message: first.Message.ID}, {Scope: store.ScopeSource, Digest: store.Digest{3}, Message: first.Message.ID},
	}}
	if diff := cmp.Diff(want, why); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := b.offer(&store.Batch{}); err != nil {
		t.Error(err)
	}
}

// Two changes of the catalogue at once: the later one waits, and finds that it was
// made by an old one.
func TestChangesAtOnce(t *testing.T) {
	url, a, b := peers(t)
	end := held(t, url, a, store.Batch{Changes: []store.Change{{Put: &postern.Application{Number: 1}}}})
	later := store.Batch{Changes: []store.Change{{Put: &postern.Application{Number: 1, Name: "b"}}}}
	if why := behind(t, url, b, &later, end); !why.Stale {
		t.Errorf("refused for %+v", why)
	}
	if n := b.learn(); n != 1 {
		t.Errorf("b learns of %d", n)
	}
	if err := b.offer(&later); err != nil {
		t.Error(err)
	}
}

// Who only accepts does not wait for a change that is under way.
func TestAcceptsWaitForNoChange(t *testing.T) {
	url, a, b := peers(t)
	end := held(t, url, a, store.Batch{Changes: []store.Change{{Put: &postern.Application{Number: 1}}}})
	if err := b.offer(&store.Batch{Accepts: []store.Accept{b.message(1)}}); err != nil {
		t.Error(err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// A digest that has become free by the time its holder is asked for has the batch
// tried again.
func TestAFreeDigestIsNotTaken(t *testing.T) {
	_, a, _ := peers(t)
	if err := a.offer(&store.Batch{Accepts: []store.Accept{a.message(1)}}); err != nil {
		t.Fatal(err)
	}
	if err := a.s.refusal(t.Context()); !errors.Is(err, errNotTaken) {
		t.Errorf("its own record: %v", err)
	}
}

// A log that was trimmed says that it does not know, and forgets no deletion.
func TestTrimmedLog(t *testing.T) {
	url, a, b := peers(t)
	began := b.version
	a.commit(store.Batch{Changes: []store.Change{{Put: &postern.Application{Number: 1}}, {Put: &postern.Application{Number: 2}}}})
	a.commit(store.Batch{Changes: []store.Change{{Delete: &postern.Application{Number: 1}}}})
	query(t, url, "WITH x AS (UPDATE catalogue_log SET at_ms = at_ms - 3601000 RETURNING seq) SELECT count(*) FROM x")
	a.commit(store.Batch{Changes: []store.Change{{Put: &postern.EventType{Name: "a"}}}})
	if err := b.s.trimLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := query(t, url, "SELECT count(*) FROM catalogue_log"); n != 1 {
		t.Errorf("%d entries are left", n)
	}
	if _, err := b.s.Changed(t.Context(), began, nil); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("after a version that is trimmed: %v", err)
	}
	if !b.s.gone(1) {
		t.Error("an application that was deleted is read")
	}
	b.version = began + 2
	if n := b.learn(); n != 1 || b.version != began+3 {
		t.Errorf("after the last that is: %d, up to %d", n, b.version)
	}
	for i := range 20 {
		a.commit(store.Batch{Changes: []store.Change{{Put: &postern.EventType{Name: fmt.Sprint(i)}}}})
	}
	query(t, url, "SELECT 1 FROM postern_trim(5, 3600000)")
	if n := query(t, url, "SELECT count(*) FROM catalogue_log"); n != 5 {
		t.Errorf("%d entries are left of 5", n)
	}
	if n := query(t, url, "SELECT trimmed FROM catalogue_version"); n != int64(began)+18 {
		t.Errorf("trimmed up to %d", n)
	}
}

// Two nodes that store copies of each other's messages and change the catalogue, all
// at once: each digest is one message's in the end, as its node was told, and both
// know of all changes.
func TestTwoNodesAtOnce(t *testing.T) {
	_, a, b := peers(t)
	won := [2]map[byte]postern.MessageID{{}, {}}
	var both sync.WaitGroup
	for i, p := range []*peer{a, b} {
		both.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for n := range 60 {
				p.churn(r, n, won[i])
			}
		})
	}
	both.Wait()
	for d := range byte(100) {
		record, found, err := a.s.Dedupe(t.Context(), store.ScopeSource, store.Digest{d}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		first, mine := won[0][d]
		second, yours := won[1][d]
		switch {
		case mine && yours:
			t.Errorf("digest %d is both %v and %v", d, first, second)
		case found != (mine || yours):
			t.Errorf("digest %d: stored %t, told %t or %t", d, found, mine, yours)
		case found && record.Message != first && record.Message != second:
			t.Errorf("digest %d is %v, told %v or %v", d, record.Message, first, second)
		}
	}
	a.learn()
	b.learn()
	if a.version != b.version {
		t.Errorf("they know versions %d and %d", a.version, b.version)
	}
}

// churn stores one batch, amended as often as it takes.
func (p *peer) churn(r *rand.Rand, n int, won map[byte]postern.MessageID) {
	var batch store.Batch
	for range 3 {
		batch.Accepts = append(batch.Accepts, p.message(byte(r.IntN(100)), byte(100+r.IntN(100))))
	}
	if n%7 == 0 {
		batch.Changes = []store.Change{{Put: &postern.EventType{Name: fmt.Sprint(n)}}}
	}
	for {
		err := p.offer(&batch)
		if err == nil {
			break
		}
		why, ok := errors.AsType[*store.Amend](err)
		if !ok {
			p.t.Error(err)
			return
		}
		if why.Stale {
			p.learn()
		}
		batch.Accepts = slices.DeleteFunc(batch.Accepts, func(a store.Accept) bool {
			return slices.ContainsFunc(why.Taken, func(r store.DedupeRecord) bool {
				return slices.ContainsFunc(a.Dedupe, func(own store.DedupeRecord) bool { return own.Digest == r.Digest })
			})
		})
	}
	for _, a := range batch.Accepts {
		if d := a.Dedupe[0].Digest[0]; d < 100 {
			won[d] = a.Message.ID
		}
	}
}
