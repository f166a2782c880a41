package pull

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// expired is what an attempt failed of whose lease ran out.
const expired = "lease_expired"

// maxError bounds what is kept of a consumer's error, in bytes.
const maxError = 20 << 10

// lease is one that is held. What it points to changes with the book's lock held.
type lease struct {
	id       postern.LeaseID
	app      postern.ApplicationNumber
	endpoint postern.EndpointNumber
	taken    Taken
	terms    terms
	forgiven bool      // it may be nobody's: its end gives it back
	begun    time.Time // monotonic
	until    time.Time // likewise
	timer    *time.Timer
}

// terms say what becomes of a lease that is left alone.
type terms uint8

const (
	leased terms = iota // its end is a failed try
	lent                // to another node's handler: its end gives it back
)

// grant makes the lease that was reserved.
func (b *Book) grant(e *postern.EndpointView, taken Taken, d time.Duration, as terms) (postern.Lease, error) {
	id, err := b.newID()
	if err != nil {
		taken.Return()
		b.unreserve(e.Application)
		return postern.Lease{}, err
	}
	now := time.Now()
	l := &lease{id: id, app: e.Application, endpoint: e.Number, taken: taken, terms: as, begun: now, until: now.Add(d)}
	a := taken.Attempt()
	out := postern.Lease{ID: id, Message: taken.Message(), Attempt: a.N, Replay: a.Replay, ExpiresAt: b.cfg.Now().Add(d).UTC().Truncate(time.Millisecond)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		taken.Return()
		return postern.Lease{}, errStopping
	}
	b.leases[id] = l
	if as == lent {
		b.lent++
	}
	l.timer = time.AfterFunc(d, func() { b.expire(l) })
	b.mu.Unlock()
	return out, nil
}

// newID leads to this node where there are others.
func (b *Book) newID() (postern.LeaseID, error) {
	id, err := b.cfg.IDs.Next()
	if err != nil || b.cfg.Elsewhere == nil {
		return id, err
	}
	return postern.NewLeaseID(b.cfg.Journal, id), nil
}

// end takes leases out of the book that an endpoint's consumers hold. What is
// missing has ended otherwise: whoever takes it out decides.
func (b *Book) end(n postern.EndpointNumber, ids []postern.LeaseID) (ended []*lease, missing []postern.LeaseID, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed && !b.lends(ids) {
		return nil, nil, errStopping
	}
	for _, id := range ids {
		l := b.leases[id]
		if l == nil || l.endpoint != n {
			missing = append(missing, id)
			continue
		}
		b.remove(l)
		ended = append(ended, l)
	}
	return ended, missing, nil
}

// lends reports whether other nodes' handlers have all of some leases, which a book
// that is closed waits for. It is called with mu held.
func (b *Book) lends(ids []postern.LeaseID) bool {
	for _, id := range ids {
		if l := b.leases[id]; l == nil || l.terms != lent {
			return false
		}
	}
	return true
}

// Ack ends leases whose messages were processed, and returns once that is
// durable. Those that had ended before are missing: their messages are given out
// again, or were.
func (b *Book) Ack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID) (missing []postern.LeaseID, err error) {
	return b.settle(ctx, n, ids, func(a *postern.Attempt) { a.Succeeded, a.Code = true, http.StatusOK })
}

// Nack ends leases whose messages were not processed: the attempt failed, and
// the delivery is retried by its schedule. Else it is as Ack.
func (b *Book) Nack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, why postern.Nack) (missing []postern.LeaseID, err error) {
	return b.settle(ctx, n, ids, func(a *postern.Attempt) {
		a.Code = http.StatusInternalServerError
		a.Permanent, a.RetryAfter = why.Permanent, why.Delay
		a.Response = []byte(why.Error[:min(len(why.Error), maxError)])
	})
}

// Settle ends the lease of a delivery that was lent, with what came of the attempt,
// which fill says. Else it is as Ack.
func (b *Book) Settle(ctx context.Context, n postern.EndpointNumber, id postern.LeaseID, fill func(*postern.Attempt)) (missing []postern.LeaseID, err error) {
	return b.settle(ctx, n, []postern.LeaseID{id}, fill)
}

func (b *Book) settle(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, fill func(*postern.Attempt)) ([]postern.LeaseID, error) {
	ended, missing, err := b.end(n, ids)
	if err != nil {
		return nil, err
	}
	stored := make([]<-chan error, len(ended))
	for i, l := range ended {
		stored[i] = l.settle(fill)
	}
	for _, one := range stored {
		select {
		case err := <-one:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return missing, nil
}

// settle records what came of the attempt.
func (l *lease) settle(fill func(*postern.Attempt)) <-chan error {
	a := l.taken.Attempt()
	a.URL = URL
	a.Timings.Total = time.Since(l.begun)
	fill(a)
	return l.taken.Settle()
}

// URL stands for a pull endpoint's URL wherever one is shown.
const URL = "postern:pull"

// Extend has leases end so much later from now, and never more than
// postern.MaxHold after they began. It returns when the first of them does.
func (b *Book) Extend(n postern.EndpointNumber, ids []postern.LeaseID, d time.Duration) (until time.Time, missing []postern.LeaseID, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed && !b.lends(ids) {
		return until, nil, errStopping
	}
	now := time.Now()
	left := d
	for _, id := range ids {
		l := b.leases[id]
		if l == nil || l.endpoint != n {
			missing = append(missing, id)
			continue
		}
		own := min(d, l.begun.Add(postern.MaxHold).Sub(now))
		l.until, l.forgiven = now.Add(own), false // somebody has it
		l.timer.Reset(own)
		left = min(left, own)
	}
	return b.cfg.Now().Add(left).UTC().Truncate(time.Millisecond), missing, nil
}

// Release gives messages back that their consumer did not begin with: no attempt
// is recorded, and no try used up.
func (b *Book) Release(n postern.EndpointNumber, ids []postern.LeaseID) (missing []postern.LeaseID, err error) {
	ended, missing, err := b.end(n, ids)
	for _, l := range ended {
		l.taken.Return()
	}
	return missing, err
}

// Forgive has leases that run out give their deliveries back, with no try used up:
// whether anybody was told of them is not known.
func (b *Book) Forgive(ids []postern.LeaseID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if l := b.leases[id]; l != nil {
			l.forgiven = true
		}
	}
}

// giveBack releases what nobody will be told of.
func (b *Book) giveBack(n postern.EndpointNumber, batch []postern.Lease) {
	ids := make([]postern.LeaseID, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	_, _ = b.Release(n, ids) // missing or closed: they are given back
}

// expire is the timer's function. A lease that was extended meanwhile goes on.
func (b *Book) expire(l *lease) {
	b.mu.Lock()
	if b.leases[l.id] != l {
		b.mu.Unlock()
		return
	}
	if left := time.Until(l.until); left > 0 {
		l.timer.Reset(left)
		b.mu.Unlock()
		return
	}
	b.remove(l)
	b.mu.Unlock()
	if l.terms == lent || l.forgiven {
		l.taken.Return() // who called the handler is gone, which is no failure of its own
		return
	}
	l.settle(func(a *postern.Attempt) { a.Failure = expired })
}
