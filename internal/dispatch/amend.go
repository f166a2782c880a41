package dispatch

import "github.com/postern-dev/postern"

// A batch that the store refused, on account of what another node has stored, is
// amended between Close and a second Close. Only its own messages change, and what
// Close put into it stays right: rows cover what they did, and what happened since
// is put behind.

// Reopen takes Low back to before the batch, whose first position is from: it may
// have gone past messages that had no routes.
func (d *Dispatcher) Reopen(from uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cover.retreat(from)
}

// Rerouted has a message of the batch count for other deliveries than before.
func (d *Dispatcher) Rerouted(m *postern.Message, before []postern.EndpointNumber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cover.add(m.ID.Position(), len(m.Routes)-len(before))
}

// Withdrawn has a message that left the batch count for none: its position stays
// empty.
func (d *Dispatcher) Withdrawn(m *postern.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cover.add(m.ID.Position(), -len(m.Routes))
}
