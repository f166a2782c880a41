package dispatch

import "time"

// Stats is the state of all lanes at one moment.
type Stats struct {
	Lanes, Behind, Failing, Probing int
	// WentBehind counts lanes that went behind, since the start.
	WentBehind              uint64
	InFlight, Queued, Bytes int
	// Oldest is the age of the oldest delivery that waits for its first try.
	Oldest time.Duration
}

// Add adds up what two dispatchers tell.
func (s *Stats) Add(t Stats) {
	s.Lanes += t.Lanes
	s.Behind += t.Behind
	s.Failing += t.Failing
	s.Probing += t.Probing
	s.WentBehind += t.WentBehind
	s.InFlight += t.InFlight
	s.Queued += t.Queued
	s.Bytes += t.Bytes
	s.Oldest = max(s.Oldest, t.Oldest)
}

// Stats looks at every lane.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Stats{
		Lanes: len(d.lanes), WentBehind: d.wentBehind,
		InFlight: d.held.places, Queued: d.held.claims, Bytes: d.held.bytes,
	}
	now := d.now()
	for _, l := range d.lanes {
		if l.rowState != rowNone {
			s.Behind++
		}
		if l.reach.failing() && !l.reach.pulled {
			s.Failing++
		}
		if l.reach.probing() {
			s.Probing++
		}
		if handed := d.handedTo(l.number); l.oldest(handed).Compare(handed) < 0 {
			s.Oldest = max(s.Oldest, now.Sub(l.oldest(handed).Time()))
		}
	}
	return s
}
