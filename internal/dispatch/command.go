package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// command changes one delivery by hand. Its Build decides, in commit order, on
// what memory and the store know of the delivery.
type command struct {
	d   *Dispatcher
	key store.DeliveryKey
	act func(cmd *command, b *store.Batch, claim *claim, s store.Standing) error
	// routed: only a delivery that was routed, or resent, will do.
	routed bool
	// reason is why a cancel ends the delivery; ReasonCanceled for none.
	reason postern.Reason
	replay postern.ReplayID // what resends; zero for a hand
	err    error            // why there is nothing to store
	row    *postern.Row     // what was put
	// lane is where the delivery counts as ordered while the command is built
	// and not synced; nil when there is nothing to store.
	lane *lane
	// canceled is set by a cancel, ended if no attempt is under way that will be
	// told as one.
	canceled, ended bool
	done            chan error // capacity 1
}

// Resend starts a delivery anew, whatever its state: its schedule begins again,
// and the next attempt is marked manual. It returns once that is durable.
func (d *Dispatcher) Resend(ctx context.Context, key store.DeliveryKey) error {
	return d.command(ctx, &command{key: key, act: (*command).resend})
}

// Cancel ends an unfinished delivery; an attempt under way still ends, and is
// recorded. A finished one is postern.ErrConflict.
func (d *Dispatcher) Cancel(ctx context.Context, key store.DeliveryKey) error {
	return d.command(ctx, &command{key: key, act: (*command).cancel, routed: true})
}

func (d *Dispatcher) command(ctx context.Context, cmd *command) error {
	if err := d.own(cmd.key.Message); err != nil {
		return err
	}
	cmd.d, cmd.done = d, make(chan error, 1)
	if err := d.cfg.Command(cmd); err != nil {
		return err
	}
	select {
	case err := <-cmd.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// own refuses messages of other journals, whose holders are to be asked: deliveries
// are known by positions, which say nothing about these.
func (d *Dispatcher) own(ids ...postern.MessageID) error {
	for _, id := range ids {
		if id.Journal() != d.journal {
			return &postern.Error{Kind: postern.Internal, Detail: fmt.Sprintf("a message of journal %d is none of journal %d", id.Journal(), d.journal)}
		}
	}
	return nil
}

// Build runs the command on the delivery as it stands at this place in the
// batch. The store is read without the lock: only batches change what it says.
func (cmd *command) Build(b *store.Batch) {
	d := cmd.d
	ctx, cancel := inBatch()
	defer cancel()
	stored, err := d.cfg.Store.Standing(ctx, cmd.key)
	if err != nil {
		cmd.err = err
		return
	}
	if cmd.err = cmd.check(ctx, stored); cmd.err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	claim := d.claimed(cmd.key)
	if cmd.err = cmd.act(cmd, b, claim, standing(b, cmd.key, claim, stored)); cmd.err == nil {
		cmd.placed(claim)
	}
}

// claimed is the delivery in memory; nil when it is not there.
func (d *Dispatcher) claimed(key store.DeliveryKey) *claim {
	if l := d.lanes[key.Endpoint]; l != nil {
		return l.set[key.Message.Position()]
	}
	return nil
}

// placed notes in the lane that the command is in a batch.
func (cmd *command) placed(c *claim) {
	d := cmd.d
	if c == nil {
		d.leaveTo(cmd.key)
	}
	cmd.lane = d.lane(cmd.key.Endpoint, cmd.key.Application)
	if cmd.lane.ordered == nil {
		cmd.lane.ordered = make(map[uint64]int)
	}
	cmd.lane.ordered[cmd.key.Message.Position()]++
}

// check refuses what is no delivery: a message that is gone, and for a cancel
// one that was never on its way to the endpoint.
func (cmd *command) check(ctx context.Context, s store.Standing) error {
	if !s.Message {
		return postern.ErrNotFound
	}
	if !cmd.routed || s.Row != nil || s.Attempts > 0 || s.Final {
		return nil
	}
	m, err := cmd.d.cfg.Store.Message(ctx, cmd.key.Application, cmd.key.Message)
	if err == nil && !slices.Contains(m.Routes, cmd.key.Endpoint) {
		err = postern.ErrNotFound
	}
	return err
}

// Done answers who waits, and has the lane look at what was put.
func (cmd *command) Done(err error) {
	d := cmd.d
	if err == nil && cmd.err == nil {
		d.mu.Lock()
		cmd.synced()
		d.mu.Unlock()
		if cmd.canceled && d.cfg.Events.Canceled != nil {
			d.cfg.Events.Canceled(cmd.key)
		}
		if cmd.ended && d.cfg.Events.Ended != nil {
			d.cfg.Events.Ended(cmd.why())
		}
	}
	if err == nil {
		err = cmd.err
	}
	cmd.done <- err
}

// synced ends what placed began. Called with the lock held.
func (cmd *command) synced() {
	d, l, position := cmd.d, cmd.lane, cmd.key.Message.Position()
	if l.ordered[position]--; l.ordered[position] == 0 {
		delete(l.ordered, position)
	}
	l.touch(position)
	if cmd.row != nil {
		l.moveBack(cmd.row)
		d.wakeForRow(l, dueAt(cmd.row, d.now()))
	}
}

// resend puts a row that is due at once. A delivery that is being tried keeps
// its attempt; the row follows it.
func (cmd *command) resend(b *store.Batch, c *claim, s store.Standing) error {
	view := cmd.d.cfg.Catalogue.EndpointByNumber(cmd.key.Endpoint)
	if view == nil || view.Deleted {
		return postern.ErrNotFound
	}
	// Due now by the wall clock, as rows are; ids can be ahead of it.
	now := cmd.d.now().UTC().Truncate(time.Millisecond)
	row := postern.Row{
		Endpoint: cmd.key.Endpoint, Application: cmd.key.Application, Message: cmd.key.Message,
		Generation: b.Head.Batch, Attempts: s.Attempts, Next: now, Trigger: postern.Manual, Replay: cmd.replay,
	}
	b.Rows = append(b.Rows, store.RowChange{Delete: s.Row, Put: &row})
	if s.State == postern.Dead {
		b.Dead = append(b.Dead, store.DeadChange{Key: cmd.key, Delete: true})
	}
	cmd.row = &row
	if c == nil {
		return nil
	}
	c.row, c.hasRow, c.ended = row, true, postern.Pending
	if c.phase == queued {
		cmd.d.uncover(c) // the row covers it
	} else {
		c.resent = true
	}
	return nil
}

// cancel records that the delivery ended.
func (cmd *command) cancel(b *store.Batch, c *claim, s store.Standing) error {
	if s.State.Final() {
		return &postern.Error{Kind: postern.Conflict, Detail: "the delivery is already " + s.State.String()}
	}
	b.Finals = append(b.Finals, postern.Final{
		Endpoint: cmd.key.Endpoint, Application: cmd.key.Application, Message: cmd.key.Message,
		State: postern.Canceled, Reason: cmd.why(), Attempts: s.Attempts, At: b.Head.LastTime,
	})
	if s.Row != nil {
		b.Rows = append(b.Rows, store.RowChange{Delete: s.Row})
	}
	if c != nil {
		c.ended, c.reason = postern.Canceled, cmd.why()
		c.hasRow, c.resent = false, false
		cmd.d.uncover(c) // the final record covers it
	}
	cmd.canceled, cmd.ended = true, c == nil || c.phase == queued
	return nil
}

// why is the reason that a cancel is recorded with.
func (cmd *command) why() postern.Reason {
	if cmd.reason == postern.ReasonNone {
		return postern.ReasonCanceled
	}
	return cmd.reason
}

// standing is what is known of a delivery at this place in the batch: what the
// store has, and what earlier parts of the batch did. Called with the lock held.
func standing(b *store.Batch, key store.DeliveryKey, c *claim, s store.Standing) store.Standing {
	if c != nil && c.built && !c.gone {
		s.State, s.Reason, s.Attempts, s.Row = c.outcome.State, c.outcome.Reason, c.attempt.N, nil
		if c.hasRow {
			row := c.row // of an earlier resend, or the next try's
			s.State, s.Reason, s.Row = postern.Retrying, postern.ReasonNone, &row
		}
	}
	for _, change := range b.Rows {
		switch {
		case change.Put != nil && change.Put.Endpoint == key.Endpoint && change.Put.Message == key.Message:
			s.State, s.Reason, s.Row = postern.Retrying, postern.ReasonNone, change.Put
		case change.Delete != nil && change.Put == nil && change.Delete.Endpoint == key.Endpoint && change.Delete.Message == key.Message:
			s.Row = nil
		}
	}
	for _, f := range b.Finals {
		// Where there is a row, it came after.
		if f.Endpoint == key.Endpoint && f.Message == key.Message && s.Row == nil {
			s.State, s.Reason, s.Final = f.State, f.Reason, true
		}
	}
	return s
}
