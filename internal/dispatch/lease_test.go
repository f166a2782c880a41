package dispatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// lease is one that the test renews.
type lease struct {
	mu    sync.Mutex
	until time.Time
}

func (l *lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// renew has the lease last from now on.
func (l *lease) renew(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
}

// without has the lease be in doubt.
func (l *lease) without() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// slowContent is a store whose contents are read one for each value in gate.
type slowContent struct {
	Store
	gate chan struct{}
}

func (s *slowContent) Content(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Content, error) {
	<-s.gate
	return s.Store.Content(ctx, app, id)
}

// Nothing starts without a lease, nor close to its end; what waits starts with the
// next renewal, and has used up no try.
func TestNothingStartsCloseToTheEndOfTheLease(t *testing.T) {
	var held lease
	bubble(t, Config{Leased: held.end}, func(r *rig) {
		n := r.endpoint(app, nil)
		first := r.publish(n)
		if tries := r.under(); len(tries) > 0 {
			t.Fatal("tried without a lease")
		}
		held.renew(10 * time.Second)
		r.d.Renewed()
		y := r.only()
		r.pass(8*time.Second - time.Millisecond)
		r.publish(n)
		if tries := r.under(); len(tries) != 2 {
			t.Fatalf("%d tries a little over two seconds before the end, want 2", len(tries))
		}
		r.pass(time.Millisecond)
		late := r.publish(n)
		r.say(answer{code: 500}, y) // also a retry waits
		r.commit()
		r.pass(time.Minute)
		if tries := r.under(); len(tries) != 1 {
			t.Fatalf("%d tries after the end, want the one that is under way", len(tries))
		}
		held.renew(10 * time.Second)
		r.d.Renewed()
		r.drain(answer{code: 200}, 10)
		for m, attempts := range map[*postern.Message]int{first: 2, late: 1} {
			if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != attempts {
				t.Errorf("%v after %d attempts, want %d", s.State, s.Attempts, attempts)
			}
		}
	})
}

// What an attempt needs can take longer than the lease: it does not start then, is
// no attempt and nobody's fault.
func TestAnAttemptThatMissesTheLeaseGoesBack(t *testing.T) {
	for name, row := range map[string]bool{"first try": false, "retry": true} {
		t.Run(name, func(t *testing.T) {
			var held lease
			bubble(t, Config{Leased: held.end, MaxBytes: 1}, func(r *rig) {
				slow := &slowContent{Store: r.d.cfg.Store, gate: make(chan struct{}, 3)}
				r.d.cfg.Store = slow
				held.renew(time.Hour)
				n := r.endpoint(app, nil)
				m := r.publish(n)
				if row {
					slow.gate <- struct{}{}
					r.say(answer{code: 500}, r.only())
					r.commit()
					r.pass(15 * time.Second)
				}
				held.without()
				slow.gate <- struct{}{} // now it is read
				if tries := r.under(); len(tries) > 0 {
					t.Fatal("sent without a lease")
				}
				if s := r.d.Stats(); s.InFlight > 0 {
					t.Errorf("it keeps %d places", s.InFlight)
				}
				b := r.commit(r.accept())
				if len(b.Attempts) > 0 {
					t.Error("it counts as an attempt")
				}
				held.renew(time.Hour)
				slow.gate <- struct{}{}
				r.d.Renewed()
				if faults := r.d.lanes[n].reach.faults; faults > 0 {
					t.Errorf("%d faults", faults)
				}
				r.say(answer{code: 200}, r.only())
				r.commit()
				if s := r.standing(m, n); s.State != postern.Delivered || row && s.Attempts != 2 || !row && s.Attempts != 1 {
					t.Errorf("%v after %d attempts", s.State, s.Attempts)
				}
			})
		})
	}
}

// An end that has no monotonic part counts by the wall clock.
func TestLeased(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		until time.Time
		want  bool
	}{
		"held":                   {now.Add(time.Minute), true},
		"zero":                   {time.Time{}, false},
		"over":                   {now.Add(-time.Minute), false},
		"close to the end":       {now.Add(leaseMargin), false},
		"held, by the wall only": {now.Add(time.Minute).Round(0), true},
		"over, by the wall only": {now.Add(leaseMargin).Round(0), false},
	} {
		d := &Dispatcher{cfg: Config{Leased: func() time.Time { return tc.until }}}
		if got := d.leased(); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !(&Dispatcher{}).leased() {
		t.Error("where there are no leases, none is held")
	}
}

// Consumers are given nothing without a lease, and told when there is one.
func TestTakeNeedsALease(t *testing.T) {
	var held lease
	bubble(t, Config{Leased: held.end}, func(r *rig) {
		told := 0
		r.waiting = func(postern.EndpointNumber) { told++ }
		n := r.endpoint(app, func(v *postern.EndpointView) { v.Kind = postern.PullEndpoint })
		r.publish(n)
		if taken, _ := r.d.Take(t.Context(), n); taken != nil || told > 0 {
			t.Fatalf("taken %v, told %d times, without a lease", taken, told)
		}
		held.renew(10 * time.Second)
		r.d.Renewed()
		if told != 1 {
			t.Fatalf("told %d times after the renewal", told)
		}
		r.pass(9 * time.Second)
		if taken, _ := r.d.Take(t.Context(), n); taken != nil {
			t.Fatal("taken close to the end")
		}
		held.renew(10 * time.Second)
		r.d.Renewed()
		if told != 2 {
			t.Fatalf("told %d times after the second renewal", told)
		}
		taken, _ := r.d.Take(t.Context(), n)
		if taken == nil {
			t.Fatal("nothing taken")
		}
		taken.Return()
	})
}
