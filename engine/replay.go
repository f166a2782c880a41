package engine

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/store"
)

// Replay has messages of the past delivered once more, and returns once that is
// durable: it goes on over restarts until it has ended. Application, To and
// Selection.Since are required.
func (e *Engine) Replay(ctx context.Context, r postern.Replay) (*postern.Replay, error) {
	return e.replays.CreateReplay(ctx, r)
}

// newReplays joins replays to the stages; what they need is there by the time
// they run.
func (e *Engine) newReplays() *replay.Runner {
	return replay.New(replay.Config{
		Store: e.cfg.Store,
		Start: func(s replay.Slice) (taken, started int, err error) {
			return e.shards.main.dispatcher.Replay(dispatch.Slice(s))
		},
		Expunge: func(ctx context.Context, app postern.ApplicationNumber, ids []postern.MessageID) error {
			_, err := e.shards.main.dispatcher.ExpungeSome(ctx, app, ids) // retention was faster with the others
			return err
		},
		Commit: func(ctx context.Context, changes ...store.Change) error {
			// One that was queued is not given up with its caller.
			return e.store(context.WithoutCancel(ctx), 512*len(changes), func(b *store.Batch) { b.Changes = append(b.Changes, changes...) }, nil)
		},
		Endpoint: func(n postern.EndpointNumber) *postern.EndpointView { return e.catalogue.EndpointByNumber(n) },
		Alive:    func(app postern.ApplicationNumber) bool { return e.catalogue.ApplicationByNumber(app) != nil },
		Matches: func(v *postern.EndpointView, eventType string, channels []string) bool {
			matched, _ := route.Explain(v, eventType, channels)
			return matched
		},
		Newest: func() time.Time { return time.UnixMilli(e.newest.Load()) },
		IDs:    &postern.IDSource{Now: e.cfg.Now, Random: rand.Reader},
		Now:    e.cfg.Now, Log: e.cfg.Log,
	})
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
