package cli

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// thriftRig is a thrift on a runtime that only takes notes.
type thriftRig struct {
	*thrift
	done    []string
	pending []func()
	total   uint64
	live    uint64
}

func newThriftRig() *thriftRig {
	r := &thriftRig{thrift: &thrift{percent: workPercent}, live: 10 << 20}
	r.setPercent = func(percent int) {
		r.done = append(r.done, map[int]string{workPercent: "work", 150: "less", restPercent: "rest"}[percent])
	}
	r.free = func() { r.done = append(r.done, "free") }
	r.onCollection = func(fn func()) { r.pending = append(r.pending, fn) }
	return r
}

// after looks again when so many bytes more were allocated.
func (r *thriftRig) after(bytes uint64) {
	r.total += bytes
	r.look(r.total, r.live)
}

// collect is a collection of the runtime's.
func (r *thriftRig) collect() {
	pending := r.pending
	r.pending = nil
	for _, fn := range pending {
		fn()
	}
}

func (r *thriftRig) did(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.done); diff != "" {
		t.Errorf("what was done: (-want +got)\n%s", diff)
	}
	r.done = nil
}

func TestMemoryIsGivenBackOnceAfterABurst(t *testing.T) {
	r := newThriftRig()
	r.after(muchWork)
	r.after(muchWork)
	r.did(t)
	r.after(littleWork / 2)
	r.did(t, "rest", "free")
	r.after(littleWork / 2)
	r.did(t)
	// Little by little it becomes much again.
	for range 2 * muchWork / littleWork {
		r.after(littleWork - 1)
	}
	r.did(t, "free")
}

// TestLessGarbageBesideALargeHeap: what is allowed grows no longer with what is
// held.
func TestLessGarbageBesideALargeHeap(t *testing.T) {
	for live, want := range map[uint64]int{0: workPercent, 10 << 20: workPercent, 12 << 20: 250, 16 << 20: 200, 20 << 20: 150, 32 << 20: 100, 1 << 30: restPercent} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MiB in use: %d %%, want %d", live>>20, got, want)
		}
	}
	r := newThriftRig()
	r.after(muchWork)
	r.live = 20 << 20
	r.after(muchWork)
	r.after(muchWork)
	r.did(t, "less")
	r.after(1)
	r.did(t, "rest", "free")
	r.after(muchWork)
	r.did(t, "less")
}

func TestRestEndsWithWork(t *testing.T) {
	r := newThriftRig()
	r.after(1)
	r.after(1)
	r.did(t, "rest")
	r.after(muchWork)
	r.did(t, "work")
	r.collect()
	r.did(t)
}

func TestRestEndsWithCollectionsOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newThriftRig()
		r.after(1)
		r.after(1)
		r.did(t, "rest")
		r.collect()
		time.Sleep(busyGap)
		r.collect()
		r.did(t) // far apart
		time.Sleep(busyGap - 1)
		r.collect()
		r.did(t, "work")
		if len(r.pending) > 0 {
			t.Error("collections are still watched while there is work")
		}
	})
}

// A rest that begins anew before the collector has run watches it once, not
// twice, which would look like two collections at one time.
func TestRestIsWatchedOnce(t *testing.T) {
	r := newThriftRig()
	for range 3 {
		r.after(1)
		r.after(1)
		r.after(muchWork)
	}
	r.after(1)
	if len(r.pending) != 1 {
		t.Fatalf("%d watch for the next collection, want 1", len(r.pending))
	}
	r.done = nil
	r.collect()
	r.did(t)
}

func TestAfterCollection(t *testing.T) {
	called := make(chan struct{})
	afterCollection(func() { close(called) })
	runtime.GC()
	<-called
}

func TestAllocatedGrows(t *testing.T) {
	before := allocated()
	garbage := make([]byte, 1<<20)
	if got := allocated() - before; got < uint64(len(garbage)) {
		t.Errorf("grew by %d bytes, want at least %d", got, len(garbage))
	}
	runtime.KeepAlive(garbage)
}
