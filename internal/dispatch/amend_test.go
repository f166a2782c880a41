package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/storetest"
)

// covered fails the test where a delivery of the store is bare.
func (r *rig) covered() {
	r.t.Helper()
	if err := storetest.CheckCover(r.t.Context(), r.st); err != nil {
		r.t.Error(err)
	}
}

// A message that was for nobody, and that Low was past, is for somebody by now.
func TestReroutedMessagesHoldLow(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		to, from, still := r.accept(), r.accept(n), r.accept(n)
		b := r.build(to, from, still)
		if b.Head.Low != 2 {
			t.Fatalf("low %d", b.Head.Low)
		}
		b.reopen()
		b.reroute(to, n)
		b.reroute(from)
		b.close()
		if b.Head.Low != 1 {
			t.Errorf("low %d past a message that is routed now", b.Head.Low)
		}
		b.reopen() // once more
		b.close()
		b.store()
		r.covered()
		b.tell()
		if tries := r.under(); len(tries) != 2 {
			t.Errorf("%d tries, want 2", len(tries))
		}
		r.drain(answer{code: 200}, 3)
		if r.head.Low != 4 {
			t.Errorf("low %d in the end", r.head.Low)
		}
	})
}

// What left its batch holds nothing up: neither Low, nor the row of a lane that has
// nothing to do besides.
func TestWithdrawnMessagesHoldNothing(t *testing.T) {
	bubble(t, Config{Places: 1, QueueLength: 2}, func(r *rig) {
		n := r.endpoint(app, nil)
		for range 5 {
			r.publish(n)
		}
		r.commit(r.accept())
		if r.row(n) == nil {
			t.Fatal("it is not behind")
		}
		gone := r.accept(n)
		b := r.build(gone)
		b.reopen()
		b.withdraw(gone)
		b.close()
		b.store().tell()
		if b.Head.Next != 8 || len(b.Accepts) > 0 {
			t.Errorf("next %d, %d accepts", b.Head.Next, len(b.Accepts))
		}
		r.drain(answer{code: 200}, 10)
		for range 3 {
			r.pass(time.Second)
			r.d.Idle()
			r.commit()
		}
		if row := r.row(n); row != nil || r.head.Low != r.head.Next {
			t.Errorf("row %v, low %d of %d", row, r.head.Low, r.head.Next)
		}
		if last := r.publish(n); last.ID.Position() != 8 || r.only().message != last.ID {
			t.Errorf("the next message has position %d", last.ID.Position())
		}
	})
}

// Lanes go on while a batch is amended: what goes behind then is in the batch, and
// what it took away comes back.
func TestLanesGoOnWhileABatchIsAmended(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.publish(n)
		waits := r.publish(n)
		to := r.accept()
		b := r.build(to, r.accept())
		b.reopen()
		r.edit(n, paused)
		r.say(answer{fault: true}, r.only()) // has the lane looked at, and park
		b.reroute(to, n)
		b.close()
		b.store()
		r.covered()
		if row := r.row(n); row == nil || row.From.Compare(waits.ID) > 0 || b.Head.Low != 3 {
			t.Errorf("row %v, low %d", row, b.Head.Low)
		}
		b.tell()
		r.commit(r.accept())
		r.covered()
		r.edit(n, resumed)
		r.pass(time.Minute)
		for range 5 {
			r.drain(answer{code: 200}, 10)
			r.pass(time.Second)
			r.commit(r.accept())
		}
		if s := r.standing(to.m, n); s.State != postern.Delivered {
			t.Errorf("the rerouted message is %v", s.State)
		}
		if r.row(n) != nil || r.head.Low != r.head.Next {
			t.Errorf("row %v, low %d of %d", r.row(n), r.head.Low, r.head.Next)
		}
	})
}
