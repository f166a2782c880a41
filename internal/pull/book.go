// Package pull gives deliveries of pull endpoints to consumers that ask for
// them, under leases.
//
// A request for leases registers as a consumer, takes what its endpoint's lane
// may start, and waits for a sign of the lane while there is nothing. Whoever
// was given something passes the sign on, so that one is enough for any number
// of consumers. A lease ends once, by whoever takes it out of the book first:
// its holder, its timer, or the end of the engine.
//
// Where several nodes share a store, each has a book of what its own lanes give.
// A node whose consumers ask for more watches the books of the others, and is
// given leases of them, which stay in the book that gave them. A node that has a
// handler's function is lent deliveries: a lease that is no try of its own, so that
// whatever ends it early gives the delivery back.
package pull

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

const (
	// An application may hold mostHeld leases, of the engine's mostLeases; each
	// takes a claim and a timer, 1 to 2 KB.
	mostHeld   = 10_000
	mostLeases = 40_000
	// mostConsumers bounds the requests that wait at one endpoint.
	mostConsumers = 256
	// batchBytes ends a batch once its payloads have so many.
	batchBytes = 8 << 20
	// gone is how long an endpoint counts as attended without a request.
	gone = time.Minute
)

// Taken is a delivery as the lanes give it. One of Settle and Return ends it.
type Taken interface {
	Message() *postern.Message
	// Attempt is to be filled in before Settle, whose channel receives one value
	// once the attempt is durable, or cannot be.
	Attempt() *postern.Attempt
	Settle() <-chan error
	Return()
}

// Config is what a Book needs; all of it is required but Elsewhere and Journal.
type Config struct {
	// Take is an endpoint's next delivery, nil for none now; Waiting is to be
	// called when that may have changed.
	Take func(ctx context.Context, n postern.EndpointNumber) (Taken, *postern.Content)
	// Attend tells whether an endpoint has consumers: while it has none, its
	// deliveries need not be in memory.
	Attend func(n postern.EndpointNumber, attended bool)
	// Elsewhere is what other nodes give a consumer, without a wait: Wake is called
	// when that may have changed. Nil where there are none.
	Elsewhere func(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error)
	// Journal is the one that this node accepts with, and in the ids of leases where
	// Elsewhere is not nil.
	Journal uint16
	IDs     *postern.IDSource
	// Now is the wall clock of ExpiresAt.
	Now func() time.Time
}

// Book holds the leases and the consumers that wait.
type Book struct {
	cfg Config

	// mu is taken with the lanes' locks held, so that nothing is called with it.
	mu        sync.Mutex
	leases    map[postern.LeaseID]*lease
	held      map[postern.ApplicationNumber]int
	consumers map[postern.EndpointNumber][]*consumer
	// waiting are endpoints that Take may give something of, and watchers, by their
	// journals, the nodes that want to know.
	waiting  map[postern.EndpointNumber]struct{}
	watchers map[uint16]*watcher
	// lent counts what other nodes' handlers have. Once the book is closed drained
	// is closed with the last of it.
	lent    int
	drained chan struct{}
	closed  bool

	attendance attendance
}

// consumer is a request that waits.
type consumer struct {
	sign chan struct{} // capacity 1
}

// New makes a book without leases.
func New(cfg Config) *Book {
	b := &Book{
		cfg:       cfg,
		leases:    make(map[postern.LeaseID]*lease),
		held:      make(map[postern.ApplicationNumber]int),
		consumers: make(map[postern.EndpointNumber][]*consumer),
		waiting:   make(map[postern.EndpointNumber]struct{}),
		watchers:  make(map[uint16]*watcher),
		drained:   make(chan struct{}),
	}
	b.attendance.init(b)
	return b
}

// Lease gives a consumer what its endpoint has waiting, and waits for it if
// there is nothing; none when it has waited long enough. Errors: RateLimited for
// too many leases or consumers, Unavailable when the engine stops.
func (b *Book) Lease(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	c, err := b.enter(e)
	if err != nil {
		return nil, err
	}
	defer b.leave(e.Number, c)
	b.attendance.seen(e.Number)
	defer b.attendance.seen(e.Number)
	timeout := time.NewTimer(r.Wait)
	defer timeout.Stop()
	for {
		batch, err := b.next(ctx, e, r)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		select {
		case <-c.sign:
		case <-timeout.C:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// next is what there is for a consumer, here or elsewhere. Either comes first as
// chance will have it: what waits on one node is not left there while another is
// busy.
func (b *Book) next(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	here := func(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
		return b.take(ctx, e, r, leased)
	}
	if b.cfg.Elsewhere == nil {
		return here(ctx, e, r)
	}
	first, second := here, b.cfg.Elsewhere
	if rand.IntN(2) == 0 { //nolint:gosec // it spreads what is asked for
		first, second = second, first
	}
	batch, err := first(ctx, e, r)
	if err != nil || len(batch) > 0 {
		return batch, err
	}
	return second(ctx, e, r)
}

// enter registers a consumer.
func (b *Book) enter(e *postern.EndpointView) (*consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errStopping
	case len(b.consumers[e.Number]) >= mostConsumers:
		return nil, &postern.Error{Kind: postern.RateLimited, Code: "too_many_consumers", Detail: "Too many consumers wait at this endpoint"}
	}
	c := &consumer{sign: make(chan struct{}, 1)}
	b.consumers[e.Number] = append(b.consumers[e.Number], c)
	return c, nil
}

// leave has another consumer look, which may have missed the sign that this one
// was given.
func (b *Book) leave(n postern.EndpointNumber, c *consumer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.consumers[n]
	for i := range list {
		if list[i] == c {
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	if b.consumers[n] = list; len(list) == 0 {
		delete(b.consumers, n)
		return
	}
	list[0].wake()
}

// Waiting has a consumer of the endpoint look what there is. It takes a lock for
// a moment and calls nothing.
func (b *Book) Waiting(n postern.EndpointNumber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake(n)
	b.note(n)
}

// Wake has a consumer of the endpoint look what there is elsewhere.
func (b *Book) Wake(n postern.EndpointNumber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake(n)
}

// wake is called with mu held.
func (b *Book) wake(n postern.EndpointNumber) {
	if list := b.consumers[n]; len(list) > 0 {
		list[0].wake()
	}
}

func (c *consumer) wake() { poke(c.sign) }

// poke sends to a channel of capacity 1 unless there is something in it.
func poke(sign chan<- struct{}) {
	select {
	case sign <- struct{}{}:
	default:
	}
}

// take leases what there is, up to the limit.
func (b *Book) take(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest, as terms) ([]postern.Lease, error) {
	if r.Duration <= 0 {
		r.Duration = postern.DefaultLease
	}
	var batch []postern.Lease
	all := false
	b.emptied(e.Number) // what comes from here on is noted anew
	defer func() {
		if !all {
			b.left(e.Number)
		}
	}()
	for size := 0; len(batch) < r.Limit && size < batchBytes; {
		if err := b.reserve(e.Application); err != nil && len(batch) == 0 {
			return nil, err
		} else if err != nil {
			break
		}
		taken, content := b.cfg.Take(ctx, e.Number)
		if taken == nil {
			b.unreserve(e.Application)
			all = true
			break
		}
		granted, err := b.grant(e, taken, r.Duration, as)
		if err != nil {
			b.giveBack(e.Number, batch)
			return nil, err
		}
		granted.Content = content
		size += len(content.Payload)
		batch = append(batch, granted)
	}
	if ctx.Err() != nil { // nobody is there to be told
		b.giveBack(e.Number, batch)
		return nil, context.Cause(ctx)
	}
	return batch, nil
}

// reserve counts a lease in before there is something to lease.
func (b *Book) reserve(app postern.ApplicationNumber) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return errStopping
	case b.held[app] >= mostHeld:
		return &postern.Error{Kind: postern.RateLimited, Code: "too_many_leases", Detail: "The application's consumers hold too many leases: acknowledge some first"}
	case len(b.leases) >= mostLeases:
		return &postern.Error{Kind: postern.Unavailable, Code: "too_many_leases", Detail: "Consumers hold too many leases"}
	}
	b.held[app]++
	return nil
}

func (b *Book) unreserve(app postern.ApplicationNumber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uncount(app)
}

// uncount is called with mu held.
func (b *Book) uncount(app postern.ApplicationNumber) {
	if b.held[app]--; b.held[app] == 0 {
		delete(b.held, app)
	}
}

// Held is how many leases there are.
func (b *Book) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.leases)
}

// Close gives nothing out any more. It ends all waiting, and all leases but what
// other nodes' handlers have: their deliveries are given back.
func (b *Book) Close() {
	b.mu.Lock()
	b.closed = true
	for _, list := range b.consumers {
		for _, c := range list {
			c.wake()
		}
	}
	for _, w := range b.watchers {
		poke(w.sign)
	}
	if b.lent == 0 {
		b.drain()
	}
	b.mu.Unlock()
	b.endAll(func(l *lease) bool { return l.terms == leased })
	b.attendance.close()
}

// Drain waits, after Close, until what other nodes' handlers have has ended, or ctx
// has.
func (b *Book) Drain(ctx context.Context) error {
	select {
	case <-b.drained: // also when ctx is done already
		return nil
	default:
	}
	select {
	case <-b.drained:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Abort gives back what other nodes' handlers still have. Whoever calls one is told
// so when it asks next.
func (b *Book) Abort() { b.endAll(func(*lease) bool { return true }) }

// endAll gives back what is leased, on some terms.
func (b *Book) endAll(which func(*lease) bool) {
	var ended []*lease
	b.mu.Lock()
	for _, l := range b.leases {
		if which(l) {
			b.remove(l)
			ended = append(ended, l)
		}
	}
	b.mu.Unlock()
	for _, l := range ended {
		l.taken.Return()
	}
}

// remove takes a lease out of the book. It is called with mu held.
func (b *Book) remove(l *lease) {
	delete(b.leases, l.id)
	b.uncount(l.app)
	l.timer.Stop()
	if l.terms == lent {
		b.lent--
	}
	if b.closed && b.lent == 0 {
		b.drain()
	}
}

// drain is called with mu held.
func (b *Book) drain() {
	select {
	case <-b.drained:
	default:
		close(b.drained)
	}
}

var errStopping = &postern.Error{Kind: postern.Unavailable, Detail: "shutting down"}
