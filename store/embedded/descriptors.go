package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// descriptorPatience is how long the opening of a file waits for a free
	// descriptor, descriptorPoll how often it tries. Connections, which have
	// most of them, ask less often.
	descriptorPatience = 30 * time.Second
	descriptorPoll     = 20 * time.Millisecond
	// What openFiles is in between.
	leastOpenFiles, mostOpenFiles = 64, 512
)

// patient is a file system that waits for a file descriptor when there is none.
// The database takes that for a broken disk, although nothing is wrong that the
// end of some connections would not mend.
type patient struct {
	vfs.FS
	log *slog.Logger
	// ended is closed when the store has failed: then nothing is waited for.
	ended  <-chan struct{}
	warned atomic.Int64 // when a wait was last logged, in Unix ns
}

var _ vfs.FS = (*patient)(nil)

func (p *patient) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(func() (vfs.File, error) { return p.FS.Create(name, category) })
}

func (p *patient) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return p.open(func() (vfs.File, error) { return p.FS.Open(name, opts...) })
}

func (p *patient) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return p.open(func() (vfs.File, error) { return p.FS.OpenReadWrite(name, category, opts...) })
}

func (p *patient) OpenDir(name string) (vfs.File, error) {
	return p.open(func() (vfs.File, error) { return p.FS.OpenDir(name) })
}

// ReuseForWrite renames first: when the file cannot be opened then, it has its
// new name already.
func (p *patient) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.ReuseForWrite(oldname, newname, category)
	if !noDescriptor(err) {
		return f, err
	}
	return p.OpenReadWrite(newname, category)
}

func (p *patient) Unwrap() vfs.FS { return p.FS }

// open tries until there is a descriptor, or for as long as patience lasts.
func (p *patient) open(try func() (vfs.File, error)) (vfs.File, error) {
	f, err := try()
	if !noDescriptor(err) {
		return f, err
	}
	p.warn(err)
	again := time.NewTicker(descriptorPoll)
	defer again.Stop()
	for over := time.After(descriptorPatience); ; {
		select {
		case <-again.C:
		case <-p.ended:
			return nil, err
		case <-over:
			return nil, fmt.Errorf("after %v: %w", descriptorPatience, err)
		}
		if f, err = try(); !noDescriptor(err) {
			return f, err
		}
	}
}

// warn tells the operator, once a minute.
func (p *patient) warn(err error) {
	now := time.Now().UnixNano()
	if last := p.warned.Load(); now-last < int64(time.Minute) || !p.warned.CompareAndSwap(last, now) {
		return
	}
	p.log.Warn("the store waits for a file descriptor", slog.String("remedy", "raise the limit of open files (ulimit -n, or LimitNOFILE= of the service)"),
		slog.Any("error", err))
}

// noDescriptor reports whether err says that the process, or the machine, has
// no file descriptor left.
func noDescriptor(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
