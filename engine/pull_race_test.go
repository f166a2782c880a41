package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// holders knows who may hold what: a message is held from its lease until that
// is given up, or runs out.
type holders struct {
	*testing.T
	mu   sync.Mutex
	held map[postern.MessageID]time.Time // until when
}

func (h *holders) begin(leases []postern.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		if until, held := h.held[l.Message.ID]; held && time.Now().Before(until) {
			h.Errorf("%s is given out, and held for another %v", l.Message.ID, time.Until(until))
		}
		h.held[l.Message.ID] = l.ExpiresAt
	}
}

func (h *holders) end(m postern.MessageID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, m)
}

// TestConsumersBesideEverything has consumers do all that they can, while the
// endpoint is paused, slowed and disabled, and deliveries are resent and
// canceled. Nothing is held twice at once, and all ends.
func TestConsumersBesideEverything(t *testing.T) {
	seed := testkit.Seed(t)
	inProgram(t, Config{RetrySchedule: postern.RetrySchedule{time.Second, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second}}, func(p *program) {
		e := p.pulled()
		messages := testkit.Count(1000, 20_000)
		h := &holders{T: p.T, held: map[postern.MessageID]time.Time{}}
		ctx, stop := context.WithCancel(p.Context())
		defer stop()
		var published []*postern.Message
		var mu sync.Mutex
		some := func(r *rand.Rand) store.DeliveryKey {
			mu.Lock()
			defer mu.Unlock()
			m := published[r.IntN(len(published))]
			return store.DeliveryKey{Application: m.Application, Endpoint: e.Number, Message: m.ID}
		}
		var all sync.WaitGroup
		for worker := range 6 {
			all.Go(func() { p.consume(ctx, h, e, rand.New(rand.NewPCG(seed, uint64(worker)))) })
		}
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 99))
			for range messages {
				m := p.publish("a.b", "{}")
				mu.Lock()
				published = append(published, m)
				mu.Unlock()
				if r.IntN(10) == 0 {
					<-time.After(time.Duration(r.IntN(50)) * time.Millisecond)
				}
				if r.IntN(40) == 0 {
					p.meddle(e, some(r), r)
				}
			}
			p.update(e, func(e *postern.Endpoint) { e.Paused, e.Rate, e.Disabled = false, 0, false })
		})
		ended := func() (n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range published {
				if s, err := p.st.Standing(p.Context(), store.DeliveryKey{Application: m.Application, Endpoint: e.Number, Message: m.ID}); err == nil && s.State.Final() {
					n++
				}
			}
			return n
		}
		for begun := time.Now(); ended() < messages; {
			if time.Since(begun) > time.Hour {
				t.Fatalf("%d of %d have ended; %+v", ended(), messages, p.stats())
			}
			<-time.After(time.Second)
		}
		stop()
		all.Wait()
		p.pass(time.Minute)
		if s := p.stats(); s.Leased != 0 || s.Queued != 0 || s.InFlight != 0 || s.LanesBehind != 0 || s.Rows != 0 {
			t.Errorf("something is left: %+v", s)
		}
	})
}

// consume leases until ctx is done, and does with each something else.
func (p *program) consume(ctx context.Context, h *holders, e *postern.EndpointView, r *rand.Rand) {
	for ctx.Err() == nil {
		leases, err := p.eng.pulls.Lease(ctx, e, postern.LeaseRequest{Limit: 1 + r.IntN(20), Wait: 10 * time.Second, Duration: time.Duration(1+r.IntN(3)) * time.Second})
		if err != nil {
			continue // it is over
		}
		h.begin(leases)
		for _, l := range leases {
			ids := []postern.LeaseID{l.ID}
			h.end(l.Message.ID)
			switch r.IntN(12) {
			case 0:
				_, err = p.eng.pulls.Release(e.Number, ids)
			case 1:
				_, err = p.eng.pulls.Nack(ctx, e.Number, ids, postern.Nack{Error: "no"})
			case 2:
				h.begin([]postern.Lease{l}) // forgotten: until it runs out
			default:
				_, err = p.eng.pulls.Ack(context.WithoutCancel(ctx), e.Number, ids)
			}
			if err != nil && ctx.Err() == nil {
				p.Error(err)
			}
		}
	}
}

// meddle does to the endpoint, or to a delivery, what an operator may.
func (p *program) meddle(e *postern.EndpointView, d store.DeliveryKey, r *rand.Rand) {
	switch r.IntN(6) {
	case 0:
		p.update(e, func(e *postern.Endpoint) { e.Paused = !e.Paused })
	case 1:
		p.update(e, func(e *postern.Endpoint) { e.Rate = r.IntN(2) * 200 })
	case 2, 3:
		_ = p.eng.Resend(p.Context(), d) // unless it is in the wrong state
	default:
		_ = p.eng.Cancel(p.Context(), d)
	}
}

func (p *program) update(e *postern.EndpointView, change func(e *postern.Endpoint)) {
	p.Helper()
	if _, err := p.eng.catalogue.UpdateEndpoint(p.Context(), e.Application, e.Number, true, func(e *postern.Endpoint) error { change(e); return nil }); err != nil {
		p.Error(err)
	}
}
