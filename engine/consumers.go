package engine

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/api"
	"github.com/postern-dev/postern/internal/pull"
	"github.com/postern-dev/postern/store"
)

// pullOrder is an order about deliveries that are taken on another node than the
// one that holds their journal. A lease is in the book of the node that gave it.
type pullOrder struct {
	// From is who watches, by the journal that it accepts with; see pull.Watch.
	From     uint16                   `json:"from,omitempty"`
	Attended []postern.EndpointNumber `json:"attended,omitempty"`
	Wants    []postern.EndpointNumber `json:"wants,omitempty"`
	// For is how long is waited, or a lease lasts.
	For    time.Duration     `json:"for,omitempty"`
	Limit  int               `json:"limit,omitempty"`
	Leases []postern.LeaseID `json:"leases,omitempty"`
	Nack   *postern.Nack     `json:"nack,omitempty"`
	// Outcome is what came of a handler's call.
	Outcome *outcome `json:"outcome,omitempty"`
}

// pullResult is what came of it.
type pullResult struct {
	Found   []postern.EndpointNumber `json:"found,omitempty"`
	Granted []grant                  `json:"granted,omitempty"`
	Missing []postern.LeaseID        `json:"missing,omitempty"`
	Until   time.Time                `json:"until,omitzero"`
}

// grant is a lease without the message, which whoever gets it reads.
type grant struct {
	Lease   postern.LeaseID   `json:"lease"`
	Message postern.MessageID `json:"message"`
	Attempt int               `json:"attempt"`
	Replay  postern.ReplayID  `json:"replay,omitzero"`
	Expires time.Time         `json:"expires"`
}

// obeyPull does what another node asks for. Whoever adopted a journal knows nothing
// of the leases that its holder gave, and has none in its place.
func (e *Engine) obeyPull(ctx context.Context, journal uint16, o order) (*pullResult, error) {
	p := o.Pull
	switch {
	case o.Op == orderNack && p.Nack == nil, o.Op == orderSettle && (p.Outcome == nil || len(p.Leases) != 1):
		return nil, o.lacks()
	case journal != e.shards.main.journal && len(p.Leases) == 0:
		return nil, &postern.Error{Kind: postern.Unavailable, Detail: "the node that is asked is gone"}
	}
	return e.carryOutPull(ctx, o)
}

// carryOutPull does what an order about leases asks for.
func (e *Engine) carryOutPull(ctx context.Context, o order) (r *pullResult, err error) {
	p := o.Pull
	r = new(pullResult)
	switch o.Op {
	case orderWatch:
		r.Found, err = e.pulls.Watch(ctx, pull.Watch{Asker: p.From, Attended: p.Attended, Wants: p.Wants, Wait: p.For})
	case orderLease, orderLend:
		r.Granted, err = e.give(ctx, o)
	case orderAck:
		r.Missing, err = e.pulls.Ack(ctx, o.Endpoint, p.Leases)
	case orderNack:
		r.Missing, err = e.pulls.Nack(ctx, o.Endpoint, p.Leases, *p.Nack)
	case orderExtend:
		r.Until, r.Missing, err = e.pulls.Extend(o.Endpoint, p.Leases, p.For)
	case orderRelease:
		r.Missing, err = e.pulls.Release(o.Endpoint, p.Leases)
	case orderSettle:
		r.Missing, err = e.pulls.Settle(ctx, o.Endpoint, p.Leases[0], p.Outcome.fill)
	default:
		err = o.unknown()
	}
	return r, err
}

// give leases what waits to another node.
func (e *Engine) give(ctx context.Context, o order) ([]grant, error) {
	view := e.catalogue.EndpointByNumber(o.Endpoint)
	if view == nil || view.Deleted {
		return nil, nil
	}
	give := e.pulls.Give
	if o.Op == orderLend {
		give = e.pulls.Lend
	}
	batch, err := give(ctx, view, postern.LeaseRequest{Limit: o.Pull.Limit, Duration: o.Pull.For})
	granted := make([]grant, len(batch))
	for i := range batch {
		l := &batch[i]
		granted[i] = grant{Lease: l.ID, Message: l.Message.ID, Attempt: l.Attempt, Replay: l.Replay, Expires: l.ExpiresAt}
	}
	return granted, err
}

// granted takes back what was leased for an answer that nobody got: the other node has
// gone, or somebody else was faster. Where that is not sure it runs out, and is nobody's
// failure.
func (e *Engine) granted(n postern.EndpointNumber, granted []grant, to told) {
	ids := make([]postern.LeaseID, len(granted))
	for i := range granted {
		ids[i] = granted[i].Lease
	}
	switch to {
	case toldNobody:
		_, _ = e.pulls.Release(n, ids) // missing or closed: they are given back
	case toldUnsure:
		e.pulls.Forgive(ids)
	case toldAsker:
	}
}

// consumers gives consumers what any node has. A lease's id leads to the node
// whose book it is in.
type consumers struct{ *Engine }

var _ api.Leases = consumers{}

// Lease implements api.Leases.
func (c consumers) Lease(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	return c.pulls.Lease(ctx, e, r)
}

// Ack implements api.Leases.
func (c consumers) Ack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID) ([]postern.LeaseID, error) {
	r, err := c.each(ctx, ids, order{Op: orderAck, Endpoint: n})
	return r.Missing, err
}

// Nack implements api.Leases.
func (c consumers) Nack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, why postern.Nack) ([]postern.LeaseID, error) {
	r, err := c.each(ctx, ids, order{Op: orderNack, Endpoint: n, Pull: &pullOrder{Nack: &why}})
	return r.Missing, err
}

// Extend implements api.Leases.
func (c consumers) Extend(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, d time.Duration) (time.Time, []postern.LeaseID, error) {
	r, err := c.each(ctx, ids, order{Op: orderExtend, Endpoint: n, Pull: &pullOrder{For: d}})
	if r.Until.IsZero() { // all are missing
		r.Until = c.cfg.Now().Add(d).UTC().Truncate(time.Millisecond)
	}
	return r.Until, r.Missing, err
}

// Release implements api.Leases.
func (c consumers) Release(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID) ([]postern.LeaseID, error) {
	r, err := c.each(ctx, ids, order{Op: orderRelease, Endpoint: n})
	return r.Missing, err
}

// each has an order carried out by the nodes that gave the leases, and adds up what
// came of it. Leases of nodes that are gone are missing.
func (c consumers) each(ctx context.Context, ids []postern.LeaseID, o order) (sum pullResult, err error) {
	if o.Pull == nil {
		o.Pull = new(pullOrder)
	}
	if c.nodes == nil {
		o.Pull.Leases = ids
		r, err := c.carryOutPull(ctx, o)
		return *r, err
	}
	byNode := make(map[uint16][]postern.LeaseID, 1)
	for _, id := range ids {
		byNode[id.Journal()] = append(byNode[id.Journal()], id)
	}
	live, err := c.nodes.living(ctx, byNode)
	for journal, some := range byNode {
		if err != nil {
			return sum, err
		}
		if !live[journal] {
			sum.Missing = append(sum.Missing, some...)
			continue
		}
		part := *o.Pull
		part.Leases = some
		o.Pull = &part
		var r *pullResult
		r, err = c.peers.order(ctx, journal, o)
		sum.add(r)
	}
	return sum, err
}

func (r *pullResult) add(other *pullResult) {
	if other == nil {
		return
	}
	r.Missing = append(r.Missing, other.Missing...)
	if r.Until.IsZero() || !other.Until.IsZero() && other.Until.Before(r.Until) {
		r.Until = other.Until
	}
}

// errLapsed is of a lease whose node has not renewed its own in time: it may be gone,
// or be about to.
var errLapsed = &postern.Error{Kind: postern.Unavailable, Detail: "the node that gave a lease has not been heard of for a moment: try again"}

// living tells which of some journals nodes accept with that live. The store is
// asked where one is not known to. An error where that cannot be told: nobody has
// taken over yet what the node of one had to do.
func (n *nodes) living(ctx context.Context, journals map[uint16][]postern.LeaseID) (map[uint16]bool, error) {
	live, known := n.accepting(n.state.Load()), true
	for journal := range journals {
		known = known && live[journal]
	}
	if known {
		return live, nil
	}
	state, err := n.cluster.Poll(ctx)
	if err != nil {
		return nil, err
	}
	live = n.accepting(&state)
	for i := range state.Leases {
		l := &state.Leases[i]
		if _, asked := journals[l.Journal]; asked && l.Main && !live[l.Journal] && !l.Released && !l.Idle {
			return nil, errLapsed
		}
	}
	return live, nil
}

// accepting are the journals that live nodes accept with, this one's included.
func (n *nodes) accepting(state *store.ClusterState) map[uint16]bool {
	live, now := map[uint16]bool{n.engine.shards.main.journal: true}, n.cluster.Now()
	for i := range state.Leases {
		if l := &state.Leases[i]; l.Main && l.Held(now) {
			live[l.Journal] = true
		}
	}
	return live
}
