package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// patience is how long a delivery may hold Low: a lane whose oldest has
	// waited longer goes behind, and a restart reads no more than that.
	patience = 2 * time.Second
	// A lane that is behind counts again once its oldest is younger than this.
	recovered = time.Second
	// rewriteEvery bounds how often a behind row follows its lane's progress,
	// checkEvery how often each lane is looked at for age.
	rewriteEvery = 50 * time.Millisecond
	checkEvery   = 100 * time.Millisecond
)

// fall has a lane go behind from an id on: what comes is no longer queued but
// read back later. Where no row covers it yet, the lane holds Low at the id
// until a batch holds the row.
func (d *Dispatcher) fall(l *lane, from postern.MessageID) {
	if l.fed || from.Compare(l.cursor) < 0 {
		l.cursor = from
	}
	if l.touched != nil && (l.again.IsZero() || from.Compare(l.again) < 0) {
		l.again = from // the read under way leaves it out
	}
	l.fed = false
	l.lowered = true
	if l.rowState != rowStored {
		if l.rowState == rowNone {
			d.wentBehind++
		}
		l.rowState = rowWanted
		d.holdAt(l, from.Position())
	}
	d.uncount(l)
	d.mark(l)
}

// holdAt has the lane itself hold Low at the smallest position asked for, or
// where Low is: what was handed over can be all settled, and Low ahead of it.
func (d *Dispatcher) holdAt(l *lane, position uint64) {
	position = max(position, d.cover.low)
	if l.hold != 0 && l.hold <= position {
		return
	}
	d.cover.extend(position + 1) // it may not be given out yet
	d.cover.add(position, 1)
	d.letGo(l)
	l.hold = position
}

func (d *Dispatcher) letGo(l *lane) {
	if l.hold != 0 {
		d.cover.remove(l.hold)
		l.hold = 0
	}
}

// uncount has a lane's open claims no longer hold Low, where its stored row
// covers them.
func (d *Dispatcher) uncount(l *lane) {
	if l.rowState != rowStored || !l.counting {
		return
	}
	l.counting = false
	for c := l.open.head; c != nil; c = l.open.after(c) {
		if c.counts {
			c.counts = false
			d.cover.remove(c.position())
		}
	}
}

// count has the open claims at or after Low hold it again.
func (d *Dispatcher) count(l *lane) {
	l.counting = true
	for c := l.open.head; c != nil; c = l.open.after(c) {
		if !c.counts && c.position() >= d.cover.low {
			c.counts = true
			d.cover.add(c.position(), 1)
		}
	}
}

// park empties the queue of a lane whose endpoint takes nothing now. Its first
// tries are left to the behind row, its retries to their rows.
func (d *Dispatcher) park(l *lane) {
	for l.queue.len() > 0 {
		d.putBack(d.pop(l))
	}
	if l.fed {
		d.fall(l, d.handedTo(l.number))
	}
}

// putBack takes a claim that was not started out of memory, to be read again.
func (d *Dispatcher) putBack(c *claim) {
	if c.open() && !c.ended.Final() && !d.lost(c) {
		d.fall(c.lane, c.id)
	}
	d.forget(c)
}

// mark has the next batch look at a lane.
func (d *Dispatcher) mark(l *lane) {
	if !l.dirty {
		l.dirty = true
		d.dirty = append(d.dirty, l)
	}
}

// Close completes a batch: behind rows first, then Low, which counts all that
// they do not cover. Where the batch is refused and amended, it is called again.
func (d *Dispatcher) Close(b *store.Batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.active.check(now, d.checkAge)
	again := d.dirty[:0]
	for _, l := range d.dirty {
		l.dirty = false
		if d.buildRow(b, l, now) {
			l.dirty = true
			again = append(again, l)
		}
	}
	clear(d.dirty[len(again):])
	d.dirty = again
	b.Head.Low, d.next = d.cover.advance(b.Head.Next), b.Head.Next
}

// checkAge lets a lane whose oldest delivery waits too long go behind, and
// notices one that hangs.
func (d *Dispatcher) checkAge(l *lane, now time.Time) {
	if l.reach.inflight > 0 {
		d.rate(l.reach, now)
	}
	if c := l.open.head; c != nil && l.counting && now.Sub(c.since) > patience {
		if l.rowState == rowNone {
			l.rowState = rowWanted
			d.wentBehind++
		}
		d.uncount(l)
		d.mark(l)
	}
}

// buildRow puts, rewrites or removes a lane's behind row, and reports whether
// the next batch has to look again.
func (d *Dispatcher) buildRow(b *store.Batch, l *lane, now time.Time) bool {
	view := d.cfg.Catalogue.EndpointByNumber(l.number)
	if view == nil || view.Deleted {
		d.buryRow(b, l)
		return false
	}
	if l.rowState == rowStored && !l.fed && !l.lowered && now.Sub(l.rowAt) < rewriteEvery {
		return true // nothing that needs a look at all its claims
	}
	oldest := l.oldest(d.handedTo(l.number))
	switch l.rowState {
	case rowNone:
		return false
	case rowWanted:
		l.rowState = rowStored
		d.putRow(b, l, oldest, now)
		d.letGo(l)
		d.uncount(l)
		return true
	}
	if l.fed && !l.counting && (l.open.head == nil || now.Sub(l.open.head.since) < recovered) {
		d.count(l)
	}
	// Without open claims all that was handed over is settled; Low can be past that,
	// where messages left their batch.
	if l.fed && l.counting && (l.open.head == nil || oldest.Position() >= d.cover.low) && view.Deliverable() {
		d.count(l)
		l.rowState, l.row = rowNone, store.BehindRow{}
		b.Behind = append(b.Behind, store.BehindChange{Row: store.BehindRow{Endpoint: l.number, Application: l.app.app}, Delete: true})
		return false
	}
	switch order := oldest.Compare(l.row.From); {
	case order == 0:
		return false
	case order > 0 && now.Sub(l.rowAt) < rewriteEvery:
		return true
	}
	d.putRow(b, l, oldest, now)
	return false
}

func (d *Dispatcher) putRow(b *store.Batch, l *lane, from postern.MessageID, now time.Time) {
	l.row = store.BehindRow{Endpoint: l.number, Application: l.app.app, From: from}
	l.rowAt, l.lowered = now, false
	b.Behind = append(b.Behind, store.BehindChange{Row: l.row})
}

// buryRow removes the row of a deleted endpoint: its tombstone covers.
func (d *Dispatcher) buryRow(b *store.Batch, l *lane) {
	d.letGo(l)
	for c := l.open.head; c != nil; c = l.open.after(c) {
		if c.counts {
			c.counts = false
			d.cover.remove(c.position())
		}
	}
	if l.rowState == rowStored {
		b.Behind = append(b.Behind, store.BehindChange{Row: store.BehindRow{Endpoint: l.number, Application: l.app.app}, Delete: true})
	}
	l.rowState, l.fed, l.counting = rowNone, true, true
}
