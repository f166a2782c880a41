package e2e_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// limitedRate is what the endpoint takes a second.
const limitedRate = 50

// A rate holds over all nodes together, however unevenly they publish, and while one
// dies and another joins.
func TestRateOverNodes(t *testing.T) {
	t.Parallel()
	w := newNodesWorld(t, nil)
	a, b, c := w.three()
	app := a.application("rate")
	f := &faucets{w: w, app: app, quit: make(chan struct{})}
	f.endpoint = a.endpoint(app, w.receiver.URL+"/limited", object{"throttleRate": limitedRate})
	f.open(a, 240)
	f.open(b, 45)
	f.open(c, 15)
	pass(time.Duration(testkit.Count(6, 10)) * time.Second)
	warm := time.Now()
	pass(time.Duration(testkit.Count(8, 60)) * time.Second)
	f.checkAverage(warm, time.Now())
	for range testkit.Count(1, 4) {
		b.crash()
		pass(leaseLasts + time.Second)
		b = w.join()
		f.open(b, 45)
		pass(time.Duration(testkit.Count(5, 15)) * time.Second)
	}
	close(f.quit)
	f.running.Wait()
	f.checkWindows("started", f.started(a), late()/4)
	f.checkWindows("arrived", f.arrived(), late())
}

// faucets publish to nodes, each at a rate of its own.
type faucets struct {
	w             *nodesWorld
	app, endpoint string
	quit          chan struct{}
	running       sync.WaitGroup
}

// open publishes to a node until it is dead, or all is to end.
func (f *faucets) open(n *node, perSecond int) {
	const workers = 12
	for range workers {
		f.running.Go(func() {
			c := newClient(f.w.t, n.base)
			ticks := time.NewTicker(workers * time.Second / time.Duration(perSecond))
			defer ticks.Stop()
			for {
				select {
				case <-ticks.C:
				case <-n.exited:
					return
				case <-f.quit:
					return
				}
				r, err := c.try("POST", "/app/"+f.app+"/msg", `{"eventType":"user.made","payload":{}}`)
				if err == nil && r.status != 202 && r.status != 503 {
					f.w.t.Errorf("publishing at %s: %d %s", n.name, r.status, r.body)
				}
			}
		})
	}
}

// checkAverage checks that what may be sent is sent, whoever has it.
func (f *faucets) checkAverage(from, to time.Time) {
	f.w.t.Helper()
	n, by := 0, map[int64]int{}
	for _, r := range f.w.receiver.requests("/limited") {
		if r.start.After(from) && r.start.Before(to) {
			n++
			by[r.life]++
		}
	}
	rate := float64(n) / to.Sub(from).Seconds()
	f.w.t.Logf("%.1f/s of %d, by node: %v", rate, limitedRate, by)
	if least := float64(testkit.Count(limitedRate*6/10, limitedRate*9/10)); rate < least {
		f.w.t.Errorf("%.1f/s, want at least %.1f", rate, least)
	}
}

// started are when the attempts began, as the history has it, and arrived when the
// requests came: what was held up on its way comes with others.
func (f *faucets) started(n *node) (starts []time.Time) {
	f.w.t.Helper()
	for _, row := range n.all("/app/" + f.app + "/attempt/endpoint/" + f.endpoint + "?order=ascending") {
		starts = append(starts, row.Get("timestamp").Time())
	}
	return starts
}

func (f *faucets) arrived() (starts []time.Time) {
	for _, r := range f.w.receiver.requests("/limited") {
		starts = append(starts, r.start)
	}
	return starts
}

// checkWindows checks that there never was more than a tenth too much, and a few.
func (f *faucets) checkWindows(what string, starts []time.Time, few float64) {
	f.w.t.Helper()
	slices.SortFunc(starts, time.Time.Compare)
	for _, window := range []time.Duration{time.Second, 2 * time.Second} {
		most, at, first := 0, 0, 0
		for i, now := range starts {
			for now.Sub(starts[first]) >= window {
				first++
			}
			if i-first+1 > most {
				most, at = i-first+1, first
			}
		}
		told := fmt.Sprintf("at most %d %s within %v, of %.0f: %v after the first", most, what, window, limitedRate*window.Seconds(), starts[at].Sub(starts[0]).Round(time.Millisecond))
		f.w.t.Log(told)
		if allowed := limitedRate*window.Seconds()*1.1 + few; float64(most) > allowed {
			f.w.t.Error(told)
		}
	}
}

// late is how many requests may come together that a busy machine held up.
func late() float64 { return float64(testkit.Count(limitedRate, limitedRate/10)) }
