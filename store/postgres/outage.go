package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// firstPause grows to maxPause between tries while the database is away.
	firstPause, maxPause = 100 * time.Millisecond, 5 * time.Second
	// slow is how long an answer may take before nothing more is accepted.
	slow = 5 * time.Second
)

// errSlow is what an outage begins with that is none yet.
var errSlow = errors.New("no answer for 5 seconds")

// witness is who meets the database regularly, and so sees it go and come back.
type witness int

const (
	byCommit witness = iota
	byRenewal
)

// outage is a time during which the database takes nothing. It is told once, and
// its end once.
type outage struct {
	mu sync.Mutex
	// seen says who has met it and not yet met its end.
	seen  [2]bool
	since time.Time
}

// begin notes a failure of w's.
func (o *outage) begin(s *Store, w witness, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !o.seen[byCommit] && !o.seen[byRenewal]
	o.seen[w] = true
	if first {
		o.since = time.Now()
		s.opts.Logger.Warn("the database takes no batches: nothing is accepted until it does, and what was is kept",
			slog.String("database", s.address.name), slog.Any("error", s.address.scrub(err)))
	}
}

// end notes a success of w's. A batch that is stored speaks for all.
func (o *outage) end(s *Store, w witness) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.seen[byCommit] && !o.seen[byRenewal] {
		return
	}
	o.seen[w] = false
	if w == byCommit {
		o.seen = [2]bool{}
	}
	if !o.seen[byCommit] && !o.seen[byRenewal] {
		s.opts.Logger.Info("the database takes batches again",
			slog.String("database", s.address.name), slog.Duration("after", time.Since(o.since).Round(time.Millisecond)))
	}
}

// watch begins an outage where a try of Commit's takes too long. What it returns ends
// the watch, and waits for a beginning that is under way: one that came after the
// batch's own end would have no end.
func (o *outage) watch(s *Store) (stop func()) {
	begun := make(chan struct{})
	late := time.AfterFunc(slow, func() {
		defer close(begun)
		o.begin(s, byCommit, errSlow)
	})
	return func() {
		if !late.Stop() {
			<-begun
		}
	}
}

// underWay reports whether anybody is still waiting for the end.
func (o *outage) underWay() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[byCommit] || o.seen[byRenewal]
}

// passing reports whether an error goes away without the batch being changed: of
// the connection, or of a server that ends, starts, is full or only reads. What is
// none of these would come again for the same batch. Whoever turns a connection
// away knows of no batch, whatever the code: poolers have codes of their own.
func passing(err error) bool {
	answer := code(err)
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting || answer == "" || fatal(err) {
		return true
	}
	switch answer[:2] {
	case "08", "53", "55", "57", "58": // connection, resources, locks, operator, system
		return true
	case "40": // deadlock, serialization
		return true
	case "28", "3D": // the password or the database is being changed
		return true
	}
	return answer == "25006" // read-only
}

// fatal reports an answer that ends its session, or the server: PostgreSQL panics
// where it cannot write its log, and may find the end of a statement there when it
// recovers.
func fatal(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Severity == "FATAL" || answer.SeverityUnlocalized == "FATAL" || answer.SeverityUnlocalized == "PANIC")
}

// unanswered reports whether a statement that failed may have been carried out
// all the same. What the server says of a statement is sure, unless it was
// ending or speaks for somebody else.
func unanswered(err error) bool {
	if pgconn.SafeToRetry(err) {
		return false
	}
	answer := code(err) // of five characters, or none
	return answer == "" || fatal(err) || answer[:2] == "08" || answer[:2] == "57" || answer == "40003"
}

// pauses are those between tries, growing.
type pauses struct{ next time.Duration }

// grow is the next pause.
func (p *pauses) grow() time.Duration {
	p.next = min(max(2*p.next, firstPause), maxPause)
	return p.next
}

// wait reports false when the store is closed meanwhile.
func (p *pauses) wait(ctx context.Context, closing <-chan struct{}) bool {
	return rest(ctx, closing, p.grow())
}

// rest reports false when the store is closed, or ctx ends, before a time has passed.
func rest(ctx context.Context, closing <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-closing:
	case <-ctx.Done():
	}
	return false
}
