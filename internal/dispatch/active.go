package dispatch

import "time"

// active are the lanes with claims, looked at a few with each batch, so that no
// batch waits for all.
type active struct {
	lanes []*lane
	next  int
	at    time.Time // when some were last looked at
}

func (a *active) add(l *lane) {
	l.slot = len(a.lanes)
	a.lanes = append(a.lanes, l)
}

func (a *active) remove(l *lane) {
	last := len(a.lanes) - 1
	moved := a.lanes[last]
	a.lanes[l.slot], moved.slot = moved, l.slot
	a.lanes[last] = nil
	a.lanes = a.lanes[:last]
}

// check looks at as many lanes, in turn, as bring each its turn once in
// checkEvery.
func (a *active) check(now time.Time, look func(l *lane, now time.Time)) {
	count := len(a.lanes)
	if gone := now.Sub(a.at); gone >= 0 && gone < checkEvery { // else all, also when the clock was set
		count = int((time.Duration(count)*gone + checkEvery - 1) / checkEvery)
	}
	a.at = now
	for range count {
		if a.next >= len(a.lanes) {
			a.next = 0
		}
		look(a.lanes[a.next], now)
		a.next++
	}
}
