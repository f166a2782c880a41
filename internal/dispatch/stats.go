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

// Stats looks at every lane.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Stats{
		Lanes: len(d.lanes), Failing: d.failing, WentBehind: d.wentBehind,
		InFlight: d.inflight, Queued: d.claims, Bytes: d.bytes,
	}
	now := d.now()
	for _, l := range d.lanes {
		if l.rowState != rowNone {
			s.Behind++
		}
		if l.throttle.probing() {
			s.Probing++
		}
		if handed := d.handedTo(l.number); l.oldest(handed).Compare(handed) < 0 {
			s.Oldest = max(s.Oldest, now.Sub(l.oldest(handed).Time()))
		}
	}
	return s
}
