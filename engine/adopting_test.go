package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

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
}

// unused are the methods that nothing here calls.
type unused struct{ store.Cluster }

func (p *pretended) Now() time.Time        { return time.Now() }
func (p *pretended) Leased() time.Time     { return time.Now().Add(time.Hour) }
func (p *pretended) Tell([]byte, bool)     {}
func (p *pretended) Wake() <-chan struct{} { return p.wake }

// Renewed has the lease be renewed at that very moment, too.
func (p *pretended) Renewed(fn func()) { fn() }

func (p *pretended) Poll(context.Context) (store.ClusterState, error) {
	now := time.Now()
	return store.ClusterState{Version: p.version.Load(), Leases: []store.Lease{
		{Journal: 0, Main: true, Expires: now.Add(time.Hour)}, {Journal: 1, Expires: now.Add(-time.Second)},
	}}, nil
}

func (p *pretended) Adopt(ctx context.Context, _ uint16) (store.Cluster, error) {
	select {
	case p.adopting <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, postern.ErrUnavailable
}

func (p *pretended) Changed(_ context.Context, _ uint64, _ func(any) error) (uint64, error) {
	version := p.version.Load()
	p.read <- version
	return version, nil
}

// A node that takes a journal over, which may take as long as its last batch or as
// what it has to read, keeps step with the others meanwhile: what they revoke holds
// here within a second. And a lease can be renewed at any moment.
func TestKeepStepWhileAdopting(t *testing.T) {
	memory, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &pretended{Store: memory, wake: make(chan struct{}, 1), adopting: make(chan struct{}, 1), read: make(chan uint64, 1)}
	e, err := New(t.Context(), Config{Store: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
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
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := memory.Close(); err != nil {
		t.Error(err)
	}
}
