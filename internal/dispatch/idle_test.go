package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// settled asks whether the journal is idle until that is so, with the batches that
// it asks for, at most so often.
func (r *rig) settled(rounds int) bool {
	for range rounds {
		if r.d.Idle() {
			return true
		}
		if r.mu.Lock(); len(r.settles) > 0 {
			r.mu.Unlock()
			r.commit()
			continue
		}
		r.mu.Unlock()
		return false
	}
	return false
}

// A journal is idle when everything is delivered and stored as such, by batches
// that nothing but Idle would make.
func TestIdle(t *testing.T) {
	bubble(t, Config{Places: 1, QueueLength: 2}, func(r *rig) {
		if !r.d.Idle() {
			t.Fatal("a new journal is not idle")
		}
		n := r.endpoint(app, nil)
		if !r.settled(1) {
			t.Fatal("an endpoint is something to do")
		}
		for range 9 {
			r.publish(n)
		}
		for range 20 {
			if r.settled(3) {
				t.Fatal("idle with messages to deliver")
			}
			if r.head.Low == r.head.Next && r.row(n) == nil {
				t.Fatal("nothing covers them")
			}
			if tries := r.under(); len(tries) > 0 {
				r.say(answer{code: 200}, tries...)
				if r.settled(1) {
					t.Fatal("idle with a settle that is not stored")
				}
				r.commit()
			}
			r.pass(time.Second)
			if s := r.d.Stats(); s.Queued+s.InFlight == 0 {
				break
			}
		}
		if !r.settled(3) || r.head.Low != r.head.Next || r.row(n) != nil {
			t.Errorf("in the end: low %d of %d, row %v", r.head.Low, r.head.Next, r.row(n))
		}
		if r.restart(); !r.settled(1) {
			t.Error("not idle after a restart")
		}
	})
}

// The row of a lane that has caught up goes with a batch, which Idle asks for.
func TestIdleTakesRowsAway(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, paused)
		m := r.publish(n)
		r.commit(r.accept())
		r.order(r.d.Cancel, r.key(m, n))
		r.commit()
		r.edit(n, resumed) // there is nothing to read any more
		if r.row(n) == nil || r.d.Idle() {
			t.Fatalf("idle with a row, %v", r.row(n))
		}
		if !r.settled(3) || r.row(n) != nil {
			t.Errorf("row %v", r.row(n))
		}
	})
}

// What waits is not idle: for its schedule, for its endpoint to be resumed, for
// consumers, for the batch of a command.
func TestWaitingIsNotIdle(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n, p := r.endpoint(app, nil), r.endpoint(app, paused)
		r.publish(n)
		r.say(answer{code: 500}, r.only())
		r.commit()
		if r.pass(time.Second); r.settled(3) {
			t.Error("idle with a retry to come")
		}
		r.pass(12 * time.Second)
		r.drain(answer{code: 200}, 2)
		if !r.settled(3) {
			t.Error("not idle after the retry")
		}
		m := r.publish(p)
		for range 3 {
			if r.pass(time.Second); r.settled(3) {
				t.Error("idle with a backlog")
			}
		}
		if r.restart(); r.settled(3) {
			t.Error("idle with a backlog, after a restart")
		}
		r.order(r.d.Cancel, r.key(m, p))
		r.commit()
		r.edit(p, resumed)
		r.pass(time.Second)
		if !r.settled(3) {
			t.Error("not idle after the backlog was canceled")
		}
	})
}

// What a deleted endpoint leaves needs no message to come before the journal is
// idle: no other would.
func TestIdleAfterADeletedEndpoint(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		for range 3 {
			r.publish(n)
		}
		r.end()
		r.cat.views[n].Deleted = true
		r.start()
		for range 3 {
			r.pass(time.Second)
		}
		if !r.settled(3) || r.head.Low != r.head.Next {
			t.Errorf("low %d of %d", r.head.Low, r.head.Next)
		}
	})
}

// Messages of other journals have positions that mean others here.
func TestOtherJournalsMessagesAreRefused(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		foreign := postern.NewMessageID(m.ID.Time(), 7, m.ID.Position(), 1)
		key := store.DeliveryKey{Application: app, Endpoint: n, Message: foreign}
		for name, do := range map[string]func(ctx context.Context) error{
			"resend":  func(ctx context.Context) error { return r.d.Resend(ctx, key) },
			"cancel":  func(ctx context.Context) error { return r.d.Cancel(ctx, key) },
			"expunge": func(ctx context.Context) error { return r.d.Expunge(ctx, app, foreign) },
			"replay": func(context.Context) error {
				_, _, err := r.d.Replay(Slice{Application: app, Endpoint: n, Messages: []postern.MessageID{m.ID, foreign}})
				return err
			},
		} {
			if err := do(t.Context()); err == nil || postern.KindOf(err) != postern.Internal {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(r.commands) > 0 {
			t.Errorf("%d commands", len(r.commands))
		}
	})
}
