package replay

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Store is what replays read.
type Store interface {
	Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error)
	Messages(ctx context.Context, app postern.ApplicationNumber, filter store.MessageFilter, page store.Page) (store.MessagePage, error)
	Dead(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, page store.Page) (store.DeadPage, error)
	Waiting(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, page store.Page) (store.RowPage, error)
	Standings(ctx context.Context, app postern.ApplicationNumber, keys []store.Placed) ([]store.Standing, error)
}

// Slice is what is started in one batch: deliveries to one endpoint and the
// record after them. Wants and Record are called while the batch is built.
type Slice struct {
	Replay      postern.ReplayID
	Application postern.ApplicationNumber
	Endpoint    postern.EndpointNumber
	Messages    []postern.MessageID
	// Wants tells whether a delivery is still to start as it stands then.
	Wants func(s store.Standing) bool
	// Record is the replay once the first taken of Messages are dealt with. Where
	// taken is not 0 what it returned last is stored, no earlier than their rows.
	Record func(taken, started int) *postern.Replay
	// Begun is for Start to say what it has begun of a slice that it could not end:
	// it has it again for the next slice from there.
	Begun *Begun
}

// Begun are messages behind a replay's cursor that are dealt with. The zero value
// has none.
type Begun struct {
	cursor   postern.MessageID
	messages map[postern.MessageID]bool
	// Started counts the deliveries that were started and that no record counts.
	Started int
	// Again: more can have been begun, by another node or without an answer.
	Again bool
}

// behind forgets what was begun behind another cursor: another node has walked since.
func (b *Begun) behind(cursor postern.MessageID) *Begun {
	if b.cursor != cursor {
		*b = Begun{cursor: cursor, Again: true}
	}
	return b
}

// Add notes messages, of which some deliveries were started.
func (b *Begun) Add(messages []postern.MessageID, started int) {
	if b.messages == nil {
		b.messages = make(map[postern.MessageID]bool)
	}
	for _, id := range messages {
		b.messages[id] = true
	}
	b.Started += started
}

// Without are those of messages that are not among them.
func (b *Begun) Without(messages []postern.MessageID) (left []postern.MessageID) {
	for _, id := range messages {
		if !b.messages[id] {
			left = append(left, id)
		}
	}
	return left
}

// stored forgets what a record up to a cursor says.
func (b *Begun) stored(cursor postern.MessageID) {
	maps.DeleteFunc(b.messages, func(id postern.MessageID, _ bool) bool { return id.Compare(cursor) <= 0 })
	b.cursor, b.Started, b.Again = cursor, 0, false
}

// Config is what a Runner needs; all of it is required but Leads and Log.
type Config struct {
	Store Store
	// Start stores a slice and returns once it is durable: how many of its
	// messages were dealt with, and how many of these were started. After an
	// error that is fewer than all.
	Start func(s Slice) (taken, started int, err error)
	// Expunge deletes the contents of messages, durably, and ends what of their
	// deliveries is unfinished; those that are gone are left out.
	Expunge func(ctx context.Context, app postern.ApplicationNumber, ids []postern.MessageID) error
	// Leads reports whether this node is the one that walks; nil for always. It is
	// asked often, and must be up to date before Learned is called.
	Leads func() bool
	// Commit makes changes of records durable.
	Commit func(ctx context.Context, changes ...store.Change) error
	// Endpoint is nil or Deleted for one that is gone, Alive false for an
	// application that is.
	Endpoint func(n postern.EndpointNumber) *postern.EndpointView
	Alive    func(app postern.ApplicationNumber) bool
	// Matches reports whether an endpoint gets such messages, as it is now.
	Matches func(v *postern.EndpointView, eventType string, channels []string) bool
	// Newest is a time that no message's is above which was acknowledged before.
	Newest func(ctx context.Context) (time.Time, error)
	IDs    *postern.IDSource
	// Now stamps records.
	Now func() time.Time
	Log *slog.Logger
}

// Runner keeps all replays and walks those that run.
type Runner struct {
	cfg  Config
	wake chan struct{} // capacity 1; closed by nobody

	// creating is held while a replay is created, so that limits hold, and while
	// an expunging is asked for. Whoever holds it may take an entry's lock.
	creating sync.Mutex

	mu  sync.Mutex
	all []*entry // by id
	// active are those that have not ended, as far as the walk knows, or mend.
	active []*entry
	tidied int  // how many there were when all were last looked through
	led    bool // what Leads said last
}

// lock is a channel of capacity 1. It is held over commits, which take time: who waits
// for a mutex would keep the time of a test's bubble from going on.
type lock chan struct{}

// Lock waits until nobody else has it.
func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

// entry is one replay over its changes.
type entry struct {
	// changing is held over commits of the record. Whoever holds it may take the
	// Runner's lock, not the reverse. Learned does without it: the commit may be
	// waiting for the log that Learned is called from.
	changing lock
	unsaved  int // examined since the record was stored; guarded by changing

	// Records are never changed, only replaced. These are guarded by the Runner's
	// lock.
	record *postern.Replay
	stored *postern.Replay // as far as is known; the record may be ahead of it
	saved  time.Time       // when this node last stored it; zero for never
	stated time.Time       // when that last changed its state
	mend   bool            // the record has to be stored again

	// What follows is the walk's own.
	pace  pace
	until time.Time // when it is looked at again
	begun Begun
}

const (
	// sliceSize bounds the deliveries of one batch: each is judged while other
	// parts of the batch wait.
	sliceSize = 64
	// saveEvery is how many messages may be looked at in vain until the cursor
	// is stored.
	saveEvery = 20_000
	// retryAfter is when something is tried again that failed or has to wait.
	retryAfter = time.Second
	// lookAfter is when a node that does not lead sees whether it does by then.
	lookAfter = time.Second
	// longestRest bounds the wait after a step.
	longestRest = 20 * time.Millisecond
)

// New makes a runner without replays.
func New(cfg Config) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Run walks the replays that run until ctx is done. It is called once, after
// all stored ones were added.
func (r *Runner) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(r.turn(ctx))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// turn gives every replay a step that is due for one, and returns how long
// nobody is.
func (r *Runner) turn(ctx context.Context) time.Duration {
	rest := time.Hour
	for _, e := range r.running() {
		if ctx.Err() != nil {
			return rest
		}
		if !r.leads() && !r.mends(e) {
			rest = min(rest, lookAfter)
			continue
		}
		if !time.Now().Before(e.until) {
			wait := r.step(ctx, e)
			e.until = time.Now().Add(wait)
		}
		rest = min(rest, time.Until(e.until))
	}
	return max(rest, 0)
}

// running lists the replays that run or mend, and forgets those that have ended.
func (r *Runner) running() []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var running []*entry
	kept := r.active[:0]
	for _, e := range r.active {
		gone := !r.cfg.Alive(e.record.Application)
		if e.record.State.Final() && !gone && !e.mend {
			continue
		}
		kept = append(kept, e)
		if gone || e.mend || e.record.State == postern.ReplayRunning {
			running = append(running, e)
		}
	}
	clear(r.active[len(kept):])
	r.active = kept
	return running
}

// step starts what a replay may start now, and returns when it wants the next.
func (r *Runner) step(ctx context.Context, e *entry) time.Duration {
	record := r.recordOf(e)
	if !r.cfg.Alive(record.Application) {
		return r.after(record, r.forget(ctx, e), time.Hour)
	}
	if r.mends(e) {
		return r.after(record, r.storeAgain(ctx, e), longestRest)
	}
	if record.Origin == postern.OriginExpunge {
		return r.expunge(ctx, e, record)
	}
	view := r.cfg.Endpoint(record.To)
	switch {
	case view == nil || view.Deleted:
		return r.after(record, r.end(ctx, e, postern.ReplayFailed, "the endpoint was deleted"), 0)
	case !view.Deliverable():
		e.pace = pace{}
		return retryAfter
	}
	n, wait := e.pace.allows(record.Rate, time.Now())
	if n == 0 {
		return wait
	}
	begun := time.Now()
	found, err := r.pick(ctx, record, record.Cursor, n)
	if err == nil {
		err = r.advance(ctx, e, record, found)
	}
	// Without a rate half of the time belongs to others: they share the
	// committer, which judges each delivery of a slice.
	return r.after(record, err, min(time.Since(begun), longestRest))
}

// after is the wait that follows a step: the one given, or some time where it
// failed, which is told.
func (r *Runner) after(record *postern.Replay, err error, wait time.Duration) time.Duration {
	if err == nil {
		return wait
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, postern.ErrUnavailable) { // we are stopping, or the store has said so
		r.cfg.Log.Error("a replay does not go on", "replay", record.ID.String(), "error", err)
	}
	return retryAfter
}

// advance takes the replay over what was picked, unless it was paused or ended
// meanwhile, or is another node's to walk by now.
func (r *Runner) advance(ctx context.Context, e *entry, picked *postern.Replay, found pick) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := r.recordOf(e)
	if before.State != postern.ReplayRunning || before.Cursor != picked.Cursor || !r.leads() {
		return nil
	}
	if len(found.messages) > 0 {
		return r.start(e, before, found)
	}
	record := found.record(before, r.now())
	if e.unsaved += found.examined; !found.done && e.unsaved < saveEvery {
		r.looked(e, before, record) // a crash costs looking once more
		return nil
	}
	return r.commit(ctx, e, before, record)
}

// start has a slice stored.
func (r *Runner) start(e *entry, before *postern.Replay, found pick) error {
	var record *postern.Replay
	taken, started, err := r.cfg.Start(Slice{
		Replay: before.ID, Application: before.Application, Endpoint: before.To, Messages: found.messages,
		Wants: Wants(before), Begun: e.begun.behind(before.Cursor),
		Record: func(taken, started int) *postern.Replay {
			part := found
			if taken < len(found.messages) {
				part = pick{messages: found.messages[:taken], examined: taken, cursor: found.messages[taken-1]}
			}
			record = part.record(before, r.now())
			record.Replayed += int64(started)
			record.Skipped += int64(taken - started)
			return record
		},
	})
	e.pace.spend(started)
	if taken > 0 { // also where the slice ended early
		e.begun.stored(record.Cursor)
		r.saved(e, before, record)
	}
	if err != nil {
		e.begun.Again = true
	}
	if errors.Is(err, postern.ErrNotFound) {
		return nil // the endpoint is gone, which the next step meets
	}
	return err
}

// end stores the last state of a replay.
func (r *Runner) end(ctx context.Context, e *entry, state postern.ReplayState, reason string) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := r.recordOf(e)
	if before.State.Final() {
		return nil
	}
	return r.commit(ctx, e, before, ended(before, state, reason, r.now()))
}

// forget drops a replay whose application is gone, from the store as well: a
// slice may have stored it after the application's own records went.
func (r *Runner) forget(ctx context.Context, e *entry) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if err := r.put(ctx, store.Change{Delete: r.recordOf(e)}); err != nil {
		return err
	}
	r.remove(e)
	return nil
}

// commit stores the record that comes after another, and shows it. Called with
// the entry's lock held.
func (r *Runner) commit(ctx context.Context, e *entry, before, record *postern.Replay) error {
	if err := r.put(ctx, store.Change{Put: record}); err != nil {
		return err
	}
	r.saved(e, before, record)
	return nil
}

// put makes changes durable. A caller that is gone already is refused; from then on
// its going away is not heard: what is stored and not known here is walked by whoever
// leads next, and by nobody until then.
func (r *Runner) put(ctx context.Context, changes ...store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.cfg.Commit(context.WithoutCancel(ctx), changes...)
}

func (r *Runner) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Millisecond) }

// ended is a record in its last state.
func ended(before *postern.Replay, state postern.ReplayState, reason string, now time.Time) *postern.Replay {
	record := *before
	record.State, record.Reason = state, reason
	record.UpdatedAt, record.FinishedAt = now, now
	return &record
}
