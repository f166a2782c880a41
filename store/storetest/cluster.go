package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// node is one of several that have a store open: a world with a journal of its own,
// which knows the catalogue up to a version.
type node struct {
	*world
	cluster store.Cluster
	version uint64
}

// join makes two nodes of a new store. Drivers of one node have no such tests.
func join(t *testing.T, h Harness) (a, b *node) {
	if h.Join == nil {
		t.Skip("the driver is for one node")
	}
	first := h.Open(t).(store.Cluster)
	return newNode(t, first), newNode(t, h.Join(t, first))
}

func newNode(t *testing.T, c store.Cluster) *node {
	head := must[store.Head](t)(c.Head(t.Context()))
	head.Next, head.Low = max(head.Next, 1), max(head.Low, 1)
	n := &node{world: newWorld(t, Harness{Open: func(*testing.T) store.Store { return c }}), cluster: c}
	n.head, n.journal = head, head.Journal
	n.now = n.now.Add(time.Duration(head.Journal) * time.Minute) // ids of two nodes differ
	n.learn()
	return n
}

// learn reads what others changed, and returns it.
func (n *node) learn() (changes []any) {
	n.t.Helper()
	version, err := n.cluster.Changed(n.t.Context(), n.version, func(change any) error {
		changes = append(changes, change)
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.version = version
	return changes
}

// offer commits a batch by the version that the node knows. One that is refused
// leaves the head as it was.
func (n *node) offer(b *store.Batch) error {
	b.Version = n.version
	n.seal(b)
	err := n.s.Commit(n.t.Context(), b)
	if err != nil {
		n.head.Batch--
	}
	return err
}

// stored offers a batch that is right.
func (n *node) stored(b store.Batch) {
	n.t.Helper()
	if err := n.offer(&b); err != nil {
		n.t.Fatal(err)
	}
}

// stale offers one that is not, and finds that it was refused for that.
func (n *node) stale(b *store.Batch) {
	n.t.Helper()
	err := n.offer(b)
	if why, ok := errors.AsType[*store.Amend](err); !ok || !why.Stale || len(why.Taken) > 0 {
		n.t.Fatalf("a batch by version %d: %v", n.version, err)
	}
}

func puts(records ...any) store.Batch {
	var b store.Batch
	for _, r := range records {
		b.Changes = append(b.Changes, store.Change{Put: r})
	}
	return b
}

// testStale: what was routed or changed by a catalogue that another node has changed
// since is refused as a whole, and taken as soon as that is known.
func testStale(t *testing.T, h Harness) {
	a, b := join(t, h)
	app, endpoint := &postern.Application{Number: 1, Name: "One"}, &postern.Endpoint{Number: 1, Application: 1}
	a.stored(puts(app, endpoint))

	refused := b.accept(1)
	batch := &store.Batch{Accepts: []store.Accept{refused}}
	b.stale(batch)
	b.stale(batch) // again and again
	if _, err := b.s.Message(t.Context(), 1, refused.Message.ID); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("a message of a refused batch: %v", err)
	}
	kind := puts(&postern.EventType{Name: "invoice.paid"})
	b.stale(&kind)
	equal(t, "what b learns", []any{store.Change{Put: app}, store.Change{Put: endpoint}}, b.learn())
	refused.Message.Routes = []postern.EndpointNumber{1}
	b.stored(*batch)
	equal(t, "the message, routed anew", refused.Message, must[*postern.Message](t)(b.s.Message(t.Context(), 1, refused.Message.ID)))
	equal(t, "the refused batch's number", uint64(1), must[store.Head](t)(b.s.Head(t.Context())).Batch)
	b.stored(kind)

	// It is a's turn to know less.
	m := b.accept(1, 1)
	b.stored(store.Batch{Accepts: []store.Accept{m}})
	routed := store.Batch{Accepts: []store.Accept{a.accept(1, 1)}}
	a.stale(&routed)
	for what, batch := range map[string]store.Batch{
		"attempts": {Attempts: []*postern.Attempt{a.attempt(m.Message, 1, 1, postern.Delivered)}},
		"health":   {Health: []store.HealthChange{{Endpoint: 1, Health: postern.Health{Failures: 1}}}},
		"replays":  puts(&postern.Replay{ID: postern.ReplayID(a.id()), Application: 1}),
		"nothing":  {},
	} {
		if err := a.offer(&batch); err != nil {
			t.Errorf("%s are no matter of routes: %v", what, err)
		}
	}
	a.learn()
	a.stored(routed)
	b.stored(store.Batch{Accepts: []store.Accept{b.accept(1, 1)}}) // what a did was none either
	unversioned := store.Batch{Accepts: []store.Accept{b.accept(1, 1)}}
	a.stored(puts(&postern.Endpoint{Number: 1, Application: 1, URL: "https://example.com"}))
	b.commit(unversioned)
}

// testOwnChanges: a node knows what it changed itself; what another one changed
// before that it does not.
func testOwnChanges(t *testing.T, h Harness) {
	a, b := join(t, h)
	a.stored(puts(&postern.Application{Number: 1}))
	a.stored(store.Batch{Accepts: []store.Accept{a.accept(1)}})
	a.stored(puts(&postern.Endpoint{Number: 1, Application: 1}))
	a.stored(store.Batch{Accepts: []store.Accept{a.accept(1, 1)}})
	equal(t, "own changes that are told", 0, len(a.learn()))
	equal(t, "what b learns", 2, len(b.learn()))
	b.stored(puts(&postern.Endpoint{Number: 2, Application: 1}))
	health := store.HealthChange{Endpoint: 1, Health: postern.Health{Failures: 2}}
	a.stored(store.Batch{Health: []store.HealthChange{health}}) // is not asked
	stale := store.Batch{Accepts: []store.Accept{a.accept(1, 1)}}
	a.stale(&stale)
	before := a.version
	a.learn()
	a.stored(puts(&postern.Endpoint{Number: 3, Application: 1}))
	// What was made before that is stored no more, though the newest change is a's own.
	known, kind := a.version, puts(&postern.EventType{Name: "invoice.paid"})
	a.version = before
	a.stale(&stale)
	a.stale(&kind)
	a.version = known
	a.stored(stale)
	b.stale(&store.Batch{Accepts: []store.Accept{b.accept(1, 2)}})
	equal(t, "what b learns in the end", []any{store.Change{Put: &postern.Endpoint{Number: 3, Application: 1}}, health}, b.learn())
}

// testChanged: of every kind of record, what others put, changed and deleted; of one
// that was changed twice the last.
func testChanged(t *testing.T, h Harness) {
	a, b := join(t, h)
	at := a.now
	app := &postern.Application{ID: postern.ApplicationID(a.id()), Number: 1, UID: "one", CreatedAt: at, UpdatedAt: at}
	endpoint := &postern.Endpoint{ID: postern.EndpointID(a.id()), Number: 1 << 31, Application: 1, Kind: postern.HTTPEndpoint, URL: "https://example.com"}
	source := &postern.Source{ID: postern.SourceID(a.id()), Application: 1, Provider: "github", TokenHash: [32]byte{1}}
	admin := &postern.Key{ID: postern.KeyID(a.id()), Name: "admin", Scope: postern.ScopeAdmin, Hash: [32]byte{7}}
	scoped := &postern.Key{ID: postern.KeyID(a.id()), Scope: postern.ScopeApplication, Application: 1, Hash: [32]byte{8}}
	kind := &postern.EventType{Name: "invoice.paid", Description: "nul \x00"}
	replay := &postern.Replay{ID: postern.ReplayID(a.id()), Application: 1, State: postern.ReplayRunning}
	health := store.HealthChange{Endpoint: 1 << 31, Health: postern.Health{FailingSince: at, Failures: 7, Disabled: postern.DisabledFailing, DisabledAt: at}}

	all := puts(scoped, replay, kind, source, endpoint, admin, app)
	all.Health = []store.HealthChange{health}
	a.stored(all)
	put := func(records ...any) (changes []any) {
		for _, r := range records {
			changes = append(changes, store.Change{Put: r})
		}
		return changes
	}
	want := append(put(app, endpoint), health)
	want = append(want, put(admin, scoped, replay, source, kind)...)
	equal(t, "all that was put", want, b.learn())
	equal(t, "nothing more", 0, len(b.learn()))
	stop := errors.New("stop")
	if _, err := b.cluster.Changed(t.Context(), 1, func(any) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Changed with a failing callback: %v", err)
	}

	first, second := *endpoint, *endpoint
	first.URL, second.URL = "https://example.org", "https://example.net"
	a.stored(puts(&first))
	a.stored(puts(&second))
	a.stored(store.Batch{Health: []store.HealthChange{{Endpoint: 1 << 31}}})
	equal(t, "what was changed", []any{store.Change{Put: &second}, store.HealthChange{Endpoint: 1 << 31}}, b.learn())

	a.stored(store.Batch{Changes: []store.Change{{Delete: &second}, {Delete: source}, {Delete: admin}, {Delete: scoped}, {Delete: kind}, {Delete: replay}}})
	equal(t, "what was deleted", []any{
		store.Change{Delete: &postern.Endpoint{Number: 1 << 31, Application: 1}},
		store.Change{Delete: &postern.Key{ID: admin.ID}},
		store.Change{Delete: &postern.Key{ID: scoped.ID, Application: 1}},
		store.Change{Delete: &postern.Replay{ID: replay.ID, Application: 1}},
		store.Change{Delete: &postern.Source{ID: source.ID, Application: 1}},
		store.Change{Delete: &postern.EventType{Name: "invoice.paid"}},
	}, b.learn())
	if _, err := b.cluster.Changed(t.Context(), b.version+1, func(any) error { return nil }); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("after a version that is yet to come, as in a database that was restored: %v", err)
	}
}

// testChangedHistory: what another node deletes or drops is not read once that is
// known.
func testChangedHistory(t *testing.T, h Harness) {
	a, b := join(t, h)
	one, two := &postern.Application{Number: 1}, &postern.Application{Number: 2}
	a.stored(puts(one, two, &postern.Endpoint{Number: 1, Application: 1}))
	b.learn()
	gone, dropped := a.accept(1, 1), a.accept(2)
	a.stored(store.Batch{Accepts: []store.Accept{gone, dropped}})
	b.now = b.now.Add(48 * time.Hour)
	kept := b.accept(2)
	b.stored(store.Batch{Accepts: []store.Accept{kept}})
	message := func(n *node, app postern.ApplicationNumber, id postern.MessageID) error {
		_, err := n.s.Message(context.WithoutCancel(t.Context()), app, id)
		return err
	}
	a.stored(store.Batch{Changes: []store.Change{{Delete: one}}})
	a.stored(store.Batch{DropDay: store.DayOf(dropped.Message.ID.Time())})
	equal(t, "what b learns", []any{store.Change{Delete: &postern.Application{Number: 1}}}, b.learn())
	for _, m := range []store.Accept{gone, dropped} {
		if err := message(b, m.Message.Application, m.Message.ID); !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("of application %d: %v", m.Message.Application, err)
		}
	}
	if err := message(b, 2, kept.Message.ID); err != nil {
		t.Error(err)
	}
}

// testUsedKeys: that a key was used is told, and brings back none that another node
// has revoked.
func testUsedKeys(t *testing.T, h Harness) {
	a, b := join(t, h)
	key, other := &postern.Key{ID: postern.KeyID(a.id()), Name: "k"}, &postern.Key{ID: postern.KeyID(a.id()), Name: "o"}
	a.stored(puts(key, other))
	b.learn()
	used, alike := *key, *other
	used.LastUsedAt, alike.LastUsedAt = a.now, a.now
	a.stored(puts(&alike))
	b.stored(store.Batch{Accepts: []store.Accept{b.accept(1)}}) // it is no matter of routes
	equal(t, "a use", []any{store.Change{Put: &alike}}, b.learn())
	b.stored(store.Batch{Changes: []store.Change{{Delete: key}}})
	a.stored(puts(&used))
	equal(t, "the catalogue", want(t, &alike), catalogue(t, a.s))
	equal(t, "what a learns", []any{store.Change{Delete: &postern.Key{ID: key.ID}}}, a.learn())
	equal(t, "what b learns", 0, len(b.learn()))
}

// testTaken: a batch with a digest that another node's message has is refused as a
// whole, and says whose they are.
func testTaken(t *testing.T, h Harness) {
	a, b := join(t, h)
	digests := []struct {
		scope store.Scope
		since time.Duration
	}{{store.ScopeEvent, 0}, {store.ScopeIdempotency, 12 * time.Hour}, {store.ScopeSource, time.Hour}}
	record := func(n *node, i int, in store.Accept) store.DedupeRecord {
		r := store.DedupeRecord{Scope: digests[i].scope, Digest: store.Digest{byte(i), 255}, Message: in.Message.ID, Since: time.UnixMilli(0)}
		if digests[i].since > 0 {
			r.Since = n.now.Add(-digests[i].since)
		}
		return r
	}
	var firsts []store.DedupeRecord
	for i := range digests {
		first := a.accept(1)
		r := record(a, i, first)
		r.Status = 200 + i
		first.Dedupe = []store.DedupeRecord{r}
		a.stored(store.Batch{Accepts: []store.Accept{first}})
		r.Since = time.Time{}
		firsts = append(firsts, r)
	}
	// An answer is as good as a message.
	answer := store.DedupeRecord{Scope: store.ScopeIdempotency, Digest: store.Digest{9}, Message: postern.NewMessageID(a.now, a.journal, 0, 7), Status: 201, Answer: []byte("\x00sealed")}
	a.stored(store.Batch{Answers: []store.DedupeRecord{answer}})

	free, copied := b.accept(1), b.accept(1)
	free.Dedupe = []store.DedupeRecord{{Scope: store.ScopeEvent, Digest: store.Digest{77}, Message: free.Message.ID, Since: time.UnixMilli(0)}}
	for i := range digests {
		copied.Dedupe = append(copied.Dedupe, record(b, i, copied))
	}
	repeated := answer
	repeated.Message, repeated.Since = copied.Message.ID, b.now.Add(-12*time.Hour)
	copied.Dedupe = append(copied.Dedupe, repeated)
	batch := store.Batch{Accepts: []store.Accept{free, copied}}
	err := b.offer(&batch)
	why, ok := errors.AsType[*store.Amend](err)
	if !ok || why.Stale {
		t.Fatalf("copies: %v", err)
	}
	equal(t, "whose they are", append(firsts, answer), why.Taken)
	for _, m := range []store.Accept{free, copied} {
		if _, err := b.s.Message(t.Context(), 1, m.Message.ID); !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("a message of a refused batch: %v", err)
		}
	}
	if _, found, err := b.s.Dedupe(t.Context(), store.ScopeEvent, store.Digest{77}, time.Time{}); found || err != nil {
		t.Errorf("a digest of a refused batch: %v, %v", found, err)
	}
	batch.Accepts = batch.Accepts[:1]
	b.stored(batch)
	equal(t, "the rest", free.Message, must[*postern.Message](t)(a.s.Message(t.Context(), 1, free.Message.ID)))
}

// testNotTaken: records that are too old, that say nothing of how far back they
// count, and those of the same message are replaced.
func testNotTaken(t *testing.T, h Harness) {
	a, b := join(t, h)
	first := a.accept(1)
	digest := func(scope store.Scope, n byte, m store.Accept, since time.Time) store.DedupeRecord {
		return store.DedupeRecord{Scope: scope, Digest: store.Digest{n}, Message: m.Message.ID, Since: since}
	}
	for n := range byte(3) {
		first.Dedupe = append(first.Dedupe, digest(store.ScopeSource, n, first, time.UnixMilli(0)))
	}
	a.stored(store.Batch{Accepts: []store.Accept{first}})
	a.stored(store.Batch{Answers: first.Dedupe[2:]})
	at := first.Message.ID.Time()
	second := b.accept(1)
	second.Dedupe = []store.DedupeRecord{
		digest(store.ScopeSource, 0, second, at.Add(time.Millisecond)),
		digest(store.ScopeSource, 1, second, time.Time{}),
		digest(store.ScopeEvent, 2, second, time.UnixMilli(0)), // of another scope
	}
	b.stored(store.Batch{Accepts: []store.Accept{second}})
	for n := range byte(2) {
		record, found, err := a.s.Dedupe(t.Context(), store.ScopeSource, store.Digest{n}, time.Time{})
		if err != nil || !found || record.Message != second.Message.ID {
			t.Errorf("%d is %+v: %v", n, record, err)
		}
	}
	third := b.accept(1)
	third.Dedupe = []store.DedupeRecord{digest(store.ScopeSource, 2, third, at)}
	why, ok := errors.AsType[*store.Amend](b.offer(&store.Batch{Accepts: []store.Accept{third}}))
	if !ok || len(why.Taken) != 1 || why.Taken[0].Message != first.Message.ID {
		t.Errorf("one as old as it counts: %+v", why)
	}
}

// testHeads: every node sees how far each journal has come.
func testHeads(t *testing.T, h Harness) {
	a, b := join(t, h)
	a.stored(store.Batch{Accepts: []store.Accept{a.accept(1), a.accept(1)}})
	b.stored(store.Batch{})
	b.stored(store.Batch{Accepts: []store.Accept{b.accept(1)}})
	want := map[uint16]store.Head{}
	for _, n := range []*node{a, b} {
		want[n.journal] = store.Head{Journal: n.journal, Batch: n.head.Batch, Next: n.head.Next, Low: n.head.Low, LastTime: n.head.LastTime, Rows: n.head.Rows}
	}
	for _, n := range []*node{a, b} {
		got := map[uint16]store.Head{}
		for _, head := range must[[]store.Head](t)(n.cluster.Heads(t.Context())) {
			got[head.Journal] = head
		}
		equal(t, "heads", want, got)
	}
}
