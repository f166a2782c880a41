package tail

import (
	"maps"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Teller is who tells of a journal: another node, by the number of its main journal,
// or Here.
type Teller int32

// Here is this process, as a Teller.
const Here Teller = -1

// Shared is a hub's part in telling clients of what other nodes do, and other nodes
// of what this one does. Its methods are safe for concurrent use.
//
// Who tells of a journal changes with its holder, and what the last one did at its
// end may have reached nobody: clients are told of a gap, and have it from the
// store.
type Shared struct {
	hub   *Hub
	moved chan struct{} // capacity 1; closed by nobody

	// Guarded by the hub's lock.
	tellers map[uint16]Teller
	relays  map[*Relay]struct{}
	own     Cursor // what this process told last
}

// Share makes the hub one of several nodes'. It is called once, before anybody
// listens.
func (h *Hub) Share() *Shared {
	h.last = Cursor{places: []place{}}
	h.others = &Shared{
		hub: h, moved: make(chan struct{}, 1), own: h.last,
		tellers: make(map[uint16]Teller), relays: make(map[*Relay]struct{}),
	}
	return h.others
}

// Moved gets a value when Wanted may be another.
func (s *Shared) Moved() <-chan struct{} { return s.moved }

// Wanted are the applications that clients listen to; false where nobody does.
func (s *Shared) Wanted() (apps Applications, some bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.wanted()
}

func (s *Shared) wanted() (apps Applications, some bool) {
	for c := range s.hub.clients {
		if c.filter.Application == 0 {
			return nil, true
		}
		apps = append(apps, c.filter.Application)
	}
	slices.Sort(apps)
	return slices.Compact(apps), len(apps) > 0
}

// Told is what another node has told.
type Told struct {
	By Teller
	// Of are the applications that it was asked for.
	Of Applications
	// Events are in its order, and Last is how far it had come with all that it
	// does: zero where there are more that it has not told of.
	Events []Event
	Last   Cursor
	// Gap: there may be something before these events that nobody was told of.
	// Missed: there was no room for what came behind them.
	Gap, Missed bool
}

// Tell hands on what another node has told. It reports false, and hands nothing
// on, where that is not all that clients want by now.
func (s *Shared) Tell(t Told) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if apps, some := s.wanted(); some && !t.Of.Cover(apps) {
		return false
	}
	s.lack(t.Gap, false)
	for _, e := range t.Events {
		s.by(t.By, e)
		s.hub.push(e)
	}
	s.lack(false, t.Missed)
	last := slices.DeleteFunc(slices.Clone(t.Last.each()), func(p place) bool {
		by, ok := s.tellers[p.journal]
		return !ok || by != t.By
	})
	s.hub.last.Advance(Cursor{places: last})
	return true
}

// Tellers sets who tells of which journal. Those that nobody holds are left out.
func (s *Shared) Tellers(of map[uint16]Teller) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !maps.Equal(of, s.tellers) {
		s.tellers = maps.Clone(of)
		s.lack(true, false)
	}
}

// tell hands on what this process does. Called with the hub's lock held.
func (s *Shared) tell(e Event) {
	if len(s.hub.clients)+len(s.relays) == 0 {
		return
	}
	s.by(Here, e)
	s.own.Advance(Of(e))
	for r := range s.relays {
		r.push(e)
	}
}

// by notes who tells of an event's journal. Called with the hub's lock held.
func (s *Shared) by(by Teller, e Event) {
	journal := e.journal()
	if was, ok := s.tellers[journal]; !ok || was != by {
		s.tellers[journal] = by
		s.lack(true, false)
	}
}

// lack is called with the hub's lock held.
func (s *Shared) lack(gap, missed bool) {
	for c := range s.hub.clients {
		c.lack(gap, missed)
	}
}

// Applications are some, in order and each once; nil for all.
type Applications []postern.ApplicationNumber

// Cover reports whether others are among them.
func (a Applications) Cover(others Applications) bool {
	if a == nil || others == nil {
		return a == nil
	}
	return !slices.ContainsFunc(others, func(n postern.ApplicationNumber) bool { return !a.has(n) })
}

func (a Applications) has(n postern.ApplicationNumber) bool {
	_, ok := slices.BinarySearch(a, n)
	return ok || a == nil
}

// Known reports whether it is said what happened: whoever tells may know of more
// kinds.
func (e *Event) Known() bool { return e.Message != nil || e.Attempt != nil || e.Canceled != nil }

// Delivery is what the event is about; of a message there is no endpoint.
func (e *Event) Delivery() store.DeliveryKey {
	switch {
	case e.Message != nil:
		return store.DeliveryKey{Application: e.Message.Application, Message: e.Message.ID}
	case e.Attempt != nil:
		return store.DeliveryKey{Application: e.Attempt.Application, Endpoint: e.Attempt.Endpoint, Message: e.Attempt.Message}
	}
	return *e.Canceled
}

// journal is whose holder tells of the event.
func (e *Event) journal() uint16 { return e.Delivery().Message.Journal() }
