package dispatch

import (
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// spreadByHand has a rig start again, and the test spread what arrives.
func (r *rig) spreadByHand() {
	r.byHand = true
	r.restart()
}

func (r *rig) endpoints(n int, app postern.ApplicationNumber) []postern.EndpointNumber {
	var list []postern.EndpointNumber
	for range n {
		list = append(list, r.endpoint(app, nil))
	}
	return list
}

// A fan-out is handed over in slices, which nobody's 2xx waits for; what comes
// after it follows it, and Low waits for the last.
func TestAFanOutIsHandedOverInSlices(t *testing.T) {
	bubble(t, Config{Slice: 2}, func(r *rig) {
		many, other := r.endpoints(5, 1), r.endpoint(2, nil)
		r.spreadByHand()
		fan, next := r.accept(many...), r.accept(other)
		r.commit(fan, next)
		if !fan.acked || !next.acked || len(r.under()) != 2 {
			t.Fatalf("acknowledged %t, %t, with %d tries", fan.acked, next.acked, len(r.under()))
		}
		r.say(answer{code: 200}, r.under()...)
		if b := r.commit(); b.Head.Low != 1 {
			t.Errorf("low %d while three are not handed over", b.Head.Low)
		}
		var order []int
		for r.spread() {
			order = append(order, len(r.under(many...)), len(r.under(other)))
		}
		if !slices.Equal(order, []int{2, 0, 3, 0}) || len(r.under(other)) != 1 {
			t.Errorf("tries after each slice: %v", order)
		}
		r.drain(answer{code: 200}, 3)
		if b := r.commit(r.accept()); b.Head.Low != b.Head.Next {
			t.Errorf("low %d of %d in the end", b.Head.Low, b.Head.Next)
		}
	})
}

// Of much that can start at once, some does, and others have their turn before
// the rest.
func TestMuchStartsInSlices(t *testing.T) {
	bubble(t, Config{Slice: 200, Places: 200}, func(r *rig) {
		many := r.endpoints(100, 1)
		r.spreadByHand()
		r.publish(many...)
		if n := len(r.under()); n != startAtOnce {
			t.Errorf("%d started at once", n)
		}
		for r.spread() {
		}
		if n := len(r.under()); n != len(many) {
			t.Errorf("%d started in the end", n)
		}
	})
}

// Without a test's hand the rest follows by itself, on a quiet system too.
func TestAFanOutIsSpread(t *testing.T) {
	bubble(t, Config{Slice: 2}, func(r *rig) {
		many := r.endpoints(9, 1)
		r.commit(r.accept(many...))
		if n := len(r.under()); n != len(many) {
			t.Errorf("%d tries of %d", n, len(many))
		}
	})
}

// However fast fan-outs arrive, what waits to be handed over is bounded: behind
// a spreader that has no turn, batches hand over themselves.
func TestFanOutsDoNotPileUp(t *testing.T) {
	bubble(t, Config{Slice: 2, MaxClaims: 20}, func(r *rig) {
		many := r.endpoints(8, 1)
		r.spreadByHand()
		for range 10 {
			r.publish(many...)
		}
		waiting := 0
		for i := range r.d.arrivals.queue.len() {
			a := r.d.arrivals.queue.at(i)
			waiting += len(a.message.Routes) - a.next
		}
		if waiting == 0 || waiting > 20 {
			t.Errorf("%d deliveries wait to be handed over, want some, and at most 20", waiting)
		}
		for r.spread() {
		}
		for range 20 {
			r.drain(answer{code: 200}, 10)
			r.pass(time.Second)
			r.commit(r.accept())
		}
		if got := len(r.attempts); got != 80 || r.head.Low != r.head.Next {
			t.Errorf("%d tries of 80, low %d of %d", got, r.head.Low, r.head.Next)
		}
	})
}

// A command comes before the hand-over: it alone says what becomes of the
// delivery.
func TestCommandsBeforeTheHandOver(t *testing.T) {
	bubble(t, Config{Slice: 1}, func(r *rig) {
		three := r.endpoints(3, 1)
		r.spreadByHand()
		m := r.publish(three...)
		r.order(r.d.Cancel, r.key(m, three[1]))
		r.order(r.d.Resend, r.key(m, three[2]))
		r.commit()
		for r.spread() {
		}
		r.pass(time.Second)
		tries := r.under()
		if len(tries) != 2 || tries[0].endpoint != three[0] || tries[1].attempt.Trigger != postern.Manual {
			t.Fatalf("%d tries", len(tries))
		}
		r.drain(answer{code: 200}, 3)
		if s := r.standing(m, three[1]); s.State != postern.Canceled {
			t.Errorf("the canceled one is %v", s.State)
		}
		if s := r.standing(m, three[2]); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("the resent one is %v after %d attempts", s.State, s.Attempts)
		}
		if b := r.commit(r.accept()); b.Head.Low != b.Head.Next {
			t.Errorf("low %d of %d", b.Head.Low, b.Head.Next)
		}
	})
}

// A lane that is read back while a fan-out is handed over gets its delivery
// once, whether its turn has come or not.
func TestScansDuringAHandOver(t *testing.T) {
	for name, handed := range map[string]int{"before its turn": 0, "after its turn": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Slice: 1, QueueLength: 2}, func(r *rig) {
				three := r.endpoints(3, 1)
				lane := three[1]
				r.spreadByHand()
				r.edit(lane, paused)
				m := r.publish(three...)
				for range handed {
					r.spread()
				}
				r.edit(lane, resumed)
				r.commit(r.accept())
				for r.spread() {
				}
				received := 0
				for range 4 {
					received += len(r.under(lane))
					r.drain(answer{code: 200}, 1)
					r.pass(time.Second)
					r.commit(r.accept())
				}
				if s := r.standing(m, lane); received != 1 || s.State != postern.Delivered {
					t.Errorf("tried %d times, %v", received, s.State)
				}
				if r.row(lane) != nil || r.head.Low != r.head.Next {
					t.Errorf("row %v, low %d of %d", r.row(lane), r.head.Low, r.head.Next)
				}
			})
		})
	}
}

// What was not handed over when the dispatcher stopped goes on at the next
// start.
func TestStopDuringAHandOver(t *testing.T) {
	bubble(t, Config{Slice: 1}, func(r *rig) {
		three := r.endpoints(3, 1)
		r.spreadByHand()
		m := r.publish(three...)
		r.d.mu.Lock()
		r.d.stopping = true
		r.d.mu.Unlock()
		r.commit(r.accept(three...))
		r.restart()
		r.drain(answer{code: 200}, 5)
		for _, n := range three {
			if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != 1 {
				t.Errorf("%d is %v after %d attempts", n, s.State, s.Attempts)
			}
		}
	})
}

// TestArrivalOfAMessage finds each that is on its way, wherever the ring begins.
func TestArrivalOfAMessage(t *testing.T) {
	var s arrivals
	var ids []postern.MessageID
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for n := range 200 {
		id := postern.NewMessageID(at.Add(time.Duration(n/7)*time.Second), 0, uint64(n+1), 5)
		s.queue.push(&arrival{message: &postern.Message{ID: id}})
		if ids = append(ids, id); n%3 == 0 {
			s.queue.pop()
		}
	}
	handed := len(ids) - s.queue.len()
	for n, id := range ids {
		if a := s.of(id); (a != nil) != (n >= handed) || a != nil && a.message.ID != id {
			t.Errorf("message %d of %d, %d of them handed over: %v", n, len(ids), handed, a)
		}
	}
	if a := s.of(following(ids[len(ids)-1])); a != nil {
		t.Errorf("what is behind them all: %v", a)
	}
}
