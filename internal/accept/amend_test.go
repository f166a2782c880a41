package accept

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// amend has the batch refused: those who leave it are told.
func (b *batch) amend(why store.Amend) {
	b.parts = slices.DeleteFunc(b.parts, func(p Part) bool {
		err := p.Amend(b.b, &why)
		if err != nil {
			p.Done(err)
		}
		return err != nil
	})
	synctest.Wait()
}

func (w *world) told(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.lanes); diff != "" {
		w.t.Errorf("the lanes (-want +got):\n%s", diff)
	}
}

// elsewhere is a record of another node's message.
func elsewhere(scope store.Scope, digest store.Digest) store.DedupeRecord {
	return store.DedupeRecord{Scope: scope, Digest: digest, Message: postern.NewMessageID(time.Now(), 7, 3, 9)}
}

// A copy of what another node has just stored leaves the batch, and it and all
// that wait for it are answered with the first one. The others stay.
func TestTakenElsewhere(t *testing.T) {
	in(t, func(w *world) {
		taken := w.publish(w.t.Context(), event("1"))
		other := w.publish(w.t.Context(), event("2"))
		copied := w.publish(w.t.Context(), event("1"))
		plain := w.publish(w.t.Context(), postern.Publish{})
		b := w.build()
		first := elsewhere(store.ScopeEvent, eventDigest(1, "1"))
		b.amend(store.Amend{Taken: []store.DedupeRecord{elsewhere(store.ScopeSource, eventDigest(1, "2")), first}})
		for _, out := range []chan answer{taken, copied} {
			if a := w.now(out); a.id != first.Message || !a.duplicate || a.err != nil {
				t.Errorf("%+v, want a copy of %v", a, first.Message)
			}
		}
		w.waits(other, plain)
		if len(b.b.Accepts) != 2 || b.b.Accepts[0].Message.ID.Position() != 2 {
			t.Errorf("left in the batch: %+v", b.b.Accepts)
		}
		b.end(nil)
		if a, p := w.now(other), w.now(plain); a.err != nil || a.duplicate || p.err != nil {
			t.Errorf("%+v, %+v", a, p)
		}
		w.told("accepting [1 2]", "accepting [1 2]", "accepting [1 2]", "withdrawn [1 2]")
		if len(w.p.reserved.slots) != 0 {
			t.Error("digests are still reserved")
		}
	})
}

// A request whose key another node has answered meanwhile is to be asked again,
// whatever else is known of its message.
func TestRepeatedElsewhere(t *testing.T) {
	in(t, func(w *world) {
		out := w.publish(w.t.Context(), postern.Publish{EventID: "1", Repeat: store.Digest{4}})
		b := w.build()
		b.amend(store.Amend{Taken: []store.DedupeRecord{
			elsewhere(store.ScopeIdempotency, store.Digest{4}), elsewhere(store.ScopeEvent, eventDigest(1, "1")),
		}})
		known, ok := errors.AsType[*postern.Error](w.now(out).err)
		if !ok || known.Code != store.CodeRepeated || known.Kind != postern.Unavailable || len(b.b.Accepts) != 0 {
			t.Errorf("%v, with %d left", known, len(b.b.Accepts))
		}
	})
}

// A batch that is stale is routed anew: what goes elsewhere by now is told, and
// what names its endpoint stays with it.
func TestReroutedInTheBatch(t *testing.T) {
	in(t, func(w *world) {
		w.publish(w.t.Context(), postern.Publish{})
		w.publish(w.t.Context(), postern.Publish{Only: 9})
		b := w.build()
		b.amend(store.Amend{Stale: true})
		w.routes, w.version = []postern.EndpointNumber{2, 3, 4}, 8
		b.amend(store.Amend{Stale: true})
		w.told("accepting [1 2]", "accepting [9]", "rerouted [1 2] [2 3 4]")
		b.end(nil)
		if got := w.accepted[0].Routes; !slices.Equal(got, w.routes) || !slices.Equal(w.accepted[1].Routes, []postern.EndpointNumber{9}) {
			t.Errorf("accepted for %v, %v", got, w.accepted[1].Routes)
		}
	})
}

// What waited while the catalogue moved on is routed by the version of its batch,
// and what did not is not routed twice.
func TestRoutedByTheBatch(t *testing.T) {
	in(t, func(w *world) {
		w.version = 5
		w.publish(w.t.Context(), postern.Publish{})
		w.routes = []postern.EndpointNumber{3}
		w.head.Next = 1
		synctest.Wait()
		b := &store.Batch{Head: w.head, Version: 5}
		w.queued[0].Build(b)
		b = &store.Batch{Head: w.head, Version: 6}
		w.queued[0].Build(b)
		w.told("accepting [1 2]", "accepting [3]")
		w.queued[0].Done(postern.ErrUnavailable)
	})
}

func TestAnApplicationGoesMeanwhile(t *testing.T) {
	in(t, func(w *world) {
		out := w.publish(w.t.Context(), event("1"))
		b := w.build()
		w.gone = true
		b.amend(store.Amend{Stale: true})
		if a := w.now(out); !errors.Is(a.err, postern.ErrNotFound) || len(b.b.Accepts) != 0 {
			t.Errorf("%+v, with %d left", a, len(b.b.Accepts))
		}
		w.told("accepting [1 2]", "withdrawn [1 2]")
	})
}

// outlived is a store with a record whose message is gone.
type outlived struct {
	store.Store
	record store.DedupeRecord
}

func (o outlived) Dedupe(ctx context.Context, scope store.Scope, digest store.Digest, since time.Time) (store.DedupeRecord, bool, error) {
	if scope == o.record.Scope && digest == o.record.Digest {
		return o.record, true, nil
	}
	return o.Store.Dedupe(ctx, scope, digest, since)
}

// Records say how far back others stand in their way: an event's as long as its
// message lives, the others for their window.
func TestHowFarBackCopiesCount(t *testing.T) {
	in(t, func(w *world) {
		old := elsewhere(store.ScopeEvent, eventDigest(1, "gone"))
		w.p.cfg.Store = outlived{w.st, old}
		now := time.Now()
		w.publish(w.t.Context(), event("1"))
		w.publish(w.t.Context(), event("gone"))
		w.publish(w.t.Context(), source(1, time.Hour))
		w.publish(w.t.Context(), postern.Publish{Repeat: store.Digest{4}})
		built := w.build()
		want := []time.Time{time.UnixMilli(0), old.Message.Time().Add(time.Millisecond), now.Add(-time.Hour), now.Add(-12 * time.Hour)}
		for i, a := range built.b.Accepts {
			if got := a.Dedupe[0].Since; !got.Equal(want[i]) {
				t.Errorf("%d counts from %v, want %v", i, got, want[i])
			}
		}
		built.end(nil)
	})
}
