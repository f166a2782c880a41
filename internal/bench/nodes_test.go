package bench

import (
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNodesAreMeasured: one, two and three servers on one database, and then one that
// joins two of which one leaves.
func TestNodesAreMeasured(t *testing.T) {
	o := onCluster(t, "nodes")
	o.Seconds = 4
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, s := range got.Samples {
		subjects = append(subjects, s.Run+" "+s.Subject)
		checkFigures(t, s, []string{figureDeliveries, figureAckP99})
		least, most := s.Figures[figureLeastShare], s.Figures[figureMostShare]
		if nodes := rowOf(t, "join").nodesOf(s.Subject); s.Run == "nodes" && s.Subject != subjectServer {
			if !(least > 0 && least*float64(nodes) < 100.01 && most*float64(nodes) > 99.99) {
				t.Errorf("%s have %v to %v %% each", s.Subject, least, most)
			}
			if each := s.Figures[figureAttempts]; each < 0.99 || each > 1.01 {
				t.Errorf("%s: %v attempts for a delivery: the nodes' counters are not added up", s.Subject, each)
			}
		}
		if s.Run == "join" {
			checkFigures(t, s, []string{figureJoinerShare, figureLeft})
		}
	}
	if diff := cmp.Diff([]string{"nodes postern", "nodes 2 nodes", "nodes 3 nodes", "join postern"}, subjects); diff != "" {
		t.Errorf("measured (-want +got):\n%s", diff)
	}
	if left := databasesOf(t, o.Store); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNodesNeedADatabase: a folder is one server's.
func TestNodesNeedADatabase(t *testing.T) {
	_, err := runJSON(t, tiny(t, "nodes"))
	for _, name := range []string{"nodes", "join"} {
		if err == nil || !strings.Contains(err.Error(), "run "+name+": nodes share a database") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSharesOfNodes(t *testing.T) {
	got := sharesOf([]float64{100, 0, 7}, []float64{130, 60, 17})
	if diff := cmp.Diff([]float64{30, 60, 10}, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	if idle := sharesOf([]float64{1, 2}, []float64{1, 2}); !math.IsNaN(idle[0]) {
		t.Errorf("of nothing a node did %v %%", idle[0])
	}
}

// TestCountersOfNodesAddUp: each of them, but for what all nodes have alike.
func TestCountersOfNodesAddUp(t *testing.T) {
	one := counters{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	want := counters{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 11, 24, 26, 28}
	if diff := cmp.Diff(want, one.plus(one), cmp.AllowUnexported(counters{})); diff != "" {
		t.Errorf("two of the same (-want +got):\n%s", diff)
	}
}

// TestPublishersTakeAddressesInTurn: evenly over the servers that listen and take
// something, by publishers where none renews its connection, else by each of them.
func TestPublishersTakeAddressesInTurn(t *testing.T) {
	for name, tc := range map[string]struct {
		publishers, renew int
		down, full        bool
		want              []int // messages of each server
	}{
		"each its own": {2, 0, false, false, []int{3, 3, 0}},
		"in turn":      {1, 2, false, false, []int{2, 2, 2}},
		"one is down":  {1, 2, true, false, []int{4, 2}},
		"one is full":  {1, 2, false, true, []int{4, 2, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			servers := make([]collector, len(tc.want))
			var turned atomic.Int64
			var to target
			var addrs []string
			for i := range servers {
				to = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if tc.full && i == 2 {
						turned.Add(1)
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					servers[i].ServeHTTP(w, r)
				}))
				addrs = append(addrs, to.Addr)
			}
			if tc.down {
				addrs = append(addrs, closedAddr(t))
			}
			to.Addr, to.Renew = strings.Join(addrs, ","), tc.renew
			var seqs []int
			if tc.publishers > 1 { // in a closed loop the quicker one would have more
				for seed := range tc.publishers {
					publishSome(t, newPublisher(to, newCorpus(), uint64(seed)), 3)
				}
			} else {
				publishSome(t, newPublisher(to, newCorpus(), 0), 6)
			}
			for i := range servers {
				seqs = append(seqs, len(servers[i].seqs))
			}
			if !slices.Equal(seqs, tc.want) {
				t.Errorf("the servers got %v messages, want %v", seqs, tc.want)
			}
			if tc.full != (turned.Load() > 0) {
				t.Errorf("%d were turned away", turned.Load())
			}
		})
	}
}

// closedAddr is an address at which nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func publishSome(t *testing.T, p *publisher, count int) {
	t.Helper()
	defer p.close()
	for n := range count {
		if err := p.publish(t.Context(), uint64(n), 1); err != nil {
			t.Fatal(err)
		}
	}
}
