package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expunge is Expunge as an order for one delivery.
func (r *rig) expunge(ctx context.Context, key store.DeliveryKey) error {
	return r.d.Expunge(ctx, key.Application, key.Message)
}

// TestExpungeInEveryPhase: what is unfinished ends, what is finished stays, and
// nothing is sent any more but by the attempt that is under way.
func TestExpungeInEveryPhase(t *testing.T) {
	type end struct {
		State  postern.State
		Reason postern.Reason
		Tried  int
	}
	expunged := func(tried int) end { return end{postern.Canceled, postern.ReasonExpunged, tried} }
	for name, want := range map[string]end{
		"not in memory":    expunged(1),
		"parked":           expunged(0),
		"queued first try": expunged(0),
		"queued row":       expunged(1),
		"running":          expunged(1),
		"settling":         {postern.Canceled, postern.ReasonExpunged, 1},
		"delivered":        {postern.Delivered, postern.ReasonNone, 1},
		"dead":             {postern.Dead, postern.ReasonPermanent, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Places: 1}, func(r *rig) {
				n := r.endpoint(app, nil)
				m := phases()[name](r, n)
				result := r.order(r.expunge, r.key(m, n))
				r.commit()
				if len(result) > 0 {
					t.Error("answered before its deliveries have ended")
				}
				r.commit()
				if err := <-result; err != nil {
					t.Error(err)
				}
				if _, err := r.st.Content(t.Context(), m.Application, m.ID); !errors.Is(err, postern.ErrNotFound) {
					t.Errorf("the content is there: %v", err)
				}
				r.unblock()
				s := r.standing(m, n)
				if diff := cmp.Diff(want, end{s.State, s.Reason, s.Attempts}); diff != "" || s.Row != nil {
					t.Errorf("%s, row %v", diff, s.Row)
				}
				var told []store.DeliveryKey
				if want.State == postern.Canceled {
					told = append(told, r.key(m, n))
				}
				if diff := cmp.Diff(told, r.canceled); diff != "" {
					t.Errorf("told as canceled: %s", diff)
				}
			})
		})
	}
}

// TestExpungeFreesMemory: a payload that waits in memory goes at once.
func TestExpungeFreesMemory(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		a, b := r.endpoint(app, nil), r.endpoint(app, nil)
		r.block()
		before := r.d.Stats().Bytes
		m := r.publish(a, b)
		if r.d.Stats().Bytes == before {
			t.Fatal("nothing is in memory")
		}
		result := r.order(r.expunge, r.key(m, a))
		r.commit()
		if got := r.d.Stats().Bytes; got != before {
			t.Errorf("%d bytes in memory, %d before", got, before)
		}
		r.commit()
		if err := <-result; err != nil {
			t.Error(err)
		}
		r.unblock()
		for _, n := range []postern.EndpointNumber{a, b} {
			if s := r.standing(m, n); s.State != postern.Canceled || s.Attempts > 0 {
				t.Errorf("endpoint %d: %+v", n, s)
			}
		}
	})
}

// TestContentGone is a crash between a content's end and its deliveries': they
// end as they come up, with a record that says why.
func TestContentGone(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.commit(&partFunc{build: func(b *store.Batch) {
			b.Expunged = append(b.Expunged, store.ContentKey{Application: m.Application, Message: m.ID})
		}})
		r.pass(20 * time.Second)
		r.commit()
		s := r.standing(m, n)
		if s.State != postern.Canceled || s.Reason != postern.ReasonExpunged || s.Attempts != 1 || s.Row != nil {
			t.Errorf("%+v", s)
		}
	})
}

func TestExpungeNothing(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.drain(answer{code: 200}, 1)
		r.commit()
		result := r.order(func(ctx context.Context, _ store.DeliveryKey) error { return r.d.Expunge(ctx, app+1, m.ID) }, r.key(m, n))
		r.commit()
		if err := <-result; !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("another application's: %v", err)
		}
		if _, err := r.st.Content(t.Context(), m.Application, m.ID); err != nil {
			t.Errorf("its content: %v", err)
		}
	})
}

// TestExpungeSome: several go in one batch, and what is not there is counted.
func TestExpungeSome(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		a, b := r.endpoint(app, nil), r.endpoint(app, nil)
		first, second := r.publish(a), r.publish(a, b)
		ids := []postern.MessageID{first.ID, postern.NewMessageID(r.now(), 0, 1_000_000, 1), second.ID}
		missing := make(chan int, 1)
		result := r.order(func(ctx context.Context, _ store.DeliveryKey) error {
			n, err := r.d.ExpungeSome(ctx, app, ids)
			missing <- n
			return err
		}, r.key(first, a))
		r.commit()
		r.commit()
		if err, n := <-result, <-missing; err != nil || n != 1 {
			t.Errorf("%d are missing, %v", n, err)
		}
		r.drain(answer{code: 500}, 3)
		for _, of := range []struct {
			m *postern.Message
			n postern.EndpointNumber
		}{{first, a}, {second, a}, {second, b}} {
			if s := r.standing(of.m, of.n); s.State != postern.Canceled || s.Reason != postern.ReasonExpunged {
				t.Errorf("%v at %d: %+v", of.m.ID, of.n, s)
			}
		}
	})
}
