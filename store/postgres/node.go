package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern/store"
)

var _ store.Cluster = (*Store)(nil)

// node is what the stores of a process have in common that come of one Open: the
// one that was opened, and those of the journals that it adopted.
type node struct {
	clock clock
	// control serves renewals, polls and questions: none of them waits for a
	// connection that reads have taken.
	control *pgxpool.Pool
	// alone holds Alone's locks.
	alone *pgxpool.Pool
	// woken is Wake's. listening: the database tells by itself; heard is sent to
	// when that begins or ends.
	woken     chan struct{}
	listening atomic.Bool
	heard     chan struct{}

	polls polls
	// lapse rings when the next lease runs out that Poll has seen.
	lapse *time.Timer

	mu sync.Mutex
	// journals has the stores of those that are held, and asks, by their number, what was asked
	// and is not answered: its channel is sent to when it is.
	journals map[uint16]*Store
	asks     map[int64]chan struct{}
}

// known is what all stores of a node know of the tables.
type known struct {
	// ready are the days, as int64, whose partitions are there.
	ready sync.Map
	// rewriting: a table of one day is locked for longer.
	rewriting atomic.Bool
	meter     meter
	// day is the last one that was dropped, and deleted the applications that
	// were: their history may still be there, and is not to be read.
	day     atomic.Uint32
	deleted sync.Map // of postern.ApplicationNumber
}

func newNode(now func() time.Time) *node {
	n := &node{
		clock: clock{wall: now(), mono: time.Now()}, woken: make(chan struct{}, 1), heard: make(chan struct{}, 1),
		polls: polls{turn: make(chan struct{}, 1)}, journals: map[uint16]*Store{}, asks: map[int64]chan struct{}{},
	}
	n.lapse = time.AfterFunc(time.Hour, n.ring)
	n.lapse.Stop()
	return n
}

// controlConns is how many connections the control pool may have.
const controlConns = 4

// few opens a pool of connections that come when they are needed. Its statements are
// rare, and prepare nothing.
func (a *address) few(ctx context.Context, conns int32) (*pgxpool.Pool, error) {
	config := a.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = conns, 0, 0
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, a.unavailable(err)
	}
	return pool, nil
}

// hold notes that a store holds its journal.
func (n *node) hold(s *Store) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.journals[s.opts.Journal] = s
}

// drop notes that a store has let go of its journal, which another one may hold.
func (n *node) drop(s *Store) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.journals[s.opts.Journal] == s {
		delete(n.journals, s.opts.Journal)
	}
}

// numbers are the journals as the tables have them.
func (n *node) numbers() []int16 {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]int16, 0, len(n.journals))
	for j := range n.journals {
		list = append(list, int16(j))
	}
	return list
}

// ring has Wake's reader look. It never waits: a look that is due already is enough.
func (n *node) ring() { poke(n.woken) }

// poke sends to a channel of capacity 1 unless there is something in it.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Now implements store.Cluster. Its values are to be compared with one another
// only: their monotonic part is ahead by as much as the database's clock.
func (s *Store) Now() time.Time { return s.node.clock.now() }

// Wake implements store.Cluster.
func (s *Store) Wake() <-chan struct{} { return s.node.woken }

// first reports whether no other node that lives has a main journal of a smaller
// number: what one node is enough for is that one's to do. Two may believe it at
// the same time.
func (s *Store) first(ctx context.Context) (first bool, err error) {
	err = s.node.control.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM heartbeat h
		WHERE h.main AND NOT h.released AND h.expires_ms > postern_now() AND h.journal < $1::int2)`, int16(s.opts.Journal)).Scan(&first)
	return first, err
}
