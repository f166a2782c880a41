package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logSize is allocated and written before the first record, then used in a
	// circle: a growing file pays for its metadata at every sync. The log is never
	// read, so that it may forget.
	logSize = 64 << 20
	// completionDelay is how long a completion may wait for an accept to share the
	// sync with. Losing one costs a duplicate, never a message.
	completionDelay = 10 * time.Millisecond

	recordAccept     = 1
	recordCompletion = 2
	recordHeader     = 4 + 4 + 1 + 8 // length, CRC32C, kind, id
)

var errLogClosed = errors.New("log is closed")

// appendLog is the cheapest honest durability: everything that queued up while the
// last sync ran goes out in one write and one fdatasync. One goroutine ([appendLog.run])
// owns the file; producers touch only the pending group, under mu.
type appendLog struct {
	file  *os.File
	table *crc32.Table
	wake  chan struct{} // capacity 1: a signal, not a count; never closed

	mu      sync.Mutex
	pending *group
	timer   *time.Timer // armed while a completion waits alone
	armed   bool
	failed  error // set once: a log that failed to sync stays failed

	syncs, operations atomic.Int64
}

// group is what one sync makes durable.
type group struct {
	records    []byte
	operations int64
	err        error         // set before done is closed
	done       chan struct{} // closed by the log's goroutine
}

// openLog makes the log in dir with its space allocated.
func openLog(dir string) (*appendLog, error) {
	file, err := os.CreateTemp(dir, "floor-*.log")
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for offset := int64(0); offset < logSize; offset += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros, offset); err != nil {
			return nil, errors.Join(fmt.Errorf("allocate log: %w", err), file.Close())
		}
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(fmt.Errorf("allocate log: %w", err), file.Close())
	}
	l := &appendLog{
		file:    file,
		table:   crc32.MakeTable(crc32.Castagnoli),
		wake:    make(chan struct{}, 1),
		pending: newGroup(),
	}
	l.timer = time.AfterFunc(time.Hour, l.signal)
	l.timer.Stop()
	return l, nil
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// accept appends a message and returns when it is durable.
func (l *appendLog) accept(id uint64, body []byte) error {
	l.mu.Lock()
	if l.failed != nil {
		l.mu.Unlock()
		return l.failed
	}
	g := l.pending
	l.encode(g, recordAccept, id, body)
	l.mu.Unlock()
	l.signal()
	<-g.done
	return g.err
}

// complete appends the fact that a message was delivered; nobody waits for it.
func (l *appendLog) complete(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return
	}
	l.encode(l.pending, recordCompletion, id, nil)
	if !l.armed {
		l.armed = true
		l.timer.Reset(completionDelay)
	}
}

// run writes group after group until ctx ends; the last one goes out first. It
// closes the file.
func (l *appendLog) run(ctx context.Context) error {
	offset := int64(0)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
		g := l.take()
		if g == nil {
			continue
		}
		offset, g.err = l.write(g, offset)
		close(g.done)
		if g.err != nil {
			return errors.Join(g.err, l.close(g.err))
		}
	}
	return l.close(errLogClosed)
}

// take swaps the pending group for an empty one; nil when there is nothing to do.
func (l *appendLog) take() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending.operations == 0 {
		return nil
	}
	g := l.pending
	l.pending = newGroup()
	l.armed = false
	l.timer.Stop()
	return g
}

// write makes a group durable at offset, or at the start of the circle if it does
// not fit before the end, and returns where the next one goes.
func (l *appendLog) write(g *group, offset int64) (int64, error) {
	size := int64(len(g.records))
	if size > logSize {
		return offset, fmt.Errorf("group of %d bytes is larger than the log", size)
	}
	if offset+size > logSize {
		offset = 0
	}
	if _, err := l.file.WriteAt(g.records, offset); err != nil {
		return offset, fmt.Errorf("append: %w", err)
	}
	if err := syncData(l.file); err != nil {
		return offset, fmt.Errorf("sync: %w", err)
	}
	l.syncs.Add(1)
	l.operations.Add(g.operations)
	return offset + size, nil
}

// close fails everybody who waits or comes later with cause.
func (l *appendLog) close(cause error) error {
	l.mu.Lock()
	l.failed = cause
	l.pending.err = cause
	close(l.pending.done)
	l.timer.Stop()
	l.mu.Unlock()
	return l.file.Close()
}

// encode appends one record to g; the caller holds mu.
func (l *appendLog) encode(g *group, kind byte, id uint64, body []byte) {
	var h [recordHeader]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(body)))
	h[8] = kind
	binary.LittleEndian.PutUint64(h[9:], id)
	sum := crc32.Update(crc32.Checksum(h[8:], l.table), l.table, body)
	binary.LittleEndian.PutUint32(h[4:], sum)
	g.records = append(append(g.records, h[:]...), body...)
	g.operations++
}

// signal wakes the log's goroutine; many signals before it wakes are one.
func (l *appendLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // one is waiting already
	}
}
