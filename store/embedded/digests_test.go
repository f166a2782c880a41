package embedded

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestDigests adds in the order in which the database would give them.
func TestDigests(t *testing.T) {
	t.Parallel()
	const count = 5 * firstLayer
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []store.Digest
	for range count {
		all = append(all, randomDigest(rnd))
	}
	slices.SortFunc(all, func(a, b store.Digest) int { return slices.Compare(a[:], b[:]) })
	var d digests
	for _, x := range all {
		d.add(digestOf{x, 1})
	}
	for _, x := range all {
		if d.lacks(x) {
			t.Fatalf("digest %x was added and is lacked", x)
		}
	}
	wrong := 0
	for range count {
		if !d.lacks(randomDigest(rnd)) {
			wrong++
		}
	}
	if share := float64(wrong) / count; share > 0.03 {
		t.Errorf("%.1f %% of the digests that were not added seem to be there, want 1 to 2 %%", 100*share)
	}
}

func TestDigestsDrop(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	var d digests
	old, recent := randomDigest(rnd), randomDigest(rnd)
	d.add(digestOf{old, 1})
	for range firstLayer - 1 {
		d.add(digestOf{randomDigest(rnd), 10})
	}
	d.add(digestOf{recent, 20})
	for _, step := range []struct {
		before     int64
		old, young bool // lacked
	}{{10, false, false}, {11, true, false}, {30, true, false}} { // the last layer still takes more
		d.drop(step.before)
		if d.lacks(old) != step.old || d.lacks(recent) != step.young {
			t.Errorf("dropped before %d: lacks the old %t, the recent %t; want %t, %t", step.before, d.lacks(old), d.lacks(recent), step.old, step.young)
		}
	}
	if want := 64 * len((*d.layers.Load())[0].blocks); d.bytes != want {
		t.Errorf("%d bytes are counted, want %d", d.bytes, want)
	}
}

// TestDigestsOver: too many digests to know are all looked for.
func TestDigestsOver(t *testing.T) {
	t.Parallel()
	var d digests
	d.bytes = maxDigestBytes
	x := store.Digest{1}
	d.add(digestOf{x, 1})
	if d.lacks(x) || d.lacks(store.Digest{2}) || d.layers.Load() != nil {
		t.Error("what there are too many of is lacked, or held")
	}
}

// TestDedupeKnows compares what the store knows of digests with its database,
// as written, when opened again, and when half of it has been dropped.
func TestDedupeKnows(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	url := "file:" + t.TempDir() + "/store"
	open := func() *Store {
		s, err := Open(t.Context(), url, Options{Logger: quiet(), ReserveBytes: -1, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w := &dedupeWorld{t: t, s: open(), rnd: rand.New(rand.NewPCG(5, 6))}
	w.compare() // which begins to learn: of nothing
	w.accept(now, 300)
	w.compare()
	closeStore(t, w.s)
	w.s = open()
	w.compare() // some before, some after all is learnt
	w.s.ending.Wait()
	if !w.s.known.complete.Load() {
		t.Fatal("the records that were there are not learnt")
	}
	w.compare()
	w.accept(now.Add(36*time.Hour), 300)
	w.compare()
	w.drop(dayOf(postern.NewMessageID(now, 1, 0, 0)))
	w.compare()
	closeStore(t, w.s)
}

type dedupeWorld struct {
	t       *testing.T
	s       *Store
	rnd     *rand.Rand
	head    store.Head
	records []store.DedupeRecord
}

// accept commits messages with a record of each scope.
func (w *dedupeWorld) accept(at time.Time, count int) {
	w.t.Helper()
	b := store.Batch{}
	w.head.Batch++
	w.head.LastTime = at
	for range count {
		w.head.Next++
		m := &postern.Message{ID: postern.NewMessageID(at, 1, w.head.Next-1, w.rnd.Uint64()), Application: 1, EventType: "a"}
		var records []store.DedupeRecord
		for _, scope := range []store.Scope{store.ScopeEvent, store.ScopeIdempotency, store.ScopeSource} {
			records = append(records, store.DedupeRecord{Scope: scope, Digest: randomDigest(w.rnd), Message: m.ID})
		}
		w.records = append(w.records, records...)
		b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{}, Dedupe: records})
	}
	w.head.Low = w.head.Next
	b.Head = w.head
	w.commit(&b)
}

func (w *dedupeWorld) drop(day store.Day) {
	w.t.Helper()
	w.head.Batch++
	w.commit(&store.Batch{Head: w.head, DropDay: day})
}

func (w *dedupeWorld) commit(b *store.Batch) {
	w.t.Helper()
	if err := w.s.Commit(w.t.Context(), b); err != nil {
		w.t.Fatal(err)
	}
}

// compare asks for all that was ever recorded, and for what was not.
func (w *dedupeWorld) compare() {
	w.t.Helper()
	for _, r := range w.records {
		_, found, err := w.s.Dedupe(w.t.Context(), r.Scope, r.Digest, time.Time{})
		if err != nil {
			w.t.Fatal(err)
		}
		if want := w.stored(r); found != want {
			w.t.Fatalf("scope %d, digest %x: found %t, the database says %t", r.Scope, r.Digest, found, want)
		}
	}
	if _, found, err := w.s.Dedupe(w.t.Context(), store.ScopeEvent, randomDigest(w.rnd), time.Time{}); found || err != nil {
		w.t.Fatal(found, err)
	}
}

// stored looks into the database alone.
func (w *dedupeWorld) stored(r store.DedupeRecord) bool {
	w.t.Helper()
	keys := [][]byte{bucketKey(nil, bucketKind(r.Scope), halfDayOf(idMillis(r.Message)), r.Digest)}
	if r.Scope == store.ScopeEvent {
		keys = [][]byte{eventKey(nil, r.Digest), headerKey(nil, 1, r.Message)}
	}
	for _, key := range keys {
		value, err := w.s.get(w.s.db, key)
		if err != nil {
			w.t.Fatal(err)
		}
		if value == nil {
			return false
		}
	}
	return true
}
