package replay

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// maxActive bounds an application's replays that have not ended, maxEnded
	// those that have: the oldest of them go.
	maxActive = 20
	maxEnded  = 200
)

// Limits are the bounds of replays.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.CountLimit("replay.active", maxActive, "An application has at most so many replays that have not ended."),
		postern.CountLimit("replay.ended", maxEnded, "So many of an application's replays are kept that have ended."),
		postern.CountLimit("replay.slice", sliceSize, "A replay starts at most so many deliveries at once."),
	}
}

// Add takes over a stored replay, while the program starts. One whose
// application is gone is forgotten by the walk.
func (r *Runner) Add(record *postern.Replay) { r.insert(record) }

// Replay finds one of an application's replays by id.
func (r *Runner) Replay(app postern.ApplicationNumber, id postern.ReplayID) (*postern.Replay, error) {
	return r.one(replaysOf(app), id)
}

// Task finds by id among an application's replays and expungings; in application
// 0 among those of all.
func (r *Runner) Task(app postern.ApplicationNumber, id postern.ReplayID) (*postern.Replay, error) {
	return r.one(tasksOf(app), id)
}

// Replays lists in the order of ids those of an application that keep lets
// through, nil for all of them.
func (r *Runner) Replays(app postern.ApplicationNumber, p postern.ListPage, keep func(*postern.Replay) bool) ([]*postern.Replay, bool) {
	return r.list(replaysOf(app), p, keep)
}

// Tasks is Replays of what Task finds.
func (r *Runner) Tasks(app postern.ApplicationNumber, p postern.ListPage, keep func(*postern.Replay) bool) ([]*postern.Replay, bool) {
	return r.list(tasksOf(app), p, keep)
}

func (r *Runner) one(of scope, id postern.ReplayID) (*postern.Replay, error) {
	e := r.find(of, id)
	if e == nil {
		return nil, postern.ErrNotFound
	}
	return r.recordOf(e), nil
}

func (r *Runner) list(of scope, p postern.ListPage, keep func(*postern.Replay) bool) ([]*postern.Replay, bool) {
	var after postern.ReplayID
	if p.After != "" {
		var err error
		if after, err = postern.ParseReplayID(p.After); err != nil {
			return nil, false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var page []*postern.Replay
	for i := range r.all {
		record := r.all[i].record
		if p.Descending {
			record = r.all[len(r.all)-1-i].record
		}
		behind := record.ID.Compare(after)
		switch {
		case p.After != "" && (behind == 0 || behind < 0 != p.Descending):
			continue
		case !of(record), !r.cfg.Alive(record.Application), keep != nil && !keep(record):
			continue
		case len(page) == p.Limit:
			return page, true
		}
		page = append(page, record)
	}
	return page, false
}

// PreviewReplay counts what a replay would start; exact is false where that is
// an estimate, because the range is long.
func (r *Runner) PreviewReplay(ctx context.Context, in postern.Replay) (n int64, exact bool, err error) {
	if err := r.complete(ctx, &in); err != nil {
		return 0, false, err
	}
	return r.count(ctx, &in, boundsOf(&in.Selection))
}

// CreateReplay checks a replay and has it run once that is durable. It fills in
// ID, State, Total and times, and Until if there is none: everything that was
// acknowledged before is in it. Only the node that leads creates any.
func (r *Runner) CreateReplay(ctx context.Context, in postern.Replay) (*postern.Replay, error) {
	if !r.leads() {
		return nil, errNotLeading
	}
	err := r.complete(ctx, &in)
	if err != nil {
		return nil, err
	}
	if in.Total, _, err = r.count(ctx, &in, boundsOf(&in.Selection)); err != nil {
		return nil, err
	}
	r.creating.Lock()
	defer r.creating.Unlock()
	return r.insertNew(ctx, in, maxActive)
}

// insertNew stores a replay and has it run, and forgets old ones for it. Most is
// how many that have not ended the application may have with it. Called with
// creating held.
func (r *Runner) insertNew(ctx context.Context, in postern.Replay, most int) (*postern.Replay, error) {
	old, active := r.room(in.Application)
	if active >= most {
		return nil, &postern.Error{Kind: postern.Invalid, Code: "limit_reached", Detail: "the application has 20 replays that have not ended; cancel one, or wait"}
	}
	id, err := r.cfg.IDs.Next()
	if err != nil {
		return nil, err
	}
	in.ID = id
	in.State, in.Reason = postern.ReplayRunning, ""
	in.CreatedAt = r.now()
	in.UpdatedAt = in.CreatedAt
	changes := []store.Change{{Put: &in}}
	for _, e := range old {
		changes = append(changes, store.Change{Delete: r.recordOf(e)})
	}
	if err := r.put(ctx, changes...); err != nil {
		return nil, err
	}
	for _, e := range old {
		r.remove(e)
	}
	r.insert(&in)
	r.Rouse()
	return &in, nil
}

// ExpungeAll has the contents of an application's messages expunged, of all that
// were acknowledged before. Where that is under way already, it goes further: an
// application has one at a time. Only the node that leads does so.
func (r *Runner) ExpungeAll(ctx context.Context, app postern.ApplicationNumber) (_ *postern.Replay, err error) {
	if !r.leads() {
		return nil, errNotLeading
	}
	r.creating.Lock()
	defer r.creating.Unlock()
	if e := r.expunging(app); e != nil {
		if record, err := r.extend(ctx, e); record != nil || err != nil {
			return record, err
		}
	}
	in := postern.Replay{Application: app, Origin: postern.OriginExpunge, Selection: postern.Selection{Status: postern.StatusAll}}
	if in.Selection.Until, err = r.horizon(ctx); err != nil {
		return nil, err
	}
	if in.Total, _, err = r.count(ctx, &in, boundsOf(&in.Selection)); err != nil {
		return nil, err
	}
	return r.insertNew(ctx, in, math.MaxInt)
}

// extend moves an expunging's end to now; nil where it has ended meanwhile.
func (r *Runner) extend(ctx context.Context, e *entry) (*postern.Replay, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := r.recordOf(e)
	if before.State.Final() {
		return nil, nil //nolint:nilnil // said above
	}
	until, err := r.horizon(ctx)
	if err != nil {
		return nil, err
	}
	record := *before
	record.Selection.Until, record.UpdatedAt = until, r.now()
	if err := r.commit(ctx, e, before, &record); err != nil {
		return nil, err
	}
	return &record, nil
}

// SetReplayState pauses, resumes or cancels: to ReplayPaused, ReplayRunning or
// ReplayCanceled. One that has ended is postern.ErrConflict. Only the node that
// leads does so.
func (r *Runner) SetReplayState(ctx context.Context, app postern.ApplicationNumber, id postern.ReplayID, state postern.ReplayState) (*postern.Replay, error) {
	if !r.leads() {
		return nil, errNotLeading
	}
	e := r.find(replaysOf(app), id)
	if e == nil {
		return nil, postern.ErrNotFound
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	before := r.recordOf(e)
	switch {
	case before.State.Final():
		return nil, &postern.Error{Kind: postern.Conflict, Detail: "the replay is already " + string(before.State)}
	case before.State == state:
		return before, nil
	}
	record := *before
	record.State, record.UpdatedAt = state, r.now()
	if state.Final() {
		record.FinishedAt = record.UpdatedAt
	}
	if err := r.commit(ctx, e, before, &record); err != nil {
		return nil, err
	}
	r.Rouse()
	return &record, nil
}

// complete fixes a replay's range and refuses what cannot be. Whose endpoints
// they are is the caller's to check.
func (r *Runner) complete(ctx context.Context, in *postern.Replay) error {
	end, err := r.horizon(ctx)
	if err != nil {
		return err
	}
	sel := &in.Selection
	if sel.Status == "" {
		sel.Status = postern.StatusAll
	}
	if sel.Until.IsZero() || sel.Until.After(end) {
		sel.Until = end
	}
	sel.Since, sel.Until = sel.Since.UTC().Truncate(time.Millisecond), sel.Until.UTC().Truncate(time.Millisecond)
	if beginning := time.UnixMilli(0).UTC(); sel.Since.Before(beginning) { // ids hold nothing before it
		sel.Since = beginning
	}
	view := r.cfg.Endpoint(in.To)
	switch {
	case view == nil || view.Deleted || view.Application != in.Application:
		return postern.ErrNotFound
	case !slices.Contains(postern.ReplayStatuses(), sel.Status):
		return postern.InvalidField("must be one of all, failed, dead, delivered and missing", "body", "status")
	case sel.Status == postern.StatusMissing && sel.From != in.To:
		return postern.InvalidField("what an endpoint misses can be sent to itself only", "body", "status")
	case sel.Status != postern.StatusAll && sel.From == 0:
		return postern.InvalidField("only all is possible without the endpoint whose deliveries are meant", "body", "status")
	case !sel.Since.Before(sel.Until):
		return postern.InvalidField("must be before until, and in the past", "body", "since")
	case in.Rate < 0:
		return postern.InvalidField("must be 1 or more, or null for no limit", "body", "rate")
	}
	in.Cursor = postern.NewMessageID(sel.Since, 0, 0, 0)
	return nil
}

// horizon is behind everything that was acknowledged.
func (r *Runner) horizon(ctx context.Context) (time.Time, error) {
	newest, err := r.cfg.Newest(ctx)
	if now := r.now(); now.After(newest) { // ids do not follow a clock that was set back
		newest = now
	}
	return newest.Add(time.Millisecond).UTC().Truncate(time.Millisecond), err
}

// room returns the ended replays of an application that are one too many with
// another, and how many have not ended.
func (r *Runner) room(app postern.ApplicationNumber) (old []*entry, active int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tidy()
	for _, e := range r.all {
		switch {
		case e.record.Application != app:
		case e.record.State.Final():
			old = append(old, e)
		default:
			active++
		}
	}
	return old[:max(len(old)-maxEnded+1, 0)], active
}

// tidy drops those from memory that ended before their application went, with
// their stored records. Called with the Runner's lock held.
func (r *Runner) tidy() {
	r.all = slices.DeleteFunc(r.all, func(e *entry) bool {
		return e.record.State.Final() && !r.cfg.Alive(e.record.Application) && !slices.Contains(r.active, e)
	})
	r.tidied = len(r.all)
}

// expunging is an application's expunging that has not ended; nil for none.
func (r *Runner) expunging(app postern.ApplicationNumber) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.active, func(e *entry) bool {
		return e.record.Application == app && e.record.Origin == postern.OriginExpunge && !e.record.State.Final()
	})
	if at < 0 {
		return nil
	}
	return r.active[at]
}

func (r *Runner) find(of scope, id postern.ReplayID) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, found := slices.BinarySearchFunc(r.all, id, compareID)
	if !found || !of(r.all[at].record) || !r.cfg.Alive(r.all[at].record.Application) {
		return nil
	}
	return r.all[at]
}

// scope reports whether a record is one of those that may be found.
type scope func(*postern.Replay) bool

// replaysOf leaves out an application's expungings, which nobody stops.
func replaysOf(app postern.ApplicationNumber) scope {
	return func(r *postern.Replay) bool { return r.Application == app && r.Origin != postern.OriginExpunge }
}

// tasksOf are all that an application has begun; of application 0, all there are.
func tasksOf(app postern.ApplicationNumber) scope {
	return func(r *postern.Replay) bool { return app == 0 || r.Application == app }
}

func compareID(e *entry, id postern.ReplayID) int { return e.record.ID.Compare(id) }

// insert adds a stored record, unless the log was faster with it.
func (r *Runner) insert(record *postern.Replay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, found := slices.BinarySearchFunc(r.all, record.ID, compareID); !found {
		r.insertAt(at, record)
	}
}

// insertAt is called with the Runner's lock held.
func (r *Runner) insertAt(at int, record *postern.Replay) {
	e := &entry{changing: make(lock, 1), record: record, stored: record}
	r.all = slices.Insert(r.all, at, e)
	r.active = append(r.active, e) // the walk drops those that have ended
}

func (r *Runner) remove(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(other *entry) bool { return other == e }
	r.all = slices.DeleteFunc(r.all, same)
	r.active = slices.DeleteFunc(r.active, same)
}

func (r *Runner) recordOf(e *entry) *postern.Replay {
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.record
}

// Rouse has the walk look again, as when this node begins to lead.
func (r *Runner) Rouse() {
	select {
	case r.wake <- struct{}{}:
	default: // it will anyway
	}
}
