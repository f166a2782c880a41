package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testHead: the head is the last batch's, over every end of the store.
func testHead(t *testing.T, h Harness) {
	w := newWorld(t, h)
	equal(t, "head of a new store", store.Head{}, must[store.Head](t)(w.s.Head(t.Context())))
	w.head.Applications, w.head.Endpoints = 3, 9
	w.publish(1, 1)
	w.head.Low = 2
	w.commit(store.Batch{})
	w.everywhere(func(t *testing.T) {
		equal(t, "head", w.head, must[store.Head](t)(w.s.Head(t.Context())))
	})
	w.publish(1, 1)
	equal(t, "head after another batch", w.head, must[store.Head](t)(w.s.Head(t.Context())))
}

// A head that goes back would give positions out twice. The driver refuses it,
// and, not knowing what else is wrong with its caller, every batch after it.
func testHeadGoesBack(t *testing.T, h Harness) {
	w := newWorld(t, h)
	w.publish(1, 1)
	m := w.publish(1, 1)
	back := store.Batch{Head: w.head}
	back.Head.Batch++
	back.Head.Next--
	back.Accepts = []store.Accept{w.accept(1, 1)}
	if err := w.s.Commit(t.Context(), &back); err == nil || postern.KindOf(err) != postern.Internal {
		t.Fatalf("Commit of a head that goes back: %v, want an error of kind internal", err)
	}
	next := store.Batch{Accepts: []store.Accept{w.accept(1, 1)}}
	w.seal(&next)
	if err := w.s.Commit(t.Context(), &next); err == nil {
		t.Fatal("Commit after a fatal error: nil")
	}
	if !w.s.Capabilities().Durable {
		return
	}
	w.reopen(Clean)
	list := must[store.MessagePage](t)(w.s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 10}))
	if len(list.Messages) != 2 || list.Messages[0].ID != m.ID {
		t.Fatalf("after a refused batch: %d messages, want the 2 before it", len(list.Messages))
	}
}

// testHold: one engine at a time has the journal.
func testHold(t *testing.T, h Harness) {
	w := newWorld(t, h)
	release, err := w.s.Hold()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Hold(); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("Hold of what is held: %v, want a conflict", err)
	}
	release()
	if release, err = w.s.Hold(); err != nil {
		t.Fatalf("Hold of what was given back: %v", err)
	}
	release()
}

// testHorizon: while a batch is not synced, nobody reads it.
func testHorizon(t *testing.T, h Harness) {
	w := newWorld(t, h)
	if h.Stall == nil {
		t.Skip("the harness cannot stall a sync")
	}
	first := w.publish(1, 1)
	reached, release := h.Stall(t, w.s)
	second := w.accept(1, 1)
	batch := store.Batch{Accepts: []store.Accept{second}, Finals: []postern.Final{
		{Endpoint: 1, Application: 1, Message: first.ID, State: postern.Canceled, Reason: postern.ReasonCanceled, At: w.now},
	}}
	w.seal(&batch)
	committed := make(chan error, 1)
	go func() { committed <- w.s.Commit(t.Context(), &batch) }()
	<-reached

	readers := map[string]func() (bool, error){
		"Message": func() (bool, error) {
			_, err := w.s.Message(t.Context(), 1, second.Message.ID)
			return err == nil, ignore(err, postern.ErrNotFound)
		},
		"Messages": func() (bool, error) {
			page, err := w.s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 10})
			return len(page.Messages) > 1, err
		},
		"Standing": func() (bool, error) {
			standing, err := w.s.Standing(t.Context(), key(first, 1))
			return standing.Final, err
		},
		"Recover": func() (bool, error) {
			n := 0
			err := w.s.Recover(t.Context(), 0, func(*postern.Message, []postern.EndpointNumber) error { n++; return nil })
			return n > 1, err
		},
		"Head": func() (bool, error) {
			head, err := w.s.Head(t.Context())
			return head.Batch == batch.Head.Batch, err
		},
	}
	type answer struct {
		who  string
		seen bool
		err  error
	}
	early, answers := make(chan struct{}), make(chan answer, len(readers))
	for who, read := range readers {
		go func() {
			seen, err := read()
			select {
			case <-early: // the sync went on meanwhile: it may be seen
				seen = false
			default:
			}
			answers <- answer{who, seen, err}
		}()
	}
	// Readers may answer without the batch, or wait for it. Those that answer
	// at once have this long to show that they look too far.
	select {
	case err := <-committed:
		t.Fatalf("Commit returned %v before its sync", err)
	case <-time.After(30 * time.Millisecond):
	}
	close(early)
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	for range readers {
		if a := <-answers; a.err != nil || a.seen {
			t.Errorf("%s before the sync: shows the batch: %t, error %v", a.who, a.seen, a.err)
		}
	}
	for who, read := range readers {
		if seen, err := read(); err != nil || !seen {
			t.Errorf("%s after the sync: shows the batch: %t, error %v", who, seen, err)
		}
	}
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// testTornCommit ends the store in the middle of a commit: the batch is there
// as a whole, or not at all, and everything before it is.
func testTornCommit(t *testing.T, h Harness) {
	for _, how := range []How{Kill, PowerLoss, PowerLossHalf} {
		w := newWorld(t, h)
		if h.Stall == nil || !w.s.Capabilities().Durable {
			t.Skip("the store ends with its process, or the harness cannot stall a sync")
		}
		before := w.publish(1, 1)
		reached, release := h.Stall(t, w.s)
		a := w.accept(1, 1)
		a.Content.Payload = make([]byte, 100_000) // several blocks of a log
		batch := store.Batch{
			Accepts: []store.Accept{a, w.accept(1, 1)},
			Rows:    []store.RowChange{{Put: w.row(before, 1, 1, time.Minute)}},
		}
		w.seal(&batch)
		committed := make(chan error, 1)
		old := w.s
		go func() { committed <- old.Commit(t.Context(), &batch) }()
		<-reached
		w.reopen(how)
		release()
		t.Logf("the commit that nobody heard of: %v", <-committed)

		head := must[store.Head](t)(w.s.Head(t.Context()))
		list := must[store.MessagePage](t)(w.s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 10}))
		standing := must[store.Standing](t)(w.s.Standing(t.Context(), key(before, 1)))
		whole := head.Batch == batch.Head.Batch
		if want := map[bool]int{true: 3, false: 1}[whole]; len(list.Messages) != want || (standing.Row != nil) != whole {
			t.Errorf("how %d: head of batch %d, %d messages, row %v: neither all of the batch nor nothing",
				how, head.Batch, len(list.Messages), standing.Row)
		}
	}
}

// testDedupe: digests are known in their scope alone.
func testDedupe(t *testing.T, h Harness) {
	w := newWorld(t, h)
	a := w.accept(1, 1)
	a.Dedupe = []store.DedupeRecord{
		{Scope: store.ScopeEvent, Digest: store.Digest{1}, Message: a.Message.ID},
		{Scope: store.ScopeIdempotency, Digest: store.Digest{1}, Message: a.Message.ID, Status: 202},
		{Scope: store.ScopeSource, Digest: store.Digest{2}, Message: a.Message.ID},
	}
	w.commit(store.Batch{Accepts: []store.Accept{a}})
	since := w.now.Add(-time.Hour)
	w.everywhere(func(t *testing.T) {
		for _, want := range a.Dedupe {
			got, ok, err := w.s.Dedupe(t.Context(), want.Scope, want.Digest, since)
			if err != nil || !ok {
				t.Fatalf("scope %c: found %t, %v", want.Scope, ok, err)
			}
			equal(t, "record", want, got)
		}
		for _, absent := range []struct {
			scope  store.Scope
			digest store.Digest
		}{{store.ScopeSource, store.Digest{1}}, {store.ScopeEvent, store.Digest{2}}, {store.ScopeIdempotency, store.Digest{3}}} {
			if _, ok, err := w.s.Dedupe(t.Context(), absent.scope, absent.digest, since); ok || err != nil {
				t.Errorf("scope %c, digest %x: found %t, %v", absent.scope, absent.digest[:1], ok, err)
			}
		}
	})
}

// testAnswers: what a request that became no message was answered with is found
// like other records, byte for byte, and counts its age from its id's time.
func testAnswers(t *testing.T, h Harness) {
	w := newWorld(t, h)
	a := w.accept(1, 1)
	records := []store.DedupeRecord{
		{Scope: store.ScopeIdempotency, Digest: store.Digest{1}, Message: postern.NewMessageID(w.now, store.SoleJournal, 0, 7), Status: 201, Answer: []byte("\x00sealed\xff")},
		{Scope: store.ScopeIdempotency, Digest: store.Digest{2}, Message: postern.NewMessageID(w.now, store.SoleJournal, 0, 7), Status: 204, Answer: []byte{0}},
	}
	a.Dedupe = []store.DedupeRecord{{Scope: store.ScopeIdempotency, Digest: store.Digest{3}, Message: a.Message.ID, Status: 202}}
	w.commit(store.Batch{Accepts: []store.Accept{a}, Answers: records})
	w.everywhere(func(t *testing.T) {
		for _, want := range append(records, a.Dedupe...) {
			got, ok, err := w.s.Dedupe(t.Context(), want.Scope, want.Digest, w.now.Add(-12*time.Hour))
			if err != nil || !ok {
				t.Fatalf("digest %x: found %t, %v", want.Digest[:1], ok, err)
			}
			equal(t, "record", want, got)
			if _, ok, err := w.s.Dedupe(t.Context(), want.Scope, want.Digest, w.now.Add(time.Minute)); ok || err != nil {
				t.Errorf("digest %x is younger than it is: %v", want.Digest[:1], err)
			}
		}
	})
}

// testDedupeWindow: a record's age is counted in id time, over the borders of
// half days, and what is older than since is not found.
func testDedupeWindow(t *testing.T, h Harness) {
	w := newWorld(t, h)
	for i := range 6 {
		a := w.accept(1, 1)
		a.Dedupe = []store.DedupeRecord{{Scope: store.ScopeSource, Digest: store.Digest{byte(i)}, Message: a.Message.ID}}
		w.commit(store.Batch{Accepts: []store.Accept{a}})
		w.advance(5 * time.Hour)
	}
	w.commit(store.Batch{})
	for i := range 6 {
		age := time.Duration(6-i) * 5 * time.Hour
		_, ok, err := w.s.Dedupe(t.Context(), store.ScopeSource, store.Digest{byte(i)}, w.now.Add(-24*time.Hour))
		if err != nil || ok != (age <= 24*time.Hour) {
			t.Errorf("record of %v ago in a window of 24 h: found %t, %v", age, ok, err)
		}
	}
	// The same digest again: the newest record counts.
	a := w.accept(1, 1)
	a.Dedupe = []store.DedupeRecord{{Scope: store.ScopeSource, Digest: store.Digest{3}, Message: a.Message.ID}}
	w.commit(store.Batch{Accepts: []store.Accept{a}})
	got, ok, err := w.s.Dedupe(t.Context(), store.ScopeSource, store.Digest{3}, w.now.Add(-24*time.Hour))
	if err != nil || !ok || got.Message != a.Message.ID {
		t.Errorf("digest stored twice: %v, %t, %v; want the second message", got.Message, ok, err)
	}
}
