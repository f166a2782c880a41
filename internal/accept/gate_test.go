package accept

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

// crowd is an application's messages at a gate.
type crowd struct {
	t   *testing.T
	g   *gate
	app postern.ApplicationNumber
	in  int // of these, those that came through; read after synctest.Wait
}

// come has n more messages at the gate.
func (c *crowd) come(n int) {
	passed := make(chan bool, n)
	for range n {
		go func() { passed <- c.g.enter(c.t.Context(), c.app, 1) == nil }()
		synctest.Wait()
	}
	go func() {
		for range n {
			if <-passed {
				c.in++
			}
		}
	}()
	synctest.Wait()
}

// end ends n messages.
func (c *crowd) end(n int) {
	for range n {
		c.in--
		c.g.passed()
		c.g.leave(c.app)
	}
	synctest.Wait()
}

func (c *crowd) has(want int) {
	c.t.Helper()
	if c.in != want {
		c.t.Errorf("application %d has %d messages in progress, want %d", c.app, c.in, want)
	}
}

// places are those of an application at the gates of these tests.
const places = placesEach * 2

// empty fails unless everybody has left.
func empty(t *testing.T, g *gate) {
	t.Helper()
	if len(g.apps) != 0 || g.held != 0 || g.queued != 0 || g.coming != 0 {
		t.Errorf("an empty gate has %d applications, %d bytes of %d who wait and %d who come", len(g.apps), g.held, g.queued, g.coming)
	}
}

func TestGateOfOneAloneIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		one := &crowd{t: t, g: &g, app: 1}
		one.come(100)
		one.has(100)
		one.end(100)
		empty(t, &g)
	})
}

func TestGateHoldsAFloodToItsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		flood, trickle := &crowd{t: t, g: &g, app: 1}, &crowd{t: t, g: &g, app: 2}
		flood.come(20)
		trickle.come(1)
		trickle.has(1)
		flood.come(places)
		flood.has(20) // those that were in stay in, and nobody follows
		flood.end(20 - places)
		flood.has(places)
		for range places {
			flood.end(1)
			flood.has(places)
		}
		flood.end(places)
		flood.has(0)
		trickle.end(1)
		empty(t, &g)
	})
}

// Many applications that publish are not held in sum.
func TestGateHoldsNobodyWithinItsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		var all []*crowd
		for app := range 8 {
			all = append(all, &crowd{t: t, g: &g, app: postern.ApplicationNumber(app + 1)})
			all[app].come(places)
		}
		for _, c := range all {
			c.has(places)
			c.end(places)
		}
		empty(t, &g)
	})
}

// More processors are filled by more messages.
func TestGateHasPlacesForEachProcessor(t *testing.T) {
	if two, eight := newGate(2), newGate(8); eight.places != 4*two.places {
		t.Errorf("%d places on two processors, %d on eight", two.places, eight.places)
	}
}

func TestGateOpensWhenTheOtherIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		flood, trickle := &crowd{t: t, g: &g, app: 1}, &crowd{t: t, g: &g, app: 2}
		trickle.come(1)
		trickle.end(1)
		flood.come(places + 5)
		flood.has(places)
		time.Sleep(company + 1)
		flood.come(10)
		flood.has(places + 10)
		flood.end(1) // those that waited do not wait for a place any more
		flood.has(places + 10 - 1 + 5)
		flood.end(places + 14)
		empty(t, &g)
	})
}

// The last of those who are in tells that a batch has no company to wait for,
// where the others wait for that batch.
func TestGateTellsWhenNobodyIsOnTheWay(t *testing.T) {
	g := newGate(1)
	enter := func(app postern.ApplicationNumber) *waiter {
		t.Helper()
		w, err := g.admit(app, 1)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	pass := func(want bool) {
		t.Helper()
		if last := g.passed(); last != want {
			t.Errorf("passed tells %t with %d on the way and %d who wait", last, g.coming, g.queued)
		}
	}
	enter(2)
	pass(false) // others may come
	for range placesEach {
		enter(1)
	}
	held := enter(1)
	for range placesEach - 1 {
		pass(false)
	}
	enter(2)
	pass(false) // the other's is on the way
	pass(true)
	g.leave(1)
	<-held.admitted
	pass(false) // nobody waits
}

func TestGateForgetsWhoWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		flood, trickle := &crowd{t: t, g: &g, app: 1}, &crowd{t: t, g: &g, app: 2}
		trickle.come(1)
		flood.come(places)
		gone := errors.New("gone")
		ctx, leave := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- g.enter(ctx, 1, maxWaiting) }()
		synctest.Wait()
		if err := g.enter(t.Context(), 1, 1); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("with as much as may wait, the next gets %v", err)
		}
		leave(gone)
		if err := <-failed; !errors.Is(err, gone) {
			t.Errorf("whoever left got %v", err)
		}
		flood.end(places)
		flood.come(1)
		flood.has(1)
		flood.end(1)
		trickle.end(1)
		empty(t, &g)
	})
}

// A message that is let in while its publisher leaves gives its place back.
func TestGateAdmitsWhoLeaves(t *testing.T) {
	g := newGate(1)
	for range placesEach {
		if w, err := g.admit(1, 1); w != nil || err != nil {
			t.Fatal(w, err)
		}
	}
	g.turn = time.Now()
	w, err := g.admit(1, 1)
	if w == nil || err != nil {
		t.Fatal(w, err)
	}
	g.passed()
	g.leave(1)
	<-w.admitted
	g.abandon(1, w)
	for range placesEach - 1 {
		g.passed()
		g.leave(1)
	}
	empty(t, &g)
}
