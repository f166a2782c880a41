package tail

// RelayBuffer is what waits for one other node, in events.
const RelayBuffer = 4 * Buffer

// Relay keeps for another node what this process does. It is closed by whoever made
// it; its methods are safe for concurrent use.
type Relay struct {
	shared *Shared
	apps   Applications
	ready  chan struct{} // capacity 1; closed by nobody

	// Guarded by the hub's lock.
	events []Event
	missed bool
}

// Relay begins to keep events of some applications.
func (s *Shared) Relay(apps Applications) *Relay {
	r := &Relay{shared: s, apps: apps, ready: make(chan struct{}, 1)}
	s.hub.listening.Add(1)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.relays[r] = struct{}{}
	return r
}

// push adds an event if there is room. Called with the hub's lock held.
func (r *Relay) push(e Event) {
	switch {
	case !r.apps.has(e.Delivery().Application):
		return
	case r.missed || len(r.events) >= RelayBuffer:
		r.missed = true
		return
	}
	r.events = append(r.events, e)
	if len(r.events) == 1 {
		wake(r.ready)
	}
}

// Ready gets a value when there is something to take.
func (r *Relay) Ready() <-chan struct{} { return r.ready }

// Take returns what has come, and makes room. missed: there was more behind it. last
// is how far this process has come with all that it does.
func (r *Relay) Take() (events []Event, last Cursor, missed bool) {
	r.shared.hub.mu.Lock()
	defer r.shared.hub.mu.Unlock()
	events, missed = r.events, r.missed
	r.events, r.missed = nil, false
	return events, r.shared.own, missed
}

// Close ends the keeping. It is called once.
func (r *Relay) Close() {
	r.shared.hub.listening.Add(-1)
	r.shared.hub.mu.Lock()
	defer r.shared.hub.mu.Unlock()
	delete(r.shared.relays, r)
}
