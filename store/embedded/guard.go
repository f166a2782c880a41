package embedded

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard is a file system that turns the first failed write of a log, manifest
// or marker into a crash of the disk: from then on it changes nothing any more
// and reports success, so that what is on the disk stays as a crash at that
// moment would have left it.
//
// The database cannot be let see such a failure. It panics when it cannot
// begin or end a log, in a place where recovering is impossible, and retries a
// failed manifest write in a tight loop. Nobody is misled by the success
// reported here: onFault marks the store as failed before the failing call
// returns, and Commit looks at that mark before it answers.
//
// Failures of tables pass through: the database cleans up and reports them.
type guard struct {
	vfs.FS
	frozen  atomic.Bool
	onFault func(error)
	// syncs counts those of data, which are the logs'.
	syncs atomic.Int64
	// rest is how long whoever writes a table pauses after every restEvery bytes;
	// 0 for not at all. Flushes and compactions compute for tens of milliseconds,
	// and the scheduler takes a processor from them only every 10: where both have
	// both processors, nothing else runs and the network is not looked at. To
	// sleep, not to yield: what yields can run again, and so keeps the scheduler
	// from the network.
	rest time.Duration
}

const (
	restEvery = 16 << 10 // about 0.3 ms of merging and compressing
	tableRest = 50 * time.Microsecond
)

var _ vfs.FS = (*guard)(nil)

// critical reports whether a file's loss would lose what was committed.
func (g *guard) critical(name string) bool {
	base := g.PathBase(name)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

// fault reports what failed, if it was critical, whereupon the store freezes
// the guard; it returns the error that the database is to see.
func (g *guard) fault(critical bool, op, name string, err error) error {
	if err == nil || !critical {
		return err
	}
	g.onFault(fmt.Errorf("%s %s: %w", op, g.PathBase(name), err))
	return nil
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if g.frozen.Load() {
		return sink{}, nil
	}
	f, err := g.FS.Create(name, category)
	return g.wrap(f, name, "create", err)
}

func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if g.frozen.Load() {
		return sink{}, nil
	}
	f, err := g.FS.ReuseForWrite(oldname, newname, category)
	return g.wrap(f, newname, "reuse", err)
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, g: g, name: name, critical: true}, nil
}

func (g *guard) wrap(f vfs.File, name, op string, err error) (vfs.File, error) {
	critical := g.critical(name)
	if err != nil {
		if err = g.fault(critical, op, name, err); err == nil {
			return sink{}, nil
		}
		return nil, err
	}
	return &guardedFile{File: f, g: g, name: name, critical: critical}, nil
}

func (g *guard) change(op, name string, do func() error) error {
	if g.frozen.Load() {
		return nil
	}
	return g.fault(g.critical(name), op, name, do())
}

func (g *guard) Remove(name string) error {
	if g.frozen.Load() {
		return nil
	}
	// An old file that stays does no harm.
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if g.frozen.Load() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) Rename(oldname, newname string) error {
	return g.change("rename", newname, func() error { return g.FS.Rename(oldname, newname) })
}

func (g *guard) Link(oldname, newname string) error {
	return g.change("link", newname, func() error { return g.FS.Link(oldname, newname) })
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.change("mkdir", dir, func() error { return g.FS.MkdirAll(dir, perm) })
}

// GetDiskUsage says "unsupported" for every failure: the database takes any
// other for a fault of its own.
func (g *guard) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := g.FS.GetDiskUsage(path)
	if err != nil {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return usage, nil
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file under the guard's eye.
type guardedFile struct {
	vfs.File
	g        *guard
	name     string
	critical bool
	unrested int // bytes of a table written since the last rest
}

func (f *guardedFile) Write(p []byte) (int, error) {
	if f.g.frozen.Load() {
		return len(p), nil
	}
	f.pause(len(p))
	n, err := f.File.Write(p)
	if err = f.g.fault(f.critical, "write", f.name, err); err == nil {
		n = len(p)
	}
	return n, err
}

// pause lets others run between pieces of a table. A file has one writer.
func (f *guardedFile) pause(n int) {
	if f.critical || f.g.rest == 0 {
		return
	}
	if f.unrested += n; f.unrested >= restEvery {
		f.unrested = 0
		time.Sleep(f.g.rest)
	}
}

func (f *guardedFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.g.frozen.Load() {
		return len(p), nil
	}
	n, err := f.File.WriteAt(p, offset)
	if err = f.g.fault(f.critical, "write", f.name, err); err == nil {
		n = len(p)
	}
	return n, err
}

func (f *guardedFile) Sync() error {
	if f.g.frozen.Load() {
		return nil
	}
	return f.g.fault(f.critical, "sync", f.name, f.File.Sync())
}

func (f *guardedFile) SyncData() error {
	if f.g.frozen.Load() {
		return nil
	}
	f.g.syncs.Add(1)
	return f.g.fault(f.critical, "sync", f.name, f.File.SyncData())
}

func (f *guardedFile) SyncTo(length int64) (bool, error) {
	if f.g.frozen.Load() {
		return false, nil
	}
	full, err := f.File.SyncTo(length)
	return full, f.g.fault(f.critical, "sync", f.name, err)
}

func (f *guardedFile) Preallocate(offset, length int64) error {
	if f.g.frozen.Load() {
		return nil
	}
	return f.File.Preallocate(offset, length) // a hint: its failure costs nothing
}

func (f *guardedFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err = f.g.fault(f.critical, "stat", f.name, err); err == nil && info == nil {
		return sinkInfo{}, nil
	}
	return info, err
}

func (f *guardedFile) Close() error {
	err := f.File.Close()
	if f.g.frozen.Load() {
		return nil
	}
	return f.g.fault(f.critical, "close", f.name, err)
}

// sink is a file of a frozen guard: it takes everything and holds nothing.
type sink struct{}

var _ vfs.File = sink{}

func (sink) Close() error                           { return nil }
func (sink) Read([]byte) (int, error)               { return 0, io.EOF }
func (sink) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (sink) Write(p []byte) (int, error)            { return len(p), nil }
func (sink) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (sink) Preallocate(int64, int64) error         { return nil }
func (sink) Sync() error                            { return nil }
func (sink) SyncTo(int64) (bool, error)             { return false, nil }
func (sink) SyncData() error                        { return nil }
func (sink) Prefetch(int64, int64) error            { return nil }
func (sink) Fd() uintptr                            { return vfs.InvalidFd }
func (sink) Stat() (vfs.FileInfo, error)            { return sinkInfo{}, nil }

// sinkInfo describes a sink: an empty file.
type sinkInfo struct{}

func (sinkInfo) Name() string           { return "" }
func (sinkInfo) Size() int64            { return 0 }
func (sinkInfo) Mode() fs.FileMode      { return 0o600 }
func (sinkInfo) ModTime() time.Time     { return time.Time{} }
func (sinkInfo) IsDir() bool            { return false }
func (sinkInfo) Sys() any               { return nil }
func (sinkInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
