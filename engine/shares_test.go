package engine

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

const limited = postern.EndpointNumber(7)

// simNode is a simulated node: it renews its lease every 3 s at the latest, with what
// it said last, which takes a while, looks at the table now and then, and may be
// away for some time, or gone.
type simNode struct {
	shares        shares
	journal       uint16
	demand        float64
	say           []byte
	renews, looks time.Time
	sent          []byte // by the renewal under way, nil for none
	lands, back   time.Time
	gone          bool
}

func (n *simNode) look(table []store.Lease, now time.Time) {
	say := n.shares.divide(table, map[uint16]map[postern.EndpointNumber]float64{n.journal: {limited: n.demand}}, now)
	n.say, _ = json.Marshal(say[n.journal])
}

func (n *simNode) renew(table []store.Lease, now time.Time) {
	table[n.journal].Word, table[n.journal].Expires = n.say, now.Add(10*time.Second)
}

// However demands move and nodes come and go, what all may send of one endpoint's
// rate never comes to more than the rate, and in quiet times to nearly all of it.
func TestSharesNeverExceedTheRate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testkit.Seed(t), 1))
	for range testkit.Count(50, 2000) {
		now := time.Unix(1_800_000_000, 0)
		var nodes []*simNode
		var table []store.Lease
		join := func() {
			n := &simNode{journal: uint16(len(nodes)), demand: rnd.Float64() * 100, renews: now, looks: now}
			nodes = append(nodes, n)
			table = append(table, store.Lease{Journal: n.journal, Main: true, Expires: now.Add(10 * time.Second)})
		}
		join()
		run := func(steps int, quiet bool) (sum float64) {
			for range steps {
				now = now.Add(time.Duration(20+rnd.IntN(60)) * time.Millisecond)
				if !quiet && rnd.IntN(100) == 0 && len(nodes) < 5 {
					join()
				}
				if !quiet && rnd.IntN(300) == 0 {
					nodes[rnd.IntN(len(nodes))].gone = true
				}
				if !quiet && rnd.IntN(300) == 0 { // a few are cut off, or all
					for range 1 + rnd.IntN(2*len(nodes)) {
						nodes[rnd.IntN(len(nodes))].back = now.Add(time.Duration(rnd.IntN(15000)) * time.Millisecond)
					}
				}
				sum = 0
				for _, n := range nodes {
					if !quiet && rnd.IntN(10) == 0 {
						n.demand = float64(rnd.IntN(3)) * rnd.Float64() * 50
					}
					if now.Before(n.back) {
						n.sent = nil
						continue
					}
					if n.sent != nil && !now.Before(n.lands) {
						table[n.journal].Word, table[n.journal].Expires = n.sent, now.Add(10*time.Second)
						n.sent, n.renews = nil, now.Add(time.Duration(rnd.IntN(2800))*time.Millisecond)
					}
					if !n.gone && n.sent == nil && !now.Before(n.renews) {
						n.sent, n.lands = append([]byte{}, n.say...), now.Add(time.Duration(rnd.IntN(800))*time.Millisecond)
					}
					if !n.gone && !now.Before(n.looks) {
						n.look(table, now)
						n.looks = now.Add(time.Duration(rnd.IntN(2000)/(1+rnd.IntN(20))) * time.Millisecond)
					}
					if table[n.journal].Held(now) {
						sum += n.shares.of(n.journal, limited, now)
					}
				}
				if sum > 1.000001 {
					t.Fatalf("shares come to %.3f of the rate", sum)
				}
			}
			return sum
		}
		run(1500, false)
		live := 0
		for _, n := range nodes {
			if !n.gone {
				live++
			}
		}
		if sum := run(1000, true); live > 0 && sum < 0.9 {
			t.Fatalf("in the end shares come to %.3f of the rate, of %d nodes", sum, live)
		}
	}
}

// A node that was cut off for longer than its lease, and comes back, begins anew:
// others have taken its share meanwhile.
func TestSharesOfWhoComesBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := []store.Lease{{Journal: 0, Expires: now.Add(10 * time.Second)}, {Journal: 1, Expires: now.Add(10 * time.Second)}}
	a, b := &simNode{journal: 0, demand: 50}, &simNode{journal: 1, demand: 50}
	both := func(n int, nodes ...*simNode) {
		t.Helper()
		for range n {
			for _, node := range nodes {
				node.look(table, now)
				node.renew(table, now)
			}
		}
		x, y := a.shares.of(0, limited, now), b.shares.of(1, limited, now)
		if x+y > 1 || len(nodes) == 2 && x+y < 0.95 {
			t.Fatalf("shares are %.3f and %.3f", x, y)
		}
	}
	both(6, a, b)
	now = now.Add(30 * time.Second)
	b.renew(table, now)
	both(4, b)
	a.renew(table, now) // its attempts may start again
	both(0)
	both(8, a, b)
}

// An endpoint that nobody has anything for is forgotten by all, also while others
// still spoke of it.
func TestSharesForgetEndpoints(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := []store.Lease{{Journal: 0, Expires: now.Add(time.Hour)}, {Journal: 1, Expires: now.Add(time.Hour)}, {Journal: 2, Expires: now.Add(time.Hour)}}
	nodes := []*simNode{{journal: 0, demand: 50}, {journal: 1, demand: 5}, {journal: 2}}
	for i := range 60 {
		for _, n := range nodes {
			if i == 10 {
				n.demand = 0
			}
			n.look(table, now)
			n.renew(table, now)
		}
	}
	for _, n := range nodes {
		if w := parseWords(n.say); len(w) != 1 {
			t.Errorf("node %d still says %s", n.journal, n.say)
		}
		if got := n.shares.of(n.journal, limited, now); got < 0.32 {
			t.Errorf("node %d has %.3f of what nobody needs", n.journal, got)
		}
	}
}

// Who is alone has all of it after two looks; else shares follow demand.
func TestSharesFollowDemand(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := []store.Lease{{Journal: 0, Expires: now.Add(time.Hour)}}
	a, b := &simNode{journal: 0, demand: 80}, &simNode{journal: 1, demand: 20}
	if got := a.shares.of(0, limited, now); got != 0 {
		t.Errorf("before the first look: %v", got)
	}
	steps := func(n int, nodes ...*simNode) {
		for range n {
			for _, node := range nodes {
				node.look(table, now)
				node.renew(table, now)
			}
		}
	}
	steps(2, a)
	if got := a.shares.of(0, limited, now); got != 1 {
		t.Errorf("alone: %v", got)
	}
	table = append(table, store.Lease{Journal: 1, Expires: now.Add(time.Hour)})
	steps(6, a, b)
	if x, y := a.shares.of(0, limited, now), b.shares.of(1, limited, now); x < 0.75 || x > 0.79 || y < 0.2 || y > 0.25 {
		t.Errorf("with 80 and 20: %v and %v", x, y)
	}
	a.demand, b.demand = 0, 50
	steps(6, a, b)
	if x, y := a.shares.of(0, limited, now), b.shares.of(1, limited, now); x > 0.06 || y < 0.93 {
		t.Errorf("with 0 and 50: %v and %v", x, y)
	}
}

// What another version says is left alone.
func TestUnreadableWords(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	table := []store.Lease{{Journal: 0, Expires: now.Add(time.Hour)}, {Journal: 1, Expires: now.Add(time.Hour), Word: []byte(`"?"`)}}
	a := &simNode{journal: 0, demand: 1}
	for range 4 {
		a.look(table, now)
		a.renew(table, now)
	}
	if got := a.shares.of(0, limited, now); got != 0 {
		t.Errorf("beside who cannot be understood: %v", got)
	}
}
