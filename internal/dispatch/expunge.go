package dispatch

import (
	"context"
	"errors"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expungeAtOnce is how many deliveries are ended in one batch.
const expungeAtOnce = 256

// Expunge deletes a message's content, durably once it returns, and from memory
// too but for attempts under way. Its unfinished deliveries end as canceled with
// the reason expunged. Should it not get to all of them, the others end when
// they are due: without the content there is nothing to send.
func (d *Dispatcher) Expunge(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) error {
	missing, err := d.ExpungeSome(ctx, app, []postern.MessageID{id})
	if err == nil && missing > 0 {
		return postern.ErrNotFound
	}
	return err
}

// ExpungeSome is Expunge for some messages in as few batches as that takes. It
// tells how many of them are not there.
func (d *Dispatcher) ExpungeSome(ctx context.Context, app postern.ApplicationNumber, ids []postern.MessageID) (missing int, err error) {
	if err := d.own(ids...); err != nil {
		return 0, err
	}
	parts := make([]*expunging, 0, len(ids))
	for _, id := range ids {
		x := &expunging{d: d, key: store.ContentKey{Application: app, Message: id}, done: make(chan error, 1)}
		if err := d.cfg.Command(x); err != nil {
			return 0, err
		}
		parts = append(parts, x)
	}
	var deliveries []store.DeliveryKey
	for _, x := range parts {
		select {
		case err := <-x.done:
			switch {
			case errors.Is(err, postern.ErrNotFound):
				missing++
				continue
			case err != nil:
				return missing, err
			}
		case <-ctx.Done():
			return missing, context.Cause(ctx)
		}
		for _, n := range x.message.Routes {
			deliveries = append(deliveries, store.DeliveryKey{Application: app, Endpoint: n, Message: x.message.ID})
		}
		for len(deliveries) >= expungeAtOnce {
			if err := d.endExpunged(ctx, deliveries[:expungeAtOnce]); err != nil {
				return missing, err
			}
			deliveries = deliveries[expungeAtOnce:]
		}
	}
	return missing, d.endExpunged(ctx, deliveries)
}

// endExpunged cancels those of some deliveries that are unfinished.
func (d *Dispatcher) endExpunged(ctx context.Context, deliveries []store.DeliveryKey) error {
	commands := make([]*command, 0, len(deliveries))
	for _, key := range deliveries {
		cmd := &command{d: d, key: key, act: (*command).cancel, reason: postern.ReasonExpunged, done: make(chan error, 1)}
		if err := d.cfg.Command(cmd); err != nil {
			return err
		}
		commands = append(commands, cmd)
	}
	for _, cmd := range commands {
		select {
		case err := <-cmd.done:
			if err != nil && !errors.Is(err, postern.ErrConflict) && !errors.Is(err, postern.ErrNotFound) {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// expunging deletes one message's content.
type expunging struct {
	d       *Dispatcher
	key     store.ContentKey
	message *postern.Message // as it was found
	err     error            // why there is nothing to delete
	done    chan error       // capacity 1
}

// Build deletes the content of a message that is there.
func (x *expunging) Build(b *store.Batch) {
	ctx, cancel := inBatch()
	defer cancel()
	x.message, x.err = x.d.cfg.Store.Message(ctx, x.key.Application, x.key.Message)
	if x.err == nil {
		b.Expunged = append(b.Expunged, x.key)
	}
}

// Done lets go of what memory holds of the content, and answers who waits.
func (x *expunging) Done(err error) {
	if err == nil && x.err == nil {
		x.d.mu.Lock()
		x.d.dropContent(x.message)
		x.d.mu.Unlock()
	}
	if err == nil {
		err = x.err
	}
	x.done <- err
}

// dropContent has a message's payload in nobody's hands but in those of attempts
// under way. Who shares a load with them reads the store instead.
func (d *Dispatcher) dropContent(m *postern.Message) {
	if a := d.arrivals.of(m.ID); a != nil {
		d.release(a.load)
		a.load = &load{message: m, claims: 1}
	}
	for _, n := range m.Routes {
		l := d.lanes[n]
		if l == nil {
			continue
		}
		if c := l.set[m.ID.Position()]; c != nil && c.phase == queued && c.load != nil {
			d.release(c.load)
			c.load = nil
		}
	}
}
