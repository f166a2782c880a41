package engine

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/store"
)

// part is what the engine itself stores: a function that adds to a batch, and
// one that is called once it is durable, which may be nil.
type part struct {
	build  func(b *store.Batch)
	stored func()
	done   chan error // capacity 1
}

// Build implements journal.Part.
func (p *part) Build(b *store.Batch) { p.build(b) }

// Done implements journal.Part.
func (p *part) Done(err error) {
	if err == nil && p.stored != nil {
		p.stored()
	}
	p.done <- err
}

// store has something committed and waits for it. When ctx ends first, it may or
// may not be stored.
func (e *Engine) store(ctx context.Context, size int, build func(*store.Batch)) error {
	return e.enqueue(ctx, journal.Command, size, &part{build: build})
}

func (e *Engine) enqueue(ctx context.Context, class journal.Class, size int, p *part) error {
	p.done = make(chan error, 1)
	if err := e.shards.main.committer.Enqueue(class, p, size); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// records is what the engine stores for the API and the catalogue, and what no
// program needs.
type records struct{ *Engine }

// CommitChanges implements catalogue.Committer.
func (e records) CommitChanges(ctx context.Context, changes []store.Change, health []store.HealthChange) error {
	lanes := e.shards.main.dispatcher
	return e.enqueue(ctx, journal.Change, 512*len(changes), &part{
		build: func(b *store.Batch) {
			b.Version = min(b.Version, e.catalogue.Basis())
			b.Changes = append(b.Changes, changes...)
			b.Health = append(b.Health, health...)
			for _, h := range health {
				lanes.Reset(h.Endpoint, h.Health)
			}
			apps, endpoints := e.catalogue.Numbers()
			b.Head.Applications = max(b.Head.Applications, apps)
			b.Head.Endpoints = max(b.Head.Endpoints, endpoints)
		},
		stored: func() {
			for _, h := range health {
				e.catalogue.ApplyHealth(h.Endpoint, h.Health)
			}
		},
	})
}

// repeatWindow is how long the answer to a request with an idempotency key is
// given again.
const repeatWindow = 12 * time.Hour

// Repeated implements api.Repeats: what the request of a digest was answered with;
// false when there was none within 12 hours.
func (e records) Repeated(ctx context.Context, digest store.Digest) (store.DedupeRecord, bool, error) {
	return e.cfg.Store.Dedupe(ctx, store.ScopeIdempotency, digest, e.clock.Now().Add(-repeatWindow))
}

// Alone implements api.Repeats: copies of a request that reach two nodes at once are
// carried out one after the other.
func (e records) Alone(ctx context.Context, digest store.Digest) (release func(), err error) {
	if e.nodes == nil {
		return func() {}, nil // the process is
	}
	return e.nodes.cluster.Alone(ctx, digest)
}

// KeepAnswer implements api.Repeats: it makes an answer durable.
func (e records) KeepAnswer(ctx context.Context, record store.DedupeRecord) error {
	return e.store(ctx, 512+len(record.Answer), func(b *store.Batch) {
		// Position 0 is no message's: the id tells the time and nothing else.
		record.Message = postern.NewMessageID(b.Head.LastTime, b.Head.Journal, 0, 0)
		b.Answers = append(b.Answers, record)
	})
}

// Redact implements api.Expunger: it stores an attempt anew, whose response was
// deleted.
func (e records) Redact(ctx context.Context, a postern.Attempt) error {
	return e.store(ctx, len(a.Response), func(b *store.Batch) { b.Redacted = append(b.Redacted, &a) })
}

// MessageByEventID implements api.EventIDs.
func (e records) MessageByEventID(ctx context.Context, app postern.ApplicationNumber, eventID string) (postern.MessageID, error) {
	return e.publisher.Find(ctx, app, eventID)
}

// keepRefusal stores a refusal, and drops those that are over the source's
// quota.
func (e *Engine) keepRefusal(ctx context.Context, r *postern.Refusal, drop []*postern.Refusal) error {
	return e.store(ctx, 512+len(r.Body), func(b *store.Batch) {
		b.Refusals = append(b.Refusals, r)
		b.DropRefusals = append(b.DropRefusals, drop...)
	})
}
