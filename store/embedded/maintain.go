package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// meter keeps the database's figures for a moment: it takes its locks to
// gather them.
type meter struct {
	mu    sync.Mutex
	taken time.Time
	usage store.Usage
}

// Usage implements store.Maintenance. The figures are at most a second old.
func (s *Store) Usage(context.Context) (store.Usage, error) {
	if err := s.enter(); err != nil {
		return store.Usage{}, err
	}
	defer s.gate.leave()
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	if now := s.opts.Now(); now.Sub(s.meter.taken) >= checkEvery || now.Before(s.meter.taken) {
		s.meter.taken, s.meter.usage = now, s.measure()
	}
	usage := s.meter.usage
	usage.FreeBytes, usage.ReserveBytes, usage.Full = s.disk.state()
	usage.Syncs = s.guard.syncs.Load()
	return usage, nil
}

func (s *Store) measure() store.Usage {
	m := s.db.Metrics()
	return store.Usage{
		Bytes:               int64(m.DiskSpaceUsage()),
		MemtableBytes:       int64(m.MemTable.Size),
		CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
		FlushesUnderWay:     int(m.Flush.NumInProgress),
		CompactionsUnderWay: int(m.Compact.NumInProgress),
	}
}

// OldestDay implements store.Maintenance.
func (s *Store) OldestDay(context.Context) (day store.Day, ok bool, err error) {
	v, err := s.view()
	if err != nil {
		return 0, false, err
	}
	defer v.close(&err)
	it, err := v.keys(kindHeader)
	if err != nil || !it.First() {
		return 0, false, err
	}
	return store.Day(binary.BigEndian.Uint32(it.Key()[1:5])), true, nil
}

// Checkpoint implements store.Maintenance. Tables are linked, not copied,
// where the directory is on the same file system.
func (s *Store) Checkpoint(_ context.Context, dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if _, err := s.guard.Stat(dir); err == nil {
		return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("checkpoint directory %s exists", dir)}
	}
	// The log is flushed, not the memtable: the copy is consistent with it.
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("embedded: checkpoint: %w", err)
	}
	return nil
}
