package dispatch

import (
	"context"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Recover fills the lanes from what the store holds, before anything is handed
// over: the behind rows, the schedules of rows, and the messages from low on.
// A restart and the adoption of a journal are the same. The store is read without
// the lock, which other journals' deliveries wait for.
func (d *Dispatcher) Recover(ctx context.Context, low uint64) error {
	rows, err := d.cfg.Store.Behind(ctx)
	if err != nil {
		return fmt.Errorf("recovering behind rows: %w", err)
	}
	for _, row := range rows {
		d.recoverBehind(row)
	}
	err = d.cfg.Store.Schedules(ctx, func(first postern.Row) error {
		d.recoverSchedule(first)
		return nil
	})
	if err != nil {
		return fmt.Errorf("recovering schedules: %w", err)
	}
	err = d.cfg.Store.Recover(ctx, max(low, 1), func(m *postern.Message, open []postern.EndpointNumber) error {
		d.recoverMessage(m, open)
		return nil
	})
	if err != nil {
		return fmt.Errorf("recovering messages: %w", err)
	}
	return nil
}

func (d *Dispatcher) recoverBehind(row store.BehindRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(row.Endpoint, row.Application)
	l.rowState, l.row, l.fed, l.counting = rowStored, row, false, false
	l.cursor = row.From
	d.mark(l)
}

// recoverSchedule has a lane look for its rows when the first is due.
func (d *Dispatcher) recoverSchedule(first postern.Row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(first.Endpoint, first.Application)
	l.hasRows = true
	now := d.now()
	if at := dueAt(&first, now); at.After(now) {
		d.wakeForRow(l, at)
	} else {
		l.dueNow = true
	}
}

// recoverMessage feeds what of a message is not settled. A lane whose scan has
// still to pass it finds it there.
func (d *Dispatcher) recoverMessage(m *postern.Message, open []postern.EndpointNumber) {
	if len(open) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	header := *m // the store's own is only lent
	shared := &load{message: &header, claims: 1}
	for _, n := range open {
		if l := d.lanes[n]; l != nil && !l.fed && m.ID.Compare(l.cursor) < 0 {
			l.cursor = m.ID
		}
		d.cover.add(m.ID.Position(), 1)
		d.feed(n, m.Application, m.ID, shared)
	}
}
