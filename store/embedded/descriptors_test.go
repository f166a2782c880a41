package embedded

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// exhausted has every n-th opening of a file find no descriptor.
type exhausted struct {
	n     int64
	count atomic.Int64
}

func (*exhausted) String() string { return "exhausted" }

func (e *exhausted) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpOpen, errorfs.OpOpenDir:
		if e.count.Add(1)%e.n == 0 {
			return syscall.EMFILE
		}
	}
	return nil
}

// Whatever file it is that finds no descriptor at first, the store goes on.
func TestFilesWaitForDescriptors(t *testing.T) {
	for _, n := range []int64{2, 3, 5} {
		inject := &exhausted{n: n}
		s, err := Open(t.Context(), "file:store", Options{
			FS: errorfs.Wrap(vfs.NewMem(), inject), Logger: quiet(), MemtableBytes: 256 << 10, ReserveBytes: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := script(t, s); got != 24 {
			t.Errorf("every opening of %d fails: %d batches, %v", n, got, s.failed())
		}
		closeStore(t, s)
		if opened := inject.count.Load(); opened < 20 {
			t.Errorf("%d files were opened: too few to mean anything", opened)
		}
	}
}

// The wait has an end, and does not outlast the store.
func TestPatienceHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		p := &patient{FS: errorfs.Wrap(vfs.NewMem(), &exhausted{n: 1}), log: quiet(), ended: ended}
		wait := func() time.Duration {
			begun := time.Now()
			if _, err := p.Create("a", vfs.WriteCategoryUnspecified); !errors.Is(err, syscall.EMFILE) {
				t.Errorf("%v", err)
			}
			return time.Since(begun)
		}
		if took := wait(); took != descriptorPatience {
			t.Errorf("gave up after %v", took)
		}
		time.AfterFunc(time.Second, func() { close(ended) })
		if took := wait(); took != time.Second {
			t.Errorf("ended %v after the store's end", took-time.Second)
		}
	})
}

// A log that is used again has its new name by the time that it is opened.
func TestReuseWithoutDescriptor(t *testing.T) {
	mem := vfs.NewMem()
	if f, err := mem.Create("old", vfs.WriteCategoryUnspecified); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	p := &patient{FS: renamed{mem}, log: quiet()}
	f, err := p.ReuseForWrite("old", "new", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// renamed reuses a file as far as renaming it.
type renamed struct{ vfs.FS }

func (r renamed) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := r.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return nil, syscall.EMFILE
}
