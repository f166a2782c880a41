package replay

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// cluster is several runners on a rig's store, with a log of the records that
// each has stored.
type cluster struct {
	*rig
	nodes []*node

	mu     sync.Mutex // held over commits, and while the log is looked at
	log    []logged
	stored map[postern.ReplayID]*postern.Replay
	// starts counts the starts of each message by a replay.
	starts map[postern.ReplayID]map[uint64]int
}

type logged struct {
	by *node
	id postern.ReplayID
}

// node is one of them. What it believes of who leads is as old as its last poll,
// unless the test has its own Leads.
type node struct {
	*Runner
	c       *cluster
	leads   bool
	since   int  // how far it has read the log
	busy    bool // it is inside of a turn or a call
	polling bool
}

// newCluster makes nodes of which the first leads. Meanwhile is called with the
// node whose commit or read is under way, before it is done; nil for nothing.
func newCluster(r *rig, nodes int, meanwhile func(n *node)) *cluster {
	c := &cluster{rig: r, stored: map[postern.ReplayID]*postern.Replay{}, starts: map[postern.ReplayID]map[uint64]int{}}
	if meanwhile == nil {
		meanwhile = func(*node) {}
	}
	for range nodes {
		n := &node{c: c, leads: len(c.nodes) == 0}
		cfg := r.cfg
		cfg.Leads = func() bool { return n.leads }
		cfg.Store = &restless{Store: r.st, stir: func() { meanwhile(n) }}
		cfg.Start = func(s Slice) (int, int, error) { meanwhile(n); return c.startBy(n, s) }
		cfg.Commit = func(_ context.Context, changes ...store.Change) error {
			meanwhile(n)
			return c.commitBy(n, changes)
		}
		n.Runner = New(cfg)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func (c *cluster) commitBy(n *node, changes []store.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commitErr != nil {
		return c.commitErr
	}
	c.rig.commit(store.Batch{Changes: changes})
	for _, change := range changes {
		c.note(n, change)
	}
	return nil
}

func (c *cluster) startBy(n *node, s Slice) (taken, started int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var put *postern.Replay
	record, wants := s.Record, s.Wants
	var chosen []bool
	s.Wants = func(st store.Standing) bool {
		chosen = append(chosen, wants(st))
		return chosen[len(chosen)-1]
	}
	s.Record = func(taken, started int) *postern.Replay {
		put = record(taken, started)
		return put
	}
	taken, started, err = c.start(s)
	if err != nil {
		return taken, started, err
	}
	if c.starts[s.Replay] == nil {
		c.starts[s.Replay] = map[uint64]int{}
	}
	for i, is := range chosen {
		if is {
			c.starts[s.Replay][s.Messages[i].Position()]++
		}
	}
	c.note(n, store.Change{Put: put})
	return taken, started, nil
}

// note writes the log. Called with the lock held.
func (c *cluster) note(n *node, change store.Change) {
	if put, is := change.Put.(*postern.Replay); is {
		c.stored[put.ID] = put
		c.log = append(c.log, logged{n, put.ID})
	} else if gone, is := change.Delete.(*postern.Replay); is {
		delete(c.stored, gone.ID)
		c.log = append(c.log, logged{n, gone.ID})
	}
}

// changed is what the log says to a node since it last read it: each record as it
// is stored now. Own ones are in it for a node that reads everything anew.
func (c *cluster) changed(n *node, own bool) (changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.log[n.since:] {
		if l.by == n && !own {
			continue
		}
		if put := c.stored[l.id]; put != nil {
			record := *put // as one that was read
			changes = append(changes, store.Change{Put: &record})
		} else {
			changes = append(changes, store.Change{Delete: &postern.Replay{ID: l.id}})
		}
	}
	n.since = len(c.log)
	return changes
}

func (n *node) take(changes []store.Change) {
	for _, change := range changes {
		if put, is := change.Put.(*postern.Replay); is {
			n.Learned(put)
		} else if gone, is := change.Delete.(*postern.Replay); is {
			n.Forgotten(gone.ID)
		}
	}
}

// lead moves leadership.
func (c *cluster) lead(leader *node) {
	for _, n := range c.nodes {
		n.leads = n == leader
		n.take(c.changed(n, false))
	}
}

// turnNow is a turn in which nobody rests.
func (n *node) turnNow() {
	n.c.t.Helper()
	for _, e := range n.active {
		e.until = time.Time{}
	}
	n.turn(n.c.t.Context())
}

// agree checks that all nodes show what is stored.
func (c *cluster) agree(id postern.ReplayID) *postern.Replay {
	c.t.Helper()
	want := c.stored[id]
	for i, n := range c.nodes {
		got, err := n.Task(0, id)
		if err != nil {
			c.t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			c.t.Errorf("node %d (-stored +shown):\n%s", i, diff)
		}
	}
	return want
}

// publishAll publishes messages and returns their positions.
func (r *rig) publishAll(n int) (positions []uint64) {
	r.t.Helper()
	for range n {
		positions = append(positions, r.publish(nil, 1).ID.Position())
	}
	return positions
}

// toOther begins a replay of all messages to endpoint 2, where each that is
// looked at twice is started twice.
func (c *cluster) toOther(n *node) *postern.Replay {
	c.t.Helper()
	record, err := n.CreateReplay(c.t.Context(), postern.Replay{Application: app, To: 2, Selection: postern.Selection{Since: c.now.Add(-24 * time.Hour)}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.lead(n)
	return record
}

// TestLeadershipMoves between steps, to and fro, restarts among them: each message
// is started once, and the numbers are right on every node.
func TestLeadershipMoves(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t)
		messages := r.publishAll(5*sliceSize + 3)
		c := newCluster(r, 3, nil)
		record := c.toOther(c.nodes[0])
		for turns := 0; !c.stored[record.ID].State.Final(); turns++ {
			if turns > 200 {
				t.Fatalf("it does not end: %+v", c.stored[record.ID])
			}
			leader := c.nodes[rng.IntN(3)]
			c.lead(leader)
			for _, n := range c.nodes {
				before := len(c.log)
				if n.turnNow(); n != leader && len(c.log) != before {
					t.Error("a node steps that does not lead")
				}
			}
		}
		c.lead(c.nodes[0])
		end := c.agree(record.ID)
		if end.Replayed != int64(len(messages)) || end.Skipped != 0 || end.State != postern.ReplayFinished {
			t.Errorf("%+v", end)
		}
		for _, position := range messages {
			if n := c.starts[record.ID][position]; n != 1 {
				t.Errorf("message %d was started %d times", position, n)
			}
		}
	}
}

// storm has things happen at random in the middle of reads and commits: others
// take turns and read the log, each late, and leadership moves.
type storm struct {
	*cluster
	rng    *rand.Rand
	record *postern.Replay
	leader *node
	depth  int
	// calm while leadership stays, and canceled once somebody was told so.
	calm, canceled bool
}

func (s *storm) happen() {
	if s.depth >= 3 || s.record == nil {
		return
	}
	s.depth++
	defer func() { s.depth-- }()
	for range s.rng.IntN(4) {
		n := s.nodes[s.rng.IntN(len(s.nodes))]
		switch p := s.rng.IntN(100); {
		case p < 15 && !s.calm:
			s.leader = n
		case p < 55:
			s.poll(n, p < 20)
		case p < 97:
			s.step(n)
		case !s.calm:
			if s.call(n, postern.ReplayCanceled) {
				s.canceled = true
			}
		}
	}
}

// poll reads who leads and the log, which takes its time.
func (s *storm) poll(n *node, own bool) {
	if n.polling {
		return
	}
	n.polling = true
	leads, changes := s.leader == n, s.changed(n, own)
	s.happen()
	n.leads, n.polling = leads, false
	n.take(changes)
}

func (s *storm) step(n *node) {
	if n.busy {
		return
	}
	n.busy = true
	n.turnNow()
	n.busy = false
}

// call sets a state on a node, which looks first whether it leads; it returns
// whether that was done.
func (s *storm) call(n *node, state postern.ReplayState) bool {
	if n.busy || n.polling {
		return false
	}
	n.busy = true
	s.poll(n, false)
	_, err := n.SetReplayState(s.t.Context(), app, s.record.ID, state)
	n.busy = false
	return err == nil
}

// settle has the present leader known to everybody, and walks until nothing
// changes; a replay that runs is walked to its end.
func (s *storm) settle() *postern.Replay {
	s.t.Helper()
	for range 100 {
		before := len(s.log)
		for _, n := range s.nodes {
			n.leads = n == s.leader
			n.take(s.changed(n, false))
			s.depth += 10 // nothing happens
			n.turnNow()
			s.depth -= 10
		}
		if len(s.log) == before {
			return s.agree(s.record.ID)
		}
	}
	s.t.Fatalf("it does not settle: %+v", s.stored[s.record.ID])
	return nil
}

// TestStorm: whatever meets whatever, each message is started at least once, all
// nodes agree in the end, a cancel holds, and so does a pause.
func TestStorm(t *testing.T) {
	const messages = 4*sliceSize + 5
	r := newRig(t)
	positions := r.publishAll(messages)
	var canceled, more, all int
	for seed := range uint64(24) {
		s := &storm{rng: rand.New(rand.NewPCG(seed, 2))}
		s.cluster = newCluster(r, 2+int(seed%2), func(*node) { s.happen() })
		s.leader = s.nodes[0]
		s.record = s.toOther(s.nodes[0])
		for range s.rng.IntN(30) {
			s.happen()
		}
		if seed%3 == 0 {
			s.pause()
		}
		for range s.rng.IntN(30) {
			s.happen()
		}
		end := s.settle()
		if s.canceled {
			canceled++
			if end.State != postern.ReplayCanceled {
				t.Errorf("seed %d: it was canceled: %+v", seed, end)
			}
			continue
		}
		if end.State != postern.ReplayFinished || end.FinishedAt.IsZero() {
			t.Errorf("seed %d: %+v", seed, end)
		}
		for _, position := range positions {
			n := s.starts[end.ID][position]
			if n == 0 {
				t.Fatalf("seed %d: message %d was not started: %+v", seed, position, end)
			}
			all++
			more += n - 1
		}
	}
	t.Logf("%d canceled; of %d starts %d were not the first", canceled, all+more, more)
	if canceled == 0 || more == 0 {
		t.Error("nothing has met")
	}
}

// pause pauses in the midst of it all, while leadership stays for a moment, and
// resumes when everybody knows.
func (s *storm) pause() {
	s.t.Helper()
	s.calm = true
	defer func() { s.calm = false }()
	if !s.call(s.leader, postern.ReplayPaused) {
		return // it has ended
	}
	for range 5 {
		s.happen()
	}
	if got := s.settle(); got.State != postern.ReplayPaused && !s.canceled && got.State != postern.ReplayFinished {
		s.t.Errorf("a paused one is %s", got.State)
	}
	before := s.stored[s.record.ID].Cursor
	for range 5 {
		s.happen()
	}
	if now := s.stored[s.record.ID]; now.State == postern.ReplayPaused && now.Cursor != before {
		s.t.Error("a paused one goes on")
	}
	s.call(s.leader, postern.ReplayRunning)
}
