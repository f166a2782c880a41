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

func TestGateOfOneAloneIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &crowd{t: t, g: &gate{}, app: 1}
		one.come(100)
		one.has(100)
		one.end(100)
		if len(one.g.apps) != 0 {
			t.Error("the gate remembers an application that is gone")
		}
	})
}

func TestGateLetsAFloodInByRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		flood, trickle := &crowd{t: t, g: g, app: 1}, &crowd{t: t, g: g, app: 2}
		flood.come(20)
		trickle.come(1)
		trickle.has(1)
		flood.come(2*round + 1)
		flood.has(20) // those that were in stay in, and nobody follows
		flood.end(20 - unhindered)
		flood.has(unhindered)
		flood.end(1)
		flood.has(unhindered - 1 + round)
		trickle.come(1)
		trickle.has(2)
		flood.end(round - 1)
		flood.has(unhindered)
		flood.end(1)
		flood.has(unhindered - 1 + round)
		flood.end(round)
		flood.has(unhindered) // one in progress, and the last that waited
		flood.end(unhindered)
		trickle.end(2)
		if len(g.apps) != 0 || g.held != 0 {
			t.Errorf("an empty gate has %d applications and %d bytes", len(g.apps), g.held)
		}
	})
}

func TestGateOpensWhenTheOtherIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		flood, trickle := &crowd{t: t, g: g, app: 1}, &crowd{t: t, g: g, app: 2}
		trickle.come(1)
		trickle.end(1)
		flood.come(unhindered + 1)
		flood.has(unhindered)
		time.Sleep(company + 1)
		flood.come(10)
		flood.has(unhindered + 10)
		flood.end(unhindered + 9) // the one that waited came in meanwhile
		flood.has(2)
		flood.end(2)
	})
}

func TestGateForgetsWhoWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		flood, trickle := &crowd{t: t, g: g, app: 1}, &crowd{t: t, g: g, app: 2}
		trickle.come(1)
		flood.come(unhindered)
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
		flood.end(unhindered)
		flood.come(1)
		flood.has(1)
		flood.end(1)
		trickle.end(1)
		if len(g.apps) != 0 || g.held != 0 {
			t.Errorf("an empty gate has %d applications and %d bytes", len(g.apps), g.held)
		}
	})
}

// A message that is let in while its publisher leaves gives its place back.
func TestGateAdmitsWhoLeaves(t *testing.T) {
	g := &gate{}
	for range unhindered {
		if w, err := g.admit(1, 1); w != nil || err != nil {
			t.Fatal(w, err)
		}
	}
	g.turn = time.Now()
	w, err := g.admit(1, 1)
	if w == nil || err != nil {
		t.Fatal(w, err)
	}
	g.leave(1)
	<-w.admitted
	g.abandon(1, w)
	g.leave(1)
	if len(g.apps) != 0 || g.held != 0 {
		t.Errorf("an empty gate has %d applications and %d bytes", len(g.apps), g.held)
	}
}
