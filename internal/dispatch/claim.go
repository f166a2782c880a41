package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
)

// phase is where a claim stands on its way through memory.
type phase uint8

const (
	queued   phase = iota // waits in its lane
	running               // is being tried
	settling              // tried; its settle waits for a batch, or for the fsync
)

// load is a message in memory, shared by the claims of all its endpoints.
type load struct {
	message *postern.Message
	// content is nil when it has to be read from the store.
	content *postern.Content
	// claims counts who refers to the load; bytes is what it counts in the
	// memory budget.
	claims, bytes int
}

// claim is a delivery in memory: from queueing until its settle is synced. It
// is the part of a batch that settles it.
type claim struct {
	lane *lane
	load *load
	// id is the message's; load.message may still have to be read.
	id    postern.MessageID
	phase phase

	// row is what is stored of the delivery besides its attempts, in commit
	// order, while hasRow. start is the row that the attempt started from.
	row, start postern.Row
	hasRow     bool

	// counts: it holds Low at its position. open: it is in the lane's list of
	// deliveries that a behind row may have to cover.
	counts, open bool
	prev, next   *claim
	// runs: it is in the lane's list of running claims.
	runs          bool
	before, after *claim
	since         time.Time // when it came into memory

	// ended is final when the delivery was ended while it was in memory.
	ended  postern.State
	reason postern.Reason
	// resent: a resend's row was put while it was being tried.
	resent bool
	// gone: there is nothing to try, because the message or the endpoint is
	// gone; reason says which.
	gone bool

	schedule  postern.RetrySchedule
	built     bool      // its settle is in a batch
	begun     time.Time // when the attempt started, monotonic
	attempt   postern.Attempt
	outcome   postern.Outcome
	unhealthy bool // the settle changed the endpoint's health
}

func (c *claim) position() uint64 { return c.id.Position() }

// starts is a lane's running claims, the one that has run longest first.
type starts struct{ head, tail *claim }

func (s *starts) push(c *claim) {
	c.runs, c.before, c.after = true, s.tail, nil
	if s.tail != nil {
		s.tail.after = c
	} else {
		s.head = c
	}
	s.tail = c
}

func (s *starts) remove(c *claim) {
	if !c.runs {
		return
	}
	if c.before != nil {
		c.before.after = c.after
	} else {
		s.head = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		s.tail = c.before
	}
	c.runs, c.before, c.after = false, nil, nil
}

// list is a lane's open claims, roughly in the order of positions.
type list struct{ head, tail *claim }

func (l *list) push(c *claim) {
	c.open, c.prev, c.next = true, l.tail, nil
	if l.tail != nil {
		l.tail.next = c
	} else {
		l.head = c
	}
	l.tail = c
}

func (l *list) remove(c *claim) {
	if !c.open {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.open, c.prev, c.next = false, nil, nil
}
