package engine

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// fixed is a cluster of another node that answers what it was told to, and of which
// otherwise the time alone is known.
type fixed struct {
	store.Cluster
	now     time.Time
	answers []tailResult
	polls   int
}

func (c *fixed) Now() time.Time { return c.now }

func (c *fixed) Poll(context.Context) (store.ClusterState, error) {
	c.polls++
	return store.ClusterState{}, nil
}

func (c *fixed) Ask(context.Context, uint16, []byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, postern.ErrUnavailable
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return json.Marshal(result{Tail: &answer})
}

// A journal's holder tells of it, who is known by its main journal.
func TestTellers(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e := &Engine{tail: tail.New()}
	e.shards.main = &shard{journal: 1}
	e.shards.add(&shard{journal: 5})
	e.nodes = &nodes{engine: e, cluster: &fixed{now: now}}
	e.nodes.tails = newTails(e)
	held := func(journal uint16, node string, main bool) store.Lease {
		return store.Lease{Journal: journal, Node: node, Since: now.Add(-time.Hour), Main: main, Expires: now.Add(time.Second)}
	}
	gone, released, namesake := held(3, "c", true), held(4, "d", true), held(8, "b", true)
	gone.Expires, released.Released, namesake.Since = now.Add(-time.Second), true, now.Add(-time.Minute)
	e.nodes.state.Store(&store.ClusterState{Leases: []store.Lease{
		held(1, "a", true), held(2, "b", true), gone, released, held(5, "a", false), held(6, "b", false), held(7, "c", false), namesake,
	}})
	of, peers := e.nodes.tails.tellers()
	if diff := cmp.Diff(map[uint16]tail.Teller{1: tail.Here, 2: 2, 5: tail.Here, 6: 2, 8: 8}, of); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[uint16]bool{2: true, 8: true}, peers); diff != "" {
		t.Error(diff)
	}
}

// A session begins with a gap. What is about something that this node has not heard of
// is told once it has.
func TestTailFollows(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		event := func(app postern.ApplicationNumber, position uint64) json.RawMessage {
			text, err := json.Marshal(tail.Event{Message: &postern.Message{ID: postern.NewMessageID(l.now(), 7, position, 7), Application: app}})
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		cluster := &fixed{now: l.now()}
		e := &Engine{tail: tail.New(), catalogue: l.eng.catalogue}
		e.shards.main = &shard{journal: 1}
		e.nodes = &nodes{engine: e, cluster: cluster}
		tails := newTails(e)
		client, err := e.tail.Listen(tail.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i, test := range []struct {
			answers []tailResult
			polls   int
			events  int
			heard   bool
		}{
			{nil, 0, 0, false},
			{[]tailResult{{}}, 0, 0, true},
			{[]tailResult{{}, {Events: []json.RawMessage{event(l.app, 1), []byte(`{}`)}}}, 0, 1, true},
			{[]tailResult{{}, {Events: []json.RawMessage{event(l.app+7, 2)}, Missed: true}, {}}, 1, 1, true},
			{[]tailResult{{}, {Last: "?"}}, 0, 0, true},
			{[]tailResult{{}, {Events: []json.RawMessage{[]byte(`[]`)}}}, 0, 0, true},
		} {
			cluster.answers, cluster.polls = test.answers, 0
			if heard := tails.session(l.t.Context(), 7, nil); heard != test.heard || cluster.polls != test.polls || len(cluster.answers) > 0 {
				t.Errorf("session %d: heard %t, after %d polls, %d answers are left", i, heard, cluster.polls, len(cluster.answers))
			}
			if b := client.Take(); len(b.Events) != test.events || b.Gap != test.heard || b.Missed != (test.polls > 0) {
				t.Errorf("session %d: %d events, gap %t, missed %t", i, len(b.Events), b.Gap, b.Missed)
			}
		}
	})
}

// Of a journal that somebody holds, or has given back, what is still to come is young;
// of one whose holder is gone it may be as old as that.
func TestOpenUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		lease store.Lease
		want  time.Time
	}{
		"held":      {store.Lease{Expires: now.Add(time.Second)}, now},
		"released":  {store.Lease{Expires: now.Add(-24 * time.Hour), Released: true}, now},
		"gone":      {store.Lease{Expires: now.Add(-time.Minute)}, now.Add(-time.Minute)},
		"long ago":  {store.Lease{Expires: now.Add(-24 * time.Hour)}, now.Add(-tailAsleep)},
		"another's": {store.Lease{Journal: 9}, now},
	} {
		test.lease.Journal += 2
		if got := openUntil([]store.Lease{{Journal: 1}, test.lease}, now)(2); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
