package engine

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// pretended is a store of one process that looks like one of several, of which the
// holder of journal 1 is gone.
type pretended struct {
	store.Store
	unused
	wake     chan struct{}
	version  atomic.Uint64
	adopting chan struct{} // sent to when journal 1 is to be adopted, which takes long
	read     chan uint64   // versions that were read
	asked    chan struct{} // sent to when the holder of journal 2 is asked, who never answers
	lapsed   atomic.Bool   // the lease of journal 0 has run out
	renewed  func()
	newest   time.Time            // when another node last accepted a message
	inherit  func() store.Cluster // what journal 1 is; it is never had where either is nil
}

// unused are the methods that nothing here calls.
type unused struct{ store.Cluster }

func (p *pretended) Now() time.Time        { return time.Now() }
func (p *pretended) Tell([]byte, bool)     {}
func (p *pretended) Wake() <-chan struct{} { return p.wake }

func (p *pretended) Leased() time.Time {
	if p.lapsed.Load() {
		return time.Time{}
	}
	return time.Now().Add(time.Hour)
}

// Renewed has the lease be renewed at that very moment, too.
func (p *pretended) Renewed(fn func()) {
	p.renewed = fn
	fn()
}

// Head has what others accepted, too.
func (p *pretended) Head(ctx context.Context) (store.Head, error) {
	head, err := p.Store.Head(ctx)
	if p.newest.After(head.Newest) {
		head.Newest = p.newest
	}
	return head, err
}

func (p *pretended) Poll(context.Context) (store.ClusterState, error) {
	now := time.Now()
	return store.ClusterState{Version: p.version.Load(), Leases: []store.Lease{
		{Journal: 0, Main: true, Expires: now.Add(time.Hour)}, {Journal: 1, Expires: now.Add(-time.Second)}, {Journal: 2, Main: true, Expires: now.Add(time.Hour)},
	}}, nil
}

func (p *pretended) Ask(ctx context.Context, _ uint16, request []byte) ([]byte, error) {
	if !bytes.Contains(request, []byte(orderWatch)) { // which is always there for handlers
		p.asked <- struct{}{}
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	return nil, postern.ErrUnavailable
}

// Messages has one that journal 2 accepted.
func (p *pretended) Messages(_ context.Context, app postern.ApplicationNumber, _ store.MessageFilter, _ store.Page) (store.MessagePage, error) {
	id := postern.NewMessageID(time.Now(), 2, 1, 1)
	return store.MessagePage{Messages: []*postern.Message{{ID: id, Application: app}}, Next: id, Done: true}, nil
}

func (p *pretended) Adopt(ctx context.Context, _ uint16) (store.Cluster, error) {
	select {
	case p.adopting <- struct{}{}:
	default:
	}
	if p.inherit != nil {
		if st := p.inherit(); st != nil {
			return st, nil
		}
	}
	<-ctx.Done()
	return nil, postern.ErrUnavailable
}

func (p *pretended) Changed(_ context.Context, _ uint64, _ func(any) error) (uint64, error) {
	version := p.version.Load()
	p.read <- version
	return version, nil
}

func newPretended(on store.Store) *pretended {
	return &pretended{Store: on, wake: make(chan struct{}, 1), adopting: make(chan struct{}, 1), read: make(chan uint64, 1), asked: make(chan struct{}, 1)}
}

// pretend runs an engine on such a store until the test's end.
func pretend(t *testing.T) (*pretended, *Engine) {
	t.Helper()
	memory, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := newPretended(memory)
	e, err := New(t.Context(), Config{Store: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, memory.Close()); err != nil {
			t.Error(err)
		}
	})
	return p, e
}

// A node that takes a journal over, which may take as long as its last batch or as
// what it has to read, keeps step with the others meanwhile: what they revoke holds
// here within a second. And a lease can be renewed at any moment.
func TestKeepStepWhileAdopting(t *testing.T) {
	p, _ := pretend(t)
	<-p.adopting
	p.version.Store(7)
	p.wake <- struct{}{}
	select {
	case version := <-p.read:
		if version != 7 {
			t.Errorf("version %d was read", version)
		}
	case <-time.After(10 * time.Second):
		t.Error("what another node changed is not read")
	}
}

// Nobody is asked for a message of a journal that there is none of, nor is one
// waited for that is taken over for longer than the caller has time.
func TestMessageOfNoJournal(t *testing.T) {
	p, e := pretend(t)
	<-p.adopting
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	id := postern.NewMessageID(time.Now(), 9, 1, 1)
	if err := e.Resend(ctx, store.DeliveryKey{Application: 1, Endpoint: 1, Message: id}); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("resent: %v", err)
	}
	gone := errors.New("gone")
	ctx, leave := context.WithCancelCause(t.Context())
	leave(gone)
	id = postern.NewMessageID(time.Now(), 1, 1, 1)
	if err := e.Resend(ctx, store.DeliveryKey{Application: 1, Endpoint: 1, Message: id}); !errors.Is(err, gone) {
		t.Errorf("resent while its journal is taken, for who waits no more: %v", err)
	}
}

// A call that waits for another one of its handler to end has not begun: it does not
// once the journal may be another node's.
func TestHandlersOfALostJournal(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		cluster := newPretended(p.st)
		p.cfg.Store = cluster
		end := make(chan struct{})
		p.begin(func(eng *Engine) error {
			return eng.OnWith(HandlerOptions{EventTypes: []string{"a"}, Concurrency: 1}, func(_ context.Context, m *Message) error {
				p.note("%s", m.Payload)
				<-end
				return nil
			})
		})
		p.publish("a", "1")
		p.want("1")
		p.publish("a", "2")
		p.want()
		cluster.lapsed.Store(true)
		end <- struct{}{}
		p.pass(time.Minute)
		p.want()
		cluster.lapsed.Store(false)
		cluster.renewed()
		p.want("2")
		end <- struct{}{}
	})
}

// A stop does not wait for another node that does not answer.
func TestStopWhileAnotherIsAsked(t *testing.T) {
	inProgram(t, Config{DrainTimeout: time.Second}, func(p *program) {
		cluster := newPretended(p.st)
		p.cfg.Store = cluster
		p.on("a", func(context.Context, *Message) error { return nil })
		m := p.publish("a", "1")
		p.pass(time.Second) // it knows that it leads
		_, err := p.eng.Replay(p.Context(), postern.Replay{
			Application: m.Application, To: m.Routes[0], Selection: postern.Selection{Since: time.Now().Add(-time.Hour)},
		})
		if err != nil {
			t.Fatal(err)
		}
		<-cluster.asked
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// unreadable is a journal of which only the half can be read.
type unreadable struct{ *pretended }

func (*unreadable) Behind(context.Context) ([]store.BehindRow, error) {
	return []store.BehindRow{{Endpoint: 1, Application: 1}}, nil
}

func (*unreadable) Schedules(context.Context, func(postern.Row) error) error {
	return postern.ErrUnavailable
}

func (*unreadable) Close() error { return nil }

// A journal that cannot be read is tried again and again: nothing is kept of it.
func TestForgetWhatCannotBeAdopted(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		cluster := newPretended(p.st)
		p.cfg.Store = cluster
		var kept weak.Pointer[unreadable]
		cluster.inherit = func() store.Cluster {
			if kept != (weak.Pointer[unreadable]{}) {
				return nil
			}
			st := &unreadable{newPretended(p.st)}
			kept = weak.Make(st)
			return st
		}
		p.on("a", func(context.Context, *Message) error { return nil })
		p.pass(5 * time.Minute) // timers that were stopped are gone by then, too
		if kept == (weak.Pointer[unreadable]{}) {
			t.Fatal("it was not adopted")
		}
		runtime.GC()
		if kept.Value() != nil {
			t.Error("its lanes are still in memory")
		}
	})
}

// broken is a journal of which a batch cannot be stored.
type broken struct{ *pretended }

func (*broken) Head(context.Context) (store.Head, error) {
	return store.Head{Journal: 1, Next: 2, Low: 1}, nil
}

func (*broken) Commit(context.Context, *store.Batch) error {
	return &postern.Error{Kind: postern.Internal, Detail: "refused"}
}

func (*broken) Close() error { return nil }

// What cannot be stored for one reason or other is tried by every node that adopts
// it, and sent once more each time: not without end, at the pace of adoptions.
func TestAdoptWhatFailsNowAndThen(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		cluster := newPretended(p.st)
		p.cfg.Store = cluster
		adopted := 0
		cluster.inherit = func() store.Cluster {
			adopted++
			return &broken{newPretended(p.st)}
		}
		p.on("a", func(context.Context, *Message) error { return nil })
		p.pass(10 * time.Minute)
		if adopted < 5 || adopted > 12 {
			t.Errorf("adopted %d times in 10 minutes", adopted)
		}
	})
}

// The node that drops what is old need not have accepted anything for long: how old
// that is tells the newest message of any node.
func TestRetentionOfOthersMessages(t *testing.T) {
	inProgram(t, Config{Retention: 24 * time.Hour, RetrySchedule: postern.RetrySchedule{time.Second}}, func(p *program) {
		cluster := newPretended(p.st)
		p.cfg.Store = cluster
		begin := func() { p.on("a", func(context.Context, *Message) error { return nil }) }
		begin()
		p.publish("a", "1")
		p.stop()
		p.pass(72 * time.Hour)
		begin()
		p.pass(time.Second)
		sweep := func() (left bool) {
			t.Helper()
			if err := p.eng.sweeper.sweep(p.Context()); err != nil {
				t.Fatal(err)
			}
			_, left, err := p.st.OldestDay(p.Context())
			if err != nil {
				t.Fatal(err)
			}
			return left
		}
		if !sweep() {
			t.Error("the day is gone though nobody accepted a message since")
		}
		cluster.newest = time.Now()
		if sweep() {
			t.Error("the day is still there")
		}
	})
}
