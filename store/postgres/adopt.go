package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// takeTimeout bounds how long a journal is waited for whose last batch still runs.
const takeTimeout = 30 * time.Second

// take gets the store a journal: the one that the options name, or one that is
// free.
func (s *Store) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	epoch := new(int64)
	if s.opts.Fixed {
		_, err := s.writer.conn.Exec(ctx, "SELECT postern_found($1::int2)", int16(s.opts.Journal))
		if err == nil {
			err = s.writer.conn.QueryRow(ctx, "SELECT postern_take($1::int2, $2::text, true, NULL, postern_up($4::int8), CASE WHEN $3::bool THEN $2::text END, $4::int8)",
				int16(s.opts.Journal), s.opts.Node, s.opts.Reclaim, lease.Milliseconds()).Scan(&epoch)
		}
		if err != nil {
			return err
		}
	} else {
		var journal int16
		if err := s.writer.conn.QueryRow(ctx, "SELECT journal, epoch FROM postern_start($1::text, $2::bool, $3::int8)",
			s.opts.Node, s.opts.Reclaim, lease.Milliseconds()).Scan(&journal, &epoch); err != nil {
			return err
		}
		s.opts.Journal = uint16(journal)
	}
	return s.raised(ctx, epoch)
}

// raised makes a journal this store's whose epoch was raised; nil for one that was
// not to be had.
func (s *Store) raised(ctx context.Context, epoch *int64) error {
	if epoch == nil {
		return s.occupied(ctx)
	}
	s.hold.mu.Lock()
	s.hold.epoch = *epoch
	s.hold.mu.Unlock()
	s.node.hold(s)
	// By that the end of the lease is known, and the clock before anything is made
	// by it.
	return s.renew(ctx)
}

// occupied is the error for a journal that somebody has.
func (s *Store) occupied(ctx context.Context) error {
	var node string
	if err := s.node.control.QueryRow(ctx, "SELECT coalesce(max(node), '') FROM heartbeat WHERE journal = $1::int2", int16(s.opts.Journal)).Scan(&node); err != nil {
		return err
	}
	return &postern.Error{Kind: postern.Conflict, Code: "journal_held", Detail: fmt.Sprintf("journal %d is held by node %q", s.opts.Journal, node)}
}

// Adopt implements store.Cluster. The store that it returns has a connection, an
// epoch and a lease of its own and shares the rest; its Close gives the journal
// back and ends nothing else.
func (s *Store) Adopt(ctx context.Context, journal uint16) (store.Cluster, error) {
	if s.opts.ReadOnly {
		return nil, errReadOnly
	}
	if s.main != nil {
		s = s.main
	}
	if err := s.failed(); err != nil {
		return nil, err
	}
	a := s.sibling(journal)
	if err := a.adopt(ctx, s); err != nil {
		return nil, errors.Join(a.unread(err), a.Close()) //nolint:contextcheck // closing is bounded by itself
	}
	return a, nil
}

// sibling is a store of another journal, which it does not have yet.
func (s *Store) sibling(journal uint16) *Store {
	o := s.opts
	o.Journal, o.Fixed = journal, true
	o.Logger = o.Logger.With(slog.Int("journal", int(journal)))
	a := newStore(o, s.address, s.node, s.known)
	a.main, a.listen, a.reads, a.work = s, s.listen, s.reads, s.work
	a.began, a.mono = s.began, s.mono
	a.writer.args.author = s.writer.args.author
	return a
}

// adopt takes the journal on behalf of a node's main store. Its connection is made
// for the first batch.
func (s *Store) adopt(ctx context.Context, by *Store) error {
	taking, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	epoch := new(int64)
	err := s.node.control.QueryRow(taking, "SELECT postern_adopt($1::int2, $2::text, $3::int2, $4::int8, $5::int8)",
		int16(s.opts.Journal), s.opts.Node, int16(by.opts.Journal), by.hold.current(), lease.Milliseconds()).Scan(&epoch)
	if err != nil {
		return err
	}
	if err := s.raised(taking, epoch); err != nil {
		return err
	}
	head, err := s.readHead(taking, s.reads)
	if err != nil {
		return err
	}
	s.head.Store(&head)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.tending.Go(func() { s.beat(background) })
	return nil
}
