package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// TestSoakCommands is TestSoakPowerLoss with owners who resend, cancel, pause,
// resume, disable, enable and delete while the power goes.
func TestSoakCommands(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(10, 1000) {
		p := &power{t: t, r: rand.New(rand.NewPCG(seed, uint64(i))), seed: fmt.Sprintf("seed %d run %d", seed, i)}
		o := &owner{power: p, canceled: map[pair]bool{}, deleted: map[postern.EndpointNumber]bool{}}
		p.meddle, p.heal, p.excused, p.resent = o.meddle, o.heal, o.excused, map[pair]bool{}
		p.run()
		if t.Failed() {
			return
		}
	}
}

// owner gives commands, and knows what they excuse. What was asked for may have
// happened, whether or not it was answered.
type owner struct {
	*power
	canceled map[pair]bool
	deleted  map[postern.EndpointNumber]bool
}

// excused deliveries need not arrive. Called with the lock held.
func (o *owner) excused(key pair) bool { return o.canceled[key] || o.deleted[key.endpoint] }

func (o *owner) meddle(ctx context.Context, eng *Engine, r *rand.Rand) {
	for range r.IntN(40) {
		var err error
		if r.IntN(3) == 0 {
			err = o.configure(ctx, eng, r)
		} else {
			err = o.order(ctx, eng, r)
		}
		if err != nil && !errors.Is(err, postern.ErrNotFound) && !errors.Is(err, postern.ErrConflict) {
			o.t.Errorf("%s: %v", o.seed, err)
		}
	}
}

// order resends or cancels one of the deliveries.
func (o *owner) order(ctx context.Context, eng *Engine, r *rand.Rand) error {
	o.mu.Lock()
	ids := make([]postern.MessageID, 0, len(o.acked))
	for id, routes := range o.acked {
		if len(routes) > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		o.mu.Unlock()
		return nil
	}
	slices.SortFunc(ids, postern.MessageID.Compare)
	id := ids[len(ids)-1-r.IntN(min(len(ids), 30))]
	key := pair{id, o.acked[id][r.IntN(len(o.acked[id]))]}
	cancel := r.IntN(3) == 0
	if cancel {
		o.canceled[key] = true
	} else {
		o.allowed[key]++
		o.resent[key] = true
	}
	o.mu.Unlock()
	view := eng.catalogue.EndpointByNumber(key.endpoint)
	if view == nil {
		return nil
	}
	d := store.DeliveryKey{Application: view.Application, Endpoint: key.endpoint, Message: id}
	if cancel {
		return eng.Cancel(ctx, d)
	}
	return eng.Resend(ctx, d)
}

// configure changes or deletes an endpoint.
func (o *owner) configure(ctx context.Context, eng *Engine, r *rand.Rand) error {
	_, last := eng.catalogue.Numbers()
	n := postern.EndpointNumber(1 + r.IntN(int(last)))
	view := eng.catalogue.EndpointByNumber(n)
	if view == nil || view.Deleted {
		return nil
	}
	if r.IntN(30) == 0 {
		o.mu.Lock()
		o.deleted[n] = true
		o.mu.Unlock()
		return eng.catalogue.DeleteEndpoint(ctx, view.Application, n)
	}
	_, err := eng.catalogue.UpdateEndpoint(ctx, view.Application, n, true, func(e *postern.Endpoint) error {
		e.Paused, e.Disabled = r.IntN(3) == 0, r.IntN(5) == 0
		return nil
	})
	return err
}

// heal has every endpoint take deliveries again.
func (o *owner) heal(eng *Engine) {
	_, last := eng.catalogue.Numbers()
	for n := range last {
		view := eng.catalogue.EndpointByNumber(n + 1)
		if view == nil || view.Deleted {
			continue
		}
		_, err := eng.catalogue.UpdateEndpoint(o.t.Context(), view.Application, n+1, true, func(e *postern.Endpoint) error {
			e.Paused, e.Disabled = false, false
			return nil
		})
		if err != nil {
			o.t.Errorf("%s: %v", o.seed, err)
		}
	}
}
