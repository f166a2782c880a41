package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

// ErrLeaseLost is the cause that a handler's context ends with once its message
// is not its own any more: it took longer than leases could be extended for, or
// the server was restarted.
var ErrLeaseLost = errors.New("client: the lease was lost")

// ConsumeOptions say how messages are consumed. The zero value is one at a time.
type ConsumeOptions struct {
	// Concurrency is how many messages are handled at once; 1 when 0, and at most
	// postern.MaxLeases.
	Concurrency int
	// Lease is how long a message is held before the lease has to be extended,
	// which Consume does: at least 2 s, in whole seconds, 30 s when 0. If the program dies, its
	// messages come back after so long.
	Lease time.Duration
	// Drain is how long handlers have once ctx is done, before their contexts
	// end; 20 s when 0, negative for nothing. What fails after that is given back,
	// and uses up no try.
	Drain time.Duration
	// Log is told of what goes wrong and is tried again; nil for silence.
	Log *slog.Logger
}

// Consume has handle process the messages of a pull endpoint until ctx is done.
// What handle returns decides: nil is delivered, an error made by
// postern.Permanent ends the delivery, and any other, or a panic, is retried by
// the endpoint's schedule, not before what postern.RetryAfter asks for. Messages
// are handed out at least once, and to one consumer at a time.
//
// Once ctx is done nothing is begun any more; Consume returns nil when what was
// begun has ended and is acknowledged. A server that cannot be reached is asked
// again; an error is one that asking again will not mend, such as ErrNotFound.
func (c *Client) Consume(ctx context.Context, app, endpoint string, o ConsumeOptions, handle func(ctx context.Context, l *Lease) error) error {
	if o.Concurrency < 0 || o.Concurrency > postern.MaxLeases {
		return postern.InvalidField(fmt.Sprintf("must be 1 to %d", postern.MaxLeases), "ConsumeOptions", "Concurrency")
	}
	if handle == nil {
		return postern.InvalidField("a consumer needs a function", "Consume", "handle")
	}
	if o.Lease != 0 && (o.Lease < 2*time.Second || o.Lease > postern.MaxLease) {
		return postern.InvalidField("must be 2s to "+postern.MaxLease.String(), "ConsumeOptions", "Lease")
	}
	w := newConsumption(c, app, endpoint, o, handle)
	return w.run(ctx)
}

// consumption is one Consume. A fetch asks for as many messages as there are
// free places; each is handled on a goroutine of its own. What ended is told in
// batches, and what goes on is extended, by one goroutine each.
type consumption struct {
	client        *Client
	app, endpoint string
	o             ConsumeOptions
	handle        func(ctx context.Context, l *Lease) error

	mu      sync.Mutex
	held    map[postern.LeaseID]*holding
	ended   []ending
	changed chan struct{} // capacity 1: places are free, or something ended
	told    chan struct{} // capacity 1: something ended
}

// holding is a message that is being handled.
type holding struct {
	until time.Time
	// over takes the message from its handler at until, whether or not the server
	// can be asked for longer.
	over *time.Timer
	lost context.CancelCauseFunc
}

// ending is a lease that is to be told of.
type ending struct {
	id   postern.LeaseID
	cut  bool          // cut off, which is no failure of its own
	nack *postern.Nack // nil for a message that was processed
}

func newConsumption(c *Client, app, endpoint string, o ConsumeOptions, handle func(ctx context.Context, l *Lease) error) *consumption {
	if o.Concurrency == 0 {
		o.Concurrency = 1
	}
	if o.Lease = o.Lease.Truncate(time.Second); o.Lease == 0 {
		o.Lease = postern.DefaultLease
	}
	if o.Drain == 0 {
		o.Drain = 20 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &consumption{
		client: c, app: app, endpoint: endpoint, o: o, handle: handle,
		held: make(map[postern.LeaseID]*holding), changed: make(chan struct{}, 1), told: make(chan struct{}, 1),
	}
}

func (w *consumption) run(ctx context.Context) error {
	work, abort := context.WithCancelCause(context.WithoutCancel(ctx)) // it outlives ctx by the drain
	defer abort(nil)
	var handlers, keepers sync.WaitGroup
	stop := make(chan struct{})
	keepers.Go(func() { w.extend(work, stop) })
	keepers.Go(func() { w.tell(work, stop) })
	failure := w.fetch(ctx, func(l *Lease) { w.begin(work, l, &handlers) })
	drained := time.AfterFunc(max(w.o.Drain, 0), func() { abort(context.Cause(ctx)) })
	handlers.Wait()
	drained.Stop()
	close(stop) // tell ends once everything is told
	keepers.Wait()
	return failure
}

// fetch begins what the server gives out, until ctx is done. The error is one
// that asking again would not mend.
func (w *consumption) fetch(ctx context.Context, begin func(l *Lease)) error {
	for try := 0; ctx.Err() == nil; {
		free := w.free()
		if free == 0 {
			select {
			case <-w.changed:
			case <-ctx.Done():
			}
			continue
		}
		leases, err := w.client.Leases.Create(ctx, w.app, w.endpoint, LeaseIn{Limit: free, Duration: w.o.Lease, Wait: w.wait()})
		switch {
		case err == nil:
			try = 0
		case ctx.Err() != nil:
		case hopeless(err):
			return err
		default:
			w.o.Log.Warn("asking for messages failed: trying again", "error", err)
			pause(ctx, try, 0)
			try++
		}
		for i := range leases {
			begin(&leases[i])
		}
	}
	return nil
}

// wait is how long a request waits for a message: the server's own patience,
// unless the client's would end before.
func (w *consumption) wait() time.Duration {
	const usual = 20 * time.Second
	if most := w.client.http.Timeout; most > 0 && most/2 < usual {
		return max(most/2, time.Second)
	}
	return usual
}

// hopeless reports whether the server would answer so again.
func hopeless(err error) bool {
	refused, ok := errors.AsType[*postern.Error](err)
	return ok && refused.Kind != postern.Unavailable && refused.Kind != postern.RateLimited && refused.Kind != postern.Internal
}

// free is how many messages may be begun with: none while many are still to be
// told of, since the server could not keep up.
func (w *consumption) free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ended) >= postern.MaxLeases {
		return 0
	}
	return w.o.Concurrency - len(w.held)
}

// begin handles a message on a goroutine of its own.
func (w *consumption) begin(work context.Context, l *Lease, handlers *sync.WaitGroup) {
	ctx, lost := context.WithCancelCause(work)
	over := time.AfterFunc(w.o.Lease, func() { lost(ErrLeaseLost) })
	w.mu.Lock()
	w.held[l.ID] = &holding{until: time.Now().Add(w.o.Lease), over: over, lost: lost}
	w.mu.Unlock()
	handlers.Go(func() {
		defer lost(nil)
		defer over.Stop()
		ended := ending{id: l.ID, nack: &postern.Nack{Error: "the handler ended its goroutine"}}
		defer func() { w.end(ended) }() // also where the handler ends its goroutine
		err := w.guarded(ctx, l)
		ended = ending{id: l.ID, cut: err != nil && work.Err() != nil}
		if err != nil && !ended.cut {
			ended.nack = nackOf(err)
		}
	})
}

// end gives a message's place back, and notes what became of it.
func (w *consumption) end(e ending) {
	w.mu.Lock()
	delete(w.held, e.id)
	w.ended = append(w.ended, e)
	w.mu.Unlock()
	signal(w.changed)
	signal(w.told)
}

// guarded makes a panic an error, as the engine does with its own handlers.
func (w *consumption) guarded(ctx context.Context, l *Lease) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n\n%s", p, debug.Stack())
			w.o.Log.Error("a consumer's handler panicked", "message", l.Message.ID.String(), "panic", fmt.Sprint(p))
		}
	}()
	return w.handle(ctx, l)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// extend keeps leases from ending while their messages are handled: each when
// half of its time is over.
func (w *consumption) extend(ctx context.Context, stop <-chan struct{}) {
	ticker := time.NewTicker(w.o.Lease / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
		if ids := w.aging(); len(ids) > 0 {
			begun := time.Now()
			// One that hangs must not hold up those that come after.
			limited, cancel := context.WithTimeout(ctx, w.o.Lease/2)
			_, missing, err := w.client.Leases.Extend(limited, w.app, w.endpoint, w.o.Lease, ids...)
			cancel()
			if err != nil {
				w.o.Log.Warn("extending leases failed", "leases", len(ids), "error", err)
			}
			w.extended(ids, missing, begun, err)
		}
	}
}

// aging are the leases that have lived for half of their time.
func (w *consumption) aging() (ids []postern.LeaseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, h := range w.held {
		if time.Until(h.until) < w.o.Lease/2+w.o.Lease/8 {
			ids = append(ids, id)
		}
	}
	return ids
}

// extended notes until when leases live, and takes from handlers what is not
// theirs any more.
func (w *consumption) extended(ids, missing []postern.LeaseID, begun time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		h := w.held[id]
		switch {
		case h == nil:
		case slices.Contains(missing, id):
			h.lost(ErrLeaseLost)
		case err == nil:
			h.until = begun.Add(w.o.Lease)
			h.over.Reset(time.Until(h.until))
		}
	}
}

// tell reports what ended, all that has since the last time at once. After stop
// it ends with the last of it.
func (w *consumption) tell(ctx context.Context, stop <-chan struct{}) {
	for {
		stopping := false
		select {
		case <-w.told:
		case <-stop:
			stopping = true
		}
		w.mu.Lock()
		ended := w.ended
		w.ended = nil
		w.mu.Unlock()
		signal(w.changed)
		w.report(ctx, ended)
		if stopping {
			return
		}
	}
}

// report ends leases. What cannot be told comes back when the lease ends, which
// is what handing out at least once means.
func (w *consumption) report(ctx context.Context, ended []ending) {
	ctx = context.WithoutCancel(ctx) // after an abort it is told as well
	var acks, cut []postern.LeaseID
	for _, e := range ended {
		switch {
		case e.cut:
			cut = append(cut, e.id)
		case e.nack == nil:
			acks = append(acks, e.id)
		}
	}
	for some := range slices.Chunk(acks, postern.MaxLeases) {
		missing, err := w.client.Leases.Ack(ctx, w.app, w.endpoint, some...)
		w.noteLost(missing, err)
	}
	for some := range slices.Chunk(cut, postern.MaxLeases) {
		missing, err := w.client.Leases.Release(ctx, w.app, w.endpoint, some...)
		w.noteLost(missing, err)
	}
	for _, e := range ended {
		if e.nack == nil {
			continue
		}
		missing, err := w.client.Leases.Nack(ctx, w.app, w.endpoint, *e.nack, e.id)
		w.noteLost(missing, err)
	}
}

func (w *consumption) noteLost(missing []postern.LeaseID, err error) {
	switch {
	case err != nil:
		w.o.Log.Warn("telling what became of messages failed: they will be handed out again", "error", err)
	case len(missing) > 0:
		w.o.Log.Warn("telling what became of messages came too late: they are handed out again", "leases", len(missing))
	}
}

// maxNackText is what a server takes of an error, in bytes.
const maxNackText = 20 << 10

// nackOf is what a handler's error asks for. Of its text, whole characters are
// kept. An error is the program's own code, and one whose methods panic, as those
// of a nil pointer of its type do, asks for nothing but to be known.
func nackOf(err error) (nack *postern.Nack) {
	defer func() {
		if p := recover(); p != nil {
			nack = &postern.Nack{Error: fmt.Sprintf("the handler's error, a %T, panics: %v", err, p)}
		}
	}()
	text := err.Error()
	text = strings.ToValidUTF8(text[:min(len(text), maxNackText)], "")
	delay := min(postern.RetryAfterOf(err), postern.MaxRetryAfter) // a server refuses longer ones
	return &postern.Nack{Delay: delay, Permanent: postern.IsPermanent(err), Error: text}
}
