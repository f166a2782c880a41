package tail

import (
	"slices"

	"github.com/postern-dev/postern"
)

// Client is one who listens.
type Client struct {
	hub    *Hub
	filter Filter
	ready  chan struct{} // capacity 1; closed by nobody

	// Guarded by the hub's lock.
	events  []Event
	skipped int
	gap     bool
	missed  bool
}

// Batch is what has come for a client since it last took.
type Batch struct {
	Events []Event
	// Skipped counts the events that came behind these and found no room.
	Skipped int
	// Gap: before these events, or among them, there may be others of other nodes
	// that nobody was told of. They are in the store.
	Gap bool
	// Missed: another node had no room for all that it did. Nobody knows how much
	// is left out.
	Missed bool
	// Last is where a client that has this batch stands: the last events told
	// to anybody, zero where there was none yet.
	Last Cursor
}

// push adds an event if there is room. Called with the hub's lock held.
func (c *Client) push(e Event) {
	if len(c.events) >= Buffer {
		c.skipped++
		return
	}
	c.events = append(c.events, e)
	if len(c.events) == 1 {
		wake(c.ready)
	}
}

// lack marks what the client may not have been told. Called with the hub's lock
// held.
func (c *Client) lack(gap, missed bool) {
	c.gap, c.missed = c.gap || gap, c.missed || missed
	if gap || missed {
		wake(c.ready)
	}
}

// Ready gets a value when there is something to take.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// Take returns what has come, and makes room.
func (c *Client) Take() Batch {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	b := Batch{Events: c.events, Skipped: c.skipped, Gap: c.gap, Missed: c.missed, Last: c.hub.last}
	c.events, c.skipped, c.gap, c.missed = nil, 0, false, false
	return b
}

// Close ends the client's listening. It is called once.
func (c *Client) Close() {
	c.hub.listening.Add(-1)
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	delete(c.hub.clients, c)
	c.hub.moved()
}

// Filter selects events; zero fields select all.
type Filter struct {
	Application postern.ApplicationNumber
	// Endpoint selects messages that are routed to it, and its attempts.
	Endpoint postern.EndpointNumber
	// EventTypes select messages. An attempt does not know its message's type:
	// who takes it looks that up.
	EventTypes []string
	// States select attempts by what they led to, and no messages.
	States []postern.State
}

// wants reports whether an event passes the filter, as far as it can be told.
func (f *Filter) wants(e *Event) bool {
	switch {
	case e.Message != nil:
		m := e.Message
		_, routed := slices.BinarySearch(m.Routes, f.Endpoint)
		return f.inApplication(m.Application) && len(f.States) == 0 && (routed || f.Endpoint == 0) && f.WantsType(m.EventType)
	case e.Attempt != nil:
		a := e.Attempt
		return f.inApplication(a.Application) && f.wantsChange(a.Endpoint, a.State)
	}
	d := e.Canceled
	return f.inApplication(d.Application) && f.wantsChange(d.Endpoint, postern.Canceled)
}

func (f *Filter) inApplication(n postern.ApplicationNumber) bool {
	return f.Application == 0 || f.Application == n
}

// wantsChange is for one delivery's change.
func (f *Filter) wantsChange(n postern.EndpointNumber, s postern.State) bool {
	return (f.Endpoint == 0 || f.Endpoint == n) && (len(f.States) == 0 || slices.Contains(f.States, s))
}

// WantsType reports whether messages of an event type are selected.
func (f *Filter) WantsType(eventType string) bool {
	return len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, eventType)
}

// Wants reports whether an event passes the filter, but for an attempt's event
// type.
func (f *Filter) Wants(e Event) bool { return f.wants(&e) }
