package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
)

const (
	// borrowFor is how long a delivery is lent for at a time, and borrowAgain when
	// it is asked for longer: deliveries of a node that dies in a handler's call are
	// its own for so long.
	borrowFor   = 30 * time.Second
	borrowAgain = 10 * time.Second
	// borrowAtOnce is how many calls of a handler run at once for other nodes, where
	// its options say nothing.
	borrowAtOnce = 32
	// tellAgain is the pause after which a node that cannot be reached is told once
	// more what came of a call.
	tellAgain = time.Second
)

var errLent = errors.New("the delivery is another's again")

// loan is a delivery that a peer has lent, for as long as it is told before that is
// over. With its end the peer may lend it to others.
type loan struct {
	postern.Lease
	over  *time.Timer
	until atomic.Pointer[time.Time]
}

// last has the loan last from when it was asked for; end is called when it is over.
func (l *loan) last(asked time.Time, end func()) {
	until := asked.Add(borrowFor)
	l.until.Store(&until)
	if l.over == nil {
		l.over = time.AfterFunc(time.Until(until), end)
		return
	}
	l.over.Reset(time.Until(until))
}

// lasts reports whether the loan is not over. A machine that was asleep shows in one
// of its clocks only.
func (l *loan) lasts() bool {
	until, now := l.until.Load(), time.Now()
	return now.Before(*until) && now.Round(0).Before(until.Round(0))
}

// borrow calls a handler for what a peer has, until that has nothing more.
func (p *peers) borrow(ctx context.Context, one *peer, n postern.EndpointNumber, r *registered) {
	for p.mayBorrow(one, n) {
		free := r.borrow(p.engine.handlers.stopping)
		view := p.engine.catalogue.EndpointByNumber(n)
		if free == 0 || view == nil || view.Deleted {
			r.giveBack(free)
			return
		}
		if err := p.borrowSome(ctx, one, view, r, free); err != nil {
			wait(ctx, watchFailed)
		}
	}
}

// borrowSome calls a handler for as much as there are places, which it gives back.
func (p *peers) borrowSome(ctx context.Context, one *peer, view *postern.EndpointView, r *registered, free int) error {
	asked := time.Now()
	batch, err := p.fetch(ctx, one, view, order{Op: orderLend, Endpoint: view.Number, Pull: &pullOrder{Limit: min(free, mostGiven), For: borrowFor}})
	if err != nil && !errors.Is(err, postern.ErrUnavailable) {
		p.engine.cfg.Log.Error("a handler's deliveries on another node are not taken", "handler", r.Name, "error", err)
	}
	r.giveBack(free - len(batch))
	for i := range batch {
		p.calls.Go(func() {
			defer r.giveBack(1)
			p.call(ctx, one, view, r, &batch[i], asked)
		})
	}
	return err
}

// mayBorrow reports whether a peer may have something more. With a no this round is
// over, and what is found later begins the next.
func (p *peers) mayBorrow(one *peer, n postern.EndpointNumber) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := one.has[n]; has && !p.stopping && !one.left() {
		return true
	}
	delete(one.runs, n)
	return false
}

// borrow waits for a place among the calls for other nodes, and returns how many it
// has taken: all that are free. 0 when the engine stops.
func (r *registered) borrow(stopping <-chan struct{}) (taken int) {
	select {
	case r.borrowed <- struct{}{}:
		taken = 1
	case <-stopping:
		return 0
	}
	for {
		select {
		case r.borrowed <- struct{}{}:
			taken++
		default:
			return taken
		}
	}
}

func (r *registered) giveBack(places int) {
	for range places {
		<-r.borrowed
	}
}

// call runs a handler for a delivery that was lent some time after it was asked for,
// and tells its node what came of it. The call ends with the loan.
func (p *peers) call(ctx context.Context, one *peer, view *postern.EndpointView, r *registered, l *postern.Lease, asked time.Time) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	lent := &loan{Lease: *l}
	lent.last(asked, func() { end(errLent) })
	defer lent.over.Stop()
	a := &postern.Attempt{Message: l.Message.ID, Application: view.Application, Endpoint: view.Number, N: l.Attempt, Replay: l.Replay}
	counts := make(chan bool, 1)
	go func() { // call waits for it
		line := &handlerLine{r, p.engine, func(uint16) bool { return p.lentStill(ctx, lent) }}
		counts <- p.lentStill(ctx, lent) && line.Send(ctx, l.Message, l.Content, a)
	}()
	longer := time.NewTimer(time.Until(asked.Add(borrowAgain)))
	defer longer.Stop()
	gone := one.gone
	for {
		select {
		case counted := <-counts:
			p.tell(ctx, one, view.Number, l.ID, a, counted)
			return
		case <-gone:
			end(errLent)
			gone = nil
		case <-longer.C:
			if !p.prolong(ctx, one, view.Number, lent) {
				end(errLent)
			}
			longer.Reset(borrowAgain)
		}
	}
}

// prolong asks for a longer loan; false where there is none any more. That it cannot
// be asked for is no news: the loan's own end tells.
func (p *peers) prolong(ctx context.Context, one *peer, n postern.EndpointNumber, l *loan) bool {
	asked := time.Now()
	r, err := p.order(ctx, one.journal, order{Op: orderExtend, Endpoint: n, Pull: &pullOrder{Leases: []postern.LeaseID{l.ID}, For: borrowFor}})
	if err != nil {
		return true
	}
	if len(r.Missing) > 0 {
		return false
	}
	if ctx.Err() == nil {
		l.last(asked, nil)
	}
	return true
}

// lentStill reports whether a call may begin: its node lives, as far as one knows who
// knows it, and holds the loan.
func (p *peers) lentStill(ctx context.Context, l *loan) bool {
	return ctx.Err() == nil && l.lasts() && p.engine.mayStart(p.engine.shards.main.journal)
}

// tell has a delivery's node settle it, or take it back where the call does not
// count. The loan ends by itself if that cannot be told.
func (p *peers) tell(ctx context.Context, one *peer, n postern.EndpointNumber, lease postern.LeaseID, a *postern.Attempt, counts bool) {
	o := order{Op: orderRelease, Endpoint: n, Pull: &pullOrder{Leases: []postern.LeaseID{lease}}}
	if counts {
		o.Op, o.Pull.Outcome = orderSettle, outcomeOf(a)
	}
	for begun, tries := time.Now(), 1; ; tries++ {
		r, err := p.order(ctx, one.journal, o)
		if err == nil && tries == 1 && counts && len(r.Missing) > 0 { // else it may have been told
			err = errLent
		}
		if err == nil {
			return
		}
		if !errors.Is(err, postern.ErrUnavailable) || time.Since(begun) > borrowFor || ctx.Err() != nil {
			p.engine.cfg.Log.Warn("what came of a handler's call is not told: it is called again", "message", a.Message.String(), "error", err)
			return
		}
		wait(ctx, tellAgain)
	}
}

// outcome is what came of a handler's call, on its way to the delivery's node.
type outcome struct {
	URL        string        `json:"url"`
	Succeeded  bool          `json:"succeeded,omitempty"`
	Code       int           `json:"code,omitempty"`
	Failure    string        `json:"failure,omitempty"`
	Response   []byte        `json:"response,omitempty"`
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
	Permanent  bool          `json:"permanent,omitempty"`
	Total      time.Duration `json:"total"`
}

func outcomeOf(a *postern.Attempt) *outcome {
	return &outcome{a.URL, a.Succeeded, a.Code, a.Failure, a.Response, a.RetryAfter, a.Permanent, a.Timings.Total}
}

func (o *outcome) fill(a *postern.Attempt) {
	a.URL, a.Succeeded, a.Code, a.Failure, a.Response = o.URL, o.Succeeded, o.Code, o.Failure, o.Response
	a.RetryAfter, a.Permanent, a.Timings.Total = o.RetryAfter, o.Permanent, o.Total
}

// taken reports whether an endpoint's deliveries are taken out of the lanes: by
// consumers, or by a node that has the handler's function, where this one has not.
func (e *Engine) taken(v *postern.EndpointView) bool {
	return v.Kind == postern.PullEndpoint || v.Kind == postern.HandlerEndpoint && e.nodes != nil && e.handlers.byNumber[v.Number] == nil
}

// attendTaken is of endpoints that are asked for, here or elsewhere. Handlers that
// have their functions here always are.
func (e *Engine) attendTaken(n postern.EndpointNumber, attended bool) {
	if e.handlers.byNumber[n] == nil {
		e.catalogue.Attend(n, attended)
	}
}
