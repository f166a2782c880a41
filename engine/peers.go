package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// watchFor is how long a node waits for news of another before it asks anew,
	// watchAgain how long after what it wants to know has changed, and watchFailed
	// after a failure.
	watchFor    = 20 * time.Second
	watchAgain  = 50 * time.Millisecond
	watchFailed = time.Second
	// askedFor is how long an endpoint is watched after a consumer last asked,
	// which waits for postern.MaxLeaseWait at most.
	askedFor = 2 * time.Minute
	// orderWithin bounds an order about leases: a node that is gone is known as
	// such by then.
	orderWithin = 15 * time.Second
	// consumerWaits is how long a consumer waits for one of the other nodes.
	consumerWaits = 3 * time.Second
	// mostGiven bounds what is leased by one order, since each message is read.
	mostGiven = 100
)

// peers take deliveries from other nodes for what is here: consumers, and handlers
// whose functions those have not. Each other node is watched with one order, which
// it answers when it has something; what it may have is asked for until it has
// nothing more.
type peers struct {
	engine *Engine
	// attempt has a function run as attempts do, counted by calls; nodes.start sets it.
	attempt func(fn func(ctx context.Context))

	mu  sync.Mutex
	all map[uint16]*peer // by their main journals
	// asked is when consumers last asked for an endpoint.
	asked map[postern.EndpointNumber]time.Time
	// stopping: nothing is begun any more. What was is counted by nodes.working, and
	// handlers' calls, with who makes them, by calls.
	stopping bool
	calls    sync.WaitGroup
}

// peer is another node that lives.
type peer struct {
	journal uint16
	end     context.CancelCauseFunc
	changed chan struct{} // capacity 1: watched has another result
	gone    chan struct{} // closed when the node is not there any more
	// has are the endpoints that it may have something of, runs those of handlers
	// for which that is being taken; both are guarded by peers.mu.
	has, runs map[postern.EndpointNumber]struct{}
}

// left reports whether the node is not there any more.
func (one *peer) left() bool {
	select {
	case <-one.gone:
		return true
	default:
		return false
	}
}

var errGone = errors.New("the node is gone, or does not answer")

// newPeers is nil for a store that one process has to itself.
func (e *Engine) newPeers() *peers {
	if e.nodes == nil {
		return nil
	}
	return &peers{engine: e, all: make(map[uint16]*peer), asked: make(map[postern.EndpointNumber]time.Time)}
}

// follow watches the nodes that live, until ctx ends, and no others.
func (p *peers) follow(ctx context.Context, state *store.ClusterState) {
	live := p.engine.nodes.accepting(state)
	delete(live, p.engine.shards.main.journal)
	p.mu.Lock()
	defer p.mu.Unlock()
	for journal, one := range p.all {
		if !live[journal] {
			one.end(errGone)
			close(one.gone)
			delete(p.all, journal)
		}
	}
	for journal := range live {
		if p.all[journal] != nil || p.stopping {
			continue
		}
		one := &peer{
			journal: journal, changed: make(chan struct{}, 1), gone: make(chan struct{}),
			has: make(map[postern.EndpointNumber]struct{}), runs: make(map[postern.EndpointNumber]struct{}),
		}
		var watching context.Context
		watching, one.end = context.WithCancelCause(ctx)
		p.all[journal] = one
		p.engine.nodes.working.Go(func() { p.watch(watching, one) })
	}
}

// watch keeps an order at a peer that it answers when it has something, until ctx
// ends.
func (p *peers) watch(ctx context.Context, one *peer) {
	for ctx.Err() == nil {
		attended, wants := p.watched(one)
		if len(attended) == 0 {
			select {
			case <-one.changed:
			case <-ctx.Done():
			}
			continue
		}
		found, pause := p.askFor(ctx, one, attended, wants)
		for _, n := range found {
			p.found(one, n)
		}
		wait(ctx, pause)
	}
}

// wait waits for so long, or until ctx ends.
func wait(ctx context.Context, pause time.Duration) {
	if pause == 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// askFor waits for what a peer has, until what is wanted changes. The pause is to be
// made before it is asked again.
func (p *peers) askFor(ctx context.Context, one *peer, attended, wants []postern.EndpointNumber) (found []postern.EndpointNumber, pause time.Duration) {
	asking, cancel := context.WithTimeoutCause(ctx, watchFor+orderWithin, errGone)
	interrupted := make(chan bool, 1)
	go func() { // ends with asking
		select {
		case <-one.changed:
			cancel()
			interrupted <- true
		case <-asking.Done():
			interrupted <- false
		}
	}()
	r, err := p.engine.order(asking, one.journal, order{Op: orderWatch, Pull: &pullOrder{
		From: p.engine.shards.main.journal, Attended: attended, Wants: wants, For: watchFor,
	}})
	cancel()
	switch {
	case <-interrupted:
		pause = watchAgain
	case err != nil:
		pause = watchFailed
	}
	if err != nil || r.Pull == nil {
		return nil, pause
	}
	return r.Pull.Found, pause
}

// watched are the endpoints whose deliveries are taken here, and those of them that
// the peer has not said to have something of.
func (p *peers) watched(one *peer) (attended, wants []postern.EndpointNumber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.asked, func(_ postern.EndpointNumber, at time.Time) bool { return time.Since(at) > askedFor })
	if p.stopping {
		return nil, nil
	}
	attended = slices.Collect(maps.Keys(p.asked))
	for n := range p.engine.handlers.byNumber {
		if view := p.engine.catalogue.EndpointByNumber(n); view != nil && !view.Deleted {
			attended = append(attended, n)
		}
	}
	for _, n := range attended {
		if _, ok := one.has[n]; !ok {
			wants = append(wants, n)
		}
	}
	return attended, wants
}

// found notes that a peer may have something, and has it taken.
func (p *peers) found(one *peer, n postern.EndpointNumber) {
	handler := p.engine.handlers.byNumber[n]
	if handler == nil {
		defer p.engine.pulls.Wake(n) // once it is noted
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one.has[n] = struct{}{}
	if _, runs := one.runs[n]; handler != nil && !runs && !p.stopping {
		one.runs[n] = struct{}{}
		p.attempt(func(ctx context.Context) { p.borrow(ctx, one, n, handler) })
	}
}

// emptied notes that a peer has nothing more: it is to tell when it has.
func (p *peers) emptied(one *peer, n postern.EndpointNumber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(one.has, n)
	one.poke()
}

// poke has the peer be asked anew.
func (one *peer) poke() {
	select {
	case one.changed <- struct{}{}:
	default:
	}
}

// take is what other nodes give a consumer: what one of them has.
func (p *peers) take(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	r.Limit = min(r.Limit, mostGiven)
	for _, one := range p.ask(e.Number) {
		batch, err := p.lease(ctx, one, e, r)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
	return nil, nil
}

// ask notes that a consumer asks for an endpoint, and lists the peers that may have
// something of it, in any order.
func (p *peers) ask(n postern.EndpointNumber) (having []*peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.asked[n]
	p.asked[n] = time.Now()
	for _, one := range p.all {
		if !known {
			one.poke()
		}
		if _, ok := one.has[n]; ok {
			having = append(having, one)
		}
	}
	return having
}

// lease has a peer give leases. A consumer that leaves, or that waited long enough,
// has nothing to do with what comes later: it is given back.
func (p *peers) lease(ctx context.Context, one *peer, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	type answer struct {
		batch []postern.Lease
		err   error
	}
	told, left := make(chan answer), make(chan struct{})
	defer close(left)
	if !p.begin(func() {
		batch, err := p.fetch(context.WithoutCancel(ctx), one, e, order{
			Op: orderLease, Endpoint: e.Number, Pull: &pullOrder{Limit: r.Limit, For: r.Duration},
		})
		select {
		case told <- answer{batch, err}:
		case <-left:
			if len(batch) > 0 {
				p.giveBack(context.WithoutCancel(ctx), one, e.Number, batch)
				p.engine.pulls.Wake(e.Number) // it is there still
			}
		}
	}) {
		return nil, nil
	}
	timer := time.NewTimer(consumerWaits)
	defer timer.Stop()
	select {
	case a := <-told:
		if errors.Is(a.err, postern.ErrUnavailable) {
			a.err = nil // of a node that goes: it, or who is next, tells what there is
		}
		return a.batch, a.err
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// begin has something be done that stopping waits for; false when that has begun.
func (p *peers) begin(fn func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopping {
		p.engine.nodes.working.Go(fn)
	}
	return !p.stopping
}

// stop has nothing be begun any more.
func (p *peers) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
}

// drain waits, after stop, until the calls of handlers have ended and been told, or
// ctx has.
func (p *peers) drain(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { // ends with the last call, which is waited for however long it takes
		defer close(ended)
		p.calls.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fetch asks a peer for leases, and reads what they are of.
func (p *peers) fetch(ctx context.Context, one *peer, e *postern.EndpointView, o order) ([]postern.Lease, error) {
	result, err := p.order(ctx, one.journal, o)
	if err != nil {
		time.AfterFunc(watchFailed, func() { p.emptied(one, e.Number) }) // it touches nothing that ends before
		return nil, err
	}
	if len(result.Granted) < o.Pull.Limit {
		p.emptied(one, e.Number)
	}
	reading, cancel := p.within(ctx)
	defer cancel()
	batch := make([]postern.Lease, 0, len(result.Granted))
	var unread []postern.Lease
	for i := range result.Granted {
		l, readErr := p.read(reading, e.Application, &result.Granted[i])
		if readErr != nil {
			unread, err = append(unread, l), readErr
			continue
		}
		batch = append(batch, l)
	}
	p.giveBack(ctx, one, e.Number, unread)
	if len(batch) > 0 || errors.Is(err, postern.ErrNotFound) { // one was deleted meanwhile
		err = nil
	}
	return batch, err
}

// read makes a lease of what was granted.
func (p *peers) read(ctx context.Context, app postern.ApplicationNumber, g *grant) (l postern.Lease, err error) {
	l = postern.Lease{ID: g.Lease, Attempt: g.Attempt, Replay: g.Replay, ExpiresAt: g.Expires}
	if l.Message, err = p.engine.cfg.Store.Message(ctx, app, g.Message); err == nil {
		l.Content, err = p.engine.cfg.Store.Content(ctx, app, g.Message)
	}
	return l, err
}

// giveBack releases what nobody is told of.
func (p *peers) giveBack(ctx context.Context, one *peer, n postern.EndpointNumber, batch []postern.Lease) {
	if len(batch) == 0 {
		return
	}
	ids := make([]postern.LeaseID, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	_, err := p.order(ctx, one.journal, order{Op: orderRelease, Endpoint: n, Pull: &pullOrder{Leases: ids}})
	if err != nil {
		p.engine.cfg.Log.Warn("leases of another node run out unused", "leases", len(ids), "error", err)
	}
}

// order has a node do something about leases, this one or another. It goes on for
// an asker that has left, so that what comes of it is known.
func (p *peers) order(ctx context.Context, journal uint16, o order) (*pullResult, error) {
	if journal == p.engine.shards.main.journal {
		return p.engine.carryOutPull(ctx, o)
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	r, err := p.engine.order(ctx, journal, o)
	if err == nil && r.Pull == nil {
		err = &postern.Error{Kind: postern.Unavailable, Detail: "another node says nothing of its leases"}
	}
	return r.Pull, err
}

// within is a context for what goes on for an asker that has left, for so long as an
// order may take. Who stops waits for it, with the patience that there is.
func (p *peers) within(ctx context.Context) (context.Context, func()) {
	patient, end := p.engine.patience(ctx)
	ctx, cancel := context.WithTimeoutCause(patient, orderWithin, errGone)
	return ctx, func() {
		cancel()
		end()
	}
}
