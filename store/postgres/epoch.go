package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// lease is how long a journal is its holder's without a word; renewEvery is
	// how often there is one, renewAgain how soon after one that failed.
	lease      = 10 * time.Second
	renewEvery = 3 * time.Second
	renewAgain = time.Second
	// renewTimeout bounds one renewal, and with it how long a raise waits for one.
	renewTimeout = 2 * time.Second
)

// errFenced is why a store fails whose journal has a new holder.
var errFenced = &postern.Error{Kind: postern.Unavailable, Code: store.CodeFenced, Detail: "another node has taken the journal over: nothing of this one is written any more"}

// hold is the store's right to its journal. The epoch is what counts: every batch
// and every renewal names it, and writes nothing where it is another's by now. The
// lease says to others how long they have to wait before they take the journal.
type hold struct {
	// mu keeps a renewal and a raise apart.
	mu    sync.Mutex
	epoch int64
	// doubt: a batch was sent and nobody knows what became of it. Until that is
	// known nothing is written, and the lease not renewed. token marks the raise
	// that ends the doubt, also where the raise itself has to be asked after.
	doubt bool
	token []byte

	// until is when the lease ends by this machine's clocks; nil while there is
	// doubt. again has it renewed at once, and renewed is called when it was.
	until   atomic.Pointer[time.Time]
	again   chan struct{}
	renewed atomic.Pointer[func()]
	// word is what the next renewal says, and said what the last did.
	word atomic.Pointer[message]
	said *message
}

// message is what a lease says to other nodes; now, if they are to look at once.
type message struct {
	word []byte
	now  bool
}

// prolonged notes that the database has prolonged the lease, some time after it was
// asked to.
func (h *hold) prolonged(asked time.Time) {
	until := asked.Add(lease)
	h.until.Store(&until)
}

// current is the epoch.
func (h *hold) current() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch
}

// Leased implements store.Cluster.
func (s *Store) Leased() time.Time {
	until := s.hold.until.Load()
	if until == nil || s.failed() != nil {
		return time.Time{}
	}
	return *until
}

// Renewed implements store.Cluster.
func (s *Store) Renewed(fn func()) { s.hold.renewed.Store(&fn) }

// Tell implements store.Cluster.
func (s *Store) Tell(word []byte, now bool) {
	s.hold.word.Store(&message{slices.Clone(word), now})
	if now {
		poke(s.hold.again)
	}
}

// doubted notes that a batch was sent whose answer did not come.
func (h *hold) doubted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubt, h.token = true, newToken()
	h.until.Store(nil)
}

// settleDoubt raises the own epoch, after which the statement in doubt is either
// committed or never will be, and returns the number of the last batch there is.
// Its own answer may be lost as well: called again, it finds its token.
func (s *Store) settleDoubt(ctx context.Context, conn *pgx.Conn) (batch uint64, err error) {
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := time.Now()
	epoch, err := s.raise(ctx, conn)
	if err != nil {
		return 0, err
	}
	if epoch == nil {
		return 0, errFenced
	}
	// Until this is read the doubt goes on, under the same token. Both are of one
	// moment: under another epoch the batch of that number may be somebody else's.
	var now int64
	err = conn.QueryRow(ctx, "SELECT h.batch, j.epoch FROM head h JOIN journal j ON j.id = h.journal WHERE j.id = $1::int2", int16(s.opts.Journal)).Scan(&batch, &now)
	if err != nil {
		return 0, err
	}
	if now != *epoch {
		return 0, errFenced
	}
	h.epoch, h.doubt = *epoch, false
	h.prolonged(asked)
	poke(h.again)
	return batch, nil
}

// raise is one call of postern_raise: the new epoch, nil where the journal is
// somebody else's.
func (s *Store) raise(ctx context.Context, conn *pgx.Conn) (epoch *int64, err error) {
	err = conn.QueryRow(ctx, "SELECT postern_raise($1::int2, $2::int8, $3::bytea, $4::int8)",
		int16(s.opts.Journal), s.hold.epoch, s.hold.token, lease.Milliseconds()).Scan(&epoch)
	return epoch, err
}

// beat renews the lease until the store is closed.
func (s *Store) beat(ctx context.Context) {
	var pause pauses
	wait := renewEvery
	for timer := time.NewTimer(wait); ; timer.Reset(wait) {
		select {
		case <-timer.C:
		case <-s.hold.again:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.down:
			timer.Stop()
			return
		}
		switch err := s.renew(ctx); {
		case errors.Is(err, errFenced):
			s.fail(errFenced)
		case errors.Is(err, context.DeadlineExceeded):
			// The database is slow: a batch will tell whether it is more than that.
			wait = min(pause.grow(), renewAgain)
		case err != nil && ctx.Err() == nil:
			s.outage.begin(s, byRenewal, err)
			wait = min(pause.grow(), renewAgain)
		case err == nil:
			s.outage.end(s, byRenewal)
			wait, pause = renewEvery, pauses{}
			if fn := s.hold.renewed.Load(); fn != nil && !s.Leased().IsZero() {
				(*fn)()
			}
		}
	}
}

// renew prolongs the lease once, unless a batch is in doubt. It asks the lease's
// row alone: that of the journal is locked by every batch.
func (s *Store) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.doubt {
		return nil
	}
	fresh := message{}
	word := h.word.Load()
	if word != nil && word != h.said {
		fresh = *word
	}
	var held bool
	var database int64
	asked := time.Now()
	err := s.node.control.QueryRow(ctx, "SELECT held, now_us FROM postern_renew($1::int2, $2::int8, $3::int8, $4::bytea, $5::bool)",
		int16(s.opts.Journal), h.epoch, lease.Milliseconds(), fresh.word, fresh.now).Scan(&held, &database)
	if err == nil && !held {
		err = errFenced
	}
	if err != nil {
		return err
	}
	s.node.clock.measured(asked, time.Since(asked), microseconds(database))
	h.prolonged(asked)
	h.said = word
	return nil
}

// release lets anybody take the journal at once.
func (s *Store) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	// Where it fails the lease runs out by itself.
	_, _ = s.node.control.Exec(ctx, "SELECT postern_release($1::int2, $2::int8)", int16(s.opts.Journal), s.hold.epoch)
}

// newToken is one that no other raise has.
func newToken() []byte {
	token := make([]byte, 16)
	_, _ = rand.Read(token) // it never fails
	return token
}
