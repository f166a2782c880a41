package engine

import (
	"context"
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

// freshWithin bounds how long a request waits for what other nodes changed, and one
// look: who makes one may have to wait for the one before, too.
const freshWithin = 2 * time.Second

var errAsleep = &postern.Error{Kind: postern.Unavailable, Detail: "the database does not answer in time"}

// fresh returns once the catalogue has all that was changed before it was called.
func (n *nodes) fresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, freshWithin, errAsleep)
	defer cancel()
	return n.looks.do(ctx, func() error {
		shared, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), freshWithin, errAsleep) // others wait for it too
		defer cancel()
		_, err := n.look(shared)
		return err
	})
}

// fresh is the hook of what serves requests; nil where nobody else changes
// anything.
func (e *Engine) fresh() func(context.Context) error {
	if e.nodes == nil {
		return nil
	}
	return e.nodes.fresh
}

// looks lets callers share looks at the store: each waits for one that began after
// it came. A driver may have those who call Poll share what it reads, as the one on
// PostgreSQL does for all of a node that reads the state. What is shared here is more:
// the reading of changes that follows, which each of a thousand requests would do for
// itself; and a request that is given up ends no look that others wait for.
type looks struct {
	mu      sync.Mutex
	running *look // nil for none
	next    *look // begins when running has ended; nil where nobody waits for it
}

// look is one that is under way, or will be. done is closed with err.
type look struct {
	done chan struct{}
	err  error
}

// do returns the result of a look that began after the call. The first to want one
// makes it, for all who come until it begins.
func (l *looks) do(ctx context.Context, see func() error) error {
	l.mu.Lock()
	if l.next != nil {
		waited := l.next
		l.mu.Unlock()
		select {
		case <-waited.done:
			return waited.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	mine, before := &look{done: make(chan struct{})}, l.running
	l.next = mine
	l.mu.Unlock()
	if before != nil {
		<-before.done // bounded, as every look is
	}
	l.mu.Lock()
	l.running, l.next = mine, nil
	l.mu.Unlock()
	mine.err = errAsleep // for those who wait, if see panics: its request is not all there is
	defer close(mine.done)
	mine.err = see()
	return mine.err
}
