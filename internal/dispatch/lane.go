package dispatch

import (
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// rowState says whether a lane has a behind row.
type rowState uint8

const (
	rowNone   rowState = iota
	rowWanted          // the next batch will hold it
	rowStored
)

// lineOf is a line and the view that it was made for.
type lineOf struct {
	line Line
	view *postern.EndpointView
}

// lane is what is in memory of one endpoint with recent work.
type lane struct {
	d       *Dispatcher
	number  postern.EndpointNumber
	app     *rotation
	reach   *reach
	sibling *lane // another one of the endpoint, of another journal

	queue ring[*claim]
	room  room
	slot  int               // place among the active lanes, where it has claims
	set   map[uint64]*claim // by position: everything of the lane in memory
	open  list              // claims of first tries

	// The behind row. While fed, what is accepted comes from memory; otherwise
	// it is read from the store, from the cursor on. hold is the position at
	// which the lane itself holds Low, while the row is wanted.
	rowState rowState
	row      store.BehindRow
	rowAt    time.Time // when the row was last built
	lowered  bool      // since then the lane fell behind it
	fed      bool
	counting bool // what is fed counts, so that the row can be removed
	cursor   postern.MessageID
	hold     uint64 // 0 for none
	dirty    bool   // the next batch has to look at the lane

	// The schedule of rows. due is how far it was read; rowsAt when the first
	// row behind that is due, by the wall clock, zero where none is known;
	// wakeAt is when the lane is to be looked at, for its rows or for something
	// else, zero for never. rowsBy and wakeBy are the same moments by the
	// monotonic clock.
	due      store.DueCursor
	hasRows  bool
	dueNow   bool
	rowsAt   time.Time
	rowsBy   time.Time
	wakeAt   time.Time
	wakeBy   time.Time
	heapSlot int // place in the alarm's heap, -1 for none

	// A read from the store is under way. touched holds the positions of
	// deliveries that something happened to meanwhile; back the earliest row,
	// and again the earliest first try, that the cursors have to move back to.
	refilling bool
	touched   map[uint64]struct{}
	back      *store.DueCursor
	again     postern.MessageID
	// ordered counts, by position, commands that are built and not yet synced:
	// what a read finds of their deliveries is not the last word.
	ordered map[uint64]int
	// expiring: days that the lane has still to read are being dropped.
	expiring bool

	ready    bool // in the rotation
	waitSlow bool // waits for a place among slow lanes
	waiting  bool // is in the queue of those
	tokens   tokens
	pace     pace
	health   postern.Health // what the batch in hand stores, while unsynced
	unsynced bool

	line atomic.Pointer[lineOf] // how deliveries are sent

	lastUsed time.Time
}

func newLane(d *Dispatcher, number postern.EndpointNumber) *lane {
	return &lane{
		d: d, number: number, set: make(map[uint64]*claim),
		fed: true, counting: true, heapSlot: -1,
	}
}

// idle reports whether nothing would be lost with the lane.
func (l *lane) idle() bool { return l.rests() && l.wakeAt.IsZero() }

// rests reports whether the lane has nothing to do.
func (l *lane) rests() bool {
	return len(l.set) == 0 && l.rowState == rowNone && !l.hasRows && !l.refilling && !l.dirty && len(l.ordered) == 0
}

// oldest is the smallest id that a behind row of the lane has to cover: of the
// open claims, and of what is not in memory from the cursor on.
func (l *lane) oldest(handed postern.MessageID) postern.MessageID {
	first := l.cursor
	if l.fed {
		first = handed // everything handed over is in memory or settled
	}
	for c := l.open.head; c != nil; c = l.open.after(c) {
		if c.id.Compare(first) < 0 {
			first = c.id
		}
	}
	return first
}

// moveBack has the schedule read again from a row on.
func (l *lane) moveBack(row *postern.Row) {
	l.hasRows = true
	before := store.DueCursor{Next: row.Next}
	if l.refilling && (l.back == nil || before.Next.Before(l.back.Next)) {
		l.back = &before
	}
	if !row.Next.After(l.due.Next) {
		l.due = before
	}
}

// touch notes that something happened to a delivery, for a read under way.
func (l *lane) touch(position uint64) {
	if l.touched != nil {
		l.touched[position] = struct{}{}
	}
}
