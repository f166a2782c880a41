package accept

import (
	"sync"

	"github.com/postern-dev/postern"
)

// reservations holds the digests of messages under way, from before the store
// is asked for them until after their fsync: between the two a digest is
// either here or in the store.
type reservations struct {
	mu    sync.Mutex
	slots map[slot]*reservation
}

// reservation is one message's hold on its digests.
type reservation struct {
	// ended is closed by release; message is set before, and zero when the
	// message was not accepted.
	ended   chan struct{}
	message postern.MessageID
}

func (r *reservations) init() { r.slots = make(map[slot]*reservation) }

// reserve takes all of a's digests, or none and returns who holds one.
func (r *reservations) reserve(a *pending) *reservation {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range a.keys {
		if other := r.slots[k.slot()]; other != nil {
			return other
		}
	}
	own := &reservation{ended: make(chan struct{})}
	for _, k := range a.keys {
		r.slots[k.slot()] = own
	}
	return nil
}

// release frees a's digests and tells who waits which message they became.
func (r *reservations) release(a *pending, message postern.MessageID) {
	if len(a.keys) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.slots[a.keys[0].slot()]
	for _, k := range a.keys {
		delete(r.slots, k.slot())
	}
	own.message = message
	close(own.ended)
}
