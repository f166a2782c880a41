package dispatch

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Slice is a piece of a replay: deliveries of one endpoint that start anew, and
// the replay's record after it, in one batch. Either all of that survives a
// crash or none.
type Slice struct {
	Replay      postern.ReplayID
	Application postern.ApplicationNumber
	Endpoint    postern.EndpointNumber
	// Messages ascend, and are of this journal. They need not have been routed to the endpoint: the row
	// alone covers a delivery that was not.
	Messages []postern.MessageID
	// Wants tells whether a delivery is still to start, as it stands at its place
	// in the batch: Sending while it is being tried. It must not block.
	Wants func(s store.Standing) bool
	// Since is when the replay began, where somebody else may have started some of
	// these for it: what was tried by hand since then is taken for that, as the store
	// does not know what for. Zero where nobody has.
	Since time.Time
	// Record is the replay's record once the first taken of Messages are dealt
	// with and started of these are on their way. It is called while the batch
	// is built. Nil where another node walks the replay, and keeps its record.
	Record func(taken, started int) *postern.Replay
}

// slice is a Slice as a part of a batch.
type slice struct {
	Slice
	d              *Dispatcher
	resends        []*command // those that put a row
	again          int        // those that were started before for the same replay
	taken, started int
	err            error
	done           chan error // capacity 1
}

// Replay starts a slice's deliveries and returns once that is durable: how many
// messages it dealt with and how many of these it started. After an error that
// is fewer than all, and what it says is durable all the same;
// postern.ErrNotFound is an endpoint that is gone.
func (d *Dispatcher) Replay(s Slice) (taken, started int, err error) {
	if err := d.own(s.Messages...); err != nil {
		return 0, 0, err
	}
	part := &slice{Slice: s, d: d, done: make(chan error, 1)}
	if err := d.cfg.Command(part); err != nil {
		return 0, 0, err
	}
	if err := <-part.done; err != nil { // every part that was taken is told
		return 0, 0, err
	}
	return part.taken, part.started, part.err
}

// Build resends one delivery after the other, and stops at the first that
// cannot be judged.
func (s *slice) Build(b *store.Batch) {
	ctx, cancel := inBatch()
	defer cancel()
	for _, id := range s.Messages {
		if s.err = s.resend(ctx, b, id); s.err != nil {
			break
		}
		s.taken++
	}
	s.started = len(s.resends) + s.again
	if s.taken > 0 && s.Record != nil {
		b.Changes = append(b.Changes, store.Change{Put: s.Record(s.taken, s.started)})
	}
}

// resend starts one delivery, if it is there and still wanted. As for a single
// command, the store is read without the lock.
func (s *slice) resend(ctx context.Context, b *store.Batch, id postern.MessageID) error {
	d := s.d
	cmd := &command{d: d, replay: s.Replay, key: store.DeliveryKey{Application: s.Application, Endpoint: s.Endpoint, Message: id}}
	stored, err := d.cfg.Store.Standing(ctx, cmd.key)
	if err != nil || !stored.Message {
		return err
	}
	begun, err := s.begun(ctx, cmd.key, stored)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	claim := d.claimed(cmd.key)
	standing := standing(b, cmd.key, claim, stored)
	if row := standing.Row; row != nil && !s.Replay.IsZero() && row.Replay == s.Replay {
		begun = true
	}
	if !s.Since.IsZero() && claim != nil && claim.built && claim.attempt.Replay == s.Replay {
		begun = true // by an attempt that this very batch stores
	}
	if begun {
		s.again++ // whoever walks the replay was not told, and begins once more
		return nil
	}
	judged := standing
	if claim != nil && claim.phase != queued && !claim.built {
		judged.State = postern.Sending
	}
	if !s.Wants(judged) {
		return nil
	}
	if err := cmd.resend(b, claim, standing); err != nil {
		return err
	}
	cmd.placed(claim)
	s.resends = append(s.resends, cmd)
	return nil
}

// begun reports whether a delivery's attempts say that it was started before. Within a
// batch that is so for good: who leads a replay asks for a slice that the one before
// it may only just have asked for.
func (s *slice) begun(ctx context.Context, key store.DeliveryKey, stored store.Standing) (found bool, err error) {
	if s.Since.IsZero() || stored.Attempts == 0 {
		return false, nil
	}
	_, err = s.d.cfg.Store.EachAttempt(ctx, key.Application, key.Message, func(a *postern.Attempt) bool {
		found = a.Endpoint == key.Endpoint && a.Trigger == postern.Manual && !a.Started.Before(s.Since)
		return !found
	})
	return found, err
}

// Done has the lane look at what was put, and answers who waits.
func (s *slice) Done(err error) {
	if err == nil {
		s.d.mu.Lock()
		for _, cmd := range s.resends {
			cmd.synced()
		}
		s.d.mu.Unlock()
	}
	s.done <- err
}
