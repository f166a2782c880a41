package dispatch

import "math/bits"

// lengths finds a lane whose queue is among the longest, without a look at all:
// lanes are listed by the bit length of their queue's length, so that the one
// found is longer than half of any other.
type lengths struct {
	lists [33]*lane
	top   int // no list above it has a lane
}

// room is a lane's place among the lengths.
type room struct {
	list       int // 0 for none
	prev, next *lane
}

// update follows a change of the lane's queue.
func (ls *lengths) update(l *lane) {
	list := bits.Len32(uint32(l.queue.len()))
	if list == l.room.list {
		return
	}
	ls.take(l)
	if l.room.list = list; list == 0 {
		return
	}
	if l.room.next = ls.lists[list]; l.room.next != nil {
		l.room.next.room.prev = l
	}
	ls.lists[list] = l
	ls.top = max(ls.top, list)
}

func (ls *lengths) take(l *lane) {
	at := l.room
	if at.list == 0 {
		return
	}
	if at.prev != nil {
		at.prev.room.next = at.next
	} else {
		ls.lists[at.list] = at.next
	}
	if at.next != nil {
		at.next.room.prev = at.prev
	}
	l.room = room{}
}

// longest is nil when all queues are empty.
func (ls *lengths) longest() *lane {
	for ls.top > 0 && ls.lists[ls.top] == nil {
		ls.top--
	}
	return ls.lists[ls.top]
}

// push and pop are how claims come into queues and out of them.
func (d *Dispatcher) push(c *claim) {
	c.lane.queue.push(c)
	d.inQueue(c.lane, 1)
}

func (d *Dispatcher) pop(l *lane) *claim {
	c := l.queue.pop()
	d.inQueue(l, -1)
	return c
}

// crowded reports whether what is read from the store may only be a little: the
// last quarter of the budget is for what arrives.
func (d *Dispatcher) crowded() bool { return d.used.claims >= d.most.claims-d.most.claims/4 }

// admit reports whether there is room for one more in a lane's queue. Past the
// budget the longest queues make room; a lane that is among them gets none.
func (d *Dispatcher) admit(l *lane) bool {
	if l.queue.len() >= d.cfg.QueueLength {
		return false
	}
	if d.used.claims < d.most.claims {
		return true
	}
	longest := d.lengths.longest()
	if longest == nil || bits.Len32(uint32(l.queue.len()+1)) >= longest.room.list {
		return false
	}
	for range (longest.queue.len() + 1) / 2 {
		c := longest.queue.popLast()
		longest.d.inQueue(longest, -1)
		longest.d.putBack(c)
	}
	return true
}

// short reports whether an endpoint's deliveries start soon: reading their
// payloads back would cost them time.
func (l *lane) short() bool { return l == nil || l.queue.len() < lowWater/4 }
