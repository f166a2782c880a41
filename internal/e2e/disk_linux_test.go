package e2e_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postern-dev/postern/internal/testkit"
)

// onSmallDisks runs a test some times, each on a world of its own and with its
// own random numbers, in a namespace where disks can be mounted.
func onSmallDisks(t *testing.T, small, full int, round func(w *diskWorld, random *rand.Rand)) {
	t.Helper()
	inNamespace(t, unix.CLONE_NEWNS, func(t *testing.T) {
		seed := testkit.Seed(t)
		var sum diskTally
		for n := range testkit.Count(small, full) {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			w := newDiskWorld(t, mount(t, 128<<20), random)
			// A store of its own can fill this much, so that there is enough when
			// all space is given back.
			w.disk.leave(int64(32+random.IntN(32)) << 20)
			round(w, random)
			w.finish()
			sum.add(&w.diskTally)
			if t.Failed() {
				t.Fatalf("round %d", n)
			}
		}
		t.Logf("%d rounds: %s", testkit.Count(small, full), &sum)
	})
}

// The disk runs full of what is accepted: that is refused, with the reason and
// the way out, and everything else goes on; when there is space again, so does
// this, and the server was never started anew.
func TestSoakDiskMetByAccepts(t *testing.T) {
	t.Parallel()
	onSmallDisks(t, 1, 20, func(w *diskWorld, random *rand.Rand) {
		w.start()
		ingest := w.source()
		refused := w.publishUntilRefused(1<<10<<random.IntN(10), 1<<random.IntN(7))
		w.checkRefusal(refused)
		inbound, err := w.api.send("POST", ingest, http.Header{"X-Github-Event": {"push"}}, strings.NewReader("{}"))
		if err != nil || inbound.status != http.StatusServiceUnavailable || inbound.header.Get("Retry-After") == "" {
			w.t.Errorf("an inbound request on a full disk: %+v, %v", inbound, err)
		}
		if health := w.api.call("GET", "/health", nil); health.status != http.StatusOK {
			w.t.Errorf("health of a server with a full disk: %d %s", health.status, health.body)
		}
		w.deliverAll()
		w.metric("postern_store_full", 1)
		w.disk.leave(w.disk.size)
		w.awaitAccepted()
		w.metric("postern_store_full", 0)
		if !holds(patience, w.ballast) {
			w.t.Error("no reserve is held again")
		}
		if w.ended() {
			w.t.Error("the server was not to end")
		}
		w.once = true
	})
}

// Messages are accepted no more, and what is under way still is settled when
// the rest of the disk goes too, in one step or in several.
func TestSoakDiskMetBySettles(t *testing.T) {
	t.Parallel()
	onSmallDisks(t, 1, 30, func(w *diskWorld, random *rand.Rand) {
		w.flaky.Store(true)
		w.start()
		for range 200 + random.IntN(400) {
			w.publish(w.api, random.IntN(8<<10))
		}
		if random.IntN(2) == 0 {
			w.disk.leave(random.Int64N(2 << 20))
			w.awaitRefused()
		}
		for range 1 + random.IntN(3) {
			w.disk.leave(0)
			w.watch(time.Duration(50+random.IntN(500)) * time.Millisecond)
		}
	})
}

// Heavy traffic has the store write tables and merge them while space is left
// for the log at best.
func TestSoakDiskMetByCompactions(t *testing.T) {
	t.Parallel()
	onSmallDisks(t, 1, 30, func(w *diskWorld, random *rand.Rand) {
		w.flaky.Store(true)
		w.disk.leave(w.disk.size)
		w.start()
		stop := w.publishers(4, 32<<10)
		w.watch(time.Duration(random.IntN(500)) * time.Millisecond)
		for range 1 + random.IntN(4) {
			w.disk.leave(random.Int64N(1+random.Int64N(12<<20)) * int64(random.IntN(2)))
			w.watch(time.Duration(random.IntN(300)) * time.Millisecond)
		}
		stop()
	})
}

// A server is started on a disk that is full, or nearly: it serves, or ends
// with the code that says so, and hinders no later start.
func TestSoakDiskFullAtStart(t *testing.T) {
	t.Parallel()
	onSmallDisks(t, 1, 20, func(w *diskWorld, random *rand.Rand) {
		for range 12 {
			w.disk.leave(random.Int64N(1+random.Int64N(12<<20)) * int64(random.IntN(2)))
			w.tryStart()
			w.kill()
		}
		w.disk.leave(w.disk.size)
		w.start()
		w.flaky.Store(true)
		for range 50 + random.IntN(400) {
			w.publish(w.api, 32<<10) // lies in a log, which a start has to make tables of
		}
		w.kill()
		if random.IntN(2) == 0 { // somebody in need of space has found a large file
			if err := os.Remove(filepath.Join(w.dir, "ballast")); err != nil {
				w.t.Error(err)
			}
		}
		for range 12 {
			w.disk.leave(random.Int64N(1 + random.Int64N(16<<20)))
			before := len(w.files())
			w.tryStart()
			w.kill()
			if now := len(w.files()); now > before+16 {
				w.t.Errorf("one start had %d files become %d: %v", before, now, w.files())
			}
		}
	})
}

// Space comes and goes at random moments, under load, and the server is killed
// now and then.
func TestSoakFullDisk(t *testing.T) {
	t.Parallel()
	onSmallDisks(t, 1, 20, func(w *diskWorld, random *rand.Rand) {
		w.flaky.Store(true)
		w.start()
		stop := w.publishers(3, 1<<10<<random.IntN(6))
		for range testkit.Count(8, 40) {
			switch random.IntN(8) {
			case 0:
				w.kill()
			case 1:
				w.disk.leave(w.disk.size / 2)
			case 2, 3:
				w.disk.leave(0)
			default:
				w.disk.leave(random.Int64N(w.disk.size / 2))
			}
			w.watch(time.Duration(20+random.IntN(300)) * time.Millisecond)
			if w.ended() {
				w.tryStart()
			}
		}
		stop()
	})
}

// disk is a small one. What others would store there is one file, the filler.
type disk struct {
	t      *testing.T
	dir    string
	size   int64
	filler *os.File
}

// mount mounts a disk in memory until the test's end.
func mount(t *testing.T, size int64) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir(), size: size}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size="+strconv.FormatInt(size, 10)); err != nil {
		refused(t, err)
	}
	t.Cleanup(func() {
		d.filler.Close()
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	})
	var err error
	if d.filler, err = os.Create(filepath.Join(d.dir, "filler")); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *disk) free() int64 {
	d.t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// leave has the filler grow or shrink until so many bytes are free, as nearly
// as a server lets it that writes meanwhile; the disk's size, or more than can
// be, removes it.
func (d *disk) leave(bytes int64) {
	d.t.Helper()
	info, err := d.filler.Stat()
	if err != nil {
		d.t.Fatal(err)
	}
	held := info.Size()
	for range 100 { // others write, so that it may have changed since it was measured
		more := d.free() - bytes
		if more <= 0 {
			if err := d.filler.Truncate(max(held+more, 0)); err != nil {
				d.t.Fatal(err)
			}
			return
		}
		err := unix.Fallocate(int(d.filler.Fd()), 0, held, more)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}
