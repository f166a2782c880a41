package pull

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
)

// Watch is what another node wants to know.
type Watch struct {
	// Asker is the journal that it accepts with: a newer Watch of it ends an older one.
	Asker uint16
	// Attended are the endpoints that are asked for there, or whose handlers have
	// their functions there; Wants are those of them that it has not been told of.
	Attended, Wants []postern.EndpointNumber
	// Wait is for how long nothing may have come.
	Wait time.Duration
}

// watcher is a Watch under way.
type watcher struct {
	sign  chan struct{} // capacity 1
	wants map[postern.EndpointNumber]struct{}
}

// Watch returns which endpoints Give or Lend may have something of, as soon as there is one;
// none when it has waited long enough. Until a minute later those that are attended
// there are attended here. Errors: Unavailable when the engine stops.
func (b *Book) Watch(ctx context.Context, watch Watch) ([]postern.EndpointNumber, error) {
	w := &watcher{sign: make(chan struct{}, 1), wants: make(map[postern.EndpointNumber]struct{}, len(watch.Wants))}
	for _, n := range watch.Wants {
		w.wants[n] = struct{}{}
	}
	b.mu.Lock()
	if before := b.watchers[watch.Asker]; before != nil {
		poke(before.sign)
	}
	b.watchers[watch.Asker] = w
	b.mu.Unlock()
	for _, n := range watch.Attended {
		b.attendance.seen(n)
	}
	timeout := time.NewTimer(watch.Wait)
	defer timeout.Stop()
	for {
		found, over, err := b.found(watch.Asker, w)
		if over || err != nil {
			return found, err
		}
		select {
		case <-w.sign:
		case <-timeout.C:
			b.unwatch(watch.Asker, w)
			return nil, nil
		case <-ctx.Done():
			b.unwatch(watch.Asker, w)
			return nil, context.Cause(ctx)
		}
	}
}

// found is what a watcher is to be told, and whether that ends it.
func (b *Book) found(asker uint16, w *watcher) (found []postern.EndpointNumber, over bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, true, errStopping
	case b.watchers[asker] != w:
		return nil, true, nil // a newer one is told
	}
	for n := range w.wants {
		if _, ok := b.waiting[n]; ok {
			found = append(found, n)
		}
	}
	if over = len(found) > 0; over {
		delete(b.watchers, asker)
	}
	return found, over, nil
}

func (b *Book) unwatch(asker uint16, w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers[asker] == w {
		delete(b.watchers, asker)
	}
}

// note keeps a sign of the lanes, and tells those who watch. It is called with mu
// held.
func (b *Book) note(n postern.EndpointNumber) {
	b.waiting[n] = struct{}{}
	for _, w := range b.watchers {
		if _, ok := w.wants[n]; ok {
			poke(w.sign)
		}
	}
}

// emptied notes that nothing waits, left that there may be more, which consumers
// pass on themselves.
func (b *Book) emptied(n postern.EndpointNumber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, n)
}

func (b *Book) left(n postern.EndpointNumber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(n)
}

// Give leases to another node's consumer what an endpoint has waiting. It does not
// wait.
func (b *Book) Give(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	return b.give(ctx, e, r, leased)
}

// Lend is Give for a handler, whose node extends the leases while it is called, and
// ends them with Settle.
func (b *Book) Lend(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
	return b.give(ctx, e, r, lent)
}

func (b *Book) give(ctx context.Context, e *postern.EndpointView, r postern.LeaseRequest, as terms) ([]postern.Lease, error) {
	b.attendance.seen(e.Number)
	batch, err := b.take(ctx, e, r, as)
	b.Wake(e.Number) // who waits here may have missed the sign that this one used up
	return batch, err
}
