package accept

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/postern-dev/postern"
)

// publishBatch begins to publish a batch of application 1.
func (w *world) publishBatch(ctx context.Context, batch ...postern.Publish) chan []Result {
	out := make(chan []Result, 1)
	for i := range batch {
		if batch[i].Application == 0 {
			batch[i].Application = 1
		}
	}
	go func() { out <- w.p.PublishBatch(ctx, batch) }()
	synctest.Wait()
	return out
}

// Messages of a batch share a commit; each stands for itself, and nobody is left
// at the gate.
func TestABatchSharesACommit(t *testing.T) {
	in(t, func(w *world) {
		out := w.publishBatch(w.t.Context(), event("1"), event("2"), event("1"), postern.Publish{Application: 9})
		select {
		case <-out:
			t.Fatal("answered before anything was durable")
		default:
		}
		b := w.build()
		if len(b.b.Accepts) != 2 {
			t.Fatalf("%d in the commit", len(b.b.Accepts))
		}
		b.end(nil)
		got := <-out
		if got[0].Err != nil || got[1].Err != nil || got[0].Duplicate || got[0].Message.ID == got[1].Message.ID {
			t.Errorf("%+v", got[:2])
		}
		if c := got[2]; c.Err != nil || !c.Duplicate || c.Message.ID != got[0].Message.ID {
			t.Errorf("a copy within the batch: %+v", c)
		}
		if !errors.Is(got[3].Err, postern.ErrNotFound) || got[3].Message != nil {
			t.Errorf("no such application: %+v", got[3])
		}
		empty(t, &w.p.gate)
	})
}

func TestABatchThatIsNotTaken(t *testing.T) {
	in(t, func(w *world) {
		w.refuse = postern.ErrUnavailable
		for i, r := range <-w.publishBatch(w.t.Context(), event("1"), event("2")) {
			if !errors.Is(r.Err, postern.ErrUnavailable) {
				t.Errorf("%d refused: %+v", i, r)
			}
		}
		w.refuse = nil
		ctx, leave := context.WithCancel(w.t.Context())
		out := w.publishBatch(ctx, event("1"))
		leave()
		if r := <-out; !errors.Is(r[0].Err, context.Canceled) {
			t.Errorf("its caller left: %+v", r[0])
		}
		w.build().end(nil)
		out = w.publishBatch(w.t.Context(), event("3"))
		w.build().end(errors.New("input/output error"))
		if r := <-out; r[0].Err == nil || r[0].Message != nil {
			t.Errorf("not stored: %+v", r[0])
		}
		w.p.gate.last, w.p.gate.turn = 2, w.p.gate.turn.AddDate(9999, 0, 0) // others publish, and too much waits
		w.p.gate.held = maxWaiting
		w.p.gate.apps[1] = &entrance{in: w.p.gate.places}
		if r := <-w.publishBatch(w.t.Context(), postern.Publish{Payload: []byte("x")}); !errors.Is(r[0].Err, postern.ErrUnavailable) {
			t.Errorf("at a full gate: %+v", r[0])
		}
		if r := w.p.PublishBatch(w.t.Context(), nil); len(r) > 0 {
			t.Errorf("nothing: %+v", r)
		}
	})
}
