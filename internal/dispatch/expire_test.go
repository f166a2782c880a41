package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expire drops the days up to now as retention does. between, if not nil, runs
// after the deliveries are counted and before the drop is stored.
func (r *rig) expire(between func()) error {
	r.t.Helper()
	day := store.DayOf(r.now())
	return r.d.Expire(r.t.Context(), day, func(context.Context) error {
		if between != nil {
			between()
		}
		r.commit(&partFunc{build: func(b *store.Batch) { b.DropDay = day }})
		return nil
	})
}

func (r *rig) expired() int {
	n := 0
	for _, reason := range r.events {
		if reason == postern.ReasonExpired {
			n++
		}
	}
	return n
}

// What only a behind row knows of ends with its messages, and is counted: once
// each, and only what is not finished otherwise.
func TestABacklogThatExpiresIsCounted(t *testing.T) {
	bubble(t, Config{Places: 1, QueueLength: 4}, func(r *rig) {
		idle, busy := r.endpoint(1, paused), r.endpoint(2, nil)
		for range 7 {
			r.publish(idle)
			r.publish(busy)
		}
		r.commit(r.accept())
		r.drain(answer{code: 200}, 2) // of busy, two of seven are finished
		held := len(r.d.lanes[busy].set)
		if held == 0 || held > 4 {
			t.Fatalf("%d in memory", held)
		}
		if err := r.expire(func() { r.drain(answer{code: 200}, 3) }); err != nil { // which makes room
			t.Fatal(err)
		}
		if want := 7 + 5 - held; r.expired() != want {
			t.Errorf("told of %d, want %d at once", r.expired(), want)
		}
		for range 5 {
			r.say(answer{code: 200}, r.under()...)
			r.commit(r.accept())
		}
		if tried := len(r.attempts) - 2; r.expired()+tried != 7+5 {
			t.Errorf("told of %d, and %d tried though gone", r.expired(), tried)
		}
		r.edit(idle, resumed)
		later := r.publish(idle)
		r.drain(answer{code: 200}, 3)
		if s := r.standing(later, idle); s.State != postern.Delivered || r.row(busy) != nil {
			t.Errorf("later it is %v; the other keeps %v", s.State, r.row(busy))
		}
	})
}

// What is put back while its day is dropped, or later, is not forgotten.
func TestPutBackIntoADroppedDayExpires(t *testing.T) {
	for name, late := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{QueueLength: 4}, func(r *rig) {
				n := r.endpoint(app, nil)
				r.publish(n)
				r.pass(patience + time.Second)
				r.commit(r.accept())
				r.commit(r.accept())
				if r.row(n) == nil {
					t.Fatal("no row reaches into the day")
				}
				fault := func() { r.say(answer{fault: true}, r.only()) }
				between := fault
				if late {
					between = nil
				}
				if err := r.expire(between); err != nil {
					t.Fatal(err)
				}
				if late {
					fault()
				}
				r.pass(time.Minute)
				r.commit(r.accept())
				r.commit(r.accept())
				if r.expired() != 1 || len(r.under()) > 0 || r.row(n) != nil {
					t.Errorf("told of %d, %d tries, row %v", r.expired(), len(r.under()), r.row(n))
				}
			})
		})
	}
}

// Where the day cannot be dropped nothing is told, and the lane reads on.
func TestADropThatFailsEndsNothing(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, paused)
		m := r.publish(n)
		r.commit(r.accept())
		broken := errors.New("not now")
		err := r.d.Expire(r.t.Context(), store.DayOf(r.now()), func(context.Context) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("Expire: %v", err)
		}
		r.edit(n, resumed)
		r.say(answer{code: 200}, r.only())
		r.commit()
		if s := r.standing(m, n); s.State != postern.Delivered || r.expired() != 0 {
			t.Errorf("%v, told of %d", s.State, r.expired())
		}
	})
}
