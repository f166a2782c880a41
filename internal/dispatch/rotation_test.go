package dispatch

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// first are the endpoints of the next so many tries to start, each of which is
// answered.
func (r *rig) first(count int) []postern.EndpointNumber {
	var order []postern.EndpointNumber
	for range count {
		y := r.only()
		order = append(order, y.endpoint)
		r.say(answer{code: 200}, y)
		r.commit()
	}
	return order
}

// Turns are fair over applications, and within one over endpoints, however
// much each has queued.
func TestTurns(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		blocker := r.endpoint(9, nil)
		one, two, other := r.endpoint(1, nil), r.endpoint(1, nil), r.endpoint(2, nil)
		r.publish(blocker)
		for range 8 {
			r.publish(one)
		}
		for range 4 {
			r.publish(two)
			r.publish(other)
		}
		r.first(1)
		counts := map[postern.EndpointNumber]int{}
		for _, n := range r.first(8) {
			counts[n]++
		}
		if counts[other] != 4 || counts[one] != 2 || counts[two] != 2 {
			t.Errorf("of eight turns: %v", counts)
		}
	})
}

// An application may hold a quarter of all places while others wait, and all
// while none does; where all that wait hold as much, they share the rest.
func TestAnApplicationHoldsAQuarter(t *testing.T) {
	bubble(t, Config{Places: 8}, func(r *rig) {
		big, small := r.endpoint(1, nil), r.endpoint(2, nil)
		for _, n := range []postern.EndpointNumber{big, small} { // what has not answered yet gets less
			r.publish(n)
			r.say(answer{code: 200}, r.only())
			r.commit()
		}
		for range 12 {
			r.publish(big)
		}
		if n := len(r.under(big)); n != 8 {
			t.Fatalf("alone it holds %d of 8", n)
		}
		for range 6 {
			r.publish(small)
		}
		r.say(answer{code: 200}, r.under(big)[:6]...)
		r.commit()
		if b, s := len(r.under(big)), len(r.under(small)); b != 4 || s != 4 {
			t.Errorf("beside another it holds %d, the other %d", b, s)
		}
	})
}

// Slow lanes hold half of the places together, fast ones get the rest, and a
// slow one that waits has its turn when another's place is free.
func TestSlowLanesHoldHalf(t *testing.T) {
	bubble(t, Config{Places: 8}, func(r *rig) {
		slow := []postern.EndpointNumber{r.endpoint(1, nil), r.endpoint(2, nil), r.endpoint(3, nil)}
		fast := r.endpoint(4, nil)
		for _, n := range slow { // known to be slow
			r.publish(n)
		}
		r.pass(10 * time.Second)
		r.drain(answer{code: 200}, 5)
		for range 5 {
			for _, n := range slow {
				r.publish(n)
			}
		}
		if n := len(r.under(slow...)); n != 4 {
			t.Errorf("slow lanes hold %d of 8", n)
		}
		for range 6 {
			r.publish(fast)
		}
		if n := len(r.under(fast)); n != 4 {
			t.Errorf("the fast one holds %d", n)
		}
		r.pass(2 * time.Second)
		r.say(answer{code: 200}, r.under(fast)...)
		if n := r.drain(answer{code: 200}, 40); n < 15 {
			t.Errorf("only %d were tried", n)
		}
		if s := r.d.Stats(); s.InFlight+s.Queued > 0 {
			t.Errorf("left: %+v", s)
		}
	})
}

// Lanes that fail share that half, however fast they do.
func TestFailingLanesHoldHalf(t *testing.T) {
	bubble(t, Config{Places: 8, Schedule: postern.RetrySchedule{time.Hour}}, func(r *rig) {
		failing := []postern.EndpointNumber{r.endpoint(1, nil), r.endpoint(2, nil), r.endpoint(3, nil)}
		for range 6 {
			for _, n := range failing {
				r.publish(n)
				r.say(answer{code: 500}, r.under()...)
				r.commit()
			}
		}
		for range 5 {
			for _, n := range failing {
				r.publish(n)
			}
		}
		if n := len(r.under(failing...)); n != 4 {
			t.Errorf("failing lanes hold %d of 8", n)
		}
	})
}

// While most endpoints fail the fault is likely ours, and none is disabled for
// failing; one that fails beside others that answer is.
func TestNoneIsDisabledWhileMostFail(t *testing.T) {
	for name, tc := range map[string]struct {
		failing  int
		disabled bool
	}{"most": {7, false}, "a few": {3, true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Places: 64, Schedule: postern.RetrySchedule{time.Hour}}, func(r *rig) {
				lanes := r.endpoints(12, 1)
				tried := lanes[0]
				r.cat.edit(tried, func(v *postern.EndpointView) {
					v.Health = postern.Health{FailingSince: r.now().Add(-6 * 24 * time.Hour), Failures: 1}
				})
				for range 2 * postern.DisableFailures {
					r.publish(lanes...)
					for _, y := range r.under() {
						code := 200
						if y.endpoint <= lanes[tc.failing-1] {
							code = 500
						}
						r.say(answer{code: code}, y)
					}
					r.commit()
				}
				if v := r.cat.EndpointByNumber(tried); (v.Health.Disabled == postern.DisabledFailing) != tc.disabled {
					t.Errorf("health %+v", v.Health)
				}
			})
		})
	}
}

// All lanes that wait for a slow place are called, even if the first of them
// cannot use it.
func TestNoSlowLaneIsForgotten(t *testing.T) {
	bubble(t, Config{Places: 2}, func(r *rig) {
		a, b, c := r.endpoint(1, nil), r.endpoint(2, nil), r.endpoint(3, nil)
		for _, n := range []postern.EndpointNumber{a, b, c} {
			r.publish(n)
			r.pass(10 * time.Second)
			r.say(answer{code: 200}, r.only())
			r.commit()
		}
		r.publish(a)
		r.publish(b)
		last := r.publish(c)
		r.edit(b, paused) // its turn comes to nothing
		r.say(answer{code: 200}, r.only(a))
		r.commit()
		r.say(answer{code: 200}, r.only(c))
		r.commit()
		if s := r.standing(last, c); s.State != postern.Delivered {
			t.Errorf("the last is %v", s.State)
		}
	})
}

// A lane that hangs counts as slow before anything of it has ended.
func TestHangingLanesAreSlow(t *testing.T) {
	bubble(t, Config{Places: 4}, func(r *rig) {
		hangs, fast := r.endpoint(1, nil), r.endpoint(2, nil)
		for range 10 {
			r.publish(hangs)
		}
		r.pass(2 * time.Second)
		r.publish(fast)
		tries := r.under(hangs)
		r.say(answer{code: 200}, tries[0])
		r.commit()
		if n := len(r.under(fast)); n != 1 {
			t.Errorf("the free place went to the lane that hangs; the fast one holds %d", n)
		}
	})
}

// A fault on our own side is no attempt: nothing is stored, nothing counts, and
// the lane is quiet for a while.
func TestOwnFaultsAreNoAttempts(t *testing.T) {
	bubble(t, Config{Schedule: postern.RetrySchedule{time.Minute}}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		for range 5 { // more than its schedule has tries
			r.say(answer{fault: true}, r.only())
			if len(r.settles) > 0 {
				t.Fatal("a fault is settled")
			}
			if tries := r.under(); len(tries) > 0 {
				t.Fatal("tried again at once")
			}
			r.pass(10 * time.Second)
		}
		r.say(answer{code: 500}, r.only())
		b := r.commit()
		if len(b.Attempts) != 1 || b.Attempts[0].N != 1 || b.Attempts[0].State != postern.Retrying {
			t.Errorf("attempts %+v", b.Attempts)
		}
		r.pass(50 * time.Second)
		r.say(answer{fault: true}, r.under()...) // a retry's fault leaves its row
		r.pass(time.Minute)
		r.say(answer{code: 200}, r.only())
		r.commit()
		if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != 2 || s.Row != nil {
			t.Errorf("%+v", s)
		}
		if len(r.attempts) != 2 {
			t.Errorf("told of %d attempts", len(r.attempts))
		}
	})
}

// 410 disables the endpoint before anything else of its queue starts.
func TestGoneStartsNothingMore(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		second := r.publish(n)
		r.say(answer{code: 410}, r.only())
		b := r.commit()
		if len(b.Health) != 1 || b.Health[0].Health.Disabled != postern.DisabledGone {
			t.Fatalf("health %+v", b.Health)
		}
		if tries := r.under(); len(tries) > 0 {
			t.Error("another was tried after it was gone")
		}
		if s := r.standing(second, n); s.State != postern.Pending {
			t.Errorf("the second is %v", s.State)
		}
	})
}

// Places stay taken until the settle is synced: that bounds what a crash can
// double.
func TestPlacesAreHeldUntilSynced(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		r.publish(n)
		r.say(answer{code: 200}, r.only())
		if tries := r.under(); len(tries) > 0 {
			t.Fatal("the next started before the settle was built")
		}
		b := r.build().store()
		if tries := r.under(); len(tries) > 0 {
			t.Fatal("the next started before the settle was told")
		}
		b.tell()
		r.only()
	})
}

// A read that fails is repeated.
func TestReadsThatFailAreRepeated(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, paused)
		m := r.publish(n)
		r.commit(r.accept())
		r.st.failWith(errors.New("not now"))
		r.edit(n, resumed)
		r.pass(5 * time.Second)
		if tries := r.under(); len(tries) > 0 || r.st.reads() > 10 {
			t.Fatalf("%d tries, %d reads", len(tries), r.st.reads())
		}
		r.st.failWith(nil)
		r.pass(5 * time.Second)
		r.drain(answer{code: 200}, 2)
		if s := r.standing(m, n); s.State != postern.Delivered {
			t.Errorf("%v", s.State)
		}
	})
}

// Stop starts nothing more, waits for what is under way, and hands its settles
// over; what is cut off is covered, and goes on at the next start.
func TestStopPhases(t *testing.T) {
	bubble(t, Config{Places: 2}, func(r *rig) {
		n := r.endpoint(app, nil)
		var sent []*postern.Message
		for range 3 {
			sent = append(sent, r.publish(n))
		}
		tries := r.under()
		stopped := make(chan error, 1)
		go func() { stopped <- r.d.Stop(r.t.Context()) }()
		r.say(answer{code: 200}, tries[0])
		r.commit()
		if len(r.under()) != 1 || len(stopped) > 0 {
			t.Fatalf("%d tries; stopped early: %t", len(r.under()), len(stopped) > 0)
		}
		r.restart() // cuts the second off
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		r.drain(answer{code: 200}, 5)
		for i, m := range sent {
			if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != 1 {
				t.Errorf("%d is %v after %d attempts", i, s.State, s.Attempts)
			}
		}
	})
}

// Rows are tried when they are due, and not before; one that is too far ahead
// is due: the clock was set back.
func TestRowsAreTriedWhenDue(t *testing.T) {
	bubble(t, Config{Schedule: postern.RetrySchedule{time.Hour, time.Hour}}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		r.say(answer{code: 500}, r.only())
		b := r.commit()
		wait := b.Rows[0].Put.Wait
		r.pass(wait - time.Second)
		if tries := r.under(); len(tries) > 0 {
			t.Fatal("tried before it was due")
		}
		r.pass(time.Second + time.Millisecond)
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.jump(-10 * time.Hour)
		r.pass(2 * recheck)
		r.only()
	})
}

// A row that a set clock has left far ahead does not wait behind others that
// are rightly ahead.
func TestFarRowsDoNotWaitBehindNearOnes(t *testing.T) {
	bubble(t, Config{Schedule: postern.RetrySchedule{time.Hour, time.Hour}}, func(r *rig) {
		n := r.endpoint(app, nil)
		far := r.publish(n)
		r.jump(3 * time.Hour)
		r.pass(2 * recheck) // and that is noticed
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.jump(-3 * time.Hour)
		r.publish(n)
		r.say(answer{code: 500}, r.under()...)
		r.commit()
		r.pass(2 * recheck)
		if y := r.only(); y.message != far.ID {
			t.Errorf("%v is tried", y.message)
		}
	})
}

// Lanes that have nothing to do are dropped, also after retries.
func TestIdleLanesAreDropped(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.pass(15 * time.Second)
		r.say(answer{code: 200}, r.only())
		r.commit()
		r.commit(r.accept())
		if s := r.d.Stats(); s.Lanes != 1 {
			t.Errorf("%d lanes right after work", s.Lanes)
		}
		r.pass(idleLane + 2*recheck)
		if s := r.d.Stats(); s.Lanes != 0 || len(r.d.rotas) != 0 {
			t.Errorf("%d lanes, %d applications in memory", s.Lanes, len(r.d.rotas))
		}
	})
}

// A message over the memory budget is read back for its try.
func TestOverTheMemoryBudgetPayloadsAreReadBack(t *testing.T) {
	bubble(t, Config{MaxBytes: 300}, func(r *rig) {
		n := r.endpoint(app, nil)
		first, second := r.publish(n), r.publish(n)
		if s := r.d.Stats(); s.Bytes > 300 {
			t.Errorf("%d bytes in memory", s.Bytes)
		}
		r.drain(answer{code: 200}, 3)
		for _, m := range []*postern.Message{first, second} {
			if s := r.standing(m, n); s.State != postern.Delivered {
				t.Errorf("%v", s.State)
			}
		}
		if s := r.d.Stats(); s.Bytes != 0 {
			t.Errorf("%d bytes left", s.Bytes)
		}
	})
}

// Past the budget of all queues an idle endpoint's message is read back at once.
func TestOverTheClaimBudgetOthersAreStillServed(t *testing.T) {
	bubble(t, Config{Places: 8, MaxClaims: 4}, func(r *rig) {
		hog, other := r.endpoint(1, func(v *postern.EndpointView) { v.Rate = 1 }), r.endpoint(2, nil)
		for range 6 {
			r.publish(hog)
		}
		m := r.publish(other)
		r.say(answer{code: 200}, r.only(other))
		r.commit()
		if s := r.standing(m, other); s.State != postern.Delivered {
			t.Errorf("%v", s.State)
		}
	})
}

// A message that retention has dropped ends its delivery, told as expired.
func TestExpired(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.commit(&partFunc{build: func(b *store.Batch) { b.DropDay = store.DayOf(r.now()) }})
		r.pass(15 * time.Second)
		r.commit()
		if r.head.Rows != 0 || len(r.events) != 1 || r.events[0] != postern.ReasonExpired {
			t.Errorf("%d rows, told %v", r.head.Rows, r.events)
		}
	})
}
