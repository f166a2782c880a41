package engine

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

const (
	// tailWait is how long another node that follows is let wait for something to
	// happen, and tailLinger how long for more once something has.
	tailWait, tailLinger = 2 * time.Second, 50 * time.Millisecond
	// tailBytes is about how much it is told at once; what a store takes is twice
	// that.
	tailBytes = 500 << 10
	// tailIdle is how long what happens is kept for a node that does not ask.
	tailIdle = 20 * time.Second
	// mostFollowers bounds the nodes that follow this one, each of which has an order
	// waiting.
	mostFollowers = mostWaiting / 2
	// tailAsleep is how long a node may have stood still that then goes on with the
	// batch it had begun, and is still looked for by who comes back.
	tailAsleep = time.Hour
	// tailAsk bounds one question. The pause between sessions that fail grows from
	// firstTailPause to mostTailPause.
	tailAsk                       = 15 * time.Second
	firstTailPause, mostTailPause = 100 * time.Millisecond, 2 * time.Second
)

// tailOrder asks a node what it did since it was last asked.
type tailOrder struct {
	// From is the asker's main journal, and Session counts upwards there. Begins: it
	// has not asked in this session.
	From    uint16 `json:"from"`
	Session int64  `json:"session"`
	Begins  bool   `json:"begins,omitempty"`
	// Applications are those it wants to hear of, the same for a session; nil for
	// all.
	Applications tail.Applications `json:"applications,omitempty"`
}

// tailResult is the answer: tail.Told, in text.
type tailResult struct {
	Events []json.RawMessage `json:"events,omitempty"`
	Last   string            `json:"last,omitempty"`
	Missed bool              `json:"missed,omitempty"`
}

// tails has clients of this node's tail hear what other nodes do, and nodes with
// such clients what this one does. Without clients nobody asks anybody.
type tails struct {
	engine *Engine
	shared *tail.Shared

	// following is of the goroutine that keeps step, by main journals.
	following map[uint16]*following
	ended     sync.WaitGroup

	mu       sync.Mutex
	sessions map[uint16]*tailSession // by askers' main journals
}

// following is this node's part of following another. done is closed once nothing
// comes of it any more.
type following struct {
	apps   tail.Applications
	cancel context.CancelFunc
	done   chan struct{}
}

func newTails(e *Engine) *tails {
	return &tails{
		engine: e, shared: e.tail.Share(),
		following: make(map[uint16]*following), sessions: make(map[uint16]*tailSession),
	}
}

// steer follows those nodes that live, while anybody listens. All that it starts
// ends with ctx.
func (t *tails) steer(ctx context.Context) {
	var peers map[uint16]bool
	apps, some := t.shared.Wanted()
	if some {
		var of map[uint16]tail.Teller
		of, peers = t.tellers()
		t.shared.Tellers(of)
	}
	ended := make(map[uint16]*following)
	for journal, f := range t.following {
		if !peers[journal] || !f.apps.Cover(apps) {
			f.cancel()
			ended[journal] = f
			delete(t.following, journal)
		}
	}
	for journal := range peers {
		if t.following[journal] == nil {
			t.following[journal] = t.begin(ctx, journal, apps, ended[journal])
		}
	}
}

// tellers are who tells of each journal, and the main journals of the other nodes.
func (t *tails) tellers() (of map[uint16]tail.Teller, peers map[uint16]bool) {
	of, peers = make(map[uint16]tail.Teller), make(map[uint16]bool)
	n := t.engine.nodes
	leases, now := n.state.Load().Leases, n.cluster.Now()
	for i := range leases {
		lease := &leases[i]
		if !lease.Held(now) {
			continue
		}
		if t.engine.shards.of(lease.Journal) != nil {
			of[lease.Journal] = tail.Here
			continue
		}
		for k := range leases {
			if main := &leases[k]; main.Main && main.Held(now) && main.Node == lease.Node && main.Since.Equal(lease.Since) {
				of[lease.Journal], peers[main.Journal] = tail.Teller(main.Journal), true
			}
		}
	}
	return of, peers
}

// begin follows another node, once what was before has ended.
func (t *tails) begin(ctx context.Context, journal uint16, apps tail.Applications, before *following) *following {
	ctx, cancel := context.WithCancel(ctx)
	f := &following{apps: apps, cancel: cancel, done: make(chan struct{})}
	t.ended.Go(func() { // ends with ctx
		defer close(f.done)
		if before != nil {
			<-before.done
		}
		t.follow(ctx, journal, apps)
	})
	return f
}

// follow asks another node again and again. That it cannot be asked is no news: its
// lease tells whether it lives.
func (t *tails) follow(ctx context.Context, journal uint16, apps tail.Applications) {
	for pause := firstTailPause; ctx.Err() == nil; pause = min(2*pause, mostTailPause) {
		if t.session(ctx, journal, apps) {
			pause = firstTailPause
		}
		wait(ctx, pause)
	}
}

// session hands on what another node tells, until that is not to be had, or not what
// clients want. What it did before, and what of it got lost on the way, is in the
// store. It reports whether it heard anything at all.
func (t *tails) session(ctx context.Context, journal uint16, apps tail.Applications) (heard bool) {
	o := order{Op: orderTail, Tail: &tailOrder{
		From: t.engine.shards.main.journal, Session: t.engine.nodes.cluster.Now().UnixNano(), Begins: true, Applications: apps,
	}}
	for {
		told, err := t.ask(ctx, journal, o)
		if err != nil {
			return heard
		}
		told.By, told.Of, told.Gap = tail.Teller(journal), apps, o.Tail.Begins
		if !t.shared.Tell(told) {
			return heard
		}
		heard, o.Tail.Begins = true, false
	}
}

// ask asks once.
func (t *tails) ask(ctx context.Context, journal uint16, o order) (told tail.Told, err error) {
	ctx, cancel := context.WithTimeout(ctx, tailAsk)
	defer cancel()
	r, err := t.engine.order(ctx, journal, o)
	if err != nil || r.Tail == nil {
		return told, err
	}
	told.Missed = r.Tail.Missed
	if r.Tail.Last != "" {
		if told.Last, err = tail.Parse(r.Tail.Last); err != nil {
			return told, err
		}
	}
	unknown := false
	for _, text := range r.Tail.Events {
		var e tail.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return told, err
		}
		if e.Known() {
			told.Events = append(told.Events, e)
			unknown = unknown || t.unknown(e.Delivery())
		}
	}
	if unknown {
		err = t.engine.nodes.fresh(ctx)
	}
	return told, err
}

// unknown reports whether an event is about what this node has not heard of yet.
func (t *tails) unknown(d store.DeliveryKey) bool {
	c := t.engine.catalogue
	return c.ApplicationByNumber(d.Application) == nil || d.Endpoint != 0 && c.EndpointByNumber(d.Endpoint) == nil
}

// stop waits for what steer began, whose context has ended, and ends what other
// nodes have begun here.
func (t *tails) stop() {
	t.ended.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for from, s := range t.sessions {
		s.end()
		delete(t.sessions, from)
	}
}

// horizon is where the journals end that a tail follows: all that was stored there
// is in the store's lists, and of what the catalogue has.
func (n *nodes) horizon(ctx context.Context) (tail.Cursor, error) {
	now := n.cluster.Now()
	heads, err := n.cluster.Heads(ctx)
	if err == nil {
		err = n.fresh(ctx)
	}
	if err != nil {
		return tail.Cursor{}, err
	}
	return tail.Horizons(heads, openUntil(n.state.Load().Leases, now)), nil
}

// openUntil tells until when a journal's holder may have made ids whose batch can
// still be stored.
func openUntil(leases []store.Lease, now time.Time) func(journal uint16) time.Time {
	return func(journal uint16) time.Time {
		for i := range leases {
			lease := &leases[i]
			if lease.Journal != journal || lease.Released || now.Before(lease.Expires) {
				continue
			}
			if asleep := now.Add(-tailAsleep); lease.Expires.Before(asleep) {
				return asleep
			}
			return lease.Expires
		}
		return now
	}
}

// horizon is the hook of the tail; nil where there is one journal.
func (e *Engine) horizon() func(context.Context) (tail.Cursor, error) {
	if e.nodes == nil {
		return nil
	}
	return e.nodes.horizon
}
