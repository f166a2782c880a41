package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// outline is what a batch does to deliveries, and what the command returned.
type outline struct {
	Attempts           []postern.State // of those that were settled
	Finals, Puts, Dels int
	Undead             int // taken out of the index of dead ones
	Err                error
	End                postern.State // of the delivery, when all is quiet
	Tried              int           // attempts recorded in the end
}

func outlineOf(b *batch) outline {
	o := outline{Finals: len(b.Finals)}
	for _, a := range b.Attempts {
		o.Attempts = append(o.Attempts, a.State)
	}
	for _, c := range b.Rows {
		if c.Put != nil {
			o.Puts++
		}
		if c.Delete != nil {
			o.Dels++
		}
	}
	for _, c := range b.Dead {
		if c.Delete {
			o.Undead++
		}
	}
	return o
}

// phases bring a delivery to where a command finds it. Each returns with
// nothing waiting for a batch but what its name says.
func phases() map[string]func(r *rig, n postern.EndpointNumber) *postern.Message {
	fail := func(r *rig, n postern.EndpointNumber) *postern.Message {
		m := r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		return m
	}
	return map[string]func(r *rig, n postern.EndpointNumber) *postern.Message{
		"not in memory": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := fail(r, n)
			r.pass(5 * time.Second)
			return m
		},
		"parked": func(r *rig, n postern.EndpointNumber) *postern.Message {
			r.edit(n, paused)
			m := r.publish(n)
			r.commit(r.accept())
			return m
		},
		"queued first try": func(r *rig, n postern.EndpointNumber) *postern.Message {
			r.block()
			return r.publish(n)
		},
		"queued row": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := fail(r, n)
			r.block()
			r.pass(20 * time.Second)
			return m
		},
		"running": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := r.publish(n)
			r.only(n)
			return m
		},
		"settling": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := r.publish(n)
			r.say(answer{code: 500}, r.only(n))
			return m
		},
		"delivered": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := r.publish(n)
			r.say(answer{code: 200}, r.only(n))
			r.commit()
			return m
		},
		"dead": func(r *rig, n postern.EndpointNumber) *postern.Message {
			m := r.publish(n)
			r.say(answer{code: 500, edit: func(a *postern.Attempt) { a.Permanent = true }}, r.only(n))
			r.commit()
			return m
		},
	}
}

// block takes the one place there is, until unblock.
func (r *rig) block() { r.publish(r.endpoint(9, nil)) }

// unblock has all that is under way, and what follows from it, succeed.
func (r *rig) unblock() {
	for _, n := range r.cat.numbers() {
		r.edit(n, resumed)
	}
	for range 4 {
		r.drain(answer{code: 200}, 10)
		r.commit()
		r.pass(20 * time.Second)
	}
	r.drain(answer{code: 200}, 10)
}

// run takes a delivery to a phase, and gives orders that one batch takes.
func runCommands(t *testing.T, phase func(r *rig, n postern.EndpointNumber) *postern.Message, orders string) (got outline) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := phase(r, n)
		var results []chan error
		for _, o := range orders {
			do := r.d.Resend
			if o == 'c' {
				do = r.d.Cancel
			}
			results = append(results, r.order(do, r.key(m, n)))
		}
		b := r.build()
		synctest.Wait()
		for _, result := range results {
			if len(result) > 0 {
				t.Error("answered before the batch is stored")
			}
		}
		b.store().tell()
		got = outlineOf(b)
		for _, result := range results {
			got.Err = errors.Join(got.Err, <-result)
		}
		r.unblock()
		s := r.standing(m, n)
		got.End, got.Tried = s.State, s.Attempts
		if s.Row != nil || r.d.Stats().InFlight+r.d.Stats().Queued > 0 {
			t.Errorf("left: %+v, %+v", s, r.d.Stats())
		}
	})
	return got
}

func TestResendInEveryPhase(t *testing.T) {
	retrying := []postern.State{postern.Retrying}
	for name, want := range map[string]outline{
		"not in memory":    {Puts: 1, Dels: 1, End: postern.Delivered, Tried: 2},
		"parked":           {Puts: 1, End: postern.Delivered, Tried: 1},
		"queued first try": {Puts: 1, End: postern.Delivered, Tried: 1},
		"queued row":       {Puts: 1, Dels: 1, End: postern.Delivered, Tried: 2},
		"running":          {Puts: 1, End: postern.Delivered, Tried: 2},
		"settling":         {Attempts: retrying, Puts: 1, End: postern.Delivered, Tried: 2},
		"delivered":        {Puts: 1, End: postern.Delivered, Tried: 2},
		"dead":             {Puts: 1, Undead: 1, End: postern.Delivered, Tried: 2},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, runCommands(t, phases()[name], "r")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCancelInEveryPhase(t *testing.T) {
	for name, want := range map[string]outline{
		"not in memory":    {Finals: 1, Dels: 1, End: postern.Canceled, Tried: 1},
		"parked":           {Finals: 1, End: postern.Canceled},
		"queued first try": {Finals: 1, End: postern.Canceled},
		"queued row":       {Finals: 1, Dels: 1, End: postern.Canceled, Tried: 1},
		"running":          {Finals: 1, End: postern.Canceled, Tried: 1},
		"settling":         {Attempts: []postern.State{postern.Canceled}, Finals: 1, End: postern.Canceled, Tried: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, runCommands(t, phases()[name], "c")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, name := range []string{"delivered", "dead"} {
		if got := runCommands(t, phases()[name], "c"); postern.KindOf(got.Err) != postern.Conflict || got.Finals+got.Puts+got.Dels > 0 {
			t.Errorf("%s: %+v, want a conflict", name, got)
		}
	}
}

// Two commands in one batch: the second sees what the first did.
func TestCommandsOfOneBatch(t *testing.T) {
	for name, phase := range phases() {
		if name == "delivered" || name == "dead" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if got := runCommands(t, phase, "cr"); got.Err != nil || got.End != postern.Delivered {
				t.Errorf("cancel, then resend: %+v", got)
			}
			if got := runCommands(t, phase, "rc"); got.Err != nil || got.End != postern.Canceled {
				t.Errorf("resend, then cancel: %+v", got)
			}
			if got := runCommands(t, phase, "cc"); postern.KindOf(got.Err) != postern.Conflict || got.Finals != 1 {
				t.Errorf("canceled twice: %+v", got)
			}
			if got := runCommands(t, phase, "rr"); got.Err != nil || got.Puts != 2 || got.End != postern.Delivered {
				t.Errorf("resent twice: %+v", got)
			}
			if got := runCommands(t, phase, "rcc"); postern.KindOf(got.Err) != postern.Conflict || got.Finals != 1 {
				t.Errorf("resent, canceled twice: %+v", got)
			}
		})
	}
}

// A settle that is already in the batch is seen by the command behind it.
func TestCommandsBehindTheSettle(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		result := r.order(r.d.Resend, r.key(m, n)) // while it runs
		r.commit()
		r.say(answer{code: 500}, r.only())
		second := r.order(r.d.Resend, r.key(m, n))
		settles, commands := r.settles, r.commands
		r.settles, r.commands = nil, nil
		b := r.buildOf(settles[0], commands[0]).store().tell()
		if err := errors.Join(<-result, <-second); err != nil {
			t.Error(err)
		}
		if o := outlineOf(b); o.Puts != 1 || o.Dels != 1 {
			t.Errorf("the second resend moves the first's row: %+v", o)
		}
		r.unblock()
		rows, err := r.st.Due(r.t.Context(), n, store.DueCursor{}, 10)
		if err != nil || len(rows) > 0 || r.standing(m, n).Attempts != 2 {
			t.Errorf("left in the schedule: %+v, %v; %+v", rows, err, r.standing(m, n))
		}
	})
}

// What a read of the store finds of a delivery, between the building and the
// end of a command on it, is not believed.
func TestCommandsDuringARead(t *testing.T) {
	for name, tc := range map[string]struct {
		order rune
		end   postern.State
		tried int
	}{"cancel": {'c', postern.Canceled, 0}, "resend": {'r', postern.Delivered, 1}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{}, func(r *rig) {
				n := r.endpoint(app, paused)
				m := r.publish(n)
				r.commit(r.accept())
				r.st.hold()
				r.edit(n, resumed) // the scan has read, and waits
				do := r.d.Resend
				if tc.order == 'c' {
					do = r.d.Cancel
				}
				result := r.order(do, r.key(m, n))
				b := r.build().store()
				r.st.release()
				if tries := r.under(); len(tries) > 0 {
					t.Error("tried from what was read before")
				}
				b.tell()
				if err := <-result; err != nil {
					t.Error(err)
				}
				r.unblock()
				if s := r.standing(m, n); s.State != tc.end || s.Attempts != tc.tried {
					t.Errorf("%v after %d attempts", s.State, s.Attempts)
				}
			})
		})
	}
}

// An attempt is never written over another: not after a fault, nor after a
// cancel and a resend while it ran.
func TestAttemptNumbersAreNotUsedTwice(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		running := r.only()
		r.order(r.d.Cancel, r.key(m, n))
		r.order(r.d.Resend, r.key(m, n))
		r.commit()
		r.say(answer{code: 500}, running)
		r.commit()
		second := r.only()
		r.order(r.d.Resend, r.key(m, n))
		r.commit()
		r.say(answer{fault: true}, second)
		r.pass(time.Second)
		r.say(answer{code: 200}, r.only())
		r.commit()
		r.order(r.d.Resend, r.key(m, n))
		r.commit()
		r.say(answer{code: 200}, r.only())
		r.commit()
		if s := r.standing(m, n); s.Attempts != 3 || s.State != postern.Delivered {
			t.Errorf("%+v, want three attempts", s)
		}
	})
}

func TestCommandsOnWhatIsNotThere(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		gone := *m
		gone.ID[19]++
		for name, key := range map[string]store.DeliveryKey{
			"another application": {Application: 2, Endpoint: n, Message: m.ID},
			"no such message":     r.key(&gone, n),
		} {
			for _, do := range []chan error{r.order(r.d.Resend, key), r.order(r.d.Cancel, key)} {
				b := r.commit()
				if err := <-do; !errors.Is(err, postern.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
				if o := outlineOf(b); o.Puts+o.Finals > 0 {
					t.Errorf("%s: stored %+v", name, o)
				}
			}
		}
	})
}
