package embedded

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/storetest"
)

// A store in memory and one on the disk of the machine pass the suite as they
// are. The disk that can lose its power is simulated: it knows what was synced.

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) store.Store { return openAt(t, "memory:", nil) },
	})
}

func TestFolder(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T) store.Store { return openAt(t, "file:"+t.TempDir()+"/store", nil) },
		Reopen: func(t *testing.T, s store.Store, _ storetest.How) store.Store {
			closeStore(t, s)
			return openAt(t, "file:"+s.(*Store).dir, nil)
		},
	})
}

func TestCrashes(t *testing.T) {
	disks := &disks{of: map[store.Store]*disk{}}
	storetest.Run(t, storetest.Harness{Open: disks.open, Reopen: disks.reopen, Stall: disks.stall})
}

func openAt(t *testing.T, url string, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{FS: fs, Logger: quiet(), ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// disk is a simulated one and what can be done to it.
type disk struct {
	mem *vfs.MemFS
	mu  sync.Mutex
	// stalled, when set, is called by the next sync of a log.
	stalled func()
	waits   bool // a sync is held up
}

// MaybeError implements errorfs.Injector; it holds up, and injects nothing.
func (d *disk) MaybeError(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	d.mu.Lock()
	stalled := d.stalled
	d.stalled = nil
	d.mu.Unlock()
	if stalled != nil {
		stalled()
	}
	return nil
}

func (d *disk) String() string { return "stall" }

type disks struct {
	mu sync.Mutex
	of map[store.Store]*disk
}

func (ds *disks) open(t *testing.T) store.Store { return ds.mount(t, vfs.NewCrashableMem()) }

func (ds *disks) mount(t *testing.T, mem *vfs.MemFS) store.Store {
	t.Helper()
	d := &disk{mem: mem}
	s := openAt(t, "file:store", errorfs.Wrap(mem, d))
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.of[s] = d
	return s
}

func (ds *disks) disk(s store.Store) *disk {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.of[s]
}

func (ds *disks) reopen(t *testing.T, s store.Store, how storetest.How) store.Store {
	t.Helper()
	d := ds.disk(s)
	if how == storetest.Clean {
		closeStore(t, s)
		return ds.mount(t, d.mem)
	}
	percent := map[storetest.How]int{storetest.Kill: 100, storetest.PowerLoss: 0, storetest.PowerLossHalf: 50}[how]
	after := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(3, 4))})
	d.mu.Lock()
	waits := d.waits
	d.mu.Unlock()
	if !waits { // else the test lets it go on, and its cleanup closes it
		closeStore(t, s)
	}
	return ds.mount(t, after)
}

func (ds *disks) stall(_ *testing.T, s store.Store) (<-chan struct{}, func()) {
	d := ds.disk(s)
	reached, released := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = func() {
		d.mu.Lock()
		d.waits = true
		d.mu.Unlock()
		close(reached)
		<-released
	}
	return reached, func() { close(released) }
}
