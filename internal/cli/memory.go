package cli

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// memoryLimit is what the runtime tries to stay below: the 256 MB that a
	// server may take, less what it does not count, which are the pages of the
	// program itself (24 MiB) and the memory that the store manages by itself
	// where it is built with cgo (40 MiB).
	memoryLimit = 180 << 20
	// workPercent is how much garbage may grow while there is work: the live
	// heap is small, and a collection costs more than the memory. It is less, in
	// steps, where that would be more than mostGarbage: collections are rare then
	// too. restPercent holds while there is no work.
	workPercent, workStep, restPercent = 300, 25, 50
	mostGarbage                        = 32 << 20
	// quietWindow is how long little has to be allocated for the process to be
	// at rest; littleWork and muchWork bound what little is, and what makes
	// giving memory back worth a collection, in bytes.
	quietWindow = 20 * time.Second
	littleWork  = 4 << 20
	muchWork    = 32 << 20
	// Two collections within busyGap end the rest. Each means that the heap
	// has grown by half, so that even scrapes of a small one stay far above it.
	busyGap = 2 * time.Second
)

// thrift has the collector let garbage grow while there is work, and gives
// memory back when work has died down. At rest the process costs little, and
// stays so: left alone, the collector would keep what the last burst took. Work
// that comes back is noticed by the collections that it causes, within
// milliseconds.
type thrift struct {
	// setPercent, free and onCollection are the runtime's: how much garbage may
	// grow; collect and give back; have a function called once, after the next
	// collection.
	setPercent   func(percent int)
	free         func()
	onCollection func(func())

	mu        sync.Mutex // collection comes from a goroutine of the runtime's
	last      uint64     // allocated when it was last looked at
	freed     uint64     // allocated when memory was last given back
	percent   int        // while there is work
	resting   bool
	armed     bool      // collection will be called
	collected time.Time // the last collection at rest; zero for none yet
}

func newThrift() *thrift {
	return &thrift{
		percent:      workPercent,
		setPercent:   func(percent int) { debug.SetGCPercent(percent) },
		free:         debug.FreeOSMemory,
		onCollection: afterCollection,
	}
}

// watch looks every quietWindow until ctx ends.
func (t *thrift) watch(ctx context.Context) {
	ticker := time.NewTicker(quietWindow)
	defer ticker.Stop()
	for t.look(allocated(), live()); ; t.look(allocated(), live()) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look is told how much was ever allocated, and how much was in use after the
// last collection, in bytes.
func (t *thrift) look(allocated, live uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if percent := percentFor(live); percent != t.percent {
		if t.percent = percent; !t.resting {
			t.setPercent(percent)
		}
	}
	quiet := t.last > 0 && allocated-t.last < littleWork
	t.last = allocated
	if quiet != t.resting {
		t.turn(quiet)
	}
	if quiet && allocated-t.freed > muchWork {
		t.free()
		t.freed = allocated
	}
}

// turn begins or ends the rest.
func (t *thrift) turn(resting bool) {
	t.resting = resting
	if !resting {
		t.setPercent(t.percent)
		return
	}
	t.collected = time.Time{}
	t.setPercent(restPercent)
	t.arm()
}

func (t *thrift) arm() {
	if !t.armed {
		t.armed = true
		t.onCollection(t.collection)
	}
}

// collection follows each collection at rest, and ends the rest when the one
// before was moments ago.
func (t *thrift) collection() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	if !t.resting {
		return
	}
	now := time.Now()
	if now.Sub(t.collected) < busyGap {
		t.turn(false)
		return
	}
	t.collected = now
	t.arm()
}

// afterCollection has fn called once the collector has run: it finds an object
// that nobody refers to.
func afterCollection(fn func()) {
	runtime.AddCleanup(new([64]byte), func(fn func()) { fn() }, fn)
}

// percentFor is workPercent, or what allows mostGarbage beside a large heap.
func percentFor(live uint64) int {
	percent := int(100 * mostGarbage / max(live, 1) / workStep * workStep)
	return min(max(percent, restPercent), workPercent)
}

func allocated() uint64 { return counted("/gc/heap/allocs:bytes") }

func live() uint64 { return counted("/gc/heap/live:bytes") }

func counted(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// tuneProcess sets what only a program may set for itself, not a library. What is
// stored in memory has no place in a budget that is made for the rest. It reports
// whether the collector is ours to steer, rather than the operator's.
func tuneProcess(storesInMemory bool) bool {
	if runtime.GOMAXPROCS(0) == 1 {
		// A blocking fsync holds the only processor, and batches shrink to one.
		runtime.GOMAXPROCS(2)
	}
	if os.Getenv("GOMEMLIMIT") == "" && !storesInMemory {
		debug.SetMemoryLimit(memoryLimit)
	}
	ours := os.Getenv("GOGC") == ""
	if ours {
		debug.SetGCPercent(workPercent)
	}
	return ours
}
