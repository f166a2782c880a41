package accept

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// world is a publisher on a store in memory, in a bubble. The test is its
// committer.
type world struct {
	t    *testing.T
	st   store.Store
	p    *Publisher
	head store.Head

	mu       sync.Mutex
	queued   []Part
	refuse   error
	accepted []*postern.Message // as the lanes were told

	// version and routes are the catalogue's; routes of nobody else's are 1 and 2,
	// and gone: there is no application. lanes is what they were told besides.
	version uint64
	routes  []postern.EndpointNumber
	gone    bool
	lanes   []string
}

func in(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		w := &world{t: t, st: st, head: store.Head{Next: 1, Low: 1}}
		w.p = New(Config{Router: w, Lanes: w, Store: st, Accept: w.enqueue, Version: func() uint64 { return w.version }})
		test(w)
	})
}

func (w *world) Match(app postern.ApplicationNumber, _ string, _ []string) ([]postern.EndpointNumber, bool) {
	if w.routes != nil {
		return w.routes, app == 1 && !w.gone
	}
	return []postern.EndpointNumber{1, 2}, app == 1 && !w.gone
}

func (w *world) tell(format string, args ...any) {
	w.lanes = append(w.lanes, fmt.Sprintf(format, args...))
}

func (w *world) Accepting(m *postern.Message) { w.tell("accepting %v", m.Routes) }

func (w *world) Rerouted(m *postern.Message, before []postern.EndpointNumber) {
	w.tell("rerouted %v %v", before, m.Routes)
}

func (w *world) Withdrawn(m *postern.Message) { w.tell("withdrawn %v", m.Routes) }

func (w *world) Accepted(m *postern.Message, _ *postern.Content) {
	w.accepted = append(w.accepted, m)
}

func (w *world) enqueue(p Part, _ int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.queued = append(w.queued, p)
	return nil
}

// batch is one under way.
type batch struct {
	w     *world
	parts []Part
	b     *store.Batch
}

// build makes a batch of all that is queued.
func (w *world) build() *batch {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	b := &batch{w: w, parts: w.queued, b: &store.Batch{Head: w.head}}
	w.queued = nil
	b.b.Head.Batch++
	b.b.Head.LastTime = time.Now().UTC().Truncate(time.Millisecond)
	for _, p := range b.parts {
		p.Build(b.b)
	}
	return b
}

// end stores the batch, or fails it, and tells.
func (b *batch) end(err error) {
	b.w.t.Helper()
	if err == nil {
		if err := b.w.st.Commit(b.w.t.Context(), b.b); err != nil {
			b.w.t.Fatal(err)
		}
		b.w.head = b.b.Head
	}
	for _, p := range b.parts {
		p.Done(err)
	}
	synctest.Wait()
}

// answer is what Publish returned.
type answer struct {
	id        postern.MessageID
	duplicate bool
	err       error
}

// publish begins to publish; the answer comes with a batch.
func (w *world) publish(ctx context.Context, in postern.Publish) chan answer {
	in.Application = max(in.Application, 1)
	out := make(chan answer, 1)
	go func() {
		m, duplicate, err := w.p.Publish(ctx, in)
		a := answer{duplicate: duplicate, err: err}
		if m != nil {
			a.id = m.ID
		}
		out <- a
	}()
	synctest.Wait()
	return out
}

// now is the answer that is there by now.
func (w *world) now(out chan answer) answer {
	w.t.Helper()
	synctest.Wait()
	select {
	case a := <-out:
		return a
	default:
		w.t.Fatal("not answered yet")
		return answer{}
	}
}

// waits asserts that nobody has answered.
func (w *world) waits(outs ...chan answer) {
	w.t.Helper()
	synctest.Wait()
	for i, out := range outs {
		if len(out) > 0 {
			w.t.Errorf("%d is answered: %+v", i, <-out)
		}
	}
}

func event(id string) postern.Publish { return postern.Publish{EventID: id} }

func source(digest byte, window time.Duration) postern.Publish {
	return postern.Publish{Duplicate: postern.DuplicateKey{Digest: [16]byte{digest}, Window: window}}
}

func TestAnsweredOnceDurable(t *testing.T) {
	in(t, func(w *world) {
		out := w.publish(w.t.Context(), postern.Publish{EventType: "a.b", Payload: []byte("{}"), Tags: []string{"x"}})
		w.waits(out)
		b := w.build()
		w.waits(out)
		b.end(nil)
		a := w.now(out)
		m, err := w.st.Message(w.t.Context(), 1, a.id)
		if err != nil || a.err != nil || a.duplicate {
			t.Fatalf("%+v; stored: %v", a, err)
		}
		if m.EventType != "a.b" || m.Size != 2 || len(m.Routes) != 2 || len(m.Tags) != 1 {
			t.Errorf("stored %+v", m)
		}
		if len(w.accepted) != 1 || w.accepted[0].ID != a.id {
			t.Errorf("the lanes were told of %v", w.accepted)
		}
	})
}

// The last who has a place beside others tells the committer, also when it is
// refused, and nobody stays behind at the gate.
func TestWhoComesLastHurries(t *testing.T) {
	in(t, func(w *world) {
		var hurried atomic.Int32
		w.p.cfg.Hurry = func() { hurried.Add(1) }
		publish := func(n int) (last chan answer) {
			for range n {
				last = w.publish(w.t.Context(), postern.Publish{EventType: "a"})
			}
			return last
		}
		w.p.gate.turn = time.Now() // another one published
		publish(w.p.gate.places - 1)
		if hurried.Load() != 0 {
			t.Error("with a place left, somebody hurries")
		}
		publish(w.p.gate.places + 2) // all but the first of these wait
		if hurried.Load() != 0 {
			t.Error("the one with the last place came while nobody waited, and hurries")
		}
		if first := w.build(); len(first.parts) != w.p.gate.places {
			t.Errorf("a batch has %d messages, want %d", len(first.parts), w.p.gate.places)
		} else {
			first.end(nil)
		}
		second := w.build()
		if hurried.Load() == 0 {
			t.Error("with every place taken and one who waits, nobody hurries")
		}
		second.end(nil)
		w.build().end(nil)
		w.refuse = postern.ErrUnavailable
		if a := w.now(publish(1)); !errors.Is(a.err, postern.ErrUnavailable) {
			t.Errorf("refused with %v", a.err)
		}
		empty(t, &w.p.gate)
	})
}

func TestNoSuchApplication(t *testing.T) {
	in(t, func(w *world) {
		out := w.publish(w.t.Context(), postern.Publish{Application: 2})
		if a := w.now(out); !errors.Is(a.err, postern.ErrNotFound) {
			t.Errorf("%+v", a)
		}
	})
}

// A second copy gets the first one's answer, whenever it comes: before the
// batch is built, while it is being synced, and afterwards.
func TestCopiesGetTheFirstOnesAnswer(t *testing.T) {
	for name, copyOf := range map[string]func() postern.Publish{
		"by event id": func() postern.Publish { return event("e") },
		"by source":   func() postern.Publish { return source(7, time.Hour) },
		"by both":     func() postern.Publish { p := source(9, time.Hour); p.EventID = "e"; return p },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				first := w.publish(w.t.Context(), copyOf())
				queued := w.publish(w.t.Context(), copyOf())
				b := w.build()
				syncing := w.publish(w.t.Context(), copyOf())
				w.waits(first, queued, syncing)
				b.end(nil)
				after := w.publish(w.t.Context(), copyOf())
				want := w.now(first)
				if want.err != nil || want.duplicate || want.id.IsZero() {
					t.Fatalf("the first: %+v", want)
				}
				want.duplicate = true
				for i, out := range []chan answer{queued, syncing, after} {
					if got := w.now(out); got != want {
						t.Errorf("copy %d: %+v, want %+v", i, got, want)
					}
				}
				if w.head.Next != 2 {
					t.Errorf("%d messages are stored", w.head.Next-1)
				}
			})
		})
	}
}

// Either of two keys makes a copy.
func TestEitherKeyMakesACopy(t *testing.T) {
	in(t, func(w *world) {
		both := source(1, time.Hour)
		both.EventID = "e"
		first := w.publish(w.t.Context(), both)
		byEvent, bySource := w.publish(w.t.Context(), event("e")), w.publish(w.t.Context(), source(1, time.Hour))
		other := w.publish(w.t.Context(), event("other"))
		w.build().end(nil)
		id := w.now(first).id
		for _, out := range []chan answer{byEvent, bySource} {
			if a := w.now(out); !a.duplicate || a.id != id {
				t.Errorf("%+v, want a copy of %v", a, id)
			}
		}
		if a := w.now(other); a.duplicate || a.err != nil {
			t.Errorf("another event: %+v", a)
		}
	})
}

// Where the first copy fails, the second has its chance.
func TestAFailedCopyLetsTheNextThrough(t *testing.T) {
	in(t, func(w *world) {
		first, second := w.publish(w.t.Context(), event("e")), w.publish(w.t.Context(), event("e"))
		lost := errors.New("lost")
		w.build().end(lost)
		if a := w.now(first); !errors.Is(a.err, lost) {
			t.Errorf("the first: %+v", a)
		}
		w.waits(second)
		w.build().end(nil)
		if a := w.now(second); a.err != nil || a.duplicate {
			t.Errorf("the second: %+v", a)
		}
		w.refuse = &postern.Error{Kind: postern.Unavailable, Detail: "full"}
		if a := w.now(w.publish(w.t.Context(), event("f"))); !errors.Is(a.err, w.refuse) {
			t.Errorf("refused: %+v", a)
		}
		w.refuse = nil
		again := w.publish(w.t.Context(), event("f"))
		w.build().end(nil)
		if a := w.now(again); a.err != nil || a.duplicate {
			t.Errorf("after a refusal: %+v", a)
		}
	})
}

// A store that hangs is waited for ten seconds. What was handed to it may be
// accepted yet: its key stays taken until that is known.
func TestAStoreThatHangs(t *testing.T) {
	in(t, func(w *world) {
		first, second := w.publish(w.t.Context(), event("e")), w.publish(w.t.Context(), event("e"))
		b := w.build()
		<-time.After(answerWithin - time.Second)
		w.waits(first, second)
		<-time.After(time.Second)
		for _, out := range []chan answer{first, second} {
			if a := w.now(out); !errors.Is(a.err, postern.ErrUnavailable) || !strings.Contains(a.err.Error(), "may be accepted yet") {
				t.Errorf("%+v", a)
			}
		}
		third := w.publish(w.t.Context(), event("e"))
		w.waits(third)
		b.end(nil)
		if a := w.now(third); !a.duplicate || a.id != b.b.Accepts[0].Message.ID {
			t.Errorf("a copy of what was stored late: %+v", a)
		}
	})
}

// Who no longer waits leaves its message with the committer, and its key too.
func TestContextEndsFirst(t *testing.T) {
	in(t, func(w *world) {
		gone := errors.New("gone")
		ctx, leave := context.WithCancelCause(w.t.Context())
		first, waiting := w.publish(ctx, event("e")), w.publish(ctx, event("e"))
		second := w.publish(w.t.Context(), event("e"))
		b := w.build()
		leave(gone)
		for _, out := range []chan answer{first, waiting} {
			if a := w.now(out); !errors.Is(a.err, gone) {
				t.Errorf("%+v", a)
			}
		}
		w.waits(second)
		b.end(nil)
		if a := w.now(second); !a.duplicate || a.id != b.b.Accepts[0].Message.ID {
			t.Errorf("the copy of one that left: %+v", a)
		}
		// What is reused is not what the committer still held.
		other := w.publish(w.t.Context(), event("f"))
		w.build().end(nil)
		if a := w.now(other); a.err != nil || a.duplicate {
			t.Errorf("another: %+v", a)
		}
	})
}

// An event id is free again when its message is gone, a source's key when its
// window is over.
func TestKeysBecomeFree(t *testing.T) {
	in(t, func(w *world) {
		first := w.publish(w.t.Context(), event("e"))
		hour := w.publish(w.t.Context(), source(3, time.Hour))
		w.build().end(nil)
		old := w.now(first).id
		if id, err := w.p.Find(w.t.Context(), 1, "e"); err != nil || id != old {
			t.Errorf("Find: %v, %v", id, err)
		}
		w.now(hour)
		<-time.After(time.Hour - time.Second)
		if a := w.now(w.publish(w.t.Context(), source(3, time.Hour))); !a.duplicate {
			t.Errorf("within the window: %+v", a)
		}
		<-time.After(2 * time.Second)
		again := w.publish(w.t.Context(), source(3, time.Hour))
		b := w.build()
		b.b.DropDay = store.DayOf(time.Now())
		b.b.Accepts = nil // its own message would go with the day
		b.end(nil)
		w.now(again)
		if _, err := w.p.Find(w.t.Context(), 1, "e"); !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("Find after retention: %v", err)
		}
		free := w.publish(w.t.Context(), event("e"))
		w.build().end(nil)
		if a := w.now(free); a.duplicate || a.err != nil || a.id == old {
			t.Errorf("after retention: %+v", a)
		}
	})
}

func TestEventIDsAreOfAnApplication(t *testing.T) {
	if eventDigest(1, "e") == eventDigest(2, "e") || eventDigest(1, "e") == eventDigest(1, "f") {
		t.Error("digests of different events are alike")
	}
}

// idle is a cover, and lanes, of which nothing is asked.
type idle struct{}

func (idle) Hold()                                               {}
func (idle) Release()                                            {}
func (idle) Close(b *store.Batch)                                { b.Head.Low = b.Head.Next }
func (idle) Reopen(uint64)                                       {}
func (idle) Synced()                                             {}
func (idle) Rerouted(*postern.Message, []postern.EndpointNumber) {}
func (idle) Withdrawn(*postern.Message)                          {}
func (idle) Accepting(*postern.Message)                          {}
func (idle) Accepted(*postern.Message, *postern.Content)         {}
func (idle) Match(postern.ApplicationNumber, string, []string) ([]postern.EndpointNumber, bool) {
	return nil, true
}

// start runs a publisher on a committer and a store in memory.
func start(t testing.TB) *Publisher {
	st, err := embedded.Open(context.Background(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := journal.New(journal.Config{Store: st, Cover: idle{}}, store.Head{})
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	t.Cleanup(func() {
		c.Close()
		if err := errors.Join(<-ran, st.Close()); err != nil {
			t.Error(err)
		}
	})
	return New(Config{
		Router: idle{}, Lanes: idle{}, Store: st,
		Accept: func(p Part, size int) error { return c.Enqueue(journal.Accept, p, size) },
	})
}

// Many publishers of few events: each event becomes one message, and everyone
// is told the same.
func TestManyCopiesAtOnce(t *testing.T) {
	p := start(t)
	const events, publishers = 40, 16
	var mu sync.Mutex
	ids, firsts := map[string]postern.MessageID{}, map[string]int{}
	var everyone sync.WaitGroup
	for worker := range publishers {
		everyone.Go(func() {
			for i := range events {
				name := fmt.Sprint((i + worker) % events)
				in := postern.Publish{Application: 1, EventID: name, Payload: []byte(name)}
				if worker%2 == 0 {
					in.Duplicate = postern.DuplicateKey{Digest: eventDigest(9, name), Window: time.Hour}
				}
				m, duplicate, err := p.Publish(t.Context(), in)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if known, ok := ids[name]; ok && known != m.ID {
					t.Errorf("event %s is %v and %v", name, known, m.ID)
				}
				if ids[name] = m.ID; !duplicate {
					firsts[name]++
				}
				mu.Unlock()
			}
		})
	}
	everyone.Wait()
	for name, n := range firsts {
		if n != 1 {
			t.Errorf("event %s was first %d times", name, n)
		}
	}
	if len(firsts) != events || len(p.reserved.slots) != 0 {
		t.Errorf("%d events; %d keys are still reserved", len(firsts), len(p.reserved.slots))
	}
}

// BenchmarkPublish reports what accepting costs besides the store's batch.
func BenchmarkPublish(b *testing.B) {
	for name, key := range map[string]string{"without a key": "", "with an event id": "event-"} {
		b.Run(name, func(b *testing.B) {
			p := start(b)
			payload := make([]byte, 1024)
			b.ReportAllocs()
			for i := range b.N {
				in := postern.Publish{Application: 1, EventType: "invoice.paid", ContentType: "application/json", Payload: payload}
				if key != "" {
					in.EventID = fmt.Sprint(key, i)
				}
				if _, _, err := p.Publish(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestOnly: a message for one endpoint is routed nowhere else, and is refused
// like any other where there is no application.
func TestOnly(t *testing.T) {
	in(t, func(w *world) {
		done := make(chan error, 1)
		go func() {
			m, _, err := w.p.Publish(w.t.Context(), postern.Publish{Application: 1, EventType: "a", Only: 7})
			if err == nil && (len(m.Routes) != 1 || m.Routes[0] != 7) {
				err = fmt.Errorf("routed to %v", m.Routes)
			}
			done <- err
		}()
		w.build().end(nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, _, err := w.p.Publish(w.t.Context(), postern.Publish{Application: 2, Only: 7}); !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("an unknown application: %v", err)
		}
	})
}

// TestRepeat: the digest of a request leads to its message once that is
// durable, and is nobody else's afterwards.
func TestRepeat(t *testing.T) {
	in(t, func(w *world) {
		find := func(digest byte) (store.DedupeRecord, bool) {
			record, ok, err := w.st.Dedupe(w.t.Context(), store.ScopeIdempotency, store.Digest{digest}, time.Now().Add(-12*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return record, ok
		}
		first := w.publish(w.t.Context(), postern.Publish{Repeat: [16]byte{1}, EventID: "e"})
		plain := w.publish(w.t.Context(), postern.Publish{})
		b := w.build()
		if _, ok := find(1); ok {
			t.Error("it is found before it is stored")
		}
		b.end(nil)
		got := w.now(first)
		if record, ok := find(1); !ok || record.Message != got.id || record.Status != 202 || got.err != nil {
			t.Errorf("found %t: %+v, want the message %v", ok, record, got)
		}
		if again := w.now(plain); again.err != nil || again.id == got.id {
			t.Errorf("a message without a digest: %+v", again)
		}
		// What carried the digest is used again.
		third := w.publish(w.t.Context(), postern.Publish{})
		w.build().end(nil)
		if record, _ := find(1); record.Message != got.id || w.now(third).err != nil {
			t.Errorf("a later message took the digest over: %+v", record)
		}
	})
}
