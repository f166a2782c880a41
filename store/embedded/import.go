package embedded

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

var _ store.Mover = (*Store)(nil)

// Import implements store.Mover. Like Commit it has one caller. A chunk and its
// progress are one synced write, so that after a crash the two agree. Puts are by
// key, and the same again for a chunk that comes twice.
func (s *Store) Import(_ context.Context, b *store.Batch, progress store.Progress) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.mayImport(); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	defer batch.Close() //nolint:errcheck // it only returns the memory
	p := putter{batch: batch, w: &s.writer, known: &s.known}
	if err := s.records(&p, b); err != nil {
		return err
	}
	last := progress.Next == nil
	if last { // the mark goes in the very write that makes the store whole
		p.delete(moveKey)
		p.put(headKey, appendHead(nil, b.Head))
	} else {
		text, err := json.Marshal(progress)
		if err != nil {
			return err
		}
		p.put(moveKey, text)
	}
	if p.err != nil {
		return p.err
	}
	s.disk.wrote(batch.Len()) // as Commit does: a full disk shows before it is too late
	if err := s.apply(batch); err != nil {
		return err
	}
	s.moving.Store(&progress)
	if last {
		head := b.Head
		s.head.Store(&head)
		s.newest.Store(uint32(halfDayOf(head.LastTime.UnixMilli())))
		s.moving.Store(nil)
	}
	return nil
}

// mayImport is nil in the midst of a move, and for a store that holds nothing
// but its format.
func (s *Store) mayImport() error {
	if _, _, full := s.disk.state(); full {
		return errFull
	}
	if s.moving.Load() != nil {
		return nil
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	empty := true // but for the format, which opening writes
	for ok := it.First(); ok && empty; ok = it.Next() {
		empty = string(it.Key()) == string(formatKey)
	}
	if err := it.Close(); err != nil || empty {
		return err
	}
	return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("store folder %s holds something already", s.dir)}
}

// Moved implements store.Mover. It is told from memory, which Open filled.
func (s *Store) Moved(context.Context) (store.Progress, bool, error) {
	if err := s.failed(); err != nil {
		return store.Progress{}, false, err
	}
	if p := s.moving.Load(); p != nil {
		return *p, true, nil
	}
	return store.Progress{}, false, nil
}

// beginMove finds out whether the last run left a move half-way.
func (s *Store) beginMove() error {
	value, err := s.get(s.db, moveKey)
	if value == nil || err != nil {
		return err
	}
	var p store.Progress
	if err := json.Unmarshal(value, &p); err != nil {
		return fmt.Errorf("embedded: progress of a move: %w", err)
	}
	s.moving.Store(&p)
	return nil
}

// whole is nil for a store that is not half of a copy. Whoever would serve from it
// asks for the head first, and gets this instead.
func (s *Store) whole() error {
	if s.moving.Load() == nil {
		return nil
	}
	return &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("store folder %s is half of a copy: run the copy again, which goes on where it stopped", s.dir)}
}
