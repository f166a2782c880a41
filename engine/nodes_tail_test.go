package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// hears reads a tail until all that is wanted has come, and nothing else, each of it
// once and the messages of each journal in their order.
func (c *tailing) hears(want ...string) {
	c.t.Helper()
	left := make(map[string]int, len(want))
	for _, e := range want {
		left[e]++
	}
	last := map[uint16]string{}
	for len(left) > 0 {
		event, message := c.next()
		e := event + " " + message
		if left[e] == 0 {
			c.t.Fatalf("%q came once too often, or from nowhere; %d events are to come", e, len(left))
		}
		if left[e]--; left[e] == 0 {
			delete(left, e)
		}
		if event == "message" {
			if order := journalOf(c.t, message); message < last[order] {
				c.t.Errorf("%s came behind %s", message, last[order])
			} else {
				last[order] = message
			}
		}
	}
}

// all are the events of messages that are delivered at once.
func all(ids ...string) (events []string) {
	for _, id := range ids {
		events = append(events, "message "+id, "attempt delivered "+id)
	}
	return events
}

// published has members publish at the same time, some messages each.
func published(t *testing.T, each int, name string, members ...*member) []string {
	ids := make([][]string, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() {
			for k := range each {
				ids[i] = append(ids[i], m.publish("made", fmt.Sprint(name, i, k)))
			}
		})
	}
	all.Wait()
	return slices.Concat(ids...)
}

// Whoever listens to a node hears what all do, once and in order, and misses nothing
// when it comes back to another one.
func TestTailOverNodes(t *testing.T) {
	g := newTogether(t)
	g.schedule = []time.Duration{time.Hour} // nothing is tried again by itself
	a, b := g.join("a"), g.join("b")
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "e"}, nil)
	a.want(201, "POST", "/app", map[string]any{"name": "Other", "uid": "other"}, nil)
	b.want(200, "GET", "/app/a", nil, nil)

	first, second := a.tail(""), b.tail("")
	ids := published(t, 40, "live", a, b)
	first.hears(all(ids...)...)
	second.hears(all(ids...)...)

	// It comes back again and again, here and there.
	ids = published(t, 40, "more", a, b)
	late := a.tail(first.id)
	left := all(ids...)
	for i := 0; len(left) > 0; i++ {
		for range min(30, len(left)) {
			event, message := late.next()
			at := slices.Index(left, event+" "+message)
			if at < 0 {
				t.Fatalf("%s %s came once too often, or from nowhere", event, message)
			}
			left = slices.Delete(left, at, at+1)
		}
		late.ended()
		late = []*member{a, b}[i%2].tail(late.id)
	}
	second.hears(all(ids...)...)

	// A node that goes leaves its journal to the other, and one that comes is heard.
	g.fail(payload("waits"))
	waits := b.publish("made", "waits")
	g.await(payload("waits"), 1)
	first.ended()
	second.ended()
	late.ended()
	late = a.tail(late.id)
	b.stop()
	a.want(202, "POST", "/app/a/msg/"+waits+"/endpoint/e/resend", map[string]any{}, nil)
	late.hears("message "+waits, "attempt retrying "+waits, "attempt delivered "+waits)
	c := g.join("c")
	late.hears(all(published(t, 20, "joined", a, c)...)...)
	c.tail("").ended()

	// What a client of one application alone is told by another node.
	one := a.tailOf("?app_id=other", "")
	c.want(201, "POST", "/app", map[string]any{"name": "New", "uid": "new"}, nil)
	var made struct{ ID string }
	c.want(202, "POST", "/app/new/msg", map[string]any{"eventType": "x", "payload": map[string]any{}}, &made)
	late.hears("message " + made.ID)
	c.want(202, "POST", "/app/other/msg", map[string]any{"eventType": "x", "payload": map[string]any{}}, &made)
	late.hears("message " + made.ID)
	one.hears("message " + made.ID)
	one.ended()
	c.want(202, "POST", "/app/other/msg", map[string]any{"eventType": "x", "payload": map[string]any{}}, &made)
	a.tailOf("?app_id=other", one.id).hears("message " + made.ID)
}

// A cancel is told on every node.
func TestTailOfCancels(t *testing.T) {
	g := newTogether(t)
	g.schedule = []time.Duration{time.Hour} // nothing is tried again by itself
	a, b := g.join("a"), g.join("b")
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "e"}, nil)
	here, there := a.tail(""), b.tail("")
	g.fail(payload("waits"))
	id := a.publish("made", "waits")
	for _, c := range []*tailing{here, there} {
		c.hears("message "+id, "attempt retrying "+id)
	}
	b.want(204, "POST", "/app/a/msg/"+id+"/endpoint/e/cancel", map[string]any{}, nil)
	for _, c := range []*tailing{here, there} {
		c.hears("canceled " + id)
	}
}

func journalOf(t *testing.T, message string) uint16 {
	t.Helper()
	id, err := postern.ParseMessageID(message)
	if err != nil {
		t.Fatal(err)
	}
	return id.Journal()
}
