package engine

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/event"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// Unhandled says what becomes of a message that nobody would get: no endpoint
// is matched, of whatever kind, and no listener.
type Unhandled uint8

const (
	// RecordUnhandled keeps the message: it is listed, and can be replayed.
	RecordUnhandled Unhandled = iota
	// IgnoreUnhandled stores nothing; what is published has no id then.
	IgnoreUnhandled
	// RefuseUnhandled refuses to publish, with postern.ErrUnhandled.
	RefuseUnhandled
)

// Publish routes a message, makes it durable and returns it. A second copy, by
// event id, is not stored: the first one's id is returned, with duplicate true.
// Without an Application it is published in the engine's own, without a
// ContentType it is JSON. Within a handler, given the handler's context, the
// message notes what caused it; a chain of more than sixteen is refused. It waits
// for Run. When ctx ends before it returns, the message may or may not have been
// accepted; with a ctx that has ended before, it is not.
func (e *Engine) Publish(ctx context.Context, p postern.Publish) (m *postern.Message, duplicate bool, err error) {
	if wanted, err := e.complete(ctx, &p); err != nil || !wanted {
		return &postern.Message{Application: p.Application, EventType: p.EventType}, false, err
	}
	return e.publish(ctx, p)
}

// publish is Publish for what came over HTTP, and is complete.
func (e *Engine) publish(ctx context.Context, p postern.Publish) (m *postern.Message, duplicate bool, err error) {
	if err := e.admits(ctx, &p); err != nil {
		return nil, false, err
	}
	m, duplicate, err = e.publisher.Publish(ctx, p)
	e.published(ctx, m, p.Payload, p.Request, duplicate)
	return m, duplicate, err
}

// Receipt is what became of one message of several.
type Receipt struct {
	// Message is durable, or with Duplicate the first copy; nil with Err.
	Message   *postern.Message
	Duplicate bool
	Err       error
}

// PublishBatch is Publish for many messages of one application: they share
// their way to the disk. Each stands for itself: some can be refused and the
// others not. err is the first of theirs, and nil when all are durable.
func (e *Engine) PublishBatch(ctx context.Context, batch []postern.Publish) (receipts []Receipt, err error) {
	receipts = make([]Receipt, len(batch))
	var in []postern.Publish
	var at []int                     // in's places in batch
	var of postern.ApplicationNumber // of the first that could be published
	for i, p := range batch {
		wanted, err := e.complete(ctx, &p)
		if err == nil {
			err = e.admits(ctx, &p)
		}
		if err == nil {
			orDefault(&of, p.Application)
		}
		if err == nil && p.Application != of {
			err = postern.InvalidField("a batch is of one application", "Publish", "Application")
		}
		receipts[i] = Receipt{Message: &postern.Message{Application: p.Application, EventType: p.EventType}, Err: err}
		if err == nil && wanted {
			in, at = append(in, p), append(at, i)
		}
	}
	for i, r := range e.publisher.PublishBatch(ctx, in) {
		receipts[at[i]] = Receipt(r)
		e.published(ctx, r.Message, in[i].Payload, in[i].Request, r.Duplicate)
	}
	for i := range receipts {
		if r := &receipts[i]; r.Err != nil {
			r.Message = nil
			if err == nil {
				err = r.Err
			}
		}
	}
	return receipts, err
}

// complete fills in what a program may leave out, and reports whether somebody
// wants the message, or the policy is to keep it.
func (e *Engine) complete(ctx context.Context, p *postern.Publish) (wanted bool, err error) {
	orDefault(&p.ContentType, "application/json")
	e.caused(ctx, p)
	if err := event.Check(p); err != nil {
		return false, err
	}
	if err := e.ready(ctx); err != nil {
		return false, err
	}
	if p.Application == 0 {
		app, err := e.EnsureApplication(ctx, "")
		if err != nil {
			return false, err
		}
		p.Application = app.Number
	}
	if p.Only != 0 && !e.has(p.Application, p.Only) {
		return false, postern.InvalidField("is no endpoint of the application", "Publish", "Only")
	}
	if e.cfg.Unhandled == RecordUnhandled || p.Only != 0 || e.listeners.want(p.Application, p.EventType) {
		return true, nil
	}
	routes, ok := (*router)(e).Match(p.Application, p.EventType, p.Channels)
	if !ok || len(routes) > 0 || e.cfg.Unhandled == IgnoreUnhandled {
		return !ok || len(routes) > 0, nil
	}
	return false, &postern.Error{Kind: postern.Invalid, Code: "unhandled", Detail: "nobody listens for " + p.EventType}
}

// has reports whether an endpoint is one of an application's.
func (e *Engine) has(app postern.ApplicationNumber, n postern.EndpointNumber) bool {
	view := e.catalogue.EndpointByNumber(n)
	return view != nil && !view.Deleted && view.Application == app
}

// ready waits until Run has stored the handlers, without which messages would be
// routed past them.
func (e *Engine) ready(ctx context.Context) error {
	if !e.attended.Load() {
		select {
		case <-e.attending:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if e.stopping.Load() {
		return errStopping
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// admits is nil, or why a message is refused.
func (e *Engine) admits(ctx context.Context, p *postern.Publish) error {
	if err := e.ready(ctx); err != nil || !p.Source.IsZero() {
		return err
	}
	return e.catalogue.CheckPayload(p.EventType, p.Payload)
}

// published tells who listens in this program of a message; nil for none.
func (e *Engine) published(ctx context.Context, m *postern.Message, payload []byte, request *postern.InboundRequest, duplicate bool) {
	switch {
	case m == nil:
	case !duplicate:
		e.listeners.tell(ctx, e, m, payload, request)
	case e.cfg.Observer.Duplicate != nil:
		e.cfg.Observer.Duplicate()
	}
}

// Outcome is how one delivery stands.
type Outcome struct {
	// Endpoint is where it goes. A handler's UID is its name.
	Endpoint *postern.EndpointView
	// State is where it stands: final, or what it was when there was no more time.
	// Reason says why, and is "" where there is nothing to say.
	State  postern.State
	Reason postern.Reason
	// Attempts counts those made; Last is the last of them, nil for none. Its
	// Response is the endpoint's answer, or a handler's error.
	Attempts int
	Last     *postern.Attempt
}

// maxOutcomes bounds the deliveries that PublishWait tells of.
const maxOutcomes = 250

// PublishWait publishes a message and gathers what became of it at every
// endpoint: until all have ended, or will not be tried again before ctx's
// deadline, or ctx is done, which is no error once the message is durable. Of
// more than 250 endpoints it tells the first. A second copy tells of the first
// one.
func (e *Engine) PublishWait(ctx context.Context, p postern.Publish) (*postern.Message, []Outcome, error) {
	m, duplicate, err := e.Publish(ctx, p)
	if err != nil || m.ID.IsZero() {
		return m, nil, err
	}
	after := context.WithoutCancel(ctx) // what is read is bounded
	if duplicate {
		if m, err = e.cfg.Store.Message(after, m.Application, m.ID); err != nil {
			return nil, nil, err
		}
	}
	const forever = 100 * 365 * 24 * time.Hour
	of := tail.Awaited{Message: m.ID, Wait: forever}
	if deadline, ok := ctx.Deadline(); ok {
		of.Wait = time.Until(deadline)
	}
	of.Until = e.cfg.Now().Add(of.Wait)
	var outcomes []Outcome
	for _, n := range m.Routes[:min(len(m.Routes), maxOutcomes)] {
		if view := e.catalogue.EndpointByNumber(n); view != nil {
			outcomes = append(outcomes, Outcome{Endpoint: view})
			of.Deliveries = append(of.Deliveries, store.DeliveryKey{Application: m.Application, Endpoint: n, Message: m.ID})
		}
	}
	standings, err := e.tail.Await(ctx, e.cfg.Store, of)
	if err != nil && ctx.Err() == nil {
		return m, nil, err
	}
	for i, s := range standings {
		outcomes[i].State, outcomes[i].Reason, outcomes[i].Attempts = s.State, s.Reason, s.Attempts
	}
	return m, outcomes, e.lastAttempts(after, m, outcomes)
}

// lastAttempts fills in the last attempt of each delivery.
func (e *Engine) lastAttempts(ctx context.Context, m *postern.Message, outcomes []Outcome) error {
	last := make(map[postern.EndpointNumber]*postern.Attempt, len(outcomes))
	_, err := e.cfg.Store.EachAttempt(ctx, m.Application, m.ID, func(a *postern.Attempt) bool {
		if before := last[a.Endpoint]; before == nil || before.N < a.N {
			last[a.Endpoint] = a
		}
		return true
	})
	for i := range outcomes {
		outcomes[i].Last = last[outcomes[i].Endpoint.Number]
	}
	return err
}

// inlet publishes what comes over HTTP: as it is, and recorded whoever listens.
type inlet struct{ *Engine }

// Publish implements api.Publisher and intake.Publisher.
func (i inlet) Publish(ctx context.Context, p postern.Publish) (*postern.Message, bool, error) {
	return i.publish(ctx, p)
}
