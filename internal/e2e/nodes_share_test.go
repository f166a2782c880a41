package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/testkit"
)

// Two nodes deliver about as much each, and a third takes its part, without a word
// about them anywhere. What waits at one that leaves in order goes on elsewhere at
// once, and of one that dies when its lease is over.
func TestTwoNodesShare(t *testing.T) {
	t.Parallel()
	leave := make(chan struct{}) // closed when the third node is to leave; the fourth is killed
	w := newNodesWorld(t, func(got *request, in *http.Request) int {
		switch leaver := got.life >= 2; {
		case got.path == "/failing" && leaver:
			return 503
		case got.path != "/slow":
			return 200
		case leaver: // which has something left, however long it takes to get there
			goes := leave
			if got.life > 2 {
				goes = nil
			}
			select {
			case <-goes:
			case <-in.Context().Done():
				return 503
			}
		}
		pass(500 * time.Millisecond)
		return 200
	}, crashSchedule)
	a, b := w.begin(), w.begin()
	a.await()
	b.await()
	l := newNodesLedger(w, a, map[string][]string{"/good": {"good.made"}, "/slow": {"slow.made"}, "/failing": {"failing.made"}})
	n := testkit.Count(300, 20_000)
	two := l.roundRobin("good.made", n, a, b)
	l.checkShares(two, 35, 65)
	c := w.join()
	three := l.roundRobin("good.made", n, a, b, c)
	l.checkShares(three, 20, 47)

	left := l.backlog(c)
	leaves := time.Now()
	close(leave)
	if code := c.terminate(patience); code != 0 {
		t.Errorf("%s ends with code %d", c.name, code)
	}
	gone := time.Now()
	l.goesOn("of the one that left after "+gone.Sub(leaves).Round(time.Millisecond).String(), left, c, gone, handover)

	d := w.join()
	killed := l.backlog(d)
	at := time.Now()
	d.crash()
	l.goesOn("of the one that died", killed, d, at, leaseLasts+handover)
	l.check()
}

// roundRobin publishes to nodes in turns and waits until all has arrived. It returns
// what was sent since, by node.
func (l *nodesLedger) roundRobin(eventType string, n int, nodes ...*node) map[int64]int {
	l.w.t.Helper()
	before := l.w.sent("/good")
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			c := newClient(l.w.t, "")
			for i := p; i < n; i += 4 {
				to := nodes[i%len(nodes)]
				if e := (event{fmt.Sprintf("turn-%d-%d", len(nodes), i), eventType}); !l.publish(c, to, e) {
					l.w.t.Errorf("%s does not accept", to.name)
				}
			}
		})
	}
	all.Wait()
	counts := map[int64]int{}
	await(l.w.t, "all has arrived", func() bool {
		sum := 0
		for life, count := range l.w.sent("/good") {
			counts[life] = count - before[life]
			sum += counts[life]
		}
		return sum >= n
	})
	return counts
}

// checkShares checks that each that sent anything has a part between so many percent.
func (l *nodesLedger) checkShares(counts map[int64]int, least, most int) {
	l.w.t.Helper()
	sum := 0
	for _, count := range counts {
		sum += count
	}
	for life, count := range counts {
		if count*100 < sum*least || count*100 > sum*most {
			l.w.t.Errorf("node %d delivered %d of %d: %v", life, count, sum, counts)
		}
	}
	l.w.t.Logf("deliveries by node: %v", counts)
}

// backlog has a node accept more than the slow endpoint takes in a while, and some
// that fails for as long as it is this one that delivers. It returns the events by
// path, once there are retries.
func (l *nodesLedger) backlog(n *node) map[string][]string {
	l.w.t.Helper()
	events := map[string][]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			c := newClient(l.w.t, "")
			for i := range 50 {
				path := "slow"
				if i%10 == 0 {
					path = "failing"
				}
				e := event{fmt.Sprintf("%s-%s-%d-%d", path, n.name, p, i), path + ".made"}
				if !l.publish(c, n, e) {
					l.w.t.Errorf("%s does not accept", n.name)
				}
				mu.Lock()
				events["/"+path] = append(events["/"+path], e.id)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	await(l.w.t, "some is retried", func() bool {
		return len(l.arrived("/failing", events, nil)) > 2*len(events["/failing"])
	})
	return events
}

// arrived are the requests of events to a path by other nodes than one; nil for all.
func (l *nodesLedger) arrived(path string, events map[string][]string, but *node) []request {
	return slices.DeleteFunc(l.w.receiver.requests(path), func(r request) bool {
		return but != nil && r.life == but.life || !slices.Contains(events[path], gjson.GetBytes(r.body, "event").Str)
	})
}

// goesOn waits until others deliver what a node left, and measures how long after a
// moment they began.
func (l *nodesLedger) goesOn(what string, events map[string][]string, left *node, from time.Time, within time.Duration) {
	l.w.t.Helper()
	for _, path := range []string{"/slow", "/failing"} {
		var others []request
		await(l.w.t, "deliveries to "+path+" go on", func() bool {
			others = l.arrived(path, events, left)
			return len(others) > 0
		})
		first := slices.MinFunc(others, func(a, b request) int { return a.start.Compare(b.start) })
		took := first.start.Sub(from)
		l.w.t.Logf("%s: %s goes on after %v", what, path, took.Round(time.Millisecond))
		if took > within+busy() {
			l.w.t.Errorf("%s: %s goes on after %v, want at most %v", what, path, took, within)
		}
	}
}

// busy is by how much a machine may be late that has other work as well. The full
// count is run on a quiet one.
func busy() time.Duration { return time.Duration(testkit.Count(5000, 500)) * time.Millisecond }

// The database is away for longer than all leases last. When it is back, everybody
// goes on with the journal that they had, and nobody has adopted anybody's.
func TestOutageAdoptsNobody(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	w := newNodesWorld(t, nil, crashSchedule)
	w.three()
	l := newNodesLedger(w, w.nodes[0], map[string][]string{"/good": nil})
	stop := l.publishers(3, time.Duration(testkit.Count(40, 10))*time.Millisecond, seed, []string{"user.made"})
	await(t, "all could adopt by now", func() bool {
		return !slices.ContainsFunc(w.leases(), func(l lease) bool {
			return !l.Held || time.Since(time.UnixMilli(l.Since)) < leaseLasts+time.Second
		})
	})
	before := w.leases()
	w.cluster.Stop(t, "fast")
	pass(time.Duration(testkit.Count(12, 30)) * time.Second)
	w.cluster.Start(t)
	for _, n := range w.nodes {
		c := newClient(t, n.base)
		c.http.Timeout = 2 * time.Second
		i := 0
		await(t, n.name+" accepts again", func() bool {
			i++
			return l.publish(c, n, event{fmt.Sprintf("%s-after-%d", n.name, i), "user.made"})
		})
	}
	pass(2 * time.Second) // for whoever would adopt now
	stop()
	l.check()
	after := w.leases()
	if len(after) != len(before) {
		t.Errorf("leases before: %+v, after: %+v", before, after)
	}
	for i := range before {
		if after[i].Node != before[i].Node || !after[i].Main || !after[i].Held {
			t.Errorf("a lease before: %+v, after: %+v", before[i], after[i])
		}
	}
	for _, n := range w.nodes {
		if told := n.told("adopted a journal: its deliveries go on here"); told != 0 {
			t.Errorf("%s adopted %d journals", n.name, told)
		}
		if told := n.told("serving again"); told != 0 {
			t.Errorf("%s started anew %d times", n.name, told)
		}
	}
	if l.duplicates > 0 {
		t.Errorf("%d duplicates", l.duplicates)
	}
	t.Logf("%d events acknowledged, %d refused, %d unknown", len(l.acknowledged), l.refused, l.unknown)
}

// told counts a message of the node's log.
func (n *node) told(message string) int {
	return strings.Count(n.stderr.String(), `"msg":"`+message+`"`)
}
