package accept

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

const (
	// placesEach is how many messages an application may have in progress, for
	// each processor, while others publish. It is measured on two processors, all
	// of whose time is used, and on a disk: with 10 the others' p99 is a fifth above
	// where a flood of another server has it, with 12 two fifths, and the flood has
	// 57 and 61 % of that server's rate; with 8 it would have half. That other
	// numbers of processors want as many each is an assumption.
	placesEach = 5
	// company is how long an application that published counts as present.
	company = time.Second
	// maxWaiting bounds the bytes of all messages that wait at the gate.
	maxWaiting = 32 << 20
)

// Limits are the bounds of what waits to be accepted.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.BytesLimit("message.waiting", maxWaiting, "Messages of a flood that wait while others publish come to at most so much; beyond it they are answered with 503."),
	}
}

// gate keeps one application's flood from filling the scheduler's queues while
// others publish. The network is looked at only when nothing else can run, or
// every 10 ms: as long as a flood keeps all processors busy, everybody's
// requests can lie unread for that long. Idle processors are not told from busy
// ones: there, too, a flood has no more than its places beside others. An
// application that is by itself, or that has no more in progress than its
// places, comes through unhindered. newGate makes one.
type gate struct {
	places int // of each application

	mu     sync.Mutex
	apps   map[postern.ApplicationNumber]*entrance // with messages in progress
	last   postern.ApplicationNumber               // who came last
	turn   time.Time                               // when that became another one; zero for never
	held   int                                     // bytes that wait
	queued int                                     // messages that wait
	coming int                                     // messages that were let in and have not passed
}

// entrance is one application's.
type entrance struct {
	in      int       // messages in progress
	waiting []*waiter // in the order in which they came
}

// waiter is a message that waits for a place.
type waiter struct {
	admitted chan struct{} // closed by leave
	size     int
}

func newGate(processors int) gate {
	return gate{places: placesEach * processors, apps: make(map[postern.ApplicationNumber]*entrance)}
}

// enter returns once a message of so many bytes may go on; passed and then
// leave must follow when it returned nil. It fails with ctx, and with an error
// of kind Unavailable when too much waits already.
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
		g.apps[app] = e
	}
	if e.in < g.places || g.alone(now) {
		e.in++
		g.coming++
		return nil, nil
	}
	if g.held+size > maxWaiting {
		return nil, &postern.Error{Kind: postern.Unavailable, Detail: "too many messages are waiting to be stored; try again"}
	}
	w := &waiter{admitted: make(chan struct{}), size: size}
	g.held += size
	g.queued++
	e.waiting = append(e.waiting, w)
	return w, nil
}

// passed tells that a message was handed to the committer, or will not be. It
// reports whether the batch that gathers has no company to wait for: nobody else
// who was let in is on the way, and those who wait do so for what is in it.
func (g *gate) passed() (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming--
	return g.coming == 0 && g.queued > 0
}

// leave ends a message, and lets in who waits for its place; or all who wait,
// when the others are gone.
func (g *gate) leave(app postern.ApplicationNumber) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.apps[app]
	e.in--
	n := len(e.waiting)
	if n > 0 && !g.alone(time.Now()) {
		n = min(n, max(0, g.places-e.in))
	}
	for _, w := range e.waiting[:n] {
		g.unqueue(w)
		close(w.admitted)
	}
	e.waiting = slices.Delete(e.waiting, 0, n)
	e.in += n
	g.coming += n
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
		g.unqueue(w)
	}
	g.mu.Unlock()
	if at < 0 {
		g.passed()
		g.leave(app)
	}
}

// alone reports whether only one application published of late.
func (g *gate) alone(now time.Time) bool { return g.turn.IsZero() || now.Sub(g.turn) > company }

func (g *gate) unqueue(w *waiter) {
	g.held -= w.size
	g.queued--
}
