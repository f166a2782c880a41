package dispatch

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// The ring of counts behaves as a map of them does.
func TestCoverIsAMapOfCounts(t *testing.T) {
	r := testkit.Rand(t)
	low := uint64(1 + r.IntN(5000))
	c, counts, next := newCover(low, low), map[uint64]int{}, low
	for range 50_000 {
		switch r.IntN(5) {
		case 0:
			next += uint64(r.IntN(40))
			c.extend(next)
		case 4: // positions that it went past count again, if rarely
			if back := low - min(low-1, uint64(r.IntN(2000)/(1+r.IntN(1000)))); back < low {
				low = back
				c.retreat(low)
				c.retreat(next) // not ahead
				c.add(low, 1)
				counts[low]++
			}
		case 1:
			if next > low {
				p, n := low+uint64(r.Int64N(int64(next-low))), r.IntN(3)
				c.add(p, n)
				counts[p] += n
			}
		case 2:
			for p := low; p < min(next, low+20); p++ {
				if counts[p] > 0 {
					c.remove(p)
					counts[p]--
				}
			}
		default:
			limit := low + uint64(r.IntN(100))
			for low < min(next, limit) && counts[low] == 0 {
				delete(counts, low)
				low++
			}
			if got := c.advance(limit); got != low {
				t.Fatalf("low %d, want %d", got, low)
			}
		}
	}
}

// A ring is a queue.
func TestRingIsAQueue(t *testing.T) {
	r := testkit.Rand(t)
	var q ring[int]
	var want []int
	for i := range 100_000 {
		switch op := r.IntN(10); {
		case op < 5-i/20_000: // it grows, and then shrinks
			q.push(i)
			want = append(want, i)
		case op == 9 && len(want) > 0:
			last := len(want) - 1
			if at, got := q.at(last), q.popLast(); at != want[last] || got != want[last] {
				t.Fatalf("last %d, %d, want %d", at, got, want[last])
			}
			want = want[:last]
		case len(want) > 0:
			if got := q.peek(); got != want[0] {
				t.Fatalf("peek %d, want %d", got, want[0])
			}
			if got := q.pop(); got != want[0] {
				t.Fatalf("pop %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("%d long, want %d", q.len(), len(want))
		}
	}
}

// The list of open claims keeps its order over removals anywhere.
func TestOpenClaimsAreAList(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l list
	var want []*claim
	for range 10_000 {
		if r.IntN(2) == 0 {
			c := &claim{}
			l.push(c)
			want = append(want, c)
		} else if len(want) > 0 {
			i := r.IntN(len(want))
			l.remove(want[i])
			l.remove(want[i]) // twice does no harm
			want = slices.Delete(want, i, i+1)
		}
	}
	var got, back []*claim
	for c := l.head; c != nil; c = l.after(c) {
		got = append(got, c)
	}
	for c := l.tail; c != nil; c = c.links[l.kind].prev {
		back = append(back, c)
	}
	slices.Reverse(back)
	if !slices.Equal(got, want) || !slices.Equal(back, want) {
		t.Errorf("%d forwards, %d backwards, want %d", len(got), len(back), len(want))
	}
}

// Low waits for the oldest delivery that only it covers.
func TestLowFollowsTheOldestDelivery(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		for range 3 {
			r.publish(n)
		}
		if r.head.Low != 1 || r.head.Next != 4 {
			t.Fatalf("low %d, next %d", r.head.Low, r.head.Next)
		}
		tries := r.under()
		r.say(answer{code: 200}, tries[1])
		if b := r.commit(); b.Head.Low != 1 {
			t.Errorf("low %d while the first is tried", b.Head.Low)
		}
		r.say(answer{code: 500}, tries[0]) // its row covers it
		if b := r.commit(); b.Head.Low != 3 || len(b.Rows) != 1 {
			t.Errorf("low %d after the first two, %d rows", b.Head.Low, len(b.Rows))
		}
		r.say(answer{code: 200}, tries[2])
		if b := r.commit(); b.Head.Low != 4 {
			t.Errorf("low %d in the end", b.Head.Low)
		}
	})
}

// A lane that parks while the batch in hand has moved Low past what was handed
// over must not hold it where it no longer is.
func TestParkingBehindLowSpoilsNothing(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		r.publish(n)
		for range 2 {
			r.say(answer{code: 500}, r.only())
			r.commit()
			r.pass(time.Second)
		}
		r.pass(15 * time.Second) // one retry is tried, one waits for its turn
		b := r.build(r.accept(), r.accept()).store()
		r.edit(n, paused)
		r.say(answer{fault: true}, r.only()) // makes room, so that the other is looked at
		b.tell()
		var many []Part
		for range 1024 { // as many as the ring has places
			many = append(many, r.accept())
		}
		r.commit(many...)
		r.edit(n, resumed)
		for range 5 {
			r.pass(15 * time.Second)
			r.drain(answer{code: 200}, 10)
			r.commit(r.accept())
		}
		if r.head.Low != r.head.Next {
			t.Errorf("low %d stays behind %d", r.head.Low, r.head.Next)
		}
	})
}

// Who has waited two seconds goes behind, and no longer holds Low; the lane is
// fed from memory all the while, and the row goes when the lane has caught up.
func TestPatience(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.pass(patience + time.Second)
		b := r.commit(r.accept())
		row := r.row(n)
		if row == nil || row.From.Compare(m.ID) > 0 || len(b.Behind) != 1 {
			t.Fatalf("behind row %+v of %+v", row, b.Behind)
		}
		if b := r.commit(r.accept()); b.Head.Low != b.Head.Next {
			t.Errorf("low %d of %d though the row covers", b.Head.Low, b.Head.Next)
		}
		r.publish(n)
		if len(r.under()) != 2 {
			t.Error("the lane is no longer fed")
		}
		r.drain(answer{code: 200}, 5)
		r.commit(r.accept())
		r.commit(r.accept())
		if row := r.row(n); row != nil {
			t.Errorf("the row stays: %+v", row)
		}
	})
}

// Promise 4: the row stays as long as something that only it covers is not
// settled, and goes in a batch whose Low counts the rest.
func TestARowIsRemovedOnlyWhenLowCovers(t *testing.T) {
	bubble(t, Config{QueueLength: 4, Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		var sent []*postern.Message
		for range 9 {
			sent = append(sent, r.publish(n))
		}
		r.commit(r.accept())
		if r.row(n) == nil {
			t.Fatal("a full lane did not go behind")
		}
		for range sent {
			y := r.only()
			r.say(answer{code: 200}, y)
			b := r.commit()
			row := r.row(n)
			for _, m := range sent {
				covered := r.standing(m, n).Final || m.ID.Position() >= b.Head.Low || row != nil && row.From.Compare(m.ID) <= 0
				if !covered {
					t.Errorf("after %v: %d is bare; low %d, row %v", y.message, m.ID.Position(), b.Head.Low, row)
				}
			}
		}
		r.commit(r.accept())
		r.commit(r.accept())
		if row := r.row(n); row != nil || r.head.Low != r.head.Next {
			t.Errorf("in the end: row %v, low %d of %d", row, r.head.Low, r.head.Next)
		}
		for _, m := range sent {
			if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != 1 {
				t.Errorf("%d is %v after %d attempts", m.ID.Position(), s.State, s.Attempts)
			}
		}
	})
}

// A paused lane keeps its row, and nothing is written for each delivery.
func TestPausedLanesParkAndResume(t *testing.T) {
	for name, stop := range map[string]func(*postern.EndpointView){
		"paused":   paused,
		"disabled": func(v *postern.EndpointView) { v.Disabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Places: 1}, func(r *rig) {
				n := r.endpoint(app, nil)
				first := r.publish(n)
				second := r.publish(n) // waits in the queue
				r.edit(n, stop)
				r.say(answer{code: 500}, r.only())
				r.commit()
				third := r.publish(n)
				b := r.commit(r.accept())
				if len(b.Rows)+len(b.Finals) > 0 || r.row(n) == nil || r.row(n).From.Compare(second.ID) > 0 {
					t.Errorf("parked with %+v", b.Batch)
				}
				r.pass(time.Second * 60)
				if tries := r.under(); len(tries) > 0 {
					t.Fatalf("%d tries while parked", len(tries))
				}
				r.restart()
				if tries := r.under(); len(tries) > 0 {
					t.Fatalf("%d tries while parked, after a restart", len(tries))
				}
				r.edit(n, func(v *postern.EndpointView) { v.Paused, v.Disabled = false, false })
				r.drain(answer{code: 200}, 10)
				for _, m := range []*postern.Message{first, second, third} {
					if s := r.standing(m, n); s.State != postern.Delivered {
						t.Errorf("%d is %v", m.ID.Position(), s.State)
					}
				}
			})
		})
	}
}

// What a deleted endpoint leaves goes without a trace, and holds nothing up.
func TestDeletedEndpointsHoldNothing(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		for range 3 {
			r.publish(n)
		}
		y := r.only()
		r.pass(patience + time.Second)
		r.commit(r.accept()) // the lane has a row
		r.say(answer{code: 500}, y)
		r.commit()
		r.commit(&partFunc{build: func(b *store.Batch) {
			b.Changes = append(b.Changes, store.Change{Delete: &postern.Endpoint{ID: postern.EndpointID{byte(n)}, Number: n, Application: app}})
		}, done: func() { r.cat.edit(n, deleted) }})
		for range 5 {
			r.pass(time.Second * 15)
			r.say(answer{code: 200}, r.under()...)
			r.commit(r.accept())
		}
		if r.head.Rows != 0 || r.row(n) != nil || r.head.Low != r.head.Next || r.d.Stats().Queued+r.d.Stats().InFlight > 0 {
			t.Errorf("left: %d rows, behind %v, low %d of %d, %+v", r.head.Rows, r.row(n), r.head.Low, r.head.Next, r.d.Stats())
		}
		for _, reason := range r.events {
			if reason != postern.ReasonDeleted {
				t.Errorf("told %q", reason)
			}
		}
		if len(r.events) != 2 { // one was under way
			t.Errorf("told of %d ends, want 2", len(r.events))
		}
	})
}
