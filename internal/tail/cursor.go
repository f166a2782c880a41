package tail

import (
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Cursor is how far a client has come. It outlives the process, being made of what
// is in ids. In a store of one journal it is the last message and the last attempt
// that the client was told of, each in the order of commits, so that the two tell
// what is still to come. Where several nodes have a journal each, it is as much of
// each journal. Cursors are values: none shares what another may change.
type Cursor struct {
	Message postern.MessageID
	Attempt postern.AttemptID
	// places are of several journals, by number, and never changed; nil for one,
	// and then the ids are zero.
	places []place
}

// Horizon is the cursor of who knows of everything up to a journal's head: ids
// of what is stored later are above it.
func Horizon(head store.Head) Cursor {
	const (
		most      = 1<<48 - 1 // what a message's id ends with
		lastIndex = 0xffff
		lastOne   = postern.EndpointNumber(1<<32 - 1)
	)
	if head.LastTime.IsZero() { // of a store that is new
		head.LastTime = time.UnixMilli(0)
	}
	return Cursor{
		Message: postern.NewMessageID(head.LastTime, head.Journal, max(head.Next, 1)-1, most),
		Attempt: postern.NewAttemptID(head.LastTime, head.Journal, head.Batch, lastIndex, lastOne),
	}
}

// Advance moves the cursor to the later of itself and another, which may be an
// event's.
func (c *Cursor) Advance(to Cursor) {
	if c.places != nil || to.places != nil {
		c.places = joined(c.places, to.each())
		return
	}
	if to.Message.Compare(c.Message) > 0 {
		c.Message = to.Message
	}
	if to.Attempt.Compare(c.Attempt) > 0 {
		c.Attempt = to.Attempt
	}
}

// Of is the cursor's part that an event is.
func Of(e Event) (c Cursor) {
	if e.Message != nil {
		c.Message = e.Message.ID
	}
	if e.Attempt != nil {
		c.Attempt = e.Attempt.ID
	}
	return c
}

// Before reports whether an event comes after the cursor. One that is in no order
// always does.
func (c Cursor) Before(e Event) bool {
	at := Of(e)
	switch {
	case at.Message.IsZero() && at.Attempt.IsZero():
		return true
	case c.places != nil:
		return c.behind(at.each()[0])
	}
	return at.Message.Compare(c.Message) > 0 || at.Attempt.Compare(c.Attempt) > 0
}

// Past reports whether no event that comes after this one in the order of ids is
// before the cursor, a horizon.
func (c Cursor) Past(e Event) bool {
	if c.places == nil {
		return c.Before(e)
	}
	return Of(e).each()[0].since > c.latest()
}

// String is the cursor as text, which Parse reads.
func (c Cursor) String() string {
	if c.places != nil {
		return c.text()
	}
	return c.Message.String() + "." + c.Attempt.String()
}

// Parse reads what String writes. Its errors are of kind Invalid.
func Parse(text string) (c Cursor, err error) {
	if packed, ok := strings.CutPrefix(text, severalPrefix); ok {
		return parsePlaces(text, packed)
	}
	message, attempt, _ := strings.Cut(text, ".")
	if c.Message, err = postern.ParseMessageID(message); err != nil {
		return c, err
	}
	c.Attempt, err = postern.ParseAttemptID(attempt)
	return c, err
}
