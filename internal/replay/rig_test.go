package replay

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

const app postern.ApplicationNumber = 1

// rig is a runner on a store in memory. The test walks it turn by turn, and
// stands in for dispatch: a started delivery is a row and nothing else.
type rig struct {
	*Runner
	t     *testing.T
	st    *embedded.Store
	head  store.Head
	views map[postern.EndpointNumber]*postern.EndpointView
	dead  map[postern.ApplicationNumber]bool // applications that are gone
	now   time.Time
	// startErr and commitErr are what the next slices and changes fail with.
	startErr, commitErr error
	slices              []int  // how many messages each slice had
	expunging           func() // called before a slice is expunged
}

func newRig(t *testing.T) *rig {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{
		t: t, st: st, head: store.Head{Next: 1, Low: 1},
		views: map[postern.EndpointNumber]*postern.EndpointView{}, dead: map[postern.ApplicationNumber]bool{},
		now: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC),
	}
	r.begin()
	for n := postern.EndpointNumber(1); n <= 2; n++ {
		r.views[n] = &postern.EndpointView{Endpoint: postern.Endpoint{Number: n, Application: app, Kind: postern.HTTPEndpoint}}
	}
	return r
}

// begin makes a runner of what the store holds.
func (r *rig) begin() {
	r.t.Helper()
	r.Runner = New(Config{
		Store: r.st, Start: r.start, Expunge: r.expunge,
		Commit: func(_ context.Context, changes ...store.Change) error {
			if r.commitErr != nil {
				return r.commitErr
			}
			r.commit(store.Batch{Changes: changes})
			return nil
		},
		Endpoint: func(n postern.EndpointNumber) *postern.EndpointView { return r.views[n] },
		Alive:    func(app postern.ApplicationNumber) bool { return !r.dead[app] },
		Matches: func(v *postern.EndpointView, eventType string, _ []string) bool {
			return len(v.EventTypes) == 0 || slices.Contains(v.EventTypes, eventType)
		},
		Newest: func(context.Context) (time.Time, error) { return r.head.LastTime, nil },
		IDs:    &postern.IDSource{Now: r.clock, Random: rand.Reader},
		Now:    r.clock,
	})
	err := r.st.Load(r.t.Context(), func(record any) error {
		if replay, ok := record.(*postern.Replay); ok {
			r.Add(replay)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) clock() time.Time { return r.now }

func (r *rig) commit(b store.Batch) {
	r.t.Helper()
	r.head.Batch++
	r.head.LastTime = r.now
	b.Head = r.head
	if err := r.st.Commit(r.t.Context(), &b); err != nil {
		r.t.Fatal(err)
	}
}

// start is dispatch's: rows and the record in one batch.
func (r *rig) start(s Slice) (taken, started int, err error) {
	if r.startErr != nil {
		return 0, 0, r.startErr
	}
	r.slices = append(r.slices, len(s.Messages))
	var b store.Batch
	for _, id := range s.Messages {
		key := store.DeliveryKey{Application: s.Application, Endpoint: s.Endpoint, Message: id}
		standing, err := r.st.Standing(r.t.Context(), key)
		if err != nil {
			return 0, 0, err
		}
		if !s.Wants(standing) {
			continue
		}
		b.Rows = append(b.Rows, store.RowChange{Delete: standing.Row, Put: &postern.Row{
			Endpoint: s.Endpoint, Application: s.Application, Message: id, Generation: r.head.Batch + 1,
			Attempts: standing.Attempts, Next: r.now, Trigger: postern.Manual, Replay: s.Replay,
		}})
		b.Dead = append(b.Dead, store.DeadChange{Key: key, Delete: true})
	}
	b.Changes = []store.Change{{Put: s.Record(len(s.Messages), len(b.Rows))}}
	started = len(b.Rows)
	r.commit(b)
	return len(s.Messages), started, nil
}

// expunge is dispatch's: it deletes contents.
func (r *rig) expunge(_ context.Context, app postern.ApplicationNumber, ids []postern.MessageID) error {
	if r.expunging != nil {
		r.expunging()
	}
	if r.startErr != nil {
		return r.startErr
	}
	r.slices = append(r.slices, len(ids))
	var b store.Batch
	for _, id := range ids {
		b.Expunged = append(b.Expunged, store.ContentKey{Application: app, Message: id})
	}
	r.commit(b)
	return nil
}

// publish stores a message, a second after the one before.
func (r *rig) publish(edit func(m *postern.Message), routes ...postern.EndpointNumber) *postern.Message {
	r.t.Helper()
	r.now = r.now.Add(time.Second)
	m := &postern.Message{ID: postern.NewMessageID(r.now, 0, r.head.Next, 7), Application: app, EventType: "a.b", ContentType: "application/json", Routes: routes, Size: 2}
	if edit != nil {
		edit(m)
	}
	r.head.Next++
	r.commit(store.Batch{Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: []byte("{}")}}}})
	return m
}

// settle stores an attempt at endpoint 1 that led to a state.
func (r *rig) settle(m *postern.Message, state postern.State) {
	r.t.Helper()
	a := &postern.Attempt{
		ID: postern.NewAttemptID(r.now, 0, r.head.Batch+1, 0, 1), Message: m.ID, Application: app, Endpoint: 1, N: 1,
		State: state, Succeeded: state == postern.Delivered, Code: 200, Started: r.now,
	}
	b := store.Batch{Attempts: []*postern.Attempt{a}}
	switch state {
	case postern.Dead:
		b.Dead = []store.DeadChange{{Key: r.key(m, 1)}}
	case postern.Retrying:
		b.Rows = []store.RowChange{{Put: &postern.Row{Endpoint: 1, Application: app, Message: m.ID, Generation: 1, Tries: 1, Attempts: 1, Next: r.now.Add(time.Hour), Wait: time.Hour}}}
	}
	r.commit(b)
}

func (r *rig) key(m *postern.Message, n postern.EndpointNumber) store.DeliveryKey {
	return store.DeliveryKey{Application: app, Endpoint: n, Message: m.ID}
}

// create begins a replay of everything since the rig's start, but for what is
// edited.
func (r *rig) create(edit func(in *postern.Replay)) *postern.Replay {
	r.t.Helper()
	in := postern.Replay{Application: app, To: 1, Selection: postern.Selection{From: 1, Since: time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)}}
	if edit != nil {
		edit(&in)
	}
	record, err := r.CreateReplay(r.t.Context(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	return record
}

// walk takes turns until nobody wants one soon, and returns the record.
func (r *rig) walk(of *postern.Replay) *postern.Replay {
	r.t.Helper()
	for range 1000 {
		wait := r.turn(r.t.Context())
		if wait > longestRest {
			break
		}
		<-time.After(wait)
	}
	return r.get(of)
}

func (r *rig) get(of *postern.Replay) *postern.Replay {
	r.t.Helper()
	record, err := r.Replay(app, of.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return record
}

// replayed are the messages that an endpoint has a row of by a replay, by
// their positions.
func (r *rig) replayed(n postern.EndpointNumber, of *postern.Replay) (positions []uint64) {
	r.t.Helper()
	page, err := r.st.Waiting(r.t.Context(), app, n, store.Page{Ascending: true, Limit: 10_000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range page.Rows {
		if row.Replay == of.ID {
			positions = append(positions, row.Message.Position())
		}
	}
	return positions
}
