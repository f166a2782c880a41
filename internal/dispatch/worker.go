package dispatch

import (
	"context"
	"errors"
	"sync"

	"github.com/postern-dev/postern"
)

// workers are the goroutines that try deliveries. One that is done waits for
// the next claim; a few are kept, the others end.
type workers struct {
	// mu guards what follows, up to the functions; it is taken last.
	mu      sync.Mutex
	idle    []chan *claim
	count   int
	stopped bool
	done    chan struct{} // closed by the last worker to end while stopping; nil before
	// spawn starts a worker with its first claim, fill a refiller. They are set
	// by Start, and hold its context.
	spawn func(c *claim)
	fill  func()
	// spread starts the spreader of what has arrived, as above.
	spread func()
}

// keepIdle is how many waiting workers are kept: as many as start at once on a
// busy system, at a few KB each.
const keepIdle = 256

// startAtOnce is how many attempts start before others have a turn.
const startAtOnce = 64

// pump starts what can start, if it is much with the spreader's help. Called
// with the lock held.
func (d *Dispatcher) pump() {
	if d.startSome() {
		d.goOn()
	}
}

// startSome starts what can start, of all journals, and reports whether there may
// be more.
func (p *pool) startSome() (more bool) {
	for n := 0; p.used.places < p.most.places; n++ {
		if n == startAtOnce {
			return true
		}
		l := p.take()
		for l == nil && p.callSlow() {
			l = p.take()
		}
		if l == nil {
			return false
		}
		d := l.d
		d.start(d.pop(l))
		d.offer(l)
		d.refills.want(l)
	}
	return false
}

// start gives a claim a place and a worker, or drops it if it was ended while
// it waited.
func (d *Dispatcher) start(c *claim) {
	if c.ended.Final() {
		d.forget(c)
		return
	}
	l := c.lane
	d.run(c)
	d.held.places++
	d.used.places++
	l.app.inflight++
	if l.reach.slow {
		d.slow++
	}
	if next := d.workers.take(); next != nil {
		next <- c // buffered: the worker waits for it
		return
	}
	d.workers.spawn(c)
}

// run has a claim be tried from here on.
func (d *Dispatcher) run(c *claim) {
	c.phase, c.begun, c.start = running, d.now(), c.row
	if !c.hasRow {
		c.start = postern.Row{}
	}
	c.lane.reach.started(c)
	c.lane.pace.started++
}

// take is where a worker that rests waits; nil when none does, and one more is
// counted.
func (w *workers) take() chan *claim {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.idle)
	if n == 0 {
		w.count++
		return nil
	}
	next := w.idle[n-1]
	w.idle = w.idle[:n-1]
	return next
}

// work tries one claim after the other. reads ends before ctx: it is for what an
// attempt needs from the store.
func (d *Dispatcher) work(ctx, reads context.Context, c *claim) {
	next := make(chan *claim, 1)
	for c != nil {
		d.try(ctx, reads, c)
		if !d.workers.rest(next) {
			return
		}
		c = <-next // closed by Stop, or by nobody
	}
	d.workers.mu.Lock()
	d.workers.leave()
	d.workers.mu.Unlock()
}

// rest puts a worker among the idle ones; false when there are enough.
func (w *workers) rest(next chan *claim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.idle) >= keepIdle {
		w.leave()
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// leave counts a worker out.
func (w *workers) leave() {
	if w.count--; w.count == 0 && w.done != nil {
		close(w.done)
		w.done = nil
	}
}

// stop has workers that rest, or will, end; ended is closed when all have.
func (w *workers) stop(ended chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, next := range w.idle {
		close(next)
	}
	if w.idle, w.done = nil, ended; w.count == 0 {
		close(ended)
		w.done = nil
	}
}

// try makes one attempt and hands its settle over.
func (d *Dispatcher) try(ctx, reads context.Context, c *claim) {
	view, m, content := d.prepare(reads, c)
	if view == nil {
		return
	}
	line, err := d.lineOf(c.lane, view)
	switch {
	case err != nil:
		d.cfg.Log.Error("an endpoint cannot be sent to", "endpoint", view.ID.String(), "error", err)
		d.setAside(c)
	case !d.leased(): // it was at the start, but reading the message took long
		d.giveBack(c)
	case !line.Send(ctx, m, content, &c.attempt):
		d.setAside(c)
	default:
		d.settle(c, m.EventType, view)
	}
}

// prepare begins an attempt's record and gets what it needs. The view is nil
// where there is nothing to try: the claim then has ended.
func (d *Dispatcher) prepare(ctx context.Context, c *claim) (view *postern.EndpointView, m *postern.Message, content *postern.Content) {
	view = d.cfg.Catalogue.EndpointByNumber(c.lane.number)
	if view == nil || view.Deleted {
		d.giveUp(c, postern.ReasonDeleted)
		return nil, nil, nil
	}
	m, content, err := d.message(ctx, c)
	if errors.Is(err, postern.ErrNotFound) {
		reason := postern.ReasonExpired
		if m != nil {
			reason = postern.ReasonExpunged // the message is there, its content is not
		}
		d.giveUp(c, reason)
		return nil, nil, nil
	}
	var made int
	if err == nil {
		made, err = d.made(ctx, c)
	}
	if err != nil {
		if ctx.Err() == nil && d.troubles.due(d.now(), "messages") {
			d.cfg.Log.Error("reading a message back failed", "message", c.id.String(), "error", err)
		}
		d.setAside(c)
		return nil, nil, nil
	}
	c.attempt = postern.Attempt{
		Message: c.id, Application: m.Application, Endpoint: c.lane.number,
		N: made + 1, Trigger: c.start.Trigger, Replay: c.start.Replay, URL: view.URL, Started: d.now(),
	}
	return view, m, content
}

// message is the claim's message, read back where memory does not hold it.
func (d *Dispatcher) message(ctx context.Context, c *claim) (*postern.Message, *postern.Content, error) {
	var m *postern.Message
	if c.load != nil {
		if c.load.content != nil {
			return c.load.message, c.load.content, nil
		}
		m = c.load.message
	}
	if m == nil {
		var err error
		if m, err = d.cfg.Store.Message(ctx, c.lane.app.app, c.id); err != nil {
			return nil, nil, err
		}
	}
	content, err := d.cfg.Store.Content(ctx, m.Application, c.id)
	return m, content, err
}

// made is how many attempts of the delivery are recorded. A resend's row cannot
// tell: an attempt that was under way when it came may not have counted.
func (d *Dispatcher) made(ctx context.Context, c *claim) (int, error) {
	if c.start.Trigger != postern.Manual {
		return c.start.Attempts, nil
	}
	s, err := d.cfg.Store.Standing(ctx, c.key())
	return s.Attempts, err
}

// lineOf is what sends a lane's deliveries, made anew when the endpoint's view
// is another.
func (d *Dispatcher) lineOf(l *lane, view *postern.EndpointView) (Line, error) {
	if made := l.line.Load(); made != nil && made.view == view {
		return made.line, nil
	}
	line, err := d.cfg.Sender.Prepare(view)
	if err != nil {
		return nil, err
	}
	l.line.Store(&lineOf{line, view})
	return line, nil
}

// setAside ends a claim whose attempt does not count, because the fault was
// ours or because we are stopping. It is read again from the store.
func (d *Dispatcher) setAside(c *claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freePlace(c)
	if !d.stopping {
		c.lane.reach.fault(d.now())
		d.wake(c.lane, c.lane.reach.blockedUntil)
	}
	d.putBack(c)
	d.refills.want(c.lane)
	d.pump()
}

// freePlace gives the claim's place back.
func (d *Dispatcher) freePlace(c *claim) {
	l := c.lane
	c.phase = settling
	l.reach.ended(c)
	l.reach.freed()
	if c.taken == nil {
		d.held.places--
		d.used.places--
		l.app.inflight--
		if l.reach.slow {
			d.slow--
		}
	}
	d.offerAll(l.reach)
	if d.stopping {
		d.tidy(l)
	}
}

// Start begins to try deliveries. ctx is what attempts run under: canceling it
// aborts them, and an aborted attempt does not count. It must outlive Stop's
// grace.
func (d *Dispatcher) Start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reads, stopReads := context.WithCancel(ctx) // canceled by Stop, or with ctx
	d.stopReads = stopReads
	d.workers.spawn = func(c *claim) { go d.work(ctx, reads, c) }
	d.workers.fill = func() { go d.refill(reads) }
	d.workers.spread = func() { go d.spread() }
	for _, l := range d.lanes {
		d.refills.want(l)
		d.offer(l)
	}
	d.pump()
}

// Stop starts nothing more and waits until the attempts under way have ended,
// or until ctx is done. What is still to be read is not waited for: a store can take
// its time. Attempts that ended are handed to the committer; those
// that did not are covered and go on at the next start.
func (d *Dispatcher) Stop(ctx context.Context) error {
	d.mu.Lock()
	if !d.stopping {
		d.leave()
	}
	d.stopping = true
	if d.stopReads != nil {
		d.stopReads()
	}
	d.alarm.timer.Stop()
	workers, refills, arrivals := make(chan struct{}), make(chan struct{}), make(chan struct{})
	d.workers.stop(workers)
	d.refills.done, d.arrivals.done = refills, arrivals
	if d.refills.active == 0 {
		close(refills)
		d.refills.done = nil
	}
	if !d.arrivals.active {
		close(arrivals)
		d.arrivals.done = nil
	}
	d.mu.Unlock()
	for _, ended := range [...]chan struct{}{workers, refills, arrivals} {
		select {
		case <-ended: // also when ctx is done already
			continue
		default:
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
