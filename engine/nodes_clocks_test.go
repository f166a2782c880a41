package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// Nodes on machines whose clocks differ by minutes go by the database's: in what they
// stamp, when retries are due, here and on whoever goes on with them, what a replay is
// of, and what is a copy. (TestSoakClocks has whole programs with wrong clocks.)
func TestNodesWithWrongClocks(t *testing.T) {
	g := newTogether(t)
	g.schedule = []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second}
	a, b := g.joinAhead("a", 7*time.Minute), g.joinAhead("b", -5*time.Minute)
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "e"}, nil)
	a.want(201, "POST", "/event-type", map[string]any{"name": "never", "description": "d"}, nil)

	before, err := postern.ParseMessageID(a.publish("made", "before"))
	if err != nil {
		t.Fatal(err)
	}
	g.await(payload("before"), 1)
	since := before.Time().Add(time.Millisecond).UTC() // nodes know the database's time to a part of a round trip
	for _, m := range []*member{a, b} {
		g.fail(payload(m.name))
		id, err := postern.ParseMessageID(m.publish("made", m.name))
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(id.Time()); off.Abs() > time.Minute {
			t.Errorf("an id of %s is %v off", m.name, off)
		}
		g.await(payload(m.name), 1)
		if m == a {
			a.stop() // b goes on with it
		}
		came := g.await(payload(m.name), 2)
		// Jitter makes it somewhat less; a machine that is busy makes it more.
		if waited := came[1].Sub(came[0]); waited < time.Second || waited > time.Minute {
			t.Errorf("what %s tried is tried again after %v, want 2 s", m.name, waited)
		}
	}

	c := g.joinAhead("c", 20*time.Minute)
	for i, pair := range [][2]*member{{b, c}, {c, b}} {
		in := map[string]any{"eventType": "made", "eventId": fmt.Sprint("event", i), "payload": map[string]any{"n": fmt.Sprint("copy", i)}}
		pair[0].want(202, "POST", "/app/a/msg", in, nil)
		pair[1].want(409, "POST", "/app/a/msg", in, nil)
		g.await(payload(fmt.Sprint("copy", i)), 1)
	}
	c.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "new", "filterTypes": []string{"never"}}, nil)
	c.want(201, "POST", "/app/a/replay", map[string]any{"toEndpointId": "new", "since": since.Format(time.RFC3339Nano)}, nil)
	g.await(payload("copy0"), 2)
	g.await(payload("copy1"), 2)
	g.await(payload("a"), 3)
	g.await(payload("b"), 3)
	g.await(payload("before"), 1)
}
