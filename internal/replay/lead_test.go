package replay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestOnlyTheLeaderChanges: another node refuses to, shows everything, and walks
// nothing.
func TestOnlyTheLeaderChanges(t *testing.T) {
	r := newRig(t)
	r.publishAll(3)
	c := newCluster(r, 2, nil)
	record := c.toOther(c.nodes[0])
	n, batch := c.nodes[1], r.head.Batch
	in := postern.Replay{Application: app, To: 2, Selection: postern.Selection{Since: r.now.Add(-time.Hour)}}
	_, created := n.CreateReplay(t.Context(), in)
	_, expunged := n.ExpungeAll(t.Context(), app)
	_, set := n.SetReplayState(t.Context(), app, record.ID, postern.ReplayPaused)
	for what, err := range map[string]error{"create": created, "expunge": expunged, "set a state": set} {
		if !errors.Is(err, &postern.Error{Kind: postern.Unavailable, Code: CodeNotLeading}) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if total, exact, err := n.PreviewReplay(t.Context(), in); total != 3 || !exact || err != nil {
		t.Errorf("preview: %d, %t, %v", total, exact, err)
	}
	if list, _ := n.Replays(app, postern.ListPage{Limit: 9}, nil); len(list) != 1 || list[0].ID != record.ID {
		t.Errorf("listed: %v", list)
	}
	if wait := n.turn(t.Context()); wait > time.Second || r.head.Batch != batch {
		t.Errorf("it looks again after %v, and %d batches were stored", wait, r.head.Batch-batch)
	}
	c.agree(record.ID)
}

// TestLearned has one node meet records of another, leading or not.
func TestLearned(t *testing.T) {
	const running, paused, canceled, finished = postern.ReplayRunning, postern.ReplayPaused, postern.ReplayCanceled, postern.ReplayFinished
	type at struct {
		state    postern.ReplayState
		position uint64 // of the cursor
	}
	tests := []struct {
		name        string
		leads       bool
		had         []at // stored by this node, or only shown from the second on
		learned     at
		want        at
		storedAgain bool
	}{
		{"what is stored holds elsewhere", false, []at{{running, 5}}, at{running, 3}, at{running, 3}, false},
		{"and what is not stored is forgotten", false, []at{{running, 1}, {running, 5}}, at{running, 3}, at{running, 3}, false},
		{"a pause as well", false, []at{{running, 5}}, at{paused, 5}, at{paused, 5}, false},
		{"an end stays", false, []at{{canceled, 5}}, at{running, 7}, at{canceled, 7}, true},
		{"a cancel stays over a finish", false, []at{{canceled, 5}}, at{finished, 7}, at{canceled, 7}, true},
		{"a finish gives way to a cancel", false, []at{{finished, 7}}, at{canceled, 5}, at{canceled, 5}, false},
		{"an older one does not take the leader back", true, []at{{running, 5}}, at{running, 3}, at{running, 5}, true},
		{"not even in what is not stored", true, []at{{running, 1}, {running, 5}}, at{running, 3}, at{running, 5}, true},
		{"a newer one takes it further", true, []at{{running, 1}, {running, 3}}, at{running, 5}, at{running, 5}, false},
		{"what is the same changes nothing", true, []at{{running, 5}}, at{running, 5}, at{running, 5}, false},
		{"a pause reaches the leader", true, []at{{running, 5}}, at{paused, 3}, at{paused, 5}, true},
		{"a cancel too", true, []at{{running, 5}}, at{canceled, 5}, at{canceled, 5}, false},
		{"the leader's end stays", true, []at{{finished, 5}}, at{running, 3}, at{finished, 5}, true},
		{"of two ends the cancel does", true, []at{{finished, 5}}, at{canceled, 3}, at{canceled, 5}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.views[2].Paused = true // so that it is not walked
			r.cfg.Leads = func() bool { return test.leads }
			make := func(a at) *postern.Replay {
				return &postern.Replay{ID: postern.ReplayID{1}, Application: app, To: 2, State: a.state, Cursor: postern.NewMessageID(r.now, 0, a.position, 1), Replayed: int64(a.position)}
			}
			r.Add(make(test.had[0]))
			r.running()
			r.leads()
			for _, a := range test.had[1:] {
				e := r.all[0]
				r.looked(e, e.record, make(a))
			}
			r.Learned(make(test.learned))
			want := make(test.want)
			if diff := cmp.Diff(want, r.get(want)); diff != "" {
				t.Error(diff)
			}
			r.turn(t.Context())
			if again := r.head.Batch > 0; again != test.storedAgain {
				t.Errorf("it is stored again: %t", again)
			}
			if r.turn(t.Context()); r.head.Batch > 1 {
				t.Error("and again")
			}
		})
	}
}

// TestLearnedInOrder: unknown ones are added, in the order of ids, and are walked
// by a leader; forgotten ones go, wherever they are.
func TestLearnedInOrder(t *testing.T) {
	r := newRig(t)
	r.publishAll(1)
	record := func(id byte) *postern.Replay {
		return &postern.Replay{ID: postern.ReplayID{id}, Application: app, To: 2, State: postern.ReplayRunning, Selection: postern.Selection{Status: postern.StatusAll, Until: r.now.Add(time.Second)}}
	}
	for _, id := range []byte{5, 1, 3} {
		r.Learned(record(id))
	}
	r.Forgotten(postern.ReplayID{1})
	r.Forgotten(postern.ReplayID{9})
	r.insert(record(3)) // an own one that somebody else has gone on with already
	list, _ := r.Replays(app, postern.ListPage{Limit: 9}, nil)
	if len(list) != 2 || list[0].ID[0] != 3 || list[1].ID[0] != 5 {
		t.Errorf("%v", list)
	}
	for _, of := range list {
		if end := r.walk(of); end.State != postern.ReplayFinished || end.Replayed != 1 {
			t.Errorf("%+v", end)
		}
	}
}

// TestLearnedOfDeletedApplications: those that ended do not pile up where none
// are created.
func TestLearnedOfDeletedApplications(t *testing.T) {
	r := newRig(t)
	r.cfg.Leads = func() bool { return false }
	for i := range 100 {
		gone := postern.ApplicationNumber(i + 2)
		r.Learned(&postern.Replay{ID: postern.ReplayID{byte(i)}, Application: gone, State: postern.ReplayFinished})
		r.running()
		r.dead[gone] = true
	}
	if len(r.all) > 4 {
		t.Errorf("%d are in memory", len(r.all))
	}
}

// TestBeginsFromWhatIsStored: who begins to lead again forgets how far it had
// looked the last time.
func TestBeginsFromWhatIsStored(t *testing.T) {
	r := newRig(t)
	m := r.publish(nil, 1)
	c := newCluster(r, 2, nil)
	n := c.nodes[0]
	record := c.toOther(n)
	e := n.find(replaysOf(app), record.ID)
	if err := n.advance(t.Context(), e, record, pick{cursor: m.ID, examined: 1}); err != nil || n.shown(record).Cursor != m.ID {
		t.Fatalf("%v, %+v", err, n.shown(record))
	}
	c.lead(c.nodes[1])
	n.turn(t.Context()) // notices
	c.lead(n)
	if _, err := n.SetReplayState(t.Context(), app, record.ID, postern.ReplayPaused); err != nil {
		t.Fatal(err)
	}
	if c.stored[record.ID].Cursor != record.Cursor {
		t.Errorf("it goes on from %v", c.stored[record.ID].Cursor)
	}
}

// shown is a replay as a node shows it.
func (n *node) shown(of *postern.Replay) *postern.Replay {
	n.c.t.Helper()
	record, err := n.Replay(app, of.ID)
	if err != nil {
		n.c.t.Fatal(err)
	}
	return record
}

// TestStopsWithinALook: what was read is not started by a node that does not lead
// any more.
func TestStopsWithinALook(t *testing.T) {
	r := newRig(t)
	r.publishAll(1)
	c := newCluster(r, 1, nil)
	n := c.nodes[0]
	c.toOther(n)
	n.cfg.Store = &restless{Store: r.st, stir: func() { n.leads = false }}
	if n.turnNow(); len(r.slices) != 0 {
		t.Error("it is started")
	}
}

// TestStopsWithinAStep: what was read is not started by a node that has stopped
// leading; a slice under way ends, and what it meets is joined with it.
func TestStopsWithinAStep(t *testing.T) {
	for _, begun := range []bool{false, true} {
		r := newRig(t)
		r.publishAll(2*sliceSize + 1)
		c := newCluster(r, 2, nil)
		a, b := c.nodes[0], c.nodes[1]
		record := c.toOther(a)
		move := func() {
			a.leads, b.leads = false, true
			b.turnNow()
			b.turnNow()
			a.take(c.changed(a, false)) // does not wait for the step
		}
		if begun {
			start := a.cfg.Start
			a.cfg.Start = func(s Slice) (int, int, error) { move(); return start(s) }
		} else {
			once := sync.OnceFunc(move)
			a.cfg.Store = &restless{Store: r.st, stir: once}
		}
		a.turnNow()
		for range 4 {
			for _, n := range c.nodes {
				n.take(c.changed(n, false))
				n.turnNow()
			}
		}
		end := c.agree(record.ID)
		if end.State != postern.ReplayFinished || end.Replayed != 2*sliceSize+1 {
			t.Errorf("begun %t: %+v", begun, end)
		}
		sum := 0
		for _, n := range c.starts[record.ID] {
			sum += n
		}
		want := 2*sliceSize + 1
		if begun {
			want += sliceSize
		}
		if sum != want || len(c.starts[record.ID]) != 2*sliceSize+1 {
			t.Errorf("begun %t: %d starts of %d messages", begun, sum, len(c.starts[record.ID]))
		}
	}
}

// TestAStateMeetsAnothersSlice: whoever began a slice before does not undo a pause,
// nor a cancel, which are stored again; and that is tried until it works.
func TestAStateMeetsAnothersSlice(t *testing.T) {
	for _, state := range []postern.ReplayState{postern.ReplayPaused, postern.ReplayCanceled} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.publishAll(2 * sliceSize)
			c := newCluster(r, 2, nil)
			a, b := c.nodes[0], c.nodes[1]
			record := c.toOther(a)
			start := a.cfg.Start
			a.cfg.Start = func(s Slice) (int, int, error) {
				a.leads, b.leads = false, true
				if _, err := b.SetReplayState(t.Context(), app, record.ID, state); err != nil {
					t.Error(err)
				}
				return start(s)
			}
			a.turn(t.Context())
			if c.stored[record.ID].State != postern.ReplayRunning {
				t.Fatal("nothing has met")
			}
			b.take(c.changed(b, false))
			r.commitErr = errors.New("write: input/output error")
			if wait := b.turn(t.Context()); wait > retryAfter {
				t.Errorf("it waits for %v", wait)
			}
			r.commitErr = nil
			<-time.After(retryAfter)
			b.turn(t.Context())
			a.take(c.changed(a, false))
			if end := c.agree(record.ID); end.State != state || end.Replayed != sliceSize {
				t.Errorf("%+v", end)
			}
		})
	}
}

// TestStatesHoldForSoLong: later on, another node's state is the newer one.
func TestStatesHoldForSoLong(t *testing.T) {
	for _, later := range []time.Duration{ownHold / 2, ownHold} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			record := r.create(nil)
			for _, state := range []postern.ReplayState{postern.ReplayPaused, postern.ReplayRunning} {
				if _, err := r.SetReplayState(t.Context(), app, record.ID, state); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(later)
			paused := *r.get(record)
			paused.State = postern.ReplayPaused
			r.Learned(&paused)
			want := postern.ReplayRunning
			if later == ownHold {
				want = postern.ReplayPaused
			}
			if got := r.get(record).State; got != want {
				t.Errorf("after %v it is %s", later, got)
			}
		})
	}
}

// TestLearnedWithinACommit: where nobody knows which of two records is stored by
// now, it is what both come to in the end.
func TestLearnedWithinACommit(t *testing.T) {
	r := newRig(t)
	r.views[2].Paused = true
	c := newCluster(r, 1, nil)
	n := c.nodes[0]
	record := c.toOther(n)
	further := *record
	further.Cursor = postern.NewMessageID(r.now, 0, 5, 1)
	commit := n.cfg.Commit
	n.cfg.Commit = func(ctx context.Context, changes ...store.Change) error {
		n.Learned(&further)
		return commit(ctx, changes...)
	}
	if _, err := n.SetReplayState(t.Context(), app, record.ID, postern.ReplayPaused); err != nil {
		t.Fatal(err)
	}
	n.cfg.Commit = commit
	n.turnNow()
	if end := c.agree(record.ID); end.State != postern.ReplayPaused || end.Cursor != further.Cursor {
		t.Errorf("%+v", end)
	}
	n.looked(n.all[0], record, record)
	if c.agree(record.ID).Cursor != further.Cursor {
		t.Error("who had looked meanwhile takes it back")
	}
}

// TestLearnedAfterACommit: what another node stored may have been read before
// the own commit, and come after it. That is so for a while; and what is not
// stored counts for nothing.
func TestLearnedAfterACommit(t *testing.T) {
	for _, later := range []time.Duration{0, ownHold} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.publishAll(sliceSize + 1)
			c := newCluster(r, 2, nil)
			n := c.nodes[0]
			record := c.toOther(n)
			n.turnNow()
			want := n.shown(record)
			ahead := *want
			ahead.Cursor = postern.NewMessageID(r.now.Add(time.Hour), 0, 900, 1)
			n.looked(n.all[0], want, &ahead)
			n.leads = false
			<-time.After(later)
			n.Learned(record)
			if later == ownHold {
				want = record
			}
			if diff := cmp.Diff(want, n.shown(record)); diff != "" {
				t.Errorf("after %v:\n%s", later, diff)
			}
			n.turnNow()
			if again := len(c.log) > 2; again != (later == 0) {
				t.Errorf("after %v it is stored again: %t", later, again)
			}
		})
	}
}

// TestExpungeAllMeetsAnother: a slice that another node was faster with does not
// take an expunging back.
func TestExpungeAllMeetsAnother(t *testing.T) {
	r := newRig(t)
	r.publish(nil, 1)
	record := r.expungeAll()
	further := *record
	further.Cursor, further.Replayed = postern.NewMessageID(r.now, 0, 99, 1), 99
	r.expunging = func() { r.Learned(&further) }
	r.turn(t.Context())
	if diff := cmp.Diff(&further, r.task(record)); diff != "" {
		t.Error(diff)
	}
}

// TestExpungeAllMoves: an expunging goes on elsewhere, and one that was asked to
// go further does so, whatever a node says that had not heard.
func TestExpungeAllMoves(t *testing.T) {
	r := newRig(t)
	messages := []*postern.Message{r.publish(nil, 1)}
	c := newCluster(r, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	record, err := a.ExpungeAll(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	c.lead(a)
	r.expunging = func() {
		r.expunging = nil
		a.leads, b.leads = false, true
		r.now = r.now.Add(time.Second)
		messages = append(messages, r.publish(nil, 1))
		if again, err := b.ExpungeAll(t.Context(), app); err != nil || again.ID != record.ID {
			t.Errorf("%+v, %v", again, err)
		}
	}
	a.turnNow()
	if c.stored[record.ID].State != postern.ReplayFinished {
		t.Fatal("nothing has met")
	}
	for range 5 {
		for _, n := range []*node{b, a} {
			n.take(c.changed(n, false))
			n.turnNow()
		}
	}
	if end := c.agree(record.ID); end.State != postern.ReplayFinished || r.readable(messages) != 0 {
		t.Errorf("%+v, %d are there", end, r.readable(messages))
	}
}

// TestRunsTogether runs nodes side by side while leadership moves in the middle of
// slices, and states change: nothing is left out, and a rate holds.
func TestRunsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const rate = 100
		messages := r.publishAll(6 * rate)
		c := newCluster(r, 2, nil)
		begun := time.Now()
		var leader atomic.Int64
		var started []time.Duration
		for i, n := range c.nodes {
			n.cfg.Leads = func() bool { return leader.Load() == int64(i) }
			start, commit := n.cfg.Start, n.cfg.Commit
			tell := func(n *node) { other := c.nodes[1-i]; other.take(c.changed(other, false)) }
			n.cfg.Start = func(s Slice) (taken, put int, err error) {
				<-time.After(3 * time.Millisecond)
				taken, put, err = start(s)
				<-time.After(2 * time.Millisecond)
				tell(n)
				c.mu.Lock()
				defer c.mu.Unlock()
				for range put {
					started = append(started, time.Since(begun))
				}
				return taken, put, err
			}
			n.cfg.Commit = func(ctx context.Context, changes ...store.Change) error {
				defer tell(n)
				return commit(ctx, changes...)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, n := range c.nodes {
			all.Go(func() { n.Run(ctx) })
		}
		record, err := c.nodes[0].CreateReplay(ctx, postern.Replay{Application: app, To: 2, Rate: rate, Selection: postern.Selection{Since: r.now.Add(-24 * time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			<-time.After(time.Duration(97+i) * time.Millisecond)
			n := c.nodes[(i+1)%2]
			leader.Store(int64(i+1) % 2)
			if i%2 == 0 { // else it sees by itself
				n.Rouse()
			}
			if i%7 == 3 {
				for _, state := range []postern.ReplayState{postern.ReplayPaused, postern.ReplayRunning} {
					if _, err := n.SetReplayState(ctx, app, record.ID, state); err != nil {
						t.Error(err)
					}
				}
			}
		}
		<-time.After(15 * time.Second)
		synctest.Wait()
		cancel()
		all.Wait()
		if end := c.agree(record.ID); end.State != postern.ReplayFinished {
			t.Errorf("%+v", end)
		}
		for _, position := range messages {
			if c.starts[record.ID][position] == 0 {
				t.Errorf("message %d was not started", position)
			}
		}
		if more := len(started) - len(messages); more > rate {
			t.Errorf("%d were started more than once", more)
		}
		for i, from := range started {
			if until := i + rate + rate/5; until < len(started) && started[until]-from < time.Second {
				t.Errorf("more than %d from %v to %v", until-i, from, started[until])
				break
			}
		}
	})
}
