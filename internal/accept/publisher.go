// Package accept turns what is published into durable, deduplicated messages:
// it routes once, reserves the request's digests so that a second copy waits
// for the first, and answers when the batch that holds the message is synced.
package accept

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Router matches messages to the endpoints of their application.
type Router interface {
	// Match lists the endpoints, ascending. It reports false when there is no
	// such application. The slice is shared and never changed.
	Match(app postern.ApplicationNumber, eventType string, channels []string) ([]postern.EndpointNumber, bool)
}

// Lanes get accepted messages.
type Lanes interface {
	// Accepting is called while a batch is built, with the message's id set;
	// Accepted once the batch is durable.
	Accepting(m *postern.Message)
	Accepted(m *postern.Message, c *postern.Content)
	// Rerouted and Withdrawn come between the two, while a batch is amended that
	// the store refused: the message has other routes than those before, which
	// Accepting saw; or it has left the batch, and no message will have its
	// position.
	Rerouted(m *postern.Message, before []postern.EndpointNumber)
	Withdrawn(m *postern.Message)
}

// Store is what accepting reads.
type Store interface {
	Dedupe(ctx context.Context, scope store.Scope, digest store.Digest, since time.Time) (store.DedupeRecord, bool, error)
	Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error)
}

// Part is what accept puts into batches; see package journal, whose Amender it is.
type Part interface {
	Build(b *store.Batch)
	Amend(b *store.Batch, why *store.Amend) error
	Done(err error)
}

// Config is what a Publisher needs. Router, Lanes, Store and Accept are required.
type Config struct {
	Router Router
	Lanes  Lanes
	Store  Store
	// Accept hands a part to the committer, or refuses with an error of kind
	// Unavailable.
	Accept func(p Part, size int) error
	// Version is that of the catalogue that Router shows, or an older one; 0 when
	// nil, for one that no other node changes.
	Version func() uint64
	// Hurry tells the committer that nobody else is on the way whom the batch
	// might wait for; may be nil.
	Hurry func()
	// Now is the wall clock; time.Now when nil. Accepted is told of each
	// message once it is durable; may be nil.
	Now      func() time.Time
	Accepted func(m *postern.Message)
}

// Publisher accepts messages. It is safe for concurrent use.
type Publisher struct {
	cfg      Config
	gate     gate
	reserved reservations
	pool     sync.Pool // of *pending
}

// New makes a publisher.
func New(cfg Config) *Publisher {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Version == nil {
		cfg.Version = func() uint64 { return 0 }
	}
	p := &Publisher{cfg: cfg, gate: newGate(runtime.GOMAXPROCS(0))}
	p.reserved.init()
	p.pool.New = func() any { return newPending(p) }
	return p
}

// Publish routes a message, makes it durable and returns it. A second copy, by
// event id or by its duplicate key, is not stored: the first one's id is
// returned, with duplicate true. The payload is the publisher's from here on.
//
// When ctx ends first, or the store takes longer than 10 seconds, the message may
// or may not have been accepted, or be yet.
func (p *Publisher) Publish(ctx context.Context, in postern.Publish) (m *postern.Message, duplicate bool, err error) {
	to, err := p.route(&in)
	if err != nil {
		return nil, false, err
	}
	if err := p.gate.enter(ctx, in.Application, len(in.Payload)); err != nil {
		return nil, false, err
	}
	defer p.gate.leave(in.Application)
	a, r := p.begin(ctx, in, to)
	p.passed()
	if a != nil {
		r = p.end(ctx, a)
	}
	return r.Message, r.Duplicate, r.Err
}

// answerWithin is how long a publisher waits for a store that hangs, or is away:
// most give up by themselves soon after, and then know less.
const answerWithin = 10 * time.Second

var errLate = &postern.Error{Kind: postern.Unavailable, Code: "not_stored_yet",
	Detail: "the store takes too long: the message may be accepted yet; an eventId or an idempotency-key keeps a second one from being made"}

// Result is what became of one message of several: Message is durable, or with
// Duplicate the first copy, or it is nil and Err says why.
type Result struct {
	Message   *postern.Message
	Duplicate bool
	Err       error
}

// PublishBatch is Publish for messages of one application, which come in
// together, and each of which stands for itself.
func (p *Publisher) PublishBatch(ctx context.Context, batch []postern.Publish) []Result {
	results := make([]Result, len(batch))
	if len(batch) == 0 {
		return results
	}
	size := 0
	for i := range batch {
		size += len(batch[i].Payload)
	}
	app := batch[0].Application
	if err := p.gate.enter(ctx, app, size); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	defer p.gate.leave(app)
	begun := make([]*pending, len(batch))
	for i, in := range batch {
		to, err := p.route(&in)
		if err != nil {
			results[i].Err = err
			continue
		}
		begun[i], results[i] = p.begin(ctx, in, to)
	}
	p.passed()
	for i, a := range begun {
		if a != nil {
			results[i] = p.end(ctx, a)
		}
	}
	return results
}

// route matches a message, unless it names its endpoint.
func (p *Publisher) route(in *postern.Publish) (to routed, err error) {
	to.version, to.only = p.cfg.Version(), in.Only // the version first: it is not above that of the routes
	routes, ok := p.cfg.Router.Match(in.Application, in.EventType, in.Channels)
	if !ok {
		return to, postern.ErrNotFound
	}
	to.routes = routes
	if in.Only != 0 {
		to.routes = []postern.EndpointNumber{in.Only}
	}
	return to, nil
}

// begin hands a message to the committer; end must follow with what it returns.
// That is nil for a message that ended here.
func (p *Publisher) begin(ctx context.Context, in postern.Publish, to routed) (*pending, Result) {
	a := p.pool.Get().(*pending)
	a.fill(in, to)
	first, err := p.hand(ctx, a)
	if err == nil && first.IsZero() {
		return a, Result{}
	}
	p.recycle(a)
	if err != nil {
		return nil, Result{Err: err}
	}
	return nil, copyOf(first, in.Application)
}

// copyOf is the result of a second copy.
func copyOf(first postern.MessageID, app postern.ApplicationNumber) Result {
	return Result{Message: &postern.Message{ID: first, Application: app}, Duplicate: true}
}

// passed tells the gate that all that was let in at once is handed over.
func (p *Publisher) passed() {
	if p.gate.passed() && p.cfg.Hurry != nil {
		p.cfg.Hurry()
	}
}

// end waits until a message is durable.
func (p *Publisher) end(ctx context.Context, a *pending) Result {
	var err error
	a.late.Reset(answerWithin)
	select {
	case err = <-a.done:
	case <-ctx.Done():
		return Result{Err: context.Cause(ctx)} // a is still the committer's
	case <-a.late.C:
		return Result{Err: errLate} // as above
	}
	a.late.Stop()
	m := a.message
	p.recycle(a)
	if of, ok := errors.AsType[*taken](err); ok {
		return copyOf(of.first, m.Application)
	}
	if err != nil {
		return Result{Err: err}
	}
	return Result{Message: m}
}

// hand gives a to the committer, unless there is an earlier copy, whose id it
// returns.
func (p *Publisher) hand(ctx context.Context, a *pending) (first postern.MessageID, err error) {
	if len(a.keys) > 0 {
		if first, err = p.firstCopy(ctx, a); err != nil || !first.IsZero() {
			return first, err
		}
	}
	if err = p.cfg.Accept(a, a.size()); err != nil {
		p.reserved.release(a, postern.MessageID{})
	}
	return postern.MessageID{}, err
}

// firstCopy reserves a's digests, and returns the id of an earlier copy if
// there is one: stored, or under way, whose end it then waits for. With a zero
// id the reservation is a's.
func (p *Publisher) firstCopy(ctx context.Context, a *pending) (postern.MessageID, error) {
	for {
		other := p.reserved.reserve(a)
		if other == nil {
			break
		}
		a.late.Reset(answerWithin)
		select {
		case <-other.ended:
			if !other.message.IsZero() {
				return other.message, nil
			}
		case <-ctx.Done():
			return postern.MessageID{}, context.Cause(ctx)
		case <-a.late.C:
			return postern.MessageID{}, errLate
		}
	}
	a.late.Stop()
	id, err := p.stored(ctx, a)
	if err != nil || !id.IsZero() {
		p.reserved.release(a, id)
	}
	return id, err
}

// stored looks for a's digests in the store. The record of a message that
// retention has dropped counts as free.
func (p *Publisher) stored(ctx context.Context, a *pending) (postern.MessageID, error) {
	for i := range a.keys {
		key := &a.keys[i]
		if key.window > 0 {
			key.since = p.cfg.Now().Add(-key.window)
		}
		record, found, err := p.cfg.Store.Dedupe(ctx, key.scope, key.digest, key.since)
		if err != nil {
			return postern.MessageID{}, err
		}
		if !found {
			continue
		}
		if key.scope == store.ScopeEvent {
			_, err := p.cfg.Store.Message(ctx, a.message.Application, record.Message)
			if errors.Is(err, postern.ErrNotFound) {
				key.since = record.Message.Time().Add(time.Millisecond)
				continue
			}
			if err != nil {
				return postern.MessageID{}, err
			}
		}
		return record.Message, nil
	}
	return postern.MessageID{}, nil
}

// Find is the living message of an application that was published under an
// event id; postern.ErrNotFound when there is none.
func (p *Publisher) Find(ctx context.Context, app postern.ApplicationNumber, eventID string) (postern.MessageID, error) {
	record, found, err := p.cfg.Store.Dedupe(ctx, store.ScopeEvent, eventDigest(app, eventID), time.Time{})
	switch {
	case err != nil:
		return postern.MessageID{}, err
	case !found:
		return postern.MessageID{}, postern.ErrNotFound
	}
	_, err = p.cfg.Store.Message(ctx, app, record.Message)
	return record.Message, err
}

func (p *Publisher) recycle(a *pending) {
	a.message, a.content = nil, nil
	a.keys, a.records = a.keys[:0], a.records[:0]
	a.routed = routed{}
	p.pool.Put(a)
}

// random is for the last bits of message ids, which keep ids of different
// journals and restored stores apart.
func random() uint64 { return rand.Uint64() } //nolint:gosec // an id is no secret
