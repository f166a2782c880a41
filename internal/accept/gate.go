package accept

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

const (
	// unhindered is how many messages an application may always have in
	// progress, and round how many of those that wait come in at once.
	unhindered = 2
	round      = 8
	// company is how long an application that published counts as present.
	company = time.Second
	// maxWaiting bounds the bytes of all messages that wait at the gate.
	maxWaiting = 32 << 20
)

// gate keeps one application's flood from filling the scheduler's queues while
// others publish. The network is looked at only when nothing else can run, or
// every 10 ms: as long as a flood keeps both processors busy, everybody's
// requests lie unread for that long. In rounds, each of which begins when the
// last one is answered, the queues run empty at every commit. An application
// that is by itself comes through unhindered. The zero value is ready for use.
type gate struct {
	mu   sync.Mutex
	apps map[postern.ApplicationNumber]*entrance // with messages in progress
	last postern.ApplicationNumber               // who came last
	turn time.Time                               // when that became another one; zero for never
	held int                                     // bytes that wait
}

// entrance is one application's.
type entrance struct {
	in      int       // messages in progress
	waiting []*waiter // in the order in which they came
}

// waiter is a message that waits for a round.
type waiter struct {
	admitted chan struct{} // closed by leave
	size     int
}

// enter returns once a message of so many bytes may go on; leave must follow
// when it returned nil. It fails with ctx, and with an error of kind
// Unavailable when too much waits already.
func (g *gate) enter(ctx context.Context, app postern.ApplicationNumber, size int) error {
	w, err := g.admit(app, size)
	if w == nil || err != nil {
		return err
	}
	select {
	case <-w.admitted:
		return nil
	case <-ctx.Done():
		g.abandon(app, w)
		return context.Cause(ctx)
	}
}

// admit lets a message in, or queues it and returns where.
func (g *gate) admit(app postern.ApplicationNumber, size int) (*waiter, error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if app != g.last {
		if g.last != 0 {
			g.turn = now
		}
		g.last = app
	}
	e := g.apps[app]
	if e == nil {
		e = &entrance{}
		if g.apps == nil {
			g.apps = make(map[postern.ApplicationNumber]*entrance)
		}
		g.apps[app] = e
	}
	alone := g.turn.IsZero() || now.Sub(g.turn) > company
	if e.in < unhindered || alone {
		e.in++
		return nil, nil
	}
	if g.held+size > maxWaiting {
		return nil, &postern.Error{Kind: postern.Unavailable, Detail: "too many messages are waiting to be stored; try again"}
	}
	w := &waiter{admitted: make(chan struct{}), size: size}
	g.held += size
	e.waiting = append(e.waiting, w)
	return w, nil
}

// leave ends a message, and begins the next round when it was the last but
// those that are always let in.
func (g *gate) leave(app postern.ApplicationNumber) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.apps[app]
	e.in--
	if e.in < unhindered {
		n := min(round, len(e.waiting))
		for _, w := range e.waiting[:n] {
			g.held -= w.size
			e.in++
			close(w.admitted)
		}
		e.waiting = slices.Delete(e.waiting, 0, n)
	}
	if e.in == 0 {
		delete(g.apps, app)
	}
}

// abandon takes a message out that waits no more. It may have been let in
// meanwhile.
func (g *gate) abandon(app postern.ApplicationNumber, w *waiter) {
	g.mu.Lock()
	e := g.apps[app]
	at := -1
	if e != nil {
		at = slices.Index(e.waiting, w)
	}
	if at >= 0 {
		e.waiting = slices.Delete(e.waiting, at, at+1)
		g.held -= w.size
	}
	g.mu.Unlock()
	if at < 0 {
		g.leave(app)
	}
}
