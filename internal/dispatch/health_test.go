package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// An attempt under way is settled by the health that another node stored meanwhile.
func TestHealthOfOthers(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		since := r.now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
		r.publish(n)
		y := r.only()
		r.cat.ApplyHealth(n, postern.Health{FailingSince: since, Failures: 3})
		r.say(answer{code: 500}, y)
		b := r.commit()
		want := postern.Health{FailingSince: since, Failures: 4}
		if len(b.Health) != 1 || b.Health[0].Health != want {
			t.Fatalf("%+v, want %+v", b.Health, want)
		}
		r.cat.ApplyHealth(n, postern.Health{}) // it answered another node
		r.pass(15 * time.Second)
		r.say(answer{code: 200}, r.only())
		if b := r.commit(); len(b.Health) > 0 {
			t.Errorf("stored again: %+v", b.Health)
		}
		r.publish(n)
		r.cat.ApplyHealth(n, postern.Health{Disabled: postern.DisabledGone, DisabledAt: since})
		r.say(answer{code: 500}, r.only())
		r.commit()
		if r.pass(time.Minute); len(r.under()) > 0 {
			t.Error("tried though another node disabled the endpoint")
		}
	})
}

// What is learned while an own batch stores the same endpoint's health is older.
func TestOwnHealthIsLater(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		for range 2 {
			r.publish(n)
		}
		tries := r.under()
		r.say(answer{code: 500}, tries[0])
		b := r.build()
		own := b.Health[0].Health
		r.cat.ApplyHealth(n, postern.Health{})
		b.store().tell()
		r.say(answer{code: 200}, tries[1])
		if b := r.commit(); len(b.Health) != 1 || own == (postern.Health{}) || b.Health[0].Health != (postern.Health{}) {
			t.Errorf("%+v after %+v: the success is not stored", b.Health, own)
		}
		r.publish(n)
		h := postern.Health{FailingSince: own.FailingSince, Failures: 5}
		r.cat.ApplyHealth(n, h) // between two batches it is what there is
		r.say(answer{code: 500}, r.only())
		if b := r.commit(); len(b.Health) != 1 || b.Health[0].Health.Failures != 6 {
			t.Errorf("%+v after %+v", b.Health, h)
		}
	})
}

// A reset that left its batch, and so was never made visible, has not happened.
func TestResetLeavesWithItsBatch(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		since := r.now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
		r.cat.ApplyHealth(n, postern.Health{FailingSince: since, Failures: 3})
		b := r.build(&partFunc{build: func(*store.Batch) { r.d.Reset(n, postern.Health{}) }})
		if h := r.d.health(r.d.lanes[n]); h != (postern.Health{}) {
			t.Fatalf("%+v is not reset", h)
		}
		b.reopen()
		b.close()
		b.store().tell()
		r.publish(n)
		r.say(answer{code: 500}, r.only())
		if b := r.commit(); len(b.Health) != 1 || b.Health[0].Health.Failures != 4 {
			t.Errorf("%+v", b.Health)
		}
	})
}
