package postgres

import (
	"context"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/store"
)

const (
	// pollEvery is how often Wake says to look while nothing tells of news, netEvery
	// while the database does: news can get lost.
	pollEvery, netEvery = 500 * time.Millisecond, 2 * time.Second
	// pollTimeout bounds one look.
	pollTimeout = 5 * time.Second
	// lapseGrace is added to the end of a lease, since clocks differ a little.
	lapseGrace = 20 * time.Millisecond
	// requestsRead is how many requests one look returns. Of each other node one may
	// wait for long.
	requestsRead = 128
)

const (
	selectLeases = `SELECT h.journal, h.node, h.started_ms, h.main, h.expires_ms, h.released,
			(h.released OR h.expires_ms <= postern_now()) AND postern_idle(h.journal) AND NOT EXISTS (SELECT FROM request r
				WHERE r.journal = h.journal AND r.answer IS NULL AND r.at_ms > postern_now() - $1::int8), encode(h.word, 'hex')
		FROM heartbeat h ORDER BY h.journal`
	selectRequests = `SELECT r.id, r.journal, encode(r.body, 'hex') FROM request r
		WHERE r.journal = ANY ($1::int2[]) AND r.answer IS NULL AND r.at_ms > postern_now() - $2::int8 ORDER BY r.at_ms, r.id LIMIT $3::int8`
)

// polls has callers of Poll share what one of them reads.
type polls struct {
	// turn is held by who reads; begun counts reads.
	turn  chan struct{}
	begun atomic.Uint64
	// state is of the read with the number of; of whoever's turn it is.
	state store.ClusterState
	of    uint64
}

// Poll implements store.Cluster. It is one round trip, and those who call at the
// same time share one, so that however many there are, nobody waits for more than
// two; what it returns is not to be changed. Of journals whose lease holds it does
// not tell whether they are idle.
func (s *Store) Poll(ctx context.Context) (store.ClusterState, error) {
	p := &s.node.polls
	before := p.begun.Load()
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return store.ClusterState{}, s.unread(ctx.Err())
	}
	defer func() { <-p.turn }()
	if p.of > before { // begun after the call, by somebody else
		return p.state, nil
	}
	number := p.begun.Add(1)
	state, err := s.poll(ctx)
	if err != nil {
		return store.ClusterState{}, s.unread(err)
	}
	p.state, p.of = state, number
	s.node.watch(state.Leases)
	return state, nil
}

// poll reads the state.
func (s *Store) poll(ctx context.Context) (state store.ClusterState, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var b pgx.Batch
	// Requests first: what is read after them is no older than what their askers know.
	b.Queue(selectRequests, s.node.numbers(), answerWithin.Milliseconds(), requestsRead).Query(func(rows pgx.Rows) (err error) {
		state.Requests, err = pgx.CollectRows(rows, scanRequest)
		return err
	})
	b.Queue("SELECT seq FROM catalogue_version").QueryRow(func(r pgx.Row) error { return r.Scan(&state.Version) })
	b.Queue(selectLeases, answerWithin.Milliseconds()).Query(func(rows pgx.Rows) (err error) {
		state.Leases, err = pgx.CollectRows(rows, scanLease)
		return err
	})
	return state, s.node.control.SendBatch(ctx, &b).Close()
}

// watch rings when the next lease runs out.
func (n *node) watch(leases []store.Lease) {
	now := n.clock.now()
	var next time.Duration
	for i := range leases {
		if l := &leases[i]; l.Held(now) && (next == 0 || l.Expires.Sub(now) < next) {
			next = l.Expires.Sub(now)
		}
	}
	n.lapse.Stop()
	if next > 0 {
		n.lapse.Reset(next + lapseGrace)
	}
}

func scanLease(row pgx.CollectableRow) (l store.Lease, err error) {
	var journal int16
	var started, expires int64
	var word *string
	if err := row.Scan(&journal, &l.Node, &started, &l.Main, &expires, &l.Released, &l.Idle, &word); err != nil {
		return l, err
	}
	l.Journal, l.Since, l.Expires = uint16(journal), microseconds(1000*started), microseconds(1000*expires)
	if word != nil {
		l.Word, err = hex.DecodeString(*word)
	}
	return l, err
}

func scanRequest(row pgx.CollectableRow) (r store.Request, err error) {
	var id int64
	var journal int16
	var body string
	if err := row.Scan(&id, &journal, &body); err != nil {
		return r, err
	}
	r.ID, r.Journal = uint64(id), uint16(journal)
	r.Body, err = hex.DecodeString(body)
	return r, err
}

// tick rings at regular times, until the store is closed.
func (s *Store) tick(ctx context.Context) {
	for {
		timer := time.NewTimer(s.node.lookEvery())
		select {
		case <-timer.C:
		case <-s.node.heard:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		s.node.ring()
	}
}

// lookEvery is how often is looked for news now.
func (n *node) lookEvery() time.Duration {
	if n.listening.Load() {
		return netEvery
	}
	return pollEvery
}
