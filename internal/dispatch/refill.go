package dispatch

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// refillers read from the store side by side.
	refillers = 2
	// A lane is refilled when its queue is shorter than lowWater, by at most
	// refillSize of rows and of a scan each; examine bounds a scan's reading.
	lowWater   = 128
	refillSize = 256
	examine    = 4096
	// Near the budget of all queues together only empty ones are refilled, by
	// little.
	scantSize = 16
)

// refills is the queue of lanes that want something read from the store: due
// rows, or what a behind row covers.
type refills struct {
	d      *Dispatcher
	wanted ring[*lane]
	active int
	done   chan struct{} // receives one value of each refiller that ends while stopping
}

func (r *refills) init(d *Dispatcher) { r.d = d }

// want queues a lane if there is something to read and room for it.
func (r *refills) want(l *lane) {
	if r.d.stopping || r.d.workers.fill == nil || l.refilling || !r.d.needsRefill(l) {
		return
	}
	l.refilling = true
	r.wanted.push(l)
	if r.active < refillers {
		r.active++
		r.d.workers.fill()
	}
}

// needsRefill reports whether a lane has room and something to fill it with. A
// behind row that no batch holds yet is as good as a stored one: until then the
// lane itself holds Low, and without traffic no batch comes.
func (d *Dispatcher) needsRefill(l *lane) bool {
	room := min(lowWater, d.cfg.QueueLength/2)
	if d.crowded() {
		room = 1
	}
	if l.queue.len() >= room || !l.dueNow && !l.scans() {
		return false
	}
	view := d.cfg.Catalogue.EndpointByNumber(l.number)
	// A deleted endpoint's rows are read to be removed.
	return view == nil || view.Deleted || view.Deliverable()
}

// scans reports whether there is a backlog to read.
func (l *lane) scans() bool { return !l.fed && !l.expiring }

// refill serves the queue until it is empty.
func (d *Dispatcher) refill(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.refills.wanted.len() > 0 && !d.stopping {
		l := d.refills.wanted.pop()
		r := d.begin(l)
		d.mu.Unlock()
		r.read(ctx, d.cfg.Store)
		d.mu.Lock()
		d.finish(l, r)
		d.pump()
	}
	if d.refills.active--; d.refills.active == 0 && d.refills.done != nil {
		close(d.refills.done)
		d.refills.done = nil
	}
}

// reading is one read of a lane's from the store.
type reading struct {
	endpoint  postern.EndpointNumber
	app       postern.ApplicationNumber
	due, scan bool
	after     store.DueCursor
	from      postern.MessageID
	before    postern.MessageID // not looked at, nor anything after it
	limit     int
	rows      []postern.Row
	scanned   store.ScanResult
	err       error
}

// begin notes what is to be read, before reading begins: whatever happens to a
// delivery from here on is in the lane's touched set.
func (d *Dispatcher) begin(l *lane) *reading {
	l.touched, l.back, l.again = make(map[uint64]struct{}), nil, postern.MessageID{}
	r := &reading{endpoint: l.number, app: l.app.app, due: l.dueNow, after: l.due, limit: refillSize}
	if d.crowded() {
		r.limit = scantSize
	}
	r.scan, r.from, r.before = l.scans(), l.cursor, d.handedTo(l.number)
	l.dueNow = false
	return r
}

// read runs without the lock.
func (r *reading) read(ctx context.Context, s Store) {
	if r.due {
		if r.rows, r.err = s.Due(ctx, r.endpoint, r.after, r.limit); r.err != nil {
			return
		}
	}
	if r.scan {
		r.scanned, r.err = s.Scan(ctx, store.ScanQuery{
			Application: r.app, Endpoint: r.endpoint, From: r.from,
			Before: r.before.Position(), Limit: r.limit, Examine: examine,
		})
	}
}

// finish queues what was read, but for what something happened to meanwhile.
func (d *Dispatcher) finish(l *lane, r *reading) {
	touched, back := l.touched, l.back
	l.refilling, l.touched, l.back = false, nil, nil
	if r.err != nil {
		if !d.stopping && d.troubles.due(d.now(), "deliveries") {
			d.cfg.Log.Error("reading deliveries back failed", "endpoint", l.number, "error", r.err)
		}
		l.dueNow = l.dueNow || r.due
		d.wake(l, d.now().Add(time.Second))
		return
	}
	usable := func(id postern.MessageID) bool {
		_, happened := touched[id.Position()]
		return !happened && l.ordered[id.Position()] == 0 && l.set[id.Position()] == nil
	}
	if r.due {
		d.finishDue(l, r, usable)
		l.hasRows = l.hasRows || back != nil
		if back != nil && !back.Next.After(l.due.Next) {
			l.due = *back
		}
	}
	if r.scan && l.scans() {
		d.finishScan(l, r, usable)
	}
	l.lastUsed = d.now()
	d.refills.want(l)
	d.offer(l)
}

// dueAt is when a row is due. One that is farther ahead than it was ever meant
// to be is due now: the clock was set back.
func dueAt(row *postern.Row, now time.Time) time.Time {
	if row.Next.Sub(now) > row.Wait+time.Second {
		return now
	}
	return row.Next
}

// finishDue queues rows that are due, and sets the alarm for the first that is
// not.
func (d *Dispatcher) finishDue(l *lane, r *reading, usable func(postern.MessageID) bool) {
	now := d.now()
	l.hasRows = false // what is queued is known to its claim
	for i := range r.rows {
		row := &r.rows[i]
		if at := dueAt(row, now); at.After(now) {
			if !l.hasRows {
				l.hasRows = true
				d.wakeForRow(l, at)
			}
			continue
		}
		if !l.hasRows { // else it stands behind one that waits, and is read again
			l.due = store.DueCursor{Next: row.Next, Message: row.Message}
		}
		if usable(row.Message) {
			d.enqueue(&claim{lane: l, id: row.Message, row: *row, hasRow: true})
		}
	}
	if len(r.rows) == r.limit && !l.hasRows {
		l.hasRows, l.dueNow = true, true
	}
}

// finishScan queues first tries that the behind row covers. When everything
// handed over was looked at, the lane is fed from memory again.
func (d *Dispatcher) finishScan(l *lane, r *reading, usable func(postern.MessageID) bool) {
	if l.cursor != r.from {
		return // it was moved back meanwhile: read again from there
	}
	for _, m := range r.scanned.Messages {
		if usable(m.ID) {
			c := &claim{lane: l, id: m.ID, load: &load{message: m, claims: 1}}
			l.open.push(c)
			d.enqueue(c)
		}
	}
	l.cursor = r.scanned.Next
	if r.scanned.Done {
		l.cursor = r.before
	}
	if !l.again.IsZero() && l.again.Compare(l.cursor) < 0 {
		l.cursor = l.again
	}
	if l.cursor.Compare(d.handedTo(l.number)) >= 0 {
		l.fed = true
	}
	d.mark(l)
}
