package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/testkit"
)

// Lists that are read while three nodes write show what was acknowledged before
// their first page was asked for once, in either order and whichever nodes the pages
// come from, and a replay delivers it once.
func TestPagesWhileNodesWrite(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	w := newNodesWorld(t, nil)
	w.three()
	l := newNodesLedger(w, w.nodes[0], map[string][]string{"/good": nil})
	to := w.nodes[1].endpoint(l.app, w.receiver.URL+"/replayed", object{"eventTypes": []string{"never.*"}})
	stop := sync.OnceFunc(l.publishers(6, 40*time.Millisecond, seed, []string{"user.made"}))
	await(t, "there are some pages", func() bool { return len(l.known()) > testkit.Count(300, 5000) })
	known, since := l.known(), time.Now()
	var replay replayState
	w.nodes[2].want(201, "POST", "/app/"+l.app+"/replay", object{"toEndpointId": to, "since": since.Add(-time.Hour).UTC().Format(time.RFC3339)}, &replay)
	walks := 0
	var readers sync.WaitGroup
	for i, order := range []string{"ascending", "descending"} {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		n := testkit.Count(6, 40)
		walks += n
		readers.Go(func() {
			for range n {
				l.walk(random, order)
				if len(l.known()) > testkit.Count(2000, 100_000) {
					stop() // or a slow machine reads longer and longer lists
				}
			}
		})
	}
	readers.Wait()
	awaitLong(t, "the replay ends", func() bool {
		w.nodes[0].want(200, "GET", "/app/"+l.app+"/replay/"+replay.ID, nil, &replay)
		return replay.State == "finished"
	})
	stop()
	l.replayed(known, replay)
	l.check()
	t.Logf("%d events, %d walks, %d replayed", len(l.acknowledged), walks, replay.Replayed)
}

// A replay goes on while the nodes whose messages it has leave, die and come, or the
// one that walks it dies: each of these is delivered once more, and once.
func TestReplayWhileNodesLeave(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	w := newNodesWorld(t, nil)
	a, b, c := w.three()
	l := newNodesLedger(w, a, map[string][]string{"/good": nil})
	to := a.endpoint(l.app, w.receiver.URL+"/replayed", object{"eventTypes": []string{"never.*"}})
	n := testkit.Count(600, 20_000)
	l.roundRobin("user.made", n, a, b, c)
	var replay replayState
	a.want(201, "POST", "/app/"+l.app+"/replay", object{"toEndpointId": to, "since": "2020-01-01T00:00:00Z", "rate": n / testkit.Count(8, 60)}, &replay)
	for range testkit.Count(2, 10) {
		if code := b.terminate(patience); code != 0 {
			t.Errorf("%s ends with code %d", b.name, code)
		}
		b = w.join()
		pass(500 * time.Millisecond)
	}
	leases := w.leases()
	leader := leases[slices.IndexFunc(leases, func(l lease) bool { return l.Main && l.Held })].Node
	isLeader := func(n *node) bool { return n.name == leader }
	victim := w.senders()[slices.IndexFunc(w.senders(), func(n *node) bool { return isLeader(n) == (seed%2 == 0) })]
	victim.crash()
	awaitLong(t, "the replay ends", func() bool {
		w.senders()[0].want(200, "GET", "/app/"+l.app+"/replay/"+replay.ID, nil, &replay)
		return replay.State == "finished"
	})
	if replay.Replayed != n || replay.Skipped != 0 {
		t.Errorf("%+v, want all %d replayed", replay, n)
	}
	await(t, "each has arrived", func() bool {
		got := map[string]bool{}
		for _, r := range w.receiver.requests("/replayed") {
			got[r.id] = true
		}
		return len(got) == n
	})
	l.check()
	t.Logf("%d duplicates, of %d requests that a loss may excuse", l.duplicates, l.excusable)
}

// known are the messages that were acknowledged so far.
func (l *nodesLedger) known() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.messages)
}

// walk reads the list of messages to its end, each page from another node.
func (l *nodesLedger) walk(random *rand.Rand, order string) {
	known, seen := l.known(), map[string]int{}
	c, nodes := newClient(l.w.t, ""), l.w.senders()
	for iterator := ""; ; {
		c.base = nodes[random.IntN(len(nodes))].base
		path := fmt.Sprintf("/app/%s/msg?order=%s&limit=%d&iterator=%s", l.app, order, 30+random.IntN(220), iterator)
		r, err := c.try("GET", path, nil)
		if err != nil || r.status != 200 {
			l.w.t.Errorf("%s: %+v, %v", path, r, err)
			return
		}
		page := gjson.ParseBytes(r.body)
		for _, id := range page.Get("data.#.id").Array() {
			seen[id.Str]++
			if seen[id.Str] > 1 {
				l.w.t.Errorf("%s comes twice in %s order", id.Str, order)
			}
		}
		if page.Get("done").Bool() {
			break
		}
		iterator = page.Get("iterator").Str
	}
	for name, id := range known {
		if seen[id] == 0 {
			l.w.t.Errorf("%s, %s, is not in a list of %d in %s order", name, id, len(seen), order)
		}
	}
}

// replayed checks that a replay delivered what had been there, once.
func (l *nodesLedger) replayed(known map[string]string, replay replayState) {
	l.w.t.Helper()
	got, marks := map[string]int{}, map[string]int{}
	await(l.w.t, "what was replayed arrives", func() bool {
		clear(got)
		clear(marks)
		for _, r := range l.w.receiver.requests("/replayed") {
			got[r.id]++
			marks[r.header.Get("Postern-Replay")]++
		}
		return len(got) >= replay.Replayed
	})
	if len(marks) != 1 || marks[replay.ID] == 0 {
		l.w.t.Errorf("deliveries of %s are marked %v", replay.ID, marks)
	}
	for name, id := range known {
		if got[id] == 0 {
			l.w.t.Errorf("%s, %s, was not replayed", name, id)
		}
	}
	for id, times := range got {
		if times > 1 {
			l.w.t.Errorf("%s was replayed %d times", id, times)
		}
	}
}
