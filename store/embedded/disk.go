package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern"
)

const (
	ballastName = "ballast"
	// diskWriteBallast labels the ballast's writes in the file system's
	// statistics.
	diskWriteBallast vfs.DiskWriteCategory = "postern-ballast"
	// checkEvery is how old a look at the disk may be, and checkShare the share
	// of the reserve that may have been written since: every byte is on the disk
	// twice before long, in the log and in a table. Commits and Usage look;
	// nothing ticks, so that idle is idle.
	checkEvery = time.Second
	checkShare = 8

	minReserve = 64 << 20
	maxReserve = 1 << 30
	// minStart is the space below which opening is not tried: it writes a
	// manifest, a log and what the last log held, and would fail half-way.
	minStart = 1 << 20
)

var errFull = &postern.Error{Kind: postern.Unavailable, Code: "disk_full",
	Detail: "the disk of the store is almost full: free some space there, and messages are accepted again"}

// diskWatch keeps accepts from filling the disk. It holds a file of the
// reserve's size, the ballast: when free space falls below the reserve, the
// ballast is given back and accepts are refused, so that settles, retries and
// retention have its space to go on in; when it can be had again, with a
// quarter to spare, it is, and accepts go on.
type diskWatch struct {
	fs      vfs.FS
	ballast string
	dir     string
	log     *slog.Logger
	now     func() time.Time

	mu      sync.Mutex
	reserve int64 // 0 while there is nothing to watch
	free    int64
	checked time.Time
	written int64 // bytes since checked
	held    bool  // the ballast exists
	full    bool
}

// newDiskWatch watches the disk of a folder. It goes past the guard, whose own
// writes have the ballast given back.
func newDiskWatch(dir string, o Options, durable bool) *diskWatch {
	d := &diskWatch{fs: o.FS, dir: dir, ballast: o.FS.PathJoin(dir, ballastName), log: o.Logger, now: o.Now, reserve: o.ReserveBytes}
	usage, err := d.fs.GetDiskUsage(dir)
	if err != nil || usage.TotalBytes == 0 || o.ReserveBytes < 0 || !durable {
		d.reserve = 0
		return d
	}
	if d.reserve == 0 {
		d.reserve = defaultReserve(int64(usage.TotalBytes))
	}
	_, err = d.fs.Stat(d.ballast)
	d.held = err == nil
	d.look(d.now())
	return d
}

// defaultReserve is a thousandth of a disk of so many bytes, within bounds; a
// small disk gives an eighth at most.
func defaultReserve(total int64) int64 {
	return min(max(total/1000, minReserve), maxReserve, total/8)
}

// room is nil if there is space enough to open the database.
func (d *diskWatch) room() error {
	if d.reserve == 0 {
		return nil
	}
	usage, err := d.fs.GetDiskUsage(d.dir)
	if err == nil && usage.AvailBytes < minStart {
		return fmt.Errorf("%d bytes are left: %w", usage.AvailBytes, syscall.ENOSPC)
	}
	return nil
}

// state is the free space, the reserve, and whether accepts are refused.
func (d *diskWatch) state() (free, reserve int64, full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look(d.now())
	return d.free, d.reserve, d.full
}

// wrote counts bytes that are about to be written.
func (d *diskWatch) wrote(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written += int64(bytes)
	d.look(d.now())
}

// look measures if the last look is too old. The caller holds mu, or is alone.
func (d *diskWatch) look(now time.Time) {
	recent := now.Sub(d.checked) < checkEvery && !now.Before(d.checked) && d.written <= d.reserve/checkShare
	if d.reserve == 0 || recent {
		return
	}
	usage, err := d.fs.GetDiskUsage(d.dir)
	if err != nil {
		return // nothing known: as before
	}
	d.checked, d.written, d.free = now, 0, int64(usage.AvailBytes)
	switch {
	case !d.full && d.free < d.reserve:
		d.full = true
		d.release()
		d.log.Warn("disk almost full: accepts are refused", slog.String("dir", d.dir), slog.Int64("free_bytes", d.free))
	case d.full && d.free >= d.wanted():
		d.full = false
		d.log.Info("disk has space again: accepts go on", slog.String("dir", d.dir), slog.Int64("free_bytes", d.free))
	}
	if !d.full && !d.held && d.free >= d.wanted() {
		d.hold()
	}
}

// wanted is the free space at which the ballast can be had again.
func (d *diskWatch) wanted() int64 {
	wanted := d.reserve + d.reserve/4
	if !d.held {
		wanted += d.reserve
	}
	return wanted
}

// giveBack frees the ballast for a database that found the disk full; false
// when it was given already.
func (d *diskWatch) giveBack() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reserve == 0 || !d.held {
		return false
	}
	d.full = true
	d.checked = d.now()
	return d.release()
}

func (d *diskWatch) release() bool {
	if !d.held {
		return false
	}
	if err := d.fs.Remove(d.ballast); err != nil {
		d.log.Warn("the disk's reserve cannot be given back", slog.Any("error", err))
		return false
	}
	d.held = false
	return true
}

// hold makes the ballast, of blocks that are really there.
func (d *diskWatch) hold() {
	if err := d.fill(); err != nil {
		d.log.Warn("no reserve on the disk", slog.Any("error", err))
		_ = d.fs.Remove(d.ballast) // half a ballast is none; the next look tries again
		return
	}
	d.held = true
}

// fill reserves blocks, or writes some where the file system cannot: fewer,
// since a commit waits meanwhile, and of noise, since some keep no zeros.
func (d *diskWatch) fill() error {
	f, err := d.fs.Create(d.ballast, diskWriteBallast)
	if err != nil {
		return err
	}
	if !preallocates || f.Preallocate(0, d.reserve) != nil {
		noise := make([]byte, 1<<20)
		_, _ = rand.Read(noise) // never fails
		for left := min(d.reserve, minReserve); left > 0 && err == nil; left -= int64(len(noise)) {
			_, err = f.Write(noise[:min(left, int64(len(noise)))])
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
