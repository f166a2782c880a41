package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

const (
	// lease is how long a journal is its holder's without a word; renewEvery is
	// how often there is one.
	lease      = 10 * time.Second
	renewEvery = 3 * time.Second
	// renewTimeout bounds one renewal, and with it how long a raise waits for one.
	renewTimeout = 2 * time.Second
)

// errFenced is why a store fails whose journal has a new holder.
var errFenced = &postern.Error{Kind: postern.Unavailable, Code: "fenced", Detail: "another node has taken the journal over: nothing of this one is written any more"}

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
}

// take makes the journal this store's, whoever has it.
func (s *Store) take(ctx context.Context, conn *pgx.Conn) error {
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	// Where this fails halfway the journal's epoch is higher than before, and nobody's.
	h.token = newToken()
	epoch, holder, err := s.raise(ctx, conn, nil)
	if err != nil {
		return s.unread(err)
	}
	if holder != nil {
		s.opts.Logger.Warn("the journal was not released by its last holder: if that still runs, it writes nothing any more, and needs a database or a journal of its own",
			slog.String("node", *holder), slog.Int("journal", int(s.opts.Journal)))
	}
	h.epoch = *epoch
	return nil
}

// doubted notes that a batch was sent whose answer did not come.
func (h *hold) doubted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubt, h.token = true, newToken()
}

// settleDoubt raises the own epoch, after which the statement in doubt is either
// committed or never will be, and returns the number of the last batch there is.
// Its own answer may be lost as well: called again, it finds its token.
func (s *Store) settleDoubt(ctx context.Context, conn *pgx.Conn) (batch uint64, err error) {
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	epoch, _, err := s.raise(ctx, conn, &h.epoch)
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
	return batch, nil
}

// raise is one call of postern_raise; own is nil to take the journal from
// whoever has it.
func (s *Store) raise(ctx context.Context, conn *pgx.Conn, own *int64) (epoch *int64, holder *string, err error) {
	err = conn.QueryRow(ctx, "SELECT epoch, holder FROM postern_raise($1::int2, $2::int8, $3::bytea, $4::text, $5::int8)",
		int16(s.opts.Journal), own, s.hold.token, s.opts.Node, lease.Milliseconds()).Scan(&epoch, &holder)
	return epoch, holder, err
}

// beat renews the lease until the store is closed.
func (s *Store) beat(ctx context.Context) {
	var pause pauses
	wait := renewEvery
	for timer := time.NewTimer(wait); ; timer.Reset(wait) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		case <-s.down:
			return
		}
		switch err := s.renew(ctx); {
		case errors.Is(err, errFenced):
			s.fail(errFenced)
		case errors.Is(err, context.DeadlineExceeded):
			// Reads have all connections, or the database is slow: a batch will tell.
			wait = pause.grow()
		case err != nil && ctx.Err() == nil:
			s.outage.begin(s, byRenewal, err)
			wait = pause.grow()
		case err == nil:
			s.outage.end(s, byRenewal)
			wait, pause = renewEvery, pauses{}
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
	var held bool
	err := s.reads.QueryRow(ctx, "SELECT postern_renew($1::int2, $2::int8, $3::int8)", int16(s.opts.Journal), h.epoch, lease.Milliseconds()).Scan(&held)
	if err == nil && !held {
		return errFenced
	}
	return err
}

// release lets anybody take the journal at once.
func (s *Store) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	// Where it fails the lease runs out by itself.
	_, _ = s.reads.Exec(ctx, "UPDATE heartbeat SET released = true WHERE journal = $1::int2 AND epoch = $2::int8", int16(s.opts.Journal), s.hold.epoch)
}

// newToken is one that no other raise has.
func newToken() []byte {
	token := make([]byte, 16)
	_, _ = rand.Read(token) // it never fails
	return token
}
