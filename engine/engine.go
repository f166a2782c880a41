package engine

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/accept"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/egress"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/internal/pull"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// Engine is a running Postern. Make one with New, have it work with Run.
type Engine struct {
	cfg       Config
	catalogue *catalogue.Catalogue
	shards    shards
	nodes     *nodes // nil for a store of one process, as are peers
	peers     *peers
	began     time.Time
	lines     dispatch.Sender
	publisher *accept.Publisher
	client    *deliver.Client
	dialer    *egress.Dialer
	replays   *replay.Runner
	sweeper   *sweeper
	tail      *tail.Hub
	refusals  *intake.Quota
	pulls     *pull.Book
	clock     *sweep.Clock // of ages: whatever is dropped or forgotten for being old
	handlers  handlers
	listeners listeners
	handler   http.Handler
	bodies    bodyGate
	newest    atomic.Int64 // the newest message's time, in Unix ms
	running   atomic.Bool
	batch     uint64 // the last that New has read
	stopping  atomic.Bool
	// attended: the handlers are stored, and attending is closed by Run.
	attended  atomic.Bool
	attending chan struct{}
	// impatient is closed where a stop has taken its time.
	impatient chan struct{}
}

// New reads the store and makes an engine that goes on where the last one
// stopped. It starts nothing: messages are accepted and delivered while Run
// runs. Errors of kind Invalid say what of the Config cannot work.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Secrets == nil {
		cfg.Secrets = keyring.New().For(secretsPurpose)
	}
	e := &Engine{cfg: cfg, clock: sweep.NewClock(cfg.Now), tail: tail.New(), attending: make(chan struct{}), impatient: make(chan struct{}), began: cfg.Now()}
	e.handlers.stopping = make(chan struct{})
	head, err := cfg.Store.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the journal's head: %w", err)
	}
	e.batch = head.Batch
	e.newest.Store(head.Newest.UnixMilli())
	e.nodes = e.newNodes()
	e.peers = e.newPeers()
	e.replays = e.newReplays()
	if err := e.loadCatalogue(ctx, head); err != nil {
		return nil, err
	}
	if err := e.connect(); err != nil {
		return nil, err
	}
	e.wire(head)
	if err := e.shards.main.dispatcher.Recover(ctx, head.Low); err != nil {
		return nil, err
	}
	e.handler = e.mount()
	return e, nil
}

func (e *Engine) loadCatalogue(ctx context.Context, head store.Head) error {
	version, err := e.nodes.version(ctx) // what changes while it is read is read again
	if err != nil {
		return err
	}
	e.catalogue, err = catalogue.Load(ctx, e.cfg.Store, head, catalogue.Config{
		Committer:      records{e},
		IDs:            &postern.IDSource{Now: e.cfg.Now, Random: rand.Reader},
		Now:            e.cfg.Now,
		Secrets:        e.cfg.Secrets,
		ValidateSource: e.checkSource, SecretSettings: e.secretSettings,
		MaxSchedule: e.cfg.Retention,
		Replays:     e.replays.Add,
		OnChange:    e.shards.changed,
		Version:     version, Refresh: e.refresher(),
		ReplayChanged: func(put, deleted *postern.Replay) {
			if deleted != nil {
				e.replays.Forgotten(deleted.ID)
				return
			}
			e.replays.Learned(put)
		},
	})
	return err
}

// connect makes what goes out.
func (e *Engine) connect() error {
	dialer, err := egress.New(egress.Config{Allow: e.cfg.EgressAllow, Proxy: e.cfg.EgressProxy, Dial: e.cfg.Dial})
	if err != nil {
		return &postern.Error{Kind: postern.Invalid, Detail: "Config.EgressProxy: " + err.Error()}
	}
	e.dialer = dialer
	e.client = deliver.New(deliver.Config{
		Dialer: dialer, UserAgent: "Postern/" + e.cfg.Version,
		Timeout: e.cfg.AttemptTimeout, RootCAs: e.cfg.EgressCA, MaxIdle: descriptorShare(mostIdle),
	})
	// Read at the first need, once, the system's authorities would be missing
	// for good if no descriptor were free then. Their absence shows in attempts.
	_, _ = x509.SystemCertPool()
	return nil
}

// wire puts the stages together, each behind the small interface that the one
// before it declares.
func (e *Engine) wire(head store.Head) {
	if e.lines = e.cfg.sender; e.lines == nil {
		e.lines = &sender{
			handler: e.handlerLine, client: e.client, secrets: e.cfg.Secrets, timeout: e.cfg.AttemptTimeout,
			now: e.cfg.Now, log: e.cfg.Log, forwards: e.forwards,
			faults: &faults{log: e.cfg.Log, observe: e.cfg.Observer.OwnFault},
		}
	}
	e.pulls = pull.New(pull.Config{
		Take: e.take, Attend: e.attendTaken,
		Elsewhere: e.elsewhere(), Journal: head.Journal,
		IDs: &postern.IDSource{Now: e.cfg.Now, Random: rand.Reader}, Now: e.cfg.Now,
	})
	main := e.newShard(e.cfg.Store, head)
	e.shards.main = main
	e.publisher = accept.New(accept.Config{
		Router: (*router)(e), Lanes: main.dispatcher, Store: e.cfg.Store,
		Accept: func(p accept.Part, size int) error {
			return main.committer.Enqueue(journal.Accept, p, size)
		},
		Version: e.version(),
		Hurry:   main.committer.Hurry,
		Now:     e.clock.Now, Accepted: e.accepted,
	})
	e.refusals = intake.NewQuota(intake.QuotaConfig{History: e.cfg.Store, Keep: e.keepRefusal, Now: e.clock.Now, Shared: e.nodes != nil})
	e.sweeper = &sweeper{engine: e, dropped: head.Dropped}
}

// Run accepts and delivers until ctx is done, then stops in order: nothing new
// is accepted, no new attempt starts, attempts under way have DrainTimeout to
// end, and what ended is stored, for which a store that is away has 5 seconds. It
// returns nil after that, or why the store failed, or which handler cannot be
// stored; at once, with an error of kind Conflict, where another engine works on the
// store, or has since New. It may be called once.
func (e *Engine) Run(ctx context.Context) error {
	if e.running.Swap(true) {
		return errors.New("engine: Run was called before")
	}
	release, err := e.holdStore(ctx)
	if err != nil {
		e.stopping.Store(true)
		close(e.attending) // whoever waits for it to run
		return err
	}
	defer release()
	main := e.shards.main
	main.run(ctx)
	attempts, abort := context.WithCancelCause(context.WithoutCancel(ctx)) // a stop drains attempts; drain aborts them
	defer abort(nil)
	stopWork, leave := func() {}, func() {}
	failure := e.attend(ctx)
	switch {
	case failure == nil:
		stopWork, leave = e.work(ctx, attempts)
		failure = e.wait(ctx)
	case ctx.Err() != nil:
		failure = nil // told to stop meanwhile
	}
	e.stopping.Store(true)
	if !e.attended.Load() {
		close(e.attending)
	}
	close(e.handlers.stopping)
	e.tail.Close()
	e.pulls.Close()
	// Slices and requests of other nodes that are under way wait for the store, or for
	// other nodes.
	backstop := time.AfterFunc(max(e.cfg.DrainTimeout, 0)+storeGrace, func() {
		close(e.impatient)
		e.shards.abandon()
	})
	defer backstop.Stop()
	stopWork()
	e.drain(ctx, failure != nil, abort)
	leave()
	if err := e.shards.finish(); failure == nil {
		failure = err
	}
	if failure == nil {
		e.cfg.Log.Info("stopped: everything that ended is stored")
	}
	return failure
}

// holdStore takes the store for this engine, which has to have read the last of it.
func (e *Engine) holdStore(ctx context.Context) (release func(), err error) {
	if release, err = e.cfg.Store.Hold(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	head, err := e.cfg.Store.Head(ctx)
	switch {
	case errors.Is(err, postern.ErrUnavailable):
		err = nil // a database that is away now is waited for, as at any other time
	case err == nil && head.Batch != e.batch:
		err = &postern.Error{Kind: postern.Conflict, Code: "store_moved_on", Detail: "the store was written to since New read it: make the engine anew"}
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("engine: %w", err)
	}
	return release, nil
}

// work starts what works beside the committer, and lets publishers in. Attempts
// run under a context of their own; stop ends the rest, but for what other nodes are
// told and asked while attempts end, which leave ends.
func (e *Engine) work(ctx, attempts context.Context) (stop, leave func()) {
	e.shards.main.dispatcher.Start(attempts)
	e.attended.Store(true)
	close(e.attending)
	stopReplays := e.startReplays(context.WithoutCancel(ctx))
	stopSweeping := e.sweeper.start(context.WithoutCancel(ctx))
	settle, leave := e.nodes.start(context.WithoutCancel(ctx), attempts)
	return func() {
		stopReplays()
		stopSweeping()
		settle()
	}, leave
}

// wait returns when the engine is to stop: nil when ctx is done, or why the
// store failed.
func (e *Engine) wait(ctx context.Context) (failure error) {
	select {
	case <-ctx.Done():
		e.cfg.Log.Info("stopping: nothing new is accepted", "cause", context.Cause(ctx))
	case <-e.shards.main.done:
		failure = e.shards.main.err
	case <-e.cfg.Store.Failed():
		failure = e.cfg.Store.Admit()
	}
	if failure != nil {
		e.cfg.Log.Error("the store failed: stopping", "error", failure)
	}
	return failure
}

// drain ends the attempts under way: by themselves if there is time, else by
// force. Attempts that are cut off do not count, and go on at the next start.
func (e *Engine) drain(ctx context.Context, atOnce bool, abort context.CancelCauseFunc) {
	grace := max(e.cfg.DrainTimeout, 0)
	if atOnce {
		grace = 0
	}
	soft, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, errDrained)
	defer cancel()
	var telling sync.WaitGroup // beside: a listener that hangs has attempts neither start nor wait
	telling.Go(func() { e.listeners.close(soft) })
	defer telling.Wait()
	if e.stopAttempts(soft) == nil {
		e.client.Close()
		e.cfg.Log.Info("stopping: all attempts have ended")
		return
	}
	lanes, _ := e.shards.stats()
	e.cfg.Log.Warn("stopping: attempts are cut off", "in_flight", lanes.InFlight, "after", grace)
	abort(errAborted)
	e.pulls.Abort()
	e.client.Close()
	hard, cancelHard := context.WithTimeoutCause(context.WithoutCancel(ctx), abortTimeout, errDrained)
	defer cancelHard()
	if err := e.stopAttempts(hard); err != nil {
		e.cfg.Log.Error("stopping: attempts did not end", "error", err)
	}
}

// stopAttempts waits until attempts have ended, or ctx has: those of this node, and
// those that nodes make for one another.
func (e *Engine) stopAttempts(ctx context.Context) error {
	err := e.shards.stop(ctx)
	if e.nodes == nil {
		return err
	}
	return errors.Join(err, e.peers.drain(ctx), e.pulls.Drain(ctx))
}

const (
	// abortTimeout is how long attempts that were aborted may take to end.
	abortTimeout = 5 * time.Second
	// storeGrace is how long a stop waits for a store that takes nothing. What it
	// loses then is done again after the next start.
	storeGrace = 5 * time.Second
)

var errDrained = errors.New("the time to drain is over")

var errStopping = &postern.Error{Kind: postern.Unavailable, Detail: "shutting down"}

// Handler serves everything over HTTP: the API under /api/v1/, inbound requests
// under /in/, and a page at / and /portal. Under a prefix it goes behind
// http.StripPrefix, and Config.PublicURL ends with that prefix. The parts are told
// apart by their paths. Requests wait until Run has stored the program's handlers.
// Addresses of sources hold a secret: keep them out of the logs around it.
func (e *Engine) Handler() http.Handler { return e.handler }

// admit is nil, or why nothing is accepted now: an error of kind Unavailable.
func (e *Engine) admit() error {
	if e.stopping.Load() {
		return errStopping
	}
	return e.shards.main.committer.Full()
}

// ExpungeAll has the payloads of all messages that an application has by now
// deleted as Expunge does, and returns once that is sure to happen, also over
// restarts.
func (e *Engine) ExpungeAll(ctx context.Context, app postern.ApplicationNumber) (*postern.Replay, error) {
	return e.lead(ctx, order{Op: orderExpungeAll, Application: app})
}

// Stats reads the state of the engine and of its store.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	usage, err := e.cfg.Store.Usage(ctx)
	if err != nil {
		return Stats{}, err
	}
	d, rows := e.shards.stats()
	return Stats{
		Lanes: d.Lanes, LanesBehind: d.Behind, WentBehind: d.WentBehind,
		LanesFailing: d.Failing, LanesProbing: d.Probing,
		InFlight: d.InFlight, Queued: d.Queued, QueuedBytes: d.Bytes,
		Rows: rows, OldestWaiting: d.Oldest, Store: usage,
		Leased: e.pulls.Held(), Unattended: e.unattended(), ListenersDropped: e.listeners.dropped.Load(),
	}, nil
}

// failing are the endpoints that do nothing but fail, of those that are tried.
func (e *Engine) failing() []postern.EndpointNumber {
	var numbers []postern.EndpointNumber
	_, last := e.catalogue.Numbers()
	for n := postern.EndpointNumber(1); n <= last; n++ {
		if view := e.catalogue.EndpointByNumber(n); view != nil && !view.Health.FailingSince.IsZero() && view.Deliverable() {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (e *Engine) accepted(m *postern.Message) {
	e.newest.Store(m.ID.Time().UnixMilli())
	e.tail.Accepted(m)
	if e.cfg.Observer.Accepted != nil {
		e.cfg.Observer.Accepted(m)
	}
}

func (e *Engine) attempted(a *postern.Attempt) {
	e.tail.Attempted(a)
	if e.cfg.Observer.Attempted != nil {
		e.cfg.Observer.Attempted(a)
	}
}

func (e *Engine) committed(b journal.BatchStats) {
	if e.cfg.Observer.Committed != nil {
		e.cfg.Observer.Committed(Batch(b))
	}
}

// take is a pull endpoint's next delivery, for a consumer.
func (e *Engine) take(ctx context.Context, n postern.EndpointNumber) (pull.Taken, *postern.Content) {
	if taken, content := e.shards.main.dispatcher.Take(ctx, n); taken != nil {
		return taken, content
	}
	return nil, nil // no interface that holds a nil
}

// forwards reports whether a source passes its requests' headers on, and which.
func (e *Engine) forwards(app postern.ApplicationNumber, id postern.SourceID) (names []string, ok bool) {
	s, err := e.catalogue.Source(app, id.String())
	if err != nil || !s.Forward {
		return nil, false
	}
	return s.ForwardHeaders, true
}

// router matches messages against the catalogue's current routes.
type router Engine

// Match implements accept.Router.
func (r *router) Match(app postern.ApplicationNumber, eventType string, channels []string) ([]postern.EndpointNumber, bool) {
	s := r.catalogue.Snapshot(app)
	if s == nil {
		return nil, false
	}
	return s.Routes.Match(eventType, channels), true
}
