package dispatch

import (
	"container/heap"
	"time"
)

const (
	// recheck is how often waits are computed anew, since the wall clock that
	// rows go by can be set.
	recheck = 30 * time.Second
	// jump is the difference between the clocks that counts as the wall clock
	// having been set.
	jump = 2 * time.Second
	// idleLane is how long a lane without work stays in memory.
	idleLane = time.Minute
)

// alarm wakes lanes at their times: when their earliest row is due, a token of
// their rate is there, a probe may go. Times are hints; a lane that is woken
// looks for itself.
type alarm struct {
	d     *Dispatcher
	lanes wakeHeap
	timer *time.Timer
	at    time.Time // what the timer is set to; zero when it is not
	// wall and mono are one moment by both clocks, to notice a jump.
	wall, mono time.Time
	swept      time.Time // when all lanes were last looked at, monotonic
}

func (a *alarm) init(d *Dispatcher) {
	a.d = d
	a.wall, a.mono = d.now().Round(0), time.Now()
	a.timer = time.AfterFunc(time.Hour, d.ring)
	a.timer.Stop()
}

// wake has a lane looked at, at a time or earlier.
func (d *Dispatcher) wake(l *lane, at time.Time) {
	now := d.now()
	by := time.Now().Add(at.Sub(now))
	at = at.Round(0) // rows go by the wall clock, and so does the heap
	if !l.wakeAt.IsZero() && !at.Before(l.wakeAt) {
		return
	}
	l.wakeAt, l.wakeBy = at, by
	if l.heapSlot < 0 {
		heap.Push(&d.alarm.lanes, l)
	} else {
		heap.Fix(&d.alarm.lanes, l.heapSlot)
	}
	d.alarm.arm()
}

// wakeForRow has a lane's schedule read when a row is due, or earlier.
func (d *Dispatcher) wakeForRow(l *lane, at time.Time) {
	if l.rowsAt.IsZero() || at.Before(l.rowsAt) {
		l.rowsAt, l.rowsBy = at.Round(0), time.Now().Add(at.Sub(d.now()))
	}
	d.wake(l, at)
}

// rowsDue notes whether the lane's schedule is to be read: a lane is woken for
// other reasons as well, some of them many times a second.
func (d *Dispatcher) rowsDue(l *lane, now, mono time.Time) {
	switch {
	case l.rowsAt.IsZero():
	case l.rowsAt.After(now) && l.rowsBy.After(mono):
		by := l.rowsBy
		d.wake(l, l.rowsAt)
		if by.Before(l.wakeBy) { // the wall clock was set back meanwhile
			l.wakeBy = by
		}
	default:
		l.rowsAt = time.Time{}
		l.dueNow = l.dueNow || l.hasRows
	}
}

// arm sets the timer for the first lane, or for the next recheck while there
// are lanes at all.
func (a *alarm) arm() {
	if a.d.stopping || len(a.d.lanes) == 0 {
		return
	}
	now := a.d.now()
	at := now.Add(recheck)
	if len(a.lanes) > 0 && a.lanes[0].wakeAt.Before(at) {
		at = a.lanes[0].wakeAt
	}
	if !a.at.IsZero() && !at.Before(a.at) {
		return
	}
	a.at = at
	a.timer.Reset(max(0, at.Sub(now)))
}

// ring is the timer's function.
func (d *Dispatcher) ring() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	a := &d.alarm
	a.at = time.Time{}
	now := d.now()
	if a.jumped(now) {
		for _, l := range d.lanes {
			l.dueNow = l.dueNow || l.hasRows
			d.refills.want(l)
		}
	}
	if mono := time.Now(); mono.Sub(a.swept) >= recheck {
		a.swept = mono
		d.sweep(now, mono)
	}
	for len(a.lanes) > 0 && !a.lanes[0].wakeAt.After(now) {
		l := heap.Pop(&a.lanes).(*lane)
		l.wakeAt = time.Time{}
		d.rowsDue(l, now, time.Now())
		d.refills.want(l)
		d.offer(l)
	}
	d.pump()
	a.arm()
}

// sweep forgets lanes that have had nothing to do for a while, and has those
// looked at that have waited as long as they meant to: their time by the wall
// clock can be far, if it was set meanwhile and nobody noticed.
func (d *Dispatcher) sweep(now, mono time.Time) {
	for _, l := range d.lanes {
		switch {
		case l.idle() && now.Sub(l.lastUsed) > l.keep():
			d.drop(l)
		case !l.wakeAt.IsZero() && mono.After(l.wakeBy):
			d.wake(l, now)
		}
	}
}

// keep is how long a lane without work is kept: one that is probed long enough
// for the next probe to find it so.
func (l *lane) keep() time.Duration {
	if l.reach.probing() {
		return 2 * maxPause
	}
	return idleLane
}

// jumped reports whether the wall clock was set since the last call.
func (a *alarm) jumped(now time.Time) bool {
	mono := time.Now()
	off := now.Round(0).Sub(a.wall) - mono.Sub(a.mono)
	a.wall, a.mono = now.Round(0), mono
	return off.Abs() > jump
}

// wakeHeap orders lanes by wakeAt.
type wakeHeap []*lane

func (h wakeHeap) Len() int           { return len(h) }
func (h wakeHeap) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }
func (h wakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapSlot, h[j].heapSlot = i, j
}

// Push implements heap.Interface.
func (h *wakeHeap) Push(x any) {
	l := x.(*lane)
	l.heapSlot = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *wakeHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.heapSlot = -1
	return l
}
