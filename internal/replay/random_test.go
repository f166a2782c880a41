package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// restless has deliveries change before each read.
type restless struct {
	Store
	stir func()
}

func (s *restless) Messages(ctx context.Context, app postern.ApplicationNumber, f store.MessageFilter, p store.Page) (store.MessagePage, error) {
	s.stir()
	return s.Store.Messages(ctx, app, f, p)
}

func (s *restless) Dead(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, p store.Page) (store.DeadPage, error) {
	s.stir()
	return s.Store.Dead(ctx, app, n, p)
}

func (s *restless) Waiting(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, p store.Page) (store.RowPage, error) {
	s.stir()
	return s.Store.Waiting(ctx, app, n, p)
}

// TestPicksWhileDeliveriesChange: in pieces of any size each message is chosen
// once at most, and those that fit all the time are.
func TestPicksWhileDeliveriesChange(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 4))
			r := newRig(t)
			var messages []*postern.Message
			for range 40 {
				m := r.publish(func(m *postern.Message) {
					if rng.IntN(3) == 0 {
						m.Tags = []string{"t"}
					}
				}, postern.EndpointNumber(1+rng.IntN(4)/3))
				messages = append(messages, m)
				if rng.IntN(4) > 0 {
					r.change(rng, m)
				}
			}
			of := &postern.Replay{Application: app, To: 1, Selection: postern.Selection{
				From: 1, Status: postern.ReplayStatuses()[rng.IntN(5)], Since: r.now.Add(-time.Hour), Until: r.now.Add(time.Millisecond),
			}}
			if rng.IntN(2) == 0 {
				of.Selection.Tag = "t"
			}
			fits := func(m *postern.Message) bool {
				st, err := r.st.Standing(t.Context(), r.key(m, 1))
				if err != nil {
					t.Fatal(err)
				}
				if of.Selection.Tag != "" && len(m.Tags) == 0 {
					return false
				}
				routed := slices.Contains(m.Routes, 1)
				switch of.Selection.Status {
				case postern.StatusMissing:
					return !routed && stands(of.Selection.Status, st)
				case postern.StatusAll, postern.StatusDelivered:
					return (routed || st.Attempts > 0) && stands(of.Selection.Status, st)
				}
				return stands(of.Selection.Status, st)
			}
			still := map[uint64]bool{}
			for _, m := range messages {
				still[m.ID.Position()] = fits(m)
			}
			r.cfg.Store = &restless{Store: r.st, stir: func() {
				for range 3 {
					m := messages[rng.IntN(len(messages))]
					r.change(rng, m)
					if !fits(m) {
						still[m.ID.Position()] = false
					}
				}
			}}
			chosen := map[uint64]int{}
			var cursor postern.MessageID
			for turns := 0; ; turns++ {
				p, err := r.pick(t.Context(), of, cursor, 1+rng.IntN(6))
				if err != nil || turns > 200 {
					t.Fatal(turns, err)
				}
				for _, id := range p.messages {
					if id.Compare(cursor) <= 0 || id.Compare(p.cursor) > 0 {
						t.Errorf("%v is chosen between %v and %v", id, cursor, p.cursor)
					}
					chosen[id.Position()]++
				}
				if cursor = p.cursor; p.done {
					break
				}
			}
			for position, must := range still {
				if n := chosen[position]; n > 1 || must && n == 0 {
					t.Errorf("%s: message %d was chosen %d times; it fits: %t", of.Selection.Status, position, n, must)
				}
			}
		})
	}
}

// change moves a delivery to endpoint 1 on, as dispatch could.
func (r *rig) change(rng *rand.Rand, m *postern.Message) {
	r.t.Helper()
	st, err := r.st.Standing(r.t.Context(), r.key(m, 1))
	if err != nil {
		r.t.Fatal(err)
	}
	if st.State.Final() || st.Row == nil && !slices.Contains(m.Routes, 1) {
		return
	}
	state := []postern.State{postern.Retrying, postern.Delivered, postern.Dead}[rng.IntN(3)]
	a := &postern.Attempt{
		ID: postern.NewAttemptID(r.now, 0, r.head.Batch+1, 0, 1), Message: m.ID, Application: app, Endpoint: 1, N: st.Attempts + 1,
		State: state, Succeeded: state == postern.Delivered, Started: r.now,
	}
	b := store.Batch{Attempts: []*postern.Attempt{a}}
	change := store.RowChange{Delete: st.Row}
	switch state {
	case postern.Dead:
		b.Dead = []store.DeadChange{{Key: r.key(m, 1)}}
	case postern.Retrying:
		change.Put = &postern.Row{Endpoint: 1, Application: app, Message: m.ID, Generation: r.head.Batch + 1, Tries: a.N, Attempts: a.N, Next: r.now.Add(time.Hour), Wait: time.Hour}
	}
	if change != (store.RowChange{}) {
		b.Rows = []store.RowChange{change}
	}
	r.commit(b)
}
