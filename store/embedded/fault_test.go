package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// failing fails the n-th change of the disk, and all after it if lasting.
type failing struct {
	n       int64
	lasting bool
	err     error
	count   atomic.Int64
}

func (f *failing) String() string { return "failing" }

func (f *failing) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if n := f.count.Add(1); n == f.n || (f.lasting && n > f.n) {
		return f.err
	}
	return nil
}

// script commits batches until one fails, and returns how many did not. It is
// long enough for several logs, flushes and compactions.
func script(t *testing.T, s *Store) (acknowledged uint64) {
	t.Helper()
	head, now := store.Head{Next: 1, Low: 1}, time.UnixMilli(1_770_000_000_000)
	for i := range 24 {
		m := &postern.Message{ID: postern.NewMessageID(now, 1, head.Next, 1), Application: 1, Routes: []postern.EndpointNumber{1}}
		head.Next++
		head.Batch++
		now = now.Add(time.Hour)
		head.LastTime = now
		b := store.Batch{Head: head, Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: make([]byte, 40_000)}}}}
		if i == 20 {
			b.DropDay = store.DayOf(now) - 1
		}
		if err := s.Commit(t.Context(), &b); err != nil {
			again := store.Batch{Head: head}
			again.Head.Batch++
			if err2 := s.Commit(t.Context(), &again); err2 == nil {
				t.Errorf("a commit after %v: nil", err)
			}
			return head.Batch - 1
		}
	}
	return head.Batch
}

// TestFaultWalk fails every single change of the disk in turn: no batch that
// was acknowledged is missing afterwards, whatever the power loss on top keeps,
// and the process lives.
func TestFaultWalk(t *testing.T) {
	total := walkOnce(t, -1, false, nil)
	if total < 100 {
		t.Fatalf("the script changes the disk %d times: too few to mean anything", total)
	}
	step := int64(testkit.Count(11, 1))
	for n := 1 + int64(testkit.Seed(t))&0xffff%step; n <= total; n += step {
		for _, lasting := range []bool{false, true} {
			for _, err := range []error{errors.New("injected"), syscall.ENOSPC} {
				walkOnce(t, n, lasting, err)
				if t.Failed() {
					t.Fatalf("change %d of %d, lasting %t, %v", n, total, lasting, err)
				}
			}
		}
	}
}

func walkOnce(t *testing.T, n int64, lasting bool, fault error) int64 {
	t.Helper()
	mem := vfs.NewCrashableMem()
	inject := failing{n: n, lasting: lasting, err: fault}
	var fatal atomic.Int64
	s, err := Open(t.Context(), "file:store", Options{
		FS: errorfs.Wrap(mem, &inject), Logger: quiet(), MemtableBytes: 256 << 10, ReserveBytes: -1,
		OnFatal: func(error) { fatal.Add(1) },
	})
	var acknowledged uint64
	if err == nil {
		acknowledged = script(t, s)
		failed := s.failed() != nil
		for _, percent := range []int{0, 50, 100} {
			verify(t, mem, percent, acknowledged)
		}
		if err := s.Close(); err != nil && n < 0 {
			t.Errorf("Close: %v", err)
		}
		if failed && fatal.Load() != 1 {
			t.Errorf("OnFatal was called %d times", fatal.Load())
		}
	}
	verify(t, mem, 100, acknowledged)
	return inject.count.Load()
}

// verify opens what a power loss leaves and looks for what was acknowledged.
func verify(t *testing.T, mem *vfs.MemFS, percent int, acknowledged uint64) {
	t.Helper()
	left := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, uint64(percent)))})
	s, err := Open(t.Context(), "file:store", Options{FS: left, Logger: quiet(), ReserveBytes: -1})
	if err != nil {
		t.Errorf("%d %% kept: open: %v", percent, err)
		return
	}
	defer s.Close()
	head, err := s.Head(t.Context())
	if err != nil || head.Batch < acknowledged {
		t.Errorf("%d %% kept: head of batch %d, acknowledged %d, %v", percent, head.Batch, acknowledged, err)
	}
	newest, err := s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1})
	if err != nil || (acknowledged > 0 && (len(newest.Messages) == 0 || newest.Messages[0].ID.Position() < acknowledged)) {
		t.Errorf("%d %% kept: newest %+v, acknowledged %d, %v", percent, newest, acknowledged, err)
	}
}

// TestFatalClosesTheDatabase: a failed log ends the store at once, without a
// further commit, and tells so.
func TestFatalClosesTheDatabase(t *testing.T) {
	var broken atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	})
	told := make(chan error, 2)
	s, err := Open(t.Context(), "file:store", Options{
		FS: errorfs.Wrap(vfs.NewMem(), inject), Logger: quiet(), OnFatal: func(err error) { told <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	batch := store.Batch{Head: store.Head{Batch: 1, Next: 1}}
	if err := s.Commit(t.Context(), &batch); postern.KindOf(err) != postern.Internal || err == nil {
		t.Errorf("Commit to a broken log: %v, want an error of kind internal", err)
	}
	if err := <-told; !errors.Is(err, syscall.EIO) {
		t.Errorf("OnFatal heard %v", err)
	}
	if _, err := s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1}); err == nil {
		t.Error("a failed store is read")
	}
	if err := s.Admit(); postern.KindOf(err) != postern.Unavailable || !errors.Is(err, syscall.EIO) {
		t.Errorf("a failed store admits: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a failed store: %v", err)
	}
}

// TestFrozenBeforeAnybodyIsTold: of several that fail at once each finds the
// disk frozen when it goes on, as if nothing had happened.
func TestFrozenBeforeAnybodyIsTold(t *testing.T) {
	for range testkit.Count(20_000, 200_000) {
		s := &Store{guard: &guard{}, down: make(chan struct{})}
		var all sync.WaitGroup
		var ready atomic.Int64
		for range 2 {
			all.Go(func() {
				for ready.Add(1); ready.Load() < 2; { // both at the same moment
					runtime.Gosched()
				}
				if s.fail(syscall.EIO); !s.guard.frozen.Load() {
					t.Error("a failed store's disk can still be changed")
				}
			})
		}
		if all.Wait(); t.Failed() {
			return
		}
	}
}

// smallDisk is a disk whose free space the test sets.
type smallDisk struct {
	vfs.FS
	free atomic.Int64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(d.free.Load()), TotalBytes: 1 << 30}, nil
}

func TestDiskWatch(t *testing.T) {
	const reserve = 1 << 20
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(100 * reserve)
	var now atomic.Int64
	s, err := Open(t.Context(), "file:store", Options{
		FS: disk, Logger: quiet(), ReserveBytes: reserve, Now: func() time.Time { return time.Unix(now.Load(), 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ballast := func() bool { _, err := disk.Stat("store/ballast"); return err == nil }
	step := func(what string, free int64, full, held bool) {
		t.Helper()
		disk.free.Store(free)
		now.Add(2)
		if err := s.Admit(); errors.Is(err, postern.ErrUnavailable) != full {
			t.Errorf("%s: Admit: %v", what, err)
		}
		if ballast() != held {
			t.Errorf("%s: ballast there: %t", what, ballast())
		}
		usage, err := s.Usage(t.Context())
		if err != nil || usage.Full != full || usage.FreeBytes != free || usage.ReserveBytes != reserve {
			t.Errorf("%s: usage %+v, %v", what, usage, err)
		}
	}
	step("plenty", 50*reserve, false, true)
	step("just enough", reserve, false, true)
	step("short", reserve-1, true, false)
	if err := s.Commit(t.Context(), &store.Batch{Head: store.Head{Batch: 1}}); err != nil {
		t.Errorf("a batch of settles on a full disk: %v", err)
	}
	step("what the ballast gave is not enough", 2*reserve, true, false)
	step("room for the ballast and a quarter", 2*reserve+reserve/4, false, true)
	if disk.free.Store(0); s.Admit() != nil {
		t.Error("the disk is looked at more than once a second")
	}
	step("plenty again", 50*reserve, false, true)
	disk.free.Store(0)
	large := make([]byte, reserve/checkShare+1)
	batch := store.Batch{Head: store.Head{Batch: 2, Next: 2}, Accepts: []store.Accept{{
		Message: &postern.Message{ID: postern.NewMessageID(time.Unix(0, 0), 1, 1, 1), Application: 1}, Content: &postern.Content{Payload: large},
	}}}
	if err := s.Commit(t.Context(), &batch); err != nil || s.Admit() == nil || ballast() {
		t.Errorf("after a large batch on a full disk, within a second: %v; ballast there: %t", err, ballast())
	}
	if s.backgroundError(fmt.Errorf("flush: %w", syscall.ENOSPC)); s.failed() == nil {
		t.Error("a failed flush does not end the store")
	}
}

func TestDefaultReserve(t *testing.T) {
	const mib, gib = int64(1) << 20, int64(1) << 30
	for total, want := range map[int64]int64{
		64 * mib: 8 * mib, 400 * mib: 50 * mib, 512 * mib: 64 * mib, 20 * gib: 64 * mib,
		500 * gib: 500 * gib / 1000, 5000 * gib: gib,
	} {
		if got := defaultReserve(total); got != want {
			t.Errorf("of %d MiB: %d MiB, want %d", total/mib, got/mib, want/mib)
		}
	}
}

// brimful is a disk that has no space from its n-th change on, the ballast's
// not counted, until that is removed.
type brimful struct {
	n           int64
	held, given atomic.Bool
	count       atomic.Int64
}

func (*brimful) String() string { return "brimful" }

func (b *brimful) MaybeError(op errorfs.Op) error {
	removed := op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpRemoveAll
	switch {
	case strings.HasSuffix(op.Path, ballastName):
		b.held.Store(true)
		if removed {
			b.given.Store(true)
		}
		return nil
	case removed || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !b.held.Load():
		return nil
	}
	// Syncing is where space has been had.
	syncs := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	if n := b.count.Add(1); n >= b.n && b.n > 0 && !b.given.Load() && !syncs {
		return syscall.ENOSPC
	}
	return nil
}

// TestBallastWalk has the disk run full at every single change in turn, be it
// of the log, a table or the manifest: the ballast is given back, everything
// goes on, and nobody notices.
func TestBallastWalk(t *testing.T) {
	walk := func(n int64) int64 {
		mem := vfs.NewCrashableMem()
		full := brimful{n: n}
		disk := &smallDisk{FS: errorfs.Wrap(mem, &full)}
		disk.free.Store(1 << 29)
		s, err := Open(t.Context(), "file:store", Options{
			FS: disk, Logger: quiet(), MemtableBytes: 256 << 10, ReserveBytes: 64 << 10,
		})
		if err != nil {
			t.Fatalf("full at change %d: Open: %v", n, err)
		}
		acknowledged := script(t, s)
		if acknowledged != 24 || s.failed() != nil {
			t.Errorf("full at change %d: %d batches of 24, failed %v", n, acknowledged, s.failed())
		}
		if err := s.Close(); err != nil {
			t.Errorf("full at change %d: Close: %v", n, err)
		}
		verify(t, mem, 100, acknowledged)
		return full.count.Load()
	}
	total := walk(0)
	step := int64(testkit.Count(17, 1))
	for n := 1 + int64(testkit.Seed(t))&0xffff%step; n <= total && !t.Failed(); n += step {
		walk(n)
	}
}

func TestOpenErrors(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	expect := func(err error, kind postern.Kind, text string) {
		t.Helper()
		if err == nil || postern.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want kind %v and %q", err, kind, text)
		}
	}
	for _, url := range []string{"", "file:", "memory", "postgres://x", dir} {
		_, err := Open(ctx, url, Options{})
		expect(err, postern.Invalid, "want file:DIR or memory:")
	}
	s := openAt(t, "file:"+dir+"/store", nil)
	info, err := vfs.Default.Stat(s.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info.Mode(), err)
	}
	_, err = Open(ctx, "file:"+s.dir, Options{Logger: quiet()})
	expect(err, postern.Unavailable, "another process uses it")

	f, err := vfs.Default.Create(dir+"/file", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, err = Open(ctx, "file:"+dir+"/file", Options{})
	expect(err, postern.Invalid, "there is a file of that name")

	denied := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpMkdirAll {
			return fs.ErrPermission
		}
		return nil
	}))
	_, err = Open(ctx, "file:store", Options{FS: denied})
	expect(err, postern.Forbidden, "no permission")

	if err := s.db.Set(formatKey, []byte{9}, nil); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	_, err = Open(ctx, "file:"+s.dir, Options{Logger: quiet()})
	expect(err, postern.Conflict, "format version 9, this binary knows up to 1: use a newer postern")
}

// TestCheckpointOpens: the copy is a store with all that was committed.
func TestCheckpointOpens(t *testing.T) {
	s := openAt(t, "file:"+t.TempDir()+"/store", nil)
	batch := store.Batch{Head: store.Head{Batch: 1, Next: 5, Low: 2}}
	if err := s.Commit(t.Context(), &batch); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/copy"
	if err := s.Checkpoint(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	head, err := openAt(t, "file:"+dir, nil).Head(t.Context())
	if err != nil || head != batch.Head {
		t.Errorf("head of the copy: %+v, %v", head, err)
	}
}

// TestDropDayShrinks: what a dropped day held leaves the disk, without further
// writes, whether it has long sunk to the lowest level or is still at the
// uppermost.
func TestDropDayShrinks(t *testing.T) {
	for _, sunk := range []bool{true, false} {
		t.Run(fmt.Sprintf("sunk=%t", sunk), func(t *testing.T) { testDropDayShrinks(t, sunk) })
	}
}

func testDropDayShrinks(t *testing.T, sunk bool) {
	s, err := Open(t.Context(), "file:store", Options{FS: vfs.NewMem(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	head, now := store.Head{Next: 1, Low: 1}, time.UnixMilli(1_770_000_000_000)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 6 {
		var b store.Batch
		for range 400 {
			payload := make([]byte, 8<<10)
			for i := range payload {
				payload[i] = byte(rnd.Uint32())
			}
			m := &postern.Message{ID: postern.NewMessageID(now, 1, head.Next, 1), Application: 1}
			head.Next++
			b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{Payload: payload}})
		}
		head.Batch++
		head.LastTime = now
		b.Head = head
		if err := s.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		now = now.Add(24 * time.Hour)
	}
	if sunk {
		if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
	} else if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	before := s.db.Metrics().Total().TablesSize
	head.Batch++
	if err := s.Commit(t.Context(), &store.Batch{Head: head, DropDay: store.DayOf(now) - 2}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		if size := s.db.Metrics().Total().TablesSize; size < before/3 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d bytes before, %d after 5 of 6 days were dropped", before, s.db.Metrics().Total().TablesSize)
		}
	}
}
