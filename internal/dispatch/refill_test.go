package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// An attempt that our own side failed is read back while the store is being
// read: the read began before, and must not pass it.
func TestSetAsideDuringAScanIsNotPassed(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		var sent []*postern.Message
		for range 3 {
			sent = append(sent, r.publish(n))
		}
		tries := r.under()
		r.st.hold()
		r.say(answer{fault: true}, tries[0])
		r.commit()
		if r.st.waiting() != 1 {
			t.Fatal("the store is not read")
		}
		r.say(answer{fault: true}, tries[1])
		r.st.release()
		r.pass(patience)
		r.say(answer{code: 200}, r.under()...)
		r.commit()
		r.drain(answer{code: 200}, 10)
		for i, m := range sent {
			if s := r.standing(m, n); s.State != postern.Delivered {
				t.Errorf("message %d is %v", i, s.State)
			}
		}
	})
}

// On a quiet system no batch comes along to store the behind row.
func TestAFaultOnAQuietSystemIsTriedAgain(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.say(answer{fault: true}, r.only())
		r.pass(patience)
		r.say(answer{code: 200}, r.only())
		r.commit()
		if s := r.standing(m, n); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("%v after %d attempts", s.State, s.Attempts)
		}
	})
}

// A row that is put while the schedule is read, and found empty, is read when
// it is due.
func TestARowPutDuringAnEmptyReadIsRead(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.st.hold()
		r.d.mu.Lock() // as after a row that was there is gone
		l := r.d.lanes[n]
		l.dueNow = true
		r.d.refills.want(l)
		r.d.mu.Unlock()
		if r.st.waiting() != 1 {
			t.Fatal("the schedule is not read")
		}
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.st.release()
		r.pass(15 * time.Second)
		if y := r.only(); y.message != m.ID {
			t.Errorf("%v is tried", y.message)
		}
	})
}

// A lane that waits for its rate does not read its schedule again with every
// turn; its rows are tried when they are due all the same.
func TestARateReadsNoSchedule(t *testing.T) {
	bubble(t, Config{Schedule: postern.RetrySchedule{time.Minute}}, func(r *rig) {
		n := r.endpoint(app, func(v *postern.EndpointView) { v.Rate = 50 })
		fail := r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		for range 200 {
			r.publish(n)
		}
		before := r.st.reads()
		for range 5000 / 20 {
			r.pass(20 * time.Millisecond)
			r.say(answer{code: 200}, r.under()...)
			r.commit()
		}
		if s := r.d.Stats(); s.Queued > 0 {
			t.Errorf("%d are left after five seconds", s.Queued)
		}
		if reads := r.st.reads() - before; reads > 20 {
			t.Errorf("the store was read %d times", reads)
		}
		r.pass(80 * time.Second)
		if y := r.only(); y.message != fail.ID {
			t.Errorf("%v is tried", y.message)
		}
	})
}
