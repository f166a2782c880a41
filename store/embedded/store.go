// Package embedded keeps a store in a folder of one machine, or in memory,
// with nothing to install: Pebble, a log-structured database in pure Go.
//
// One batch is one write of Pebble's, synced before Commit returns. Since
// Pebble shows a batch before it is durable, readers take their snapshot under
// a lock that Commit holds while it writes; only Dedupe reads beside it.
// layout.go says what lies where. Nearly all digests that Dedupe is asked for
// are new, which digests.go knows from memory.
//
// A failed write to the log or the manifest ends the store, not the process:
// the guard in guard.go freezes the disk as a crash would leave it, Commit
// answers with an error from then on, and the folder opens again with all that
// was acknowledged. A flush or compaction that fails does the same. Before a
// full disk counts as a failure, the reserve in disk.go is given back.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Store is an open folder. It is safe for concurrent use, but for Commit,
// which has one caller.
type Store struct {
	store.Sole
	opts    Options
	dir     string
	durable bool
	guard   *guard
	disk    *diskWatch
	lock    *pebble.Lock
	db      *pebble.DB
	meter   meter
	// reclaimer compacts what dropped days leave.
	reclaimer reclaimer

	// gate counts the calls under way, so that the database is closed when
	// there are none; fault is why the store failed, nil while it has not.
	gate  gate
	fault atomic.Pointer[error]
	// down is closed once fault is set.
	down chan struct{}
	// opened is false while Open still owns what fail would have to close.
	opened atomic.Bool
	// ending is done when what goes on in the background has ended.
	ending sync.WaitGroup
	closed sync.Once

	// visible is held by Commit while a batch is written and not yet synced,
	// and by readers while they take a snapshot.
	visible sync.RWMutex
	// writer belongs to Commit; head is the last durable one.
	writer writer
	head   atomic.Pointer[store.Head]
	// began is when the store was opened, mono the same by the monotonic clock.
	began, mono time.Time
	// newest is the half day of the newest id, that of a batch under way
	// included.
	newest atomic.Uint32
	known  known
	// moving is the progress of a move into the store; nil for a whole one.
	moving atomic.Pointer[store.Progress]
}

var _ store.Store = (*Store)(nil)

// Open opens or makes the store at "file:DIR" or "memory:". Its errors are of
// kind Invalid for another address, Unavailable for a folder in use, and
// Conflict for one that a newer version wrote.
func Open(_ context.Context, url string, o Options) (*Store, error) {
	o = o.withDefaults()
	dir, durable, err := folder(url)
	if err != nil {
		return nil, err
	}
	var rest time.Duration
	if o.FS == nil {
		o.FS, rest = vfs.Default, tableRest
		if !durable {
			o.FS, rest = vfs.NewMem(), 0
		}
	}
	s := &Store{opts: o, dir: dir, durable: durable, down: make(chan struct{}), began: o.Now().Round(0), mono: time.Now()}
	s.gate.init()
	files := &patient{FS: o.FS, log: o.Logger, ended: s.down}
	s.guard = &guard{FS: vfs.OnDiskFull(files, s.diskFull), onFault: s.fail, rest: rest}
	if err := s.makeFolder(); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// folder reads a store's address.
func folder(url string) (dir string, durable bool, err error) {
	if url == "memory:" {
		return "postern", false, nil
	}
	dir, ok := strings.CutPrefix(url, "file:")
	if !ok || dir == "" {
		return "", false, &postern.Error{Kind: postern.Invalid, Detail: fmt.Sprintf("store %q: want file:DIR or memory:", url)}
	}
	return strings.TrimPrefix(dir, "//"), true, nil
}

func (s *Store) makeFolder() error {
	info, err := s.opts.FS.Stat(s.dir)
	switch {
	case err == nil && !info.IsDir():
		return &postern.Error{Kind: postern.Invalid, Detail: fmt.Sprintf("store folder %s: there is a file of that name", s.dir)}
	case err == nil:
		return nil
	case s.opts.ReadOnly:
		return s.noStore(err)
	}
	if err := s.opts.FS.MkdirAll(s.dir, 0o700); err != nil {
		return s.openError(err)
	}
	return nil
}

// open opens the database and checks that the folder is ours to read.
func (s *Store) open() error {
	var err error
	if s.lock, err = pebble.LockDirectory(s.dir, s.guard); err != nil {
		return s.lockError(err)
	}
	s.disk = newDiskWatch(s.dir, s.opts, s.durable && !s.opts.ReadOnly)
	if err := s.disk.room(); err != nil {
		return errors.Join(s.openError(err), s.lock.Close())
	}
	cache := pebble.NewCache(s.opts.CacheBytes)
	defer cache.Unref()
	opts := s.opts.database(s.guard, cache)
	opts.Lock = s.lock
	opts.Logger = logger{s}
	opts.EventListener = &pebble.EventListener{BackgroundError: s.backgroundError}
	if s.db, err = pebble.Open(s.dir, opts); err != nil {
		if fault := s.failed(); fault != nil {
			err = fault
		}
		return errors.Join(s.openError(err), s.lock.Close())
	}
	err = s.begin()
	s.opened.Store(true)
	if fault := s.failed(); fault != nil {
		err = s.openError(fault) // a frozen disk reads as a broken one
	}
	if err != nil {
		return errors.Join(err, s.shut())
	}
	return nil
}

// begin reads what the last run left behind, or marks a new folder as ours.
func (s *Store) begin() error {
	version, err := s.get(s.db, formatKey)
	switch {
	case err != nil:
		return err
	case version == nil && s.opts.ReadOnly:
		return s.noStore(nil)
	case version == nil:
		if err := s.db.Set(formatKey, []byte{formatVersion}, pebble.Sync); err != nil {
			return s.openError(err)
		}
	case len(version) != 1 || version[0] > formatVersion:
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf(
			"store folder %s: format version %d, this binary knows up to %d: use a newer postern", s.dir, version[0], formatVersion)}
	}
	head := store.Head{}
	value, err := s.get(s.db, headKey)
	if err != nil {
		return err
	}
	if value != nil {
		if head, err = decodeHead(value); err != nil {
			return err
		}
	}
	s.head.Store(&head)
	s.newest.Store(uint32(halfDayOf(head.LastTime.UnixMilli())))
	s.writer.begin()
	return s.beginMove()
}

func (s *Store) lockError(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOSPC) {
		return s.openError(err)
	}
	return &postern.Error{Kind: postern.Unavailable, Err: err,
		Detail: fmt.Sprintf("store folder %s: another process uses it", s.dir)}
}

func (s *Store) noStore(err error) error {
	return &postern.Error{Kind: postern.NotFound, Err: err, Detail: fmt.Sprintf("store folder %s: there is no store", s.dir)}
}

func (s *Store) openError(err error) error {
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return s.noStore(err)
	case errors.Is(err, fs.ErrPermission):
		return &postern.Error{Kind: postern.Forbidden, Err: err, Detail: fmt.Sprintf("store folder %s: no permission", s.dir)}
	case strings.Contains(err.Error(), "unknown format major version"):
		return &postern.Error{Kind: postern.Conflict, Err: err, Detail: fmt.Sprintf("store folder %s: use a newer postern", s.dir)}
	case errors.Is(err, syscall.ENOSPC):
		return &postern.Error{Kind: postern.Internal, Code: errFull.Code, Err: err,
			Detail: fmt.Sprintf("store folder %s: the disk is full: free some space there and start again", s.dir)}
	}
	return &postern.Error{Kind: postern.Internal, Err: err, Detail: fmt.Sprintf("store folder %s cannot be opened", s.dir)}
}

// Head implements store.Journal.
func (s *Store) Head(context.Context) (store.Head, error) {
	if err := errors.Join(s.failed(), s.whole()); err != nil {
		return store.Head{}, err
	}
	return *s.head.Load(), nil
}

// Capabilities implements store.Maintenance.
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{Durable: s.durable, MaxBatchBytes: s.opts.MemtableBytes / 4}
}

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		err = s.shut()
		if s.failed() != nil {
			err = nil // told by fail, and by every Commit since
		}
	})
	s.ending.Wait()
	return err
}

// shut waits for the calls under way and closes the database, once.
func (s *Store) shut() error {
	if !s.gate.close() {
		return nil
	}
	s.reclaimer.stop()
	s.gate.drain()
	return errors.Join(s.db.Close(), s.lock.Close())
}

// gate counts calls under way and turns new ones away once it is closed. It is
// no lock, so that a call may make another, and closing waits for both.
type gate struct {
	mu     sync.Mutex
	empty  sync.Cond
	inside int
	closed bool
}

func (g *gate) init() { g.empty.L = &g.mu }

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

// again counts another call of one that is inside.
func (g *gate) again() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
}

// closing reports whether calls are turned away.
func (g *gate) closing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		g.empty.Broadcast()
	}
}

// close turns new calls away and reports whether it was the first to; drain
// waits for those inside.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !g.closed
	g.closed = true
	return first
}

func (g *gate) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside > 0 {
		g.empty.Wait()
	}
}
