package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// rows are those that the store has of an endpoint, in the order of their
// schedule.
func (r *rig) rows(n postern.EndpointNumber) []postern.Row {
	r.t.Helper()
	rows, err := r.st.Store.Due(r.t.Context(), n, store.DueCursor{}, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return rows
}

// broken has an endpoint fail until only probes go out; none is under way.
func (r *rig) broken(n postern.EndpointNumber, messages int) {
	r.t.Helper()
	for range messages {
		r.publish(n)
	}
	for range 100 {
		r.say(answer{code: 500}, r.under(n)...)
		r.commit()
		if r.d.Stats().Probing == 1 {
			return
		}
		r.pass(time.Second)
	}
	r.t.Fatal("not probing")
}

// A probe is an ordinary attempt of the delivery that has been due for longest;
// the others wait, and use up no try. The first success lets the rest follow,
// twice as many from round to round.
func TestProbesAreOrdinaryAttempts(t *testing.T) {
	bubble(t, Config{Places: 64}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.broken(n, 40)
		r.pass(12 * time.Second) // all are due
		tries := map[postern.MessageID]int{}
		for _, row := range r.rows(n) {
			tries[row.Message] = row.Tries
		}
		for probe, pause := range []time.Duration{10 * time.Second, 20 * time.Second} {
			y := r.only()
			r.say(answer{code: 500}, y)
			r.commit()
			tries[y.message]++
			for _, row := range r.rows(n) {
				if row.Tries != tries[row.Message] {
					t.Errorf("probe %d: %v has used up %d tries, want %d", probe, row.Message, row.Tries, tries[row.Message])
				}
			}
			r.pass(pause - time.Second)
			if early := r.under(); len(early) > 0 {
				t.Fatalf("probe %d: the next comes before its pause", probe)
			}
			r.pass(time.Second + time.Millisecond)
		}
		for _, want := range []int{1, 2, 4, 8, 16} {
			if got := len(r.under()); got != want {
				t.Errorf("%d tries in a round, want %d", got, want)
			}
			r.say(answer{code: 200}, r.under()...)
			r.commit()
		}
		r.drain(answer{code: 200}, 10)
		r.pass(15 * time.Second)
		r.drain(answer{code: 200}, 10)
		if rows := r.rows(n); len(rows) > 0 {
			t.Errorf("%d are not delivered", len(rows))
		}
	})
}

// The oldest is probed with, and new messages neither are nor cost a try.
func TestProbesTakeTheOldest(t *testing.T) {
	bubble(t, Config{Places: 64}, func(r *rig) {
		n := r.endpoint(app, nil)
		r.broken(n, 25)
		oldest := r.rows(n)
		r.pass(13 * time.Second) // all are due
		late := r.publish(n)
		for i := range 3 {
			y := r.only()
			if want := oldest[i].Message; y.message != want {
				t.Errorf("probe %d is %d, want %d", i, y.message.Position(), want.Position())
			}
			r.say(answer{code: 500}, y)
			r.commit()
			r.pass(firstPause<<(i+1) + time.Millisecond)
		}
		if s := r.standing(late, n); s.Attempts > 0 {
			t.Error("a new message was tried")
		}
	})
}

// An endpoint that answers some requests keeps its lane and its schedule.
func TestAnEndpointThatAnswersSomeIsNotProbed(t *testing.T) {
	bubble(t, Config{Places: 64}, func(r *rig) {
		n := r.endpoint(app, nil)
		for i := range 120 {
			r.publish(n)
			for _, y := range r.under() {
				code := 500
				if i%15 == 14 {
					code = 200
				}
				r.say(answer{code: code}, y)
			}
			r.commit()
			r.pass(time.Second)
			if s := r.d.Stats(); s.Probing > 0 {
				t.Fatalf("probing after %d s", i)
			}
		}
	})
}
