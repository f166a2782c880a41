package engine_test

import (
	"fmt"
	"sync"
	"testing"
)

// What has nothing left to do is nobody's journal, until somebody asks something of
// its messages; it is not let go under whoever does.
func TestResendsOfWhoLeft(t *testing.T) {
	g := newTogether(t)
	a, b := g.join("a"), g.join("b")
	a.want(201, "POST", "/app", map[string]any{"name": "a", "uid": "a"}, nil)
	a.want(201, "POST", "/app/a/endpoint", map[string]any{"url": g.receiver.URL, "uid": "e"}, nil)
	const messages = 40
	var ids []string
	for i := range messages {
		ids = append(ids, b.publish("t", fmt.Sprint(i)))
		g.await(payload(fmt.Sprint(i)), 1)
	}
	b.stop()
	var all sync.WaitGroup
	for i, id := range ids {
		if i%4 == 0 { // the journal has nothing left meanwhile, and others look
			all.Wait()
			a.want(200, "PATCH", "/app/a", map[string]any{"name": fmt.Sprint("a", i)}, nil)
		}
		all.Go(func() {
			if got := a.call("POST", "/app/a/msg/"+id+"/endpoint/e/resend", map[string]any{}, nil); got != 202 {
				t.Errorf("resend %d: %d", i, got)
			}
		})
	}
	all.Wait()
	for i := range messages {
		if t.Failed() {
			return // or it never comes
		}
		g.await(payload(fmt.Sprint(i)), 2)
	}
}
