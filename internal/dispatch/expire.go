package dispatch

import (
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expiry is a day of history on its way out, with all days before it.
type expiry struct {
	before postern.MessageID // ids below it are dropped
	lanes  []*lane           // whose rows reach into it
	rows   []store.BehindRow // theirs
	// held are deliveries that were in memory when the lanes were held: they end
	// on their own. back counts those that went back to the store since.
	held map[store.DeliveryKey]struct{}
	back int
}

// Expire has drop remove a day of history and all before it, durably once it
// returns nil. Deliveries that only a behind row knows of end with their
// messages: they are counted beforehand, while their lanes read nothing of that
// time, and told as expired once the day is gone. Rows of dropped messages end,
// and are told, when they are due. It is called by one goroutine.
func (d *Dispatcher) Expire(ctx context.Context, day store.Day, drop func(ctx context.Context) error) error {
	x := d.holdLanes(day)
	unseen := 0
	err := d.cfg.Store.Covered(ctx, x.rows, day, func(key store.DeliveryKey) error {
		if _, held := x.held[key]; !held {
			unseen++
		}
		return nil
	})
	if err == nil {
		err = drop(ctx)
	}
	unseen += d.letLanesGo(x, err == nil)
	if err != nil || d.cfg.Events.Ended == nil {
		return err
	}
	for range unseen {
		d.cfg.Events.Ended(postern.ReasonExpired)
	}
	return nil
}

// holdLanes has lanes whose rows reach into the day read no backlog until they
// are let go: what they hold now is all that they will.
func (d *Dispatcher) holdLanes(day store.Day) *expiry {
	x := &expiry{
		before: postern.NewMessageID((day + 1).Start(), 0, 0, 0),
		held:   make(map[store.DeliveryKey]struct{}),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		view := d.cfg.Catalogue.EndpointByNumber(l.number)
		if l.rowState == rowNone || view == nil || view.Deleted {
			continue
		}
		from := l.oldest(d.handedTo(l.number))
		if from.Compare(x.before) >= 0 {
			continue
		}
		l.expiring = true
		x.lanes = append(x.lanes, l)
		x.rows = append(x.rows, store.BehindRow{Endpoint: l.number, Application: l.app.app, From: from})
		for _, c := range l.set {
			if c.id.Compare(x.before) < 0 {
				x.held[c.key()] = struct{}{}
			}
		}
	}
	d.expiry = x
	return x
}

// letLanesGo has lanes read on, past what is dropped, and returns how many
// deliveries went back from memory to where they are no more.
func (d *Dispatcher) letLanesGo(x *expiry, dropped bool) (back int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expiry = nil
	if dropped {
		d.dropped, back = x.before, x.back
	}
	for _, l := range x.lanes {
		l.expiring = false
		if dropped && !l.fed && l.cursor.Compare(x.before) < 0 {
			l.cursor = x.before
			d.mark(l)
		}
		d.refills.want(l)
	}
	return back
}

// lost notes a first try that leaves memory for the store, where its message is
// dropped or about to be. It reports whether it is gone for good.
func (d *Dispatcher) lost(c *claim) bool {
	if c.id.Compare(d.dropped) < 0 {
		c.gone, c.reason = true, postern.ReasonExpired
		d.told = append(d.told, c)
		d.mark(c.lane) // its row has less to cover
		return true
	}
	if d.expiry != nil && c.lane.expiring && c.id.Compare(d.expiry.before) < 0 {
		d.expiry.back++
	}
	return false
}
