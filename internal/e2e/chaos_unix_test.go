//go:build unix

package e2e_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// Three nodes on one database under load, while whatever can happen does: nodes are
// killed, stopped past their lease and woken, cut off from the database, and
// replaced one by one, and the database restarts, in order and by a crash.
// Everything acknowledged arrives, once: a second copy is of what was on its way, or
// not yet stored, when its node lost its lease or its life. What is no such loss is
// done apart first, and has none. No two nodes are inside the same delivery.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	w := newChaos(t, seed)
	stop := w.publishers(3, time.Duration(testkit.Count(25, 12))*time.Millisecond, seed, []string{"user.made", "order.changed", "order.created", "user.gone", "order.paid"})
	watched := w.watch()
	defer watched()
	w.quietly()
	w.loudly()
	stop()
	watched()
	w.calm.Store(true)
	w.check()
	for _, n := range w.senders() {
		if code := n.terminate(patience); code != 0 {
			t.Errorf("%s ends with code %d", n.name, code)
		}
	}
	t.Logf("seed %d: %d events acknowledged, %d of them at a second try, %d refused, %d unknown, %d requests; %v", seed,
		len(w.acknowledged), w.repeats, w.refused, w.unknown, len(w.receiver.requests("")), w.done)
	t.Logf("%d duplicates, of %d requests that a loss may excuse", w.duplicates, w.excusable)
}

// chaos is the world, and what was done to it.
type chaos struct {
	*nodesWorld
	*nodesLedger
	t      *testing.T
	random *rand.Rand
	seed   uint64
	slots  []*node      // who lives, at each of three places
	calm   atomic.Bool  // the failing endpoint has recovered
	thrown atomic.Int64 // throws of it
	done   map[string]int
}

// chaosRoutes are the event types that each path gets; nil for all.
var chaosRoutes = map[string][]string{"/good": nil, "/failing": {"order.changed", "order.paid"}, "/slow": {"order.created"}}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), done: map[string]int{}}
	c.nodesWorld = newNodesWorld(t, c.decide, crashSchedule, "--drain-timeout=10s", "--log-level=info")
	for range 3 {
		c.slots = append(c.slots, c.begin())
	}
	for _, n := range c.slots {
		n.await()
	}
	c.nodesLedger = newNodesLedger(c.nodesWorld, c.slots[0], chaosRoutes)
	return c
}

// decide is what the endpoints do: the slow one takes a second, the failing one is
// down for two of every six, and else fails every fourth request.
func (c *chaos) decide(got *request, _ *http.Request) int {
	switch {
	case c.calm.Load():
	case got.path == "/slow":
		pass(time.Second)
	case got.path == "/failing":
		throw := fnv.New64a()
		fmt.Fprint(throw, c.seed, got.id, c.thrown.Add(1))
		if time.Now().Unix()%6 < 2 || throw.Sum64()%4 == 0 {
			return 503
		}
	}
	return 200
}

// watch reads the lengths of commits until the returned function is called, which
// may be more than once.
func (c *chaos) watch() (stop func()) {
	quit := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
			case <-quit:
				return
			}
			for _, n := range c.senders() {
				n.scrape()
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); watching.Wait() })
}

// quietly does what no second copy may come of.
func (c *chaos) quietly() {
	for range testkit.Count(1, 8) {
		for _, step := range []func(){c.restartFast, c.restartImmediate, c.cutShort, c.cutAll, c.roll} {
			c.random.Shuffle(len(c.slots), func(i, j int) { c.slots[i], c.slots[j] = c.slots[j], c.slots[i] })
			step()
			pass(time.Duration(300+c.random.IntN(500)) * time.Millisecond)
		}
	}
}

// loudly does everything, at random; the small version all that loses something.
func (c *chaos) loudly() {
	if !testkit.Soaking() {
		c.killOne()
		c.loseTwo()
		return
	}
	steps := []func(){c.restartFast, c.restartImmediate, c.cutShort, c.cutAll, c.roll, c.killOne, c.killOne, c.killAll, c.stopOne, c.cutLong, c.loseTwo}
	for range 60 {
		c.random.Shuffle(len(c.slots), func(i, j int) { c.slots[i], c.slots[j] = c.slots[j], c.slots[i] })
		steps[c.random.IntN(len(steps))]()
		pass(time.Duration(c.random.IntN(3000)) * time.Millisecond)
	}
}

func (c *chaos) restartFast()      { c.restart("fast") }
func (c *chaos) restartImmediate() { c.restart("immediate") }

// restart restarts the database, for less than a lease.
func (c *chaos) restart(mode string) {
	c.done["database "+mode]++
	c.cluster.Stop(c.t, mode)
	pass(time.Duration(c.random.IntN(1500)) * time.Millisecond)
	c.cluster.Start(c.t)
}

// cutShort breaks a node's connections, and keeps it off for less than the lease
// has left: it is renewed every three seconds.
func (c *chaos) cutShort() {
	c.done["short cut"]++
	n := c.slots[0]
	n.link.sever()
	pass(time.Duration(c.random.IntN(2500)) * time.Millisecond)
	n.link.mend()
}

// cutAll breaks the connections of all, who may connect again at once.
func (c *chaos) cutAll() {
	c.done["cut of all"]++
	for _, n := range c.slots {
		n.link.cut()
	}
}

// roll replaces all nodes one by one.
func (c *chaos) roll() {
	c.done["rolling restart"]++
	for i, n := range c.slots {
		if code := n.terminate(patience); code != 0 {
			c.t.Errorf("%s ends with code %d", n.name, code)
		}
		c.slots[i] = c.join()
	}
}

// killOne kills a node, and starts another some time later.
func (c *chaos) killOne() {
	c.done["kill"]++
	c.slots[0].crash()
	pass(time.Duration(500+c.random.IntN(testkit.Count(1000, 4000))) * time.Millisecond)
	c.slots[0] = c.join()
}

// killAll leaves nobody.
func (c *chaos) killAll() {
	c.done["kill of all"]++
	last := c.slots[2]
	c.slots[0].crash()
	c.slots[1].crash()
	c.slots[0] = c.join() // publishers always have somebody to ask
	last.crash()
	c.slots[1], c.slots[2] = c.join(), c.join()
}

// stopOne stops a node for longer than its lease, and wakes it.
func (c *chaos) stopOne() {
	c.done["stop"]++
	wake := c.freeze(c.slots[0])
	pass(c.longer())
	wake()
}

// cutLong keeps a node off the database for longer than its lease.
func (c *chaos) cutLong() {
	c.done["long cut"]++
	mend := c.isolate(c.slots[0])
	pass(c.longer())
	mend()
}

// loseTwo does both at once, to two.
func (c *chaos) loseTwo() {
	c.done["stop and long cut"]++
	mend := c.isolate(c.slots[0])
	pass(time.Duration(c.random.IntN(1000)) * time.Millisecond)
	wake := c.freeze(c.slots[1])
	pass(c.longer())
	mend()
	wake()
}

// longer is more than a lease.
func (c *chaos) longer() time.Duration {
	return leaseLasts + time.Duration(2000+c.random.IntN(testkit.Count(500, 4000)))*time.Millisecond
}

// freeze stops a node; the returned function wakes it, and waits until it publishes.
func (c *chaos) freeze(n *node) (wake func()) {
	signal := func(s syscall.Signal) {
		if err := n.cmd.Process.Signal(s); err != nil {
			c.t.Fatal(err)
		}
	}
	n.lose(time.Now())
	signal(syscall.SIGSTOP)
	return func() {
		signal(syscall.SIGCONT)
		c.serves(n)
	}
}

// isolate keeps a node off the database until the returned function is called, which
// waits until it publishes.
func (c *chaos) isolate(n *node) (mend func()) {
	n.lose(time.Now())
	n.link.sever()
	return func() {
		n.link.mend()
		c.serves(n)
	}
}

// serves waits until a node that lost its lease accepts again.
func (c *chaos) serves(n *node) {
	c.t.Helper()
	asker := newClient(c.t, n.base)
	asker.http.Timeout = 2 * time.Second
	i := 0
	await(c.t, n.name+" accepts again", func() bool {
		i++
		return c.publish(asker, n, event{fmt.Sprintf("%s-%d-%d", n.name, len(n.losses), i), "user.made"})
	})
	n.regain()
}
