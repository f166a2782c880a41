package dispatch

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

// pulled is a rig with a pull endpoint, and a count of the signs that there is
// something to take.
func pulled(t *testing.T, cfg Config, test func(r *rig, n postern.EndpointNumber, signs *atomic.Int32)) {
	t.Helper()
	bubble(t, cfg, func(r *rig) {
		var signs atomic.Int32
		r.waiting = func(postern.EndpointNumber) { signs.Add(1) }
		n := r.cat.add(app, func(v *postern.EndpointView) { v.Kind, v.URL = postern.PullEndpoint, "" })
		test(r, n, &signs)
	})
}

// took is what Take gives, which must be something.
func (r *rig) took(n postern.EndpointNumber) *Taken {
	r.t.Helper()
	synctest.Wait()
	taken, content := r.d.Take(r.t.Context(), n)
	if taken == nil || content == nil {
		r.t.Fatal("nothing to take")
	}
	return taken
}

func (r *rig) nothing(n postern.EndpointNumber) {
	r.t.Helper()
	synctest.Wait()
	if taken, _ := r.d.Take(r.t.Context(), n); taken != nil {
		r.t.Fatalf("%s was given out", taken.Message().ID)
	}
}

func TestTakeInOrder(t *testing.T) {
	pulled(t, Config{}, func(r *rig, n postern.EndpointNumber, signs *atomic.Int32) {
		r.nothing(n)
		first, second := r.publish(n), r.publish(n)
		if signs.Load() == 0 || len(r.under()) != 0 {
			t.Fatalf("%d signs, %d sent", signs.Load(), len(r.under()))
		}
		a, b := r.took(n), r.took(n)
		if a.Message().ID != first.ID || b.Message().ID != second.ID {
			t.Fatal("out of order")
		}
		r.nothing(n)
		if s := r.d.Stats(); s.InFlight != 0 || s.Queued != 0 || s.Bytes != 0 {
			t.Errorf("%+v: what consumers hold takes no place", s)
		}
		a.Attempt().Succeeded, a.Attempt().Code = true, http.StatusOK
		stored := a.Settle()
		select {
		case <-stored:
			t.Fatal("told before it is durable")
		default:
		}
		r.commit()
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
		if s := r.standing(first, n); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestTakeAgain has failures come back by the schedule, and what was given back
// at once, and as a first try still.
func TestTakeAgain(t *testing.T) {
	pulled(t, Config{Schedule: postern.RetrySchedule{10 * time.Second}}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		m := r.publish(n)
		r.took(n).Return()
		r.commit()
		taken := r.took(n)
		if taken.Attempt().N != 1 {
			t.Errorf("try %d, want the first", taken.Attempt().N)
		}
		taken.Attempt().Code = http.StatusInternalServerError
		taken.Settle()
		r.commit()
		if s := r.standing(m, n); s.State != postern.Retrying {
			t.Fatalf("%+v", s)
		}
		r.nothing(n)
		time.Sleep(13 * time.Second) // in the bubble: the wait and its jitter
		again := r.took(n)
		if again.Attempt().N != 2 {
			t.Errorf("try %d, want the second", again.Attempt().N)
		}
		again.Attempt().Failure = "lease_expired"
		again.Settle()
		r.commit()
		if s := r.standing(m, n); s.State != postern.Dead {
			t.Errorf("%+v", s)
		}
	})
}

// TestTakeOverARestart has nothing be lost that was held or waited.
func TestTakeOverARestart(t *testing.T) {
	pulled(t, Config{QueueLength: 4}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		for range 10 {
			r.publish(n)
		}
		r.took(n)
		r.took(n)
		r.restart()
		seen := map[postern.MessageID]bool{}
		for range 10 {
			r.commit()
			taken := r.took(n)
			seen[taken.Message().ID] = true
			taken.Attempt().Succeeded = true
			taken.Settle()
			r.commit()
		}
		if r.nothing(n); len(seen) != 10 {
			t.Errorf("%d messages, want 10", len(seen))
		}
	})
}

// TestTakeGoesBehind holds more than a lane's queue has room for.
func TestTakeGoesBehind(t *testing.T) {
	pulled(t, Config{QueueLength: 4}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		for range 50 {
			r.publish(n)
		}
		var held []*Taken
		for range 50 {
			held = append(held, r.took(n))
		}
		r.nothing(n)
		for _, taken := range held {
			taken.Attempt().Succeeded = true
			taken.Settle()
		}
		r.commit()
		r.commit()
		if row := r.row(n); row != nil {
			t.Errorf("the behind row stays: %+v", row)
		}
	})
}

// TestTakeOnlyWhatMayStart has nothing given out of an endpoint that is paused,
// unattended, out of rate, or deleted, nor a delivery that was canceled.
func TestTakeOnlyWhatMayStart(t *testing.T) {
	pulled(t, Config{}, func(r *rig, n postern.EndpointNumber, signs *atomic.Int32) {
		m := r.publish(n)
		for _, edit := range []func(v *postern.EndpointView, on bool){
			func(v *postern.EndpointView, on bool) { v.Paused = on },
			func(v *postern.EndpointView, on bool) { v.Unattended = on },
		} {
			r.edit(n, func(v *postern.EndpointView) { edit(v, true) })
			r.nothing(n)
			signs.Store(0)
			r.edit(n, func(v *postern.EndpointView) { edit(v, false) })
			r.commit()
			if synctest.Wait(); signs.Load() == 0 {
				t.Error("nobody is told that it may be taken")
			}
		}
		done := r.order(r.d.Cancel, r.key(m, n))
		r.commit()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.nothing(n)
		r.edit(n, func(v *postern.EndpointView) { v.Rate = 10 })
		r.publish(n)
		r.publish(n)
		r.took(n)
		r.nothing(n)
		signs.Store(0)
		time.Sleep(100 * time.Millisecond) // in the bubble: a token
		if synctest.Wait(); signs.Load() == 0 {
			t.Error("nobody is told of the token")
		}
		taken := r.took(n)
		r.edit(n, deleted)
		r.publish()
		r.nothing(n)
		taken.Attempt().Succeeded = true
		taken.Settle()
		r.commit()
	})
}

// TestTakeWhatIsGone gives up deliveries whose content was expunged, and goes
// on with the next.
func TestTakeWhatIsGone(t *testing.T) {
	pulled(t, Config{QueueLength: 2}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		list := []*postern.Message{r.publish(n), r.publish(n), r.publish(n)}
		held := r.took(n)
		done := r.order(r.expunge, r.key(list[1], n))
		r.commit()
		r.commit()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.commit()
		r.nothing(n) // but what was canceled; the rest is read back
		if next := r.took(n); next.Message().ID != list[2].ID {
			t.Errorf("the wrong message: %v", next.Message().ID)
		}
		held.Attempt().Succeeded = true
		stored := held.Settle()
		r.commit()
		if err := <-stored; err != nil {
			t.Error(err)
		}
	})
}

// TestTakeHurtsNobody has a consumer hold a thousand messages, and fail, while
// the endpoints beside it have all places.
func TestTakeHurtsNobody(t *testing.T) {
	pulled(t, Config{Places: 4}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		other := r.cat.add(app, nil)
		for range 1000 {
			r.publish(n)
		}
		for range 1000 {
			taken := r.took(n)
			taken.Attempt().Failure = "lease_expired"
			taken.Settle()
		}
		r.commit()
		if s := r.d.Stats(); s.Failing != 0 || s.Probing != 0 {
			t.Errorf("%+v: what a consumer does says nothing of this side", s)
		}
		for range 4 {
			r.publish(other)
		}
		if got := len(r.under(other)); got != 4 {
			t.Errorf("%d of 4 start", got)
		}
	})
}

// TestTakeAfterTheStoreFailed answers who settles.
func TestTakeAfterTheStoreFailed(t *testing.T) {
	pulled(t, Config{}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		r.publish(n)
		stored := r.took(n).Settle()
		failed := errors.New("the store failed")
		r.mu.Lock()
		part := r.settles[0]
		r.settles = nil
		r.mu.Unlock()
		r.visit(part, func() { part.Done(failed) })
		if err := <-stored; !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTakenIsNotSlow has consumers hold deliveries for long: the places that slow
// endpoints share are as free as before, meanwhile and afterwards.
func TestTakenIsNotSlow(t *testing.T) {
	pulled(t, Config{Places: 8}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		const held = 20
		var all []*Taken
		for range held {
			r.publish(n)
			all = append(all, r.took(n))
		}
		for range 5 {
			time.Sleep(time.Second) // in the bubble
			r.commit()
			if r.d.slow != 0 {
				t.Fatalf("%d of the places are taken by what consumers hold", r.d.slow)
			}
		}
		for i, taken := range all {
			if i%2 == 0 {
				taken.Return()
				continue
			}
			taken.Attempt().Succeeded, taken.Attempt().Code = true, http.StatusOK
			taken.Settle()
		}
		r.commit()
		if r.d.slow != 0 || r.d.used.places != 0 || r.d.Stats().Failing != 0 {
			t.Errorf("%d slow, %d in flight, %+v", r.d.slow, r.d.used.places, r.d.Stats())
		}
	})
}

// TestTakeAfterFaults: what could be taken ends a row of faults on this side, so
// that the next one is not waited out for as long as the sixth in a row.
func TestTakeAfterFaults(t *testing.T) {
	pulled(t, Config{}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		r.publish(n)
		throttle := &r.d.lanes[n].reach.throttle
		throttle.faults = 5
		if r.took(n); throttle.faults != 0 {
			t.Errorf("%d faults in a row", throttle.faults)
		}
	})
}

// A handler's deliveries are taken where Taken says so, and sent where it does not.
func TestTakeOfAHandler(t *testing.T) {
	for _, taken := range []bool{true, false} {
		asked := func(v *postern.EndpointView) bool { return v.Kind == postern.HandlerEndpoint && taken }
		pulled(t, Config{Taken: asked}, func(r *rig, _ postern.EndpointNumber, signs *atomic.Int32) {
			n := r.cat.add(app, func(v *postern.EndpointView) { v.Kind, v.URL = postern.HandlerEndpoint, "" })
			m := r.publish(n)
			if !taken {
				r.nothing(n)
				if signs.Load() != 0 || len(r.under()) != 1 {
					t.Errorf("%d signs, %d sent", signs.Load(), len(r.under()))
				}
				r.say(answer{code: 200}, r.only())
				return
			}
			one := r.took(n)
			if one.Message().ID != m.ID || signs.Load() == 0 || len(r.under()) != 0 {
				t.Errorf("%s, %d signs, %d sent", one.Message().ID, signs.Load(), len(r.under()))
			}
			one.Attempt().Succeeded, one.Attempt().Code = true, http.StatusOK
			stored := one.Settle()
			r.commit()
			if err := <-stored; err != nil {
				t.Error(err)
			}
			r.nothing(n)
		})
	}
}
