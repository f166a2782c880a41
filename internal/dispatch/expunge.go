package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expungeAtOnce is how many deliveries of a message are ended in one batch.
const expungeAtOnce = 256

// Expunge deletes a message's content, durably once it returns, and from memory
// too but for attempts under way. Its unfinished deliveries end as canceled with
// the reason expunged. Should it not get to all of them, the others end when
// they are due: without the content there is nothing to send.
func (d *Dispatcher) Expunge(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) error {
	x := &expunging{d: d, key: store.ContentKey{Application: app, Message: id}, done: make(chan error, 1)}
	if err := d.cfg.Command(x); err != nil {
		return err
	}
	select {
	case err := <-x.done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for endpoints := range slices.Chunk(x.message.Routes, expungeAtOnce) {
		if err := d.endExpunged(ctx, x.key, endpoints); err != nil {
			return err
		}
	}
	return nil
}

// endExpunged cancels a message's unfinished deliveries to some endpoints.
func (d *Dispatcher) endExpunged(ctx context.Context, content store.ContentKey, endpoints []postern.EndpointNumber) error {
	commands := make([]*command, 0, len(endpoints))
	for _, n := range endpoints {
		key := store.DeliveryKey{Application: content.Application, Endpoint: n, Message: content.Message}
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
	x.message, x.err = x.d.cfg.Store.Message(context.Background(), x.key.Application, x.key.Message) // as Standing
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
	for i := range d.arrivals.queue.len() {
		if a := d.arrivals.queue.at(i); a.message.ID == m.ID {
			d.release(a.load)
			a.load = &load{message: m, claims: 1}
			break
		}
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
