// Package tail tells whoever listens what has become durable: messages as they are
// accepted, attempts as they are settled, and deliveries as they are canceled or
// expunged. Who waits for one message is stirred when something becomes of it, and
// reads the rest from the store.
//
// It is lossy on purpose. What happens is put into the buffer of each client
// that wants it, in the order of commits, and never waits for one: a buffer that
// is full counts what it leaves out. Nothing is kept for who may come later,
// since the store has it all. While nobody listens, telling costs one atomic
// load.
//
// The hub of one of several nodes is told besides what the others' hubs were told,
// and hands that on to its clients and to no other node; see Shared.
package tail

import (
	"sync"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// MaxClients bounds the clients of a hub, MaxOfOne those that hear of one
// application alone, and Buffer what waits for one client, in events.
const (
	MaxClients = 64
	MaxOfOne   = MaxClients / 4
	Buffer     = 1024
)

// Event is something that has become durable. One of the pointers is set; what
// they point to is shared, and is not to be changed.
type Event struct {
	// Message was accepted.
	Message *postern.Message `json:"message,omitempty"`
	// Attempt was settled. Its response is left out.
	Attempt *postern.Attempt `json:"attempt,omitempty"`
	// Canceled is a delivery that its owner ended. It has no place in the order
	// of the others, and none in a cursor.
	Canceled *store.DeliveryKey `json:"canceled,omitempty"`
}

// Hub hands events on. The zero value is not ready: make one with New. It is
// safe for concurrent use.
type Hub struct {
	// listening counts clients and waits, so that telling nobody is cheap.
	listening atomic.Int64

	mu      sync.Mutex
	clients map[*Client]struct{}
	waits   map[postern.MessageID][]chan struct{}
	last    Cursor // what was told last, while somebody listens
	closed  bool
	done    chan struct{} // closed by Close
	others  *Shared       // nil on a store of one process
}

// New makes a hub that nobody listens to.
func New() *Hub {
	return &Hub{
		clients: make(map[*Client]struct{}),
		waits:   make(map[postern.MessageID][]chan struct{}),
		done:    make(chan struct{}),
	}
}

// Accepted tells of a message. It is called once that is durable, in the order
// of commits.
func (h *Hub) Accepted(m *postern.Message) {
	if h.listening.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(Event{Message: m})
}

// Attempted tells of an attempt, as Accepted does of messages. The attempt is
// copied: its response may be large, and is not for tails.
func (h *Hub) Attempted(a *postern.Attempt) {
	if h.listening.Load() == 0 {
		return
	}
	told := *a
	told.Response = nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(Event{Attempt: &told})
	h.stir(a.Message)
}

// Canceled tells of a delivery that was canceled or expunged, once that is
// durable.
func (h *Hub) Canceled(d store.DeliveryKey) {
	if h.listening.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(Event{Canceled: &d})
	h.stir(d.Message)
}

// tell is of what this process does. Called with the lock held.
func (h *Hub) tell(e Event) {
	if h.others != nil {
		h.others.tell(e)
	}
	h.push(e)
}

// push is called with the lock held.
func (h *Hub) push(e Event) {
	if len(h.clients) > 0 {
		h.last.Advance(Of(e))
	}
	for c := range h.clients {
		if c.filter.wants(&e) {
			c.push(e)
		}
	}
}

// stir wakes those who wait for a message. Called with the lock held.
func (h *Hub) stir(id postern.MessageID) {
	for _, wait := range h.waits[id] {
		wake(wait)
	}
}

// Wait has stirred get a value after each change of a message's deliveries, or
// after several; stop ends that. What the changes are the store knows: it is to
// be read once after Wait, and then after each value.
func (h *Hub) Wait(id postern.MessageID) (stirred <-chan struct{}, stop func()) {
	wait := make(chan struct{}, 1)
	h.listening.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits[id] = append(h.waits[id], wait)
	return wait, func() {
		h.listening.Add(-1)
		h.mu.Lock()
		defer h.mu.Unlock()
		rest := h.waits[id][:0]
		for _, other := range h.waits[id] {
			if other != wait {
				rest = append(rest, other)
			}
		}
		if h.waits[id] = rest; len(rest) == 0 {
			delete(h.waits, id)
		}
	}
}

// Listen adds a client, which is to be closed. It fails with an error of kind
// Unavailable when there are too many, or after Close.
func (h *Hub) Listen(f Filter) (*Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, &postern.Error{Kind: postern.Unavailable, Detail: "shutting down"}
	}
	if len(h.clients) >= MaxClients || f.Application != 0 && h.listenTo(f.Application) >= MaxOfOne {
		return nil, &postern.Error{Kind: postern.Unavailable, Detail: "too many are listening; try again later"}
	}
	c := &Client{hub: h, filter: f, ready: make(chan struct{}, 1)}
	h.clients[c] = struct{}{}
	h.listening.Add(1)
	h.moved()
	return c, nil
}

// listenTo counts who hears of one application alone. Called with the lock held.
func (h *Hub) listenTo(app postern.ApplicationNumber) (n int) {
	for c := range h.clients {
		if c.filter.Application == app {
			n++
		}
	}
	return n
}

// moved has it known that clients have come or gone.
func (h *Hub) moved() {
	if h.others != nil {
		wake(h.others.moved)
	}
}

// Done is closed when nothing will be told any more.
func (h *Hub) Done() <-chan struct{} { return h.done }

// Close ends all listening. It may be called twice.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
}

// wake sends unless a value waits already.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
