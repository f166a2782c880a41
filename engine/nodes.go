package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// lookEvery is how often a node looks at the others where nothing has it look
	// earlier: leases run out without a word.
	lookEvery = time.Second
	// mostRequests bounds what is done for other nodes at once, and mostWaiting what
	// waits for something to happen here: each of them keeps two such orders.
	mostRequests = 64
	mostWaiting  = 64
	// failedFor is how long a journal is left alone by who could not store what it
	// asked for: each time that it is adopted, that is sent once more.
	failedFor = time.Minute
)

// nodes keeps an engine in step with the others that share its store. It adopts
// journals whose holders are gone, follows the catalogue, does what others ask
// for, and divides rate limits. There is none on a store of one process.
type nodes struct {
	engine  *Engine
	cluster store.Cluster

	state atomic.Pointer[store.ClusterState]
	rates shares
	looks looks
	tails *tails

	// adopting, of capacity 1, is full while a shard is added, which can take long.
	// work has one begin; nil before the engine works, and once that ends.
	// settled is closed when that is about to be.
	adopting, settled chan struct{}
	work              func(*shard)

	// working counts requests that are carried out, shards that are let go, and the
	// round of adoptions, of which there is one at a time: taking.
	working sync.WaitGroup
	taking  atomic.Bool
	mu      sync.Mutex
	// asked are those requests by their ids, false once they are carried out. A look
	// that began before the answer still has it. busy counts those that are not, but for
	// those that wait for something to happen, which are counted by waiting.
	asked         map[uint64]bool
	busy, waiting int
	// failed are journals of which this node could not store something, until it may
	// adopt them again.
	failed map[uint16]time.Time
}

// newNodes is nil for a store that one process has to itself.
func (e *Engine) newNodes() *nodes {
	cluster, ok := e.cfg.Store.(store.Cluster)
	if !ok {
		return nil
	}
	n := &nodes{
		engine: e, cluster: cluster, adopting: make(chan struct{}, 1), settled: make(chan struct{}), tails: newTails(e),
		asked: make(map[uint64]bool), failed: make(map[uint16]time.Time),
	}
	n.state.Store(&store.ClusterState{})
	return n
}

// start keeps step until leave is called, which waits for what is under way. Once
// settle was called it takes on nothing new, neither journals nor deliveries, but
// answers other nodes still. The shards go on: their attempts are the engine's to end.
func (n *nodes) start(ctx, attempts context.Context) (settle, leave func()) {
	if n == nil {
		return func() {}, func() {}
	}
	peers := n.engine.peers
	peers.attempt = func(fn func(context.Context)) { peers.calls.Go(func() { fn(attempts) }) }
	n.adopting <- struct{}{}
	n.work = func(sh *shard) {
		sh.run(ctx)
		sh.dispatcher.Start(attempts)
	}
	<-n.adopting
	steps, cancel := context.WithCancelCause(ctx)
	adoptions, cancelAdoptions := context.WithCancelCause(steps)
	done := make(chan struct{})
	go func() { // ends with steps, by leave alone
		defer close(done)
		n.run(steps, adoptions)
	}()
	settle = func() {
		peers.stop()
		cancelAdoptions(errStopping)
		close(n.settled)
		n.adopting <- struct{}{}
		n.work = nil
		<-n.adopting
	}
	return settle, func() {
		cancel(errStopping)
		<-done
		n.working.Wait()
		n.tails.stop()
	}
}

// run steps until ctx is done, and takes journals on and lets go of them until
// adoptions is.
func (n *nodes) run(ctx, adoptions context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.tails.shared.Moved():
			n.tails.steer(ctx)
			continue
		case <-n.cluster.Wake():
		case <-timer.C:
		}
		n.tell(ctx, n.step(ctx, adoptions))
		timer.Reset(lookEvery)
	}
}

// tell logs what failed and is tried again. The store tells itself when it is away.
func (n *nodes) tell(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, postern.ErrUnavailable) {
		n.engine.cfg.Log.Error("keeping step with other nodes", "error", err)
	}
}

// step looks once at what concerns all nodes, and does what follows.
func (n *nodes) step(ctx, adoptions context.Context) error {
	answered := n.answered()
	state, err := n.look(ctx)
	if err != nil {
		return err
	}
	n.forget(answered, state.Requests)
	n.divide(state)
	n.engine.peers.follow(ctx, state)
	for _, request := range state.Requests {
		n.begin(ctx, request)
	}
	if adoptions.Err() == nil {
		n.turnOver(adoptions, state)
	}
	n.tails.steer(ctx) // by who holds what now
	return nil
}

// turnOver lets go of journals that have nothing left to do, and begins to take those
// on that nobody has.
func (n *nodes) turnOver(ctx context.Context, state *store.ClusterState) {
	n.retire(ctx)
	if n.taking.CompareAndSwap(false, true) {
		// What has to be waited for, and read, can be much.
		n.working.Go(func() {
			defer n.taking.Store(false)
			n.tell(ctx, n.adoptAll(ctx, state))
		})
	}
}

// look reads the state and brings the catalogue up to it.
func (n *nodes) look(ctx context.Context) (*store.ClusterState, error) {
	state, err := n.cluster.Poll(ctx)
	if err != nil {
		return nil, err
	}
	n.state.Store(&state)
	return &state, n.follow(ctx, state.Version)
}

// follow takes over what other nodes changed of the catalogue, up to a version.
func (n *nodes) follow(ctx context.Context, version uint64) error {
	c := n.engine.catalogue
	if c.Version() >= version {
		return nil
	}
	err := c.Refresh(ctx, n.cluster)
	if errors.Is(err, postern.ErrConflict) { // too long ago
		var head store.Head
		if head, err = n.cluster.Head(ctx); err == nil {
			err = c.Reload(ctx, n.cluster, head, version)
		}
	}
	if err != nil {
		return fmt.Errorf("following the catalogue: %w", err)
	}
	return nil
}

// refresh follows the catalogue up to what is there now: a batch was refused.
func (n *nodes) refresh(ctx context.Context) error {
	state, err := n.cluster.Poll(ctx)
	if err != nil {
		return err
	}
	return n.follow(ctx, state.Version)
}

// leads reports whether what one node does for all is this one's: it has the
// first of the journals that accept.
func (n *nodes) leads() bool {
	if n == nil {
		return true
	}
	journal, ok := n.leader()
	return ok && journal == n.engine.shards.main.journal
}

// leader is the main journal of the node that leads; false where none holds one.
func (n *nodes) leader() (uint16, bool) {
	leases, now := n.state.Load().Leases, n.cluster.Now()
	for i := range leases {
		if leases[i].Main && leases[i].Held(now) {
			return leases[i].Journal, true
		}
	}
	return 0, false
}

// adoptAll takes the journals that nobody holds and that somebody has to.
func (n *nodes) adoptAll(ctx context.Context, state *store.ClusterState) error {
	now := n.cluster.Now()
	var failed error
	for i := range state.Leases {
		lease := &state.Leases[i]
		if lease.Held(now) || lease.Idle || n.engine.shards.of(lease.Journal) != nil || n.leavesAlone(lease.Journal) {
			continue
		}
		if _, err := n.adopt(ctx, lease.Journal); err != nil && !errors.Is(err, postern.ErrConflict) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// holder is the shard of a journal: nil where another node has it, and
// postern.ErrNotFound where there is no such journal.
func (n *nodes) holder(ctx context.Context, journal uint16) (*shard, error) {
	lease := leaseOf(n.state.Load(), journal)
	if lease == nil { // it may be one of a node that has just begun
		state, err := n.look(ctx)
		if err != nil {
			return nil, err
		}
		if lease = leaseOf(state, journal); lease == nil {
			return nil, postern.ErrNotFound
		}
	}
	if lease.Held(n.cluster.Now()) {
		return nil, nil
	}
	sh, err := n.adopt(ctx, journal)
	if errors.Is(err, postern.ErrConflict) {
		return nil, nil // somebody was faster, or its holder may yet be there
	}
	return sh, err
}

func leaseOf(state *store.ClusterState, journal uint16) *store.Lease {
	at := slices.IndexFunc(state.Leases, func(l store.Lease) bool { return l.Journal == journal })
	if at < 0 {
		return nil
	}
	return &state.Leases[at]
}

// adopt takes a journal over and goes on where it stands. postern.ErrConflict
// where it has a holder. Who stops does not wait for the store.
func (n *nodes) adopt(ctx context.Context, journal uint16) (*shard, error) {
	e := n.engine
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() { // ends with ctx
		select {
		case <-n.settled:
			end(errStopping)
		case <-ctx.Done():
		}
	}()
	select {
	case n.adopting <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-n.adopting }()
	if n.work == nil {
		return nil, errStopping
	}
	if sh := e.shards.of(journal); sh != nil {
		return sh, nil
	}
	cluster, err := n.cluster.Adopt(ctx, journal)
	if err != nil {
		return nil, err
	}
	sh, err := n.open(ctx, cluster)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("adopting journal %d: %w", journal, err), cluster.Close())
	}
	e.cfg.Log.Info("adopted a journal: its deliveries go on here", "journal", journal)
	return sh, nil
}

// awaited borrows the shard of a journal that may just be being adopted; nil for none.
func (n *nodes) awaited(journal uint16) *shard {
	n.adopting <- struct{}{}
	defer func() { <-n.adopting }()
	return n.engine.shards.borrow(journal)
}

// open has a shard work on a store.
func (n *nodes) open(ctx context.Context, cluster store.Cluster) (*shard, error) {
	head, err := cluster.Head(ctx)
	if err != nil {
		return nil, err
	}
	sh := n.engine.newShard(cluster, head)
	if err := sh.dispatcher.Recover(ctx, head.Low); err != nil {
		return nil, errors.Join(err, sh.dispatcher.Stop(ctx)) // its timers keep the lanes that there are
	}
	n.engine.shards.add(sh)
	n.work(sh)
	return sh, nil
}

// retire lets go of adopted journals that have nothing left to do, and of those
// that somebody else has taken.
func (n *nodes) retire(ctx context.Context) {
	for _, sh := range n.engine.shards.all() {
		if sh == n.engine.shards.main || !sh.failed() && !sh.idle() {
			continue
		}
		if n.engine.shards.remove(sh) {
			n.note(sh)
			n.working.Go(func() { n.letGo(ctx, sh) })
		}
	}
}

// note takes down why a shard is let go, if it is not that another node has it, or
// that the store is away.
func (n *nodes) note(sh *shard) {
	if sh.failed() && !errors.Is(sh.err, postern.ErrUnavailable) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.failed[sh.journal] = time.Now().Add(failedFor)
	}
}

func (n *nodes) leavesAlone(journal uint16) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.failed[journal])
}

// letGo ends an adopted shard that nobody finds any more, and releases its
// journal. Of one that is somebody else's by now nothing is stored, however its
// attempts end.
func (n *nodes) letGo(ctx context.Context, sh *shard) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), abortTimeout, errDrained)
	defer cancel()
	if err := errors.Join(sh.dispatcher.Stop(ctx), sh.finish(), sh.store.Close()); err != nil {
		n.engine.cfg.Log.Warn("an adopted journal is let go", "journal", sh.journal, "error", err)
	}
}

// begin carries out a request beside everything else, once. Those that wait for
// news, one of each other node, take up no place.
func (n *nodes) begin(ctx context.Context, request store.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.asked[request.ID]; ok {
		return
	}
	var o order
	unread := json.Unmarshal(request.Body, &o)
	count, most := &n.busy, mostRequests
	if o.Op == orderWatch || o.Op == orderTail {
		count, most = &n.waiting, mostWaiting
	}
	if *count >= most {
		return
	}
	n.asked[request.ID] = true
	*count++
	n.working.Go(func() {
		err := n.engine.answer(context.WithoutCancel(ctx), request, o, unread)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.asked[request.ID] = false
		*count--
		switch {
		case errors.Is(err, errNotHeld):
			delete(n.asked, request.ID) // whoever has the journal next finds it
		case err != nil:
			n.engine.cfg.Log.Warn("another node is not told what came of its request", "error", err)
		}
	})
}

// answered are requests that a look which begins now has no more, unless their answers
// failed: these are not carried out again either, and their askers give up.
func (n *nodes) answered() (ids []uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, busy := range n.asked {
		if !busy {
			ids = append(ids, id)
		}
	}
	return ids
}

// forget drops answered requests that a later look has no more.
func (n *nodes) forget(answered []uint64, asked []store.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range answered {
		if !slices.ContainsFunc(asked, func(r store.Request) bool { return r.ID == id }) {
			delete(n.asked, id)
		}
	}
}

// divide follows the shares of rates, and has the leases say what this node's
// shards have to send.
func (n *nodes) divide(state *store.ClusterState) {
	all := n.engine.shards.all()
	demand := make(map[uint16]map[postern.EndpointNumber]float64, len(all))
	for _, sh := range all {
		demand[sh.journal] = make(map[postern.EndpointNumber]float64)
		sh.dispatcher.Demand(demand[sh.journal])
	}
	say := n.rates.divide(state.Leases, demand, n.cluster.Now())
	for _, sh := range all {
		text, err := json.Marshal(say[sh.journal])
		if err != nil {
			n.engine.cfg.Log.Error("rates are not divided", "error", err)
			continue
		}
		claims := say[sh.journal].claims()
		sh.store.(store.Cluster).Tell(text, claims != sh.said) //nolint:forcetypeassert // a cluster's shards all have one
		sh.said = claims
	}
}

// version is the newest change of the catalogue.
func (n *nodes) version(ctx context.Context) (uint64, error) {
	if n == nil {
		return 0, nil
	}
	state, err := n.cluster.Poll(ctx)
	return state.Version, err
}

// The hooks of stages on what nodes have in common; on a store of one process
// they are nil, and cost nothing.

func (e *Engine) shareOf(journal uint16) func(postern.EndpointNumber) float64 {
	if e.nodes == nil {
		return nil
	}
	return func(n postern.EndpointNumber) float64 { return e.nodes.rates.of(journal, n, e.nodes.cluster.Now()) }
}

func (e *Engine) version() func() uint64 {
	if e.nodes == nil {
		return nil
	}
	return e.catalogue.Version
}

func (e *Engine) elsewhere() func(context.Context, *postern.EndpointView, postern.LeaseRequest) ([]postern.Lease, error) {
	if e.nodes == nil {
		return nil
	}
	return e.peers.take
}

func (e *Engine) refresher() func(context.Context) error {
	if e.nodes == nil {
		return nil
	}
	return e.nodes.refresh
}

// Nodes lists the servers that share the store, the one that answers alone where
// nobody does.
func (e *Engine) Nodes(ctx context.Context) ([]postern.Node, error) {
	if e.nodes == nil {
		return []postern.Node{{
			Name: "postern", Since: e.began, Live: true, Leads: true, Self: true,
			Journals: []postern.JournalLease{{Number: e.shards.main.journal, Main: true}},
		}}, nil
	}
	state, err := e.nodes.look(ctx)
	if err != nil {
		return nil, err
	}
	leader, leads := e.nodes.leader()
	now := e.nodes.cluster.Now()
	var nodes []postern.Node
	for i := range state.Leases {
		lease := &state.Leases[i]
		live := lease.Held(now)
		if !live && lease.Idle {
			continue // it lies free
		}
		at := slices.IndexFunc(nodes, func(n postern.Node) bool { return n.Name == lease.Node && n.Since.Equal(lease.Since) })
		if at < 0 {
			at = len(nodes)
			nodes = append(nodes, postern.Node{Name: lease.Node, Since: lease.Since, ExpiresAt: lease.Expires})
		}
		n := &nodes[at]
		n.Live = n.Live || live
		n.Leads = n.Leads || leads && lease.Journal == leader
		n.Self = n.Self || lease.Journal == e.shards.main.journal
		if lease.Expires.After(n.ExpiresAt) {
			n.ExpiresAt = lease.Expires
		}
		n.Journals = append(n.Journals, postern.JournalLease{Number: lease.Journal, Main: lease.Main, Idle: lease.Idle})
	}
	return nodes, nil
}
