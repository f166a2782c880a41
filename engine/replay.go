package engine

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/store"
)

// Replay has messages of the past delivered once more, and returns once that is
// durable: it goes on over restarts until it has ended. Application, To and
// Selection.Since are required.
func (e *Engine) Replay(ctx context.Context, r postern.Replay) (*postern.Replay, error) {
	return e.lead(ctx, order{Op: orderCreateReplay, Replay: &r})
}

// replays is what the API does with them: one node changes those of all.
type replays struct {
	*replay.Runner
	engine *Engine
}

// CreateReplay implements api.Replays.
func (r replays) CreateReplay(ctx context.Context, in postern.Replay) (*postern.Replay, error) {
	return r.engine.Replay(ctx, in)
}

// SetReplayState implements api.Replays.
func (r replays) SetReplayState(ctx context.Context, app postern.ApplicationNumber, id postern.ReplayID, state postern.ReplayState) (*postern.Replay, error) {
	return r.engine.lead(ctx, order{Op: orderSetReplay, Application: app, Replay: &postern.Replay{ID: id, State: state}})
}

// newReplays joins replays to the stages; what they need is there by the time
// they run.
func (e *Engine) newReplays() *replay.Runner {
	return replay.New(replay.Config{
		Store: e.cfg.Store,
		Start: e.startSlice, Leads: e.nodes.leads,
		Expunge: func(ctx context.Context, app postern.ApplicationNumber, ids []postern.MessageID) error {
			_, err := e.expunge(ctx, app, ids) // retention was faster with the others
			return err
		},
		Commit: func(ctx context.Context, changes ...store.Change) error {
			// One that was queued is not given up with its caller.
			return e.store(context.WithoutCancel(ctx), 512*len(changes), func(b *store.Batch) { b.Changes = append(b.Changes, changes...) })
		},
		Endpoint: func(n postern.EndpointNumber) *postern.EndpointView { return e.catalogue.EndpointByNumber(n) },
		Alive:    func(app postern.ApplicationNumber) bool { return e.catalogue.ApplicationByNumber(app) != nil },
		Matches: func(v *postern.EndpointView, eventType string, channels []string) bool {
			matched, _ := route.Explain(v, eventType, channels)
			return matched
		},
		Newest: e.newestOfAll,
		IDs:    &postern.IDSource{Now: e.cfg.Now, Random: rand.Reader},
		Now:    e.cfg.Now, Log: e.cfg.Log,
	})
}

// newestOfAll is a time that no message's is above which was acknowledged before. Of
// other nodes' messages the store knows.
func (e *Engine) newestOfAll(ctx context.Context) (time.Time, error) {
	newest := time.UnixMilli(e.newest.Load())
	if e.nodes == nil {
		return newest, nil
	}
	head, err := e.cfg.Store.Head(ctx)
	if head.Newest.After(newest) {
		newest = head.Newest
	}
	return newest, err
}

// startReplays walks replays until the returned function is called, which waits
// for a slice under way.
func (e *Engine) startReplays(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // ends with ctx, by stop alone
		defer close(done)
		e.replays.Run(ctx)
	}()
	return func() { cancel(errStopping); <-done }
}
