package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// mover is a store's role as one that can be moved; the test is skipped where the
// driver has none.
func mover(t *testing.T, s store.Store) store.Mover {
	t.Helper()
	m, ok := s.(store.Mover)
	if !ok {
		t.Skip("the driver cannot move stores")
	}
	return m
}

func testMove(t *testing.T, h Harness) { Move(t, h, h) }

// Move proves that drivers move stores among them: one of the first is filled at
// random and with one of everything, and moved into an empty one of each of the
// others in turn, in runs that end behind every chunk. It reads alike in every
// role.
func Move(t *testing.T, first Harness, others ...Harness) {
	w := newWorld(t, first)
	mover(t, w.s)
	w.rnd = rand.New(rand.NewPCG(testkit.Seed(t), 1)) //nolint:gosec // repeatable on purpose
	o := newOracle(w)
	for range 45 {
		o.step()
	}
	rest := commitRest(o)
	o.compare(t)
	rest.compare(t, w.s)

	for _, h := range others {
		moveTo(w, h)
		o.compare(t)
		rest.compare(t, w.s)
		if ends := w.h.ends(w.s); len(ends) > 0 {
			w.reopen(PowerLoss)
			o.compare(t)
		}
	}
	for range 10 { // it goes on as if it had always been here
		o.step()
	}
	o.compare(t)
	err := mover(t, w.s).Import(t.Context(), &store.Batch{Head: w.head}, store.Progress{Source: w.head})
	if !errors.Is(err, postern.ErrConflict) {
		t.Errorf("importing into a store that is in use: %v, want a conflict", err)
	}
}

// moveTo moves the world's store into a new one of a harness, and has the world go
// on with that.
func moveTo(w *world, h Harness) {
	t, from, source := w.t, w.s, w.head
	target := &world{t: t, h: h, s: h.Open(t), rnd: w.rnd}
	for done, chunks := false, 0; !done; chunks++ {
		done = moveChunk(t, from, target, source)
		if !done && chunks == 3 {
			refusesHalf(t, target)
		}
		if ends := target.h.ends(target.s); !done && len(ends) > 0 && w.rnd.IntN(4) == 0 {
			target.reopen(ends[w.rnd.IntN(len(ends))])
		}
	}
	equalExports(t, from, target.s)
	w.h, w.s = h, target.s
}

// moveChunk moves one more chunk, twice as one that is not sure whether it did,
// and reports whether it was the last.
func moveChunk(t *testing.T, from store.Store, target *world, source store.Head) (done bool) {
	t.Helper()
	to := mover(t, target.s)
	progress, _, err := to.Moved(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	q := store.ExportQuery{After: progress.Next, Records: 7, Bytes: 1 << 20}
	err = mover(t, from).Export(t.Context(), q, func(b *store.Batch, next store.Cursor) error {
		if n := records(b); n > q.Records {
			t.Errorf("a chunk of at most %d records has %d", q.Records, n)
		}
		p := store.Progress{Source: source, Begun: start(), Next: next}
		done = next == nil
		for range 2 {
			if err := to.Import(t.Context(), b, p); err != nil {
				return err
			}
			if done {
				return nil
			}
		}
		if got, ok, err := to.Moved(t.Context()); err != nil || !ok {
			t.Errorf("progress: %v, %v", ok, err)
		} else {
			equal(t, "progress", p, got)
		}
		return enough
	})
	if err != nil && !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if _, under, err := to.Moved(t.Context()); err != nil || under == done {
		t.Fatalf("a move is under way: %v, done: %v, %v", under, done, err)
	}
	return done
}

// records counts what a batch holds.
func records(b *store.Batch) int {
	return len(b.Changes) + len(b.Accepts) + len(b.Records) + len(b.Attempts) + len(b.Dead) + len(b.Finals) +
		len(b.Rows) + len(b.Behind) + len(b.Health) + len(b.Refusals)
}

// refusesHalf: nobody can serve from half of a store.
func refusesHalf(t *testing.T, target *world) {
	t.Helper()
	for what, err := range map[string]error{
		"Head":   func() error { _, err := target.s.Head(t.Context()); return err }(),
		"Commit": target.s.Commit(t.Context(), &store.Batch{Head: store.Head{Batch: 1 << 40, Next: 1 << 40}}),
	} {
		if !errors.Is(err, postern.ErrConflict) {
			t.Errorf("%s of half of a store: %v, want a conflict", what, err)
		}
	}
}

// equalExports compares all that two stores give.
func equalExports(t *testing.T, from, to store.Store) {
	t.Helper()
	equal(t, "exports", exported(t, from), exported(t, to))
}

// exported gathers everything in one batch.
func exported(t *testing.T, s store.Store) store.Batch {
	t.Helper()
	var all store.Batch
	err := mover(t, s).Export(t.Context(), store.ExportQuery{Records: 11, Bytes: 1 << 20}, func(b *store.Batch, next store.Cursor) error {
		all.Changes = append(all.Changes, b.Changes...)
		all.Accepts = append(all.Accepts, b.Accepts...)
		all.Records = append(all.Records, b.Records...)
		all.Attempts = append(all.Attempts, b.Attempts...)
		all.Dead = append(all.Dead, b.Dead...)
		all.Finals = append(all.Finals, b.Finals...)
		all.Rows = append(all.Rows, b.Rows...)
		all.Behind = append(all.Behind, b.Behind...)
		all.Health = append(all.Health, b.Health...)
		all.Refusals = append(all.Refusals, b.Refusals...)
		if next == nil {
			all.Head = b.Head
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Drivers have kinds of records in orders of their own, and these by age or not.
	slices.SortStableFunc(all.Changes, func(a, b store.Change) int {
		return cmp.Compare(fmt.Sprintf("%T", a.Put), fmt.Sprintf("%T", b.Put))
	})
	slices.SortFunc(all.Records, func(a, b store.MovedRecord) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), bytes.Compare(a.Digest[:], b.Digest[:]))
	})
	return all
}

// rest is what the naive copy does not have: one of each.
type rest struct {
	catalogue        map[string][]string
	records          []store.DedupeRecord
	message, blanked store.Accept
	refusal          *postern.Refusal
	deleted          postern.MessageID
}

// restApp is an application of its own, and restGone one that is deleted.
const restApp, restGone postern.ApplicationNumber = 40, 41

func commitRest(o *oracle) *rest {
	// One that counts no more once another has its digest, hours later.
	o.commit(store.Batch{Answers: []store.DedupeRecord{{Scope: store.ScopeIdempotency, Digest: store.Digest{9}, Message: o.id(), Status: 400, Answer: []byte("older")}}})
	o.advance(13 * time.Hour)
	r := &rest{message: o.world.accept(restApp, 90), blanked: o.world.accept(restApp)}
	gone := o.world.accept(restGone, 91)
	r.deleted = gone.Message.ID
	r.message.Content = &postern.Content{Payload: []byte("\x00\xff"), Request: &postern.InboundRequest{Method: "POST", Path: "/in/x"}}
	r.message.Message.Source, r.message.Message.EventID = postern.SourceID(o.id()), "order-1"
	for i, scope := range []store.Scope{store.ScopeEvent, store.ScopeIdempotency, store.ScopeSource} {
		r.message.Dedupe = append(r.message.Dedupe, store.DedupeRecord{Scope: scope, Digest: store.Digest{byte(i), 200}, Message: r.message.Message.ID, Status: 202})
	}
	answer := store.DedupeRecord{Scope: store.ScopeIdempotency, Digest: store.Digest{9}, Message: o.id(), Status: 201, Answer: []byte("sealed")}
	r.records = append(r.message.Dedupe[:3:3], answer)
	r.refusal = &postern.Refusal{ID: postern.RefusalID(o.id()), Source: r.message.Message.Source, Reason: "signature_mismatch", Credentials: postern.Sealed{1}, Body: []byte{0, 1}}
	endpoint := &postern.Endpoint{Number: 90, Application: restApp, Secrets: []postern.EndpointSecret{{Key: postern.Sealed{2}}}}
	var b store.Batch
	for _, record := range []any{
		&postern.Application{Number: restApp, UID: "rest"}, &postern.Application{Number: restGone}, endpoint,
		&postern.EventType{Name: "a.b", Schemas: map[string][]byte{"1": []byte(`{}`)}},
		&postern.Source{ID: r.message.Message.Source, Application: restApp, Token: postern.Sealed{3}, SealedConfig: map[string]postern.Sealed{"x": {4}}},
		&postern.Key{ID: postern.KeyID(o.id()), Hash: [32]byte{5}}, &postern.Replay{ID: postern.ReplayID(o.id()), Application: restApp, To: 90, State: postern.ReplayRunning},
	} {
		b.Changes = append(b.Changes, store.Change{Put: record})
	}
	b.Accepts = []store.Accept{r.message, r.blanked, gone}
	b.Answers = []store.DedupeRecord{answer}
	b.Refusals = []*postern.Refusal{r.refusal}
	b.Health = []store.HealthChange{{Endpoint: 90, Health: postern.Health{FailingSince: o.now, Failures: 3}}}
	o.head.Low = o.head.Next
	b.Behind = []store.BehindChange{{Row: store.BehindRow{Endpoint: 90, Application: restApp, From: r.message.Message.ID}}}
	o.behind[90] = b.Behind[0].Row
	low := o.low()
	o.head.Low = min(low, o.head.Next)
	o.commit(b)
	o.commit(store.Batch{
		Changes:  []store.Change{{Delete: &postern.Application{Number: restGone}}},
		Expunged: []store.ContentKey{{Application: restApp, Message: r.blanked.Message.ID}},
	})
	o.messages[r.message.Message.ID], o.messages[r.blanked.Message.ID] = r.message.Message, r.blanked.Message
	r.catalogue = catalogue(o.t, o.s)
	return r
}

func (r *rest) compare(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	equal(t, "catalogue", r.catalogue, catalogue(t, s))
	for _, record := range r.records {
		got, found, err := s.Dedupe(ctx, record.Scope, record.Digest, time.Time{})
		if err != nil || !found {
			t.Fatalf("dedupe record %c: %v, %v", record.Scope, found, err)
		}
		equal(t, "dedupe record", record, got)
	}
	equal(t, "content", r.message.Content, must[*postern.Content](t)(s.Content(ctx, restApp, r.message.Message.ID)))
	if _, err := s.Content(ctx, restApp, r.blanked.Message.ID); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("an expunged content: %v", err)
	}
	if _, err := s.Message(ctx, restGone, r.deleted); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("a message of a deleted application: %v", err)
	}
	equal(t, "refusal", r.refusal, must[*postern.Refusal](t)(s.Refusal(ctx, r.refusal.Source, r.refusal.ID)))
}
