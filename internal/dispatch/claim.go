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

	counts bool             // it holds Low at its position
	links  [listKinds]links // its places in the lane's lists
	since  time.Time        // when it came into memory

	// ended is final when the delivery was ended while it was in memory.
	ended  postern.State
	reason postern.Reason
	// resent: a resend's row was put while it was being tried.
	resent bool
	// gone: there is nothing to try, because the message or the endpoint is
	// gone; reason says which.
	gone bool

	taken     *Taken // a consumer holds it; nil for what an endpoint is sent
	schedule  postern.RetrySchedule
	built     bool      // its settle is in a batch
	begun     time.Time // when the attempt started, monotonic
	attempt   postern.Attempt
	outcome   postern.Outcome
	unhealthy bool // the settle changed the endpoint's health
}

func (c *claim) position() uint64 { return c.id.Position() }

// open reports whether a behind row may have to cover the claim.
func (c *claim) open() bool { return c.links[openList].in }

// list is a lane's claims in the order in which they came, to be taken out
// anywhere. kind says which of a claim's links it uses.
type list struct {
	kind       listKind
	head, tail *claim
}

// listKind is one of the lists that a claim can be in at once.
type listKind uint8

const (
	openList    listKind = iota // first tries that a behind row may have to cover
	runningList                 // attempts under way
	listKinds
)

// links are a claim's place in one list.
type links struct {
	in         bool
	prev, next *claim
}

// after is the claim that follows c; nil for the last.
func (l *list) after(c *claim) *claim { return c.links[l.kind].next }

func (l *list) push(c *claim) {
	c.links[l.kind] = links{in: true, prev: l.tail}
	if l.tail != nil {
		l.tail.links[l.kind].next = c
	} else {
		l.head = c
	}
	l.tail = c
}

// remove takes c out, if it is in.
func (l *list) remove(c *claim) {
	at := c.links[l.kind]
	if !at.in {
		return
	}
	if at.prev != nil {
		at.prev.links[l.kind].next = at.next
	} else {
		l.head = at.next
	}
	if at.next != nil {
		at.next.links[l.kind].prev = at.prev
	} else {
		l.tail = at.prev
	}
	c.links[l.kind] = links{}
}
