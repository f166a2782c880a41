package dispatch

import (
	"runtime"
	"slices"
	"sort"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// arrival is a durable message on its way to the lanes.
type arrival struct {
	message *postern.Message
	load    *load
	next    int // the first of its routes that is still to be fed
	// skip are endpoints of the others that a command came first for: what it
	// stored says what becomes of their deliveries. Nil for none.
	skip map[postern.EndpointNumber]struct{}
}

// arrivals hands messages to the lanes of their routes, one after the other in
// the order of commits. A fan-out is handed over in slices: nobody's 2xx waits
// for it, nor does what else needs the lock. Until its turn comes a message is
// as one that is not yet handed over, which its place at or after Low covers.
type arrivals struct {
	queue  ring[*arrival]
	left   int           // routes that are still to be fed, of all in the queue
	active bool          // a spreader goes on with the queue, and with starts
	done   chan struct{} // closed by the spreader if it ends while stopping; nil before
}

// of is the arrival of a message; nil for one that is handed over. They stand in
// the order of commits, which is that of ids: a backlog has many, and who expunges
// all messages asks for each.
func (s *arrivals) of(id postern.MessageID) *arrival {
	at := sort.Search(s.queue.len(), func(i int) bool { return s.queue.at(i).message.ID.Compare(id) >= 0 })
	if at == s.queue.len() || s.queue.at(at).message.ID != id {
		return nil
	}
	return s.queue.at(at)
}

// Accepted hands a durable message to the lanes of its routes, which ascend.
func (d *Dispatcher) Accepted(m *postern.Message, c *postern.Content) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrivals.queue.push(&arrival{message: m, load: d.load(m, c)})
	d.arrivals.left += len(m.Routes)
	if d.arrivals.queue.len() > 1 { // the spreader has others to hand over before
		// As many as all queues hold may wait for it. Past that it is helped, and
		// batches wait: else publishers outrun it, and Low with all lanes stays behind.
		for d.arrivals.left > d.most.claims && d.handSlice() {
		}
		return
	}
	if d.handSlice() {
		d.goOn()
	}
}

// goOn leaves the rest to the spreader. Before Start there is none, and nobody
// that is kept waiting.
func (d *Dispatcher) goOn() {
	switch {
	case d.workers.spread == nil:
		for d.handSlice() {
		}
	case !d.arrivals.active && !d.stopping:
		d.arrivals.active = true
		d.workers.spread()
	}
}

// load is a message as its claims share it: without its payload where that
// would be over the budget, of which the last quarter is for messages that
// start soon.
func (d *Dispatcher) load(m *postern.Message, c *postern.Content) *load {
	shared := &load{message: m, claims: 1} // the arrival's own
	if len(m.Routes) == 0 {
		return shared
	}
	budget, bytes := d.most.bytes, len(c.Payload)+256
	if d.used.bytes+bytes > budget-budget/4 && !d.startsSoon(m) {
		budget -= budget / 4
	}
	if d.used.bytes+bytes <= budget {
		shared.content, shared.bytes = c, bytes
		d.inMemory(bytes)
	}
	return shared
}

// startsSoon reports whether one of a message's lanes is short; of a fan-out it
// looks at the first few.
func (d *Dispatcher) startsSoon(m *postern.Message) bool {
	const few = 16
	return slices.ContainsFunc(m.Routes[:min(few, len(m.Routes))], func(n postern.EndpointNumber) bool { return d.lanes[n].short() })
}

// spread goes on with the queue, and with what can start, until there is no
// more. It lets what it started run before it starts more: behind thousands
// that can run at once, the committer and requests would wait for a processor.
func (d *Dispatcher) spread() {
	for d.spreadSlice() {
		runtime.Gosched()
	}
}

func (d *Dispatcher) spreadSlice() (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	more = d.handSlice()
	if more = d.startSome() || more; more && !d.stopping {
		return true
	}
	d.arrivals.active = false
	if d.arrivals.done != nil {
		close(d.arrivals.done)
		d.arrivals.done = nil
	}
	return false
}

// handSlice feeds the next routes of the first message, and reports whether
// there is more.
func (d *Dispatcher) handSlice() bool {
	if d.arrivals.queue.len() == 0 {
		return false
	}
	a := d.arrivals.queue.peek()
	m := a.message
	end := min(a.next+d.cfg.Slice, len(m.Routes))
	d.arrivals.left -= end - a.next
	for ; a.next < end; a.next++ {
		if _, skip := a.skip[m.Routes[a.next]]; skip {
			d.cover.remove(m.ID.Position())
			continue
		}
		d.feed(m.Routes[a.next], m.Application, m.ID, a.load)
	}
	if a.next == len(m.Routes) {
		d.arrivals.queue.pop()
		d.handed = following(m.ID)
		d.release(a.load)
	}
	return d.arrivals.queue.len() > 0
}

// leaveTo has a delivery that is not yet handed over left to the command that
// changes it.
func (d *Dispatcher) leaveTo(key store.DeliveryKey) {
	a := d.arrivals.of(key.Message)
	if a == nil {
		return // it is handed over
	}
	if at, found := slices.BinarySearch(a.message.Routes, key.Endpoint); found && at >= a.next {
		if a.skip == nil {
			a.skip = make(map[postern.EndpointNumber]struct{})
		}
		a.skip[key.Endpoint] = struct{}{}
	}
}

// handedTo is the id that follows everything that an endpoint's lane was
// handed.
func (d *Dispatcher) handedTo(n postern.EndpointNumber) postern.MessageID {
	if d.arrivals.queue.len() > 0 {
		a := d.arrivals.queue.peek()
		if a.next > 0 && n <= a.message.Routes[a.next-1] {
			return following(a.message.ID)
		}
	}
	return d.handed
}

// following is an id that is above a message's and not above the next one's.
func following(id postern.MessageID) postern.MessageID {
	return postern.NewMessageID(id.Time(), id.Journal(), id.Position()+1, 0)
}
