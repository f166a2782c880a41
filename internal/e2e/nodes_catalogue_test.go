package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/testkit"
)

// threeNodes are on one database, and know of an application.
type threeNodes struct {
	*nodesWorld
	t       *testing.T
	a, b, c *node
	app     string
	broken  atomic.Bool // what is under /broken fails
}

func newThreeNodes(t *testing.T) *threeNodes {
	t.Helper()
	w := &threeNodes{t: t}
	w.nodesWorld = newNodesWorld(t, func(got *request, _ *http.Request) int {
		if w.broken.Load() && strings.HasPrefix(got.path, "/broken") {
			return 500
		}
		return 200
	}, "--retry-schedule=1h")
	w.a, w.b, w.c = w.three()
	w.app = w.a.application("three")
	return w
}

// What is answered on one node holds on every other from then on: an endpoint is
// routed to, an application is there, a source has its new secret, and a key that was
// taken back opens nothing.
func TestCatalogueOverNodes(t *testing.T) {
	t.Parallel()
	w := newThreeNodes(t)
	w.routesAtOnce(testkit.Count(60, 200))
	w.readsAtOnce(20)
	w.verifiesAtOnce(20)
	w.revokes(testkit.Count(5, 50))
	w.changesMeet(testkit.Count(20, 200))
}

// routesAtOnce: an endpoint that one node has answered the creation of is routed to by
// a publish on another.
func (w *threeNodes) routesAtOnce(n int) {
	w.t.Helper()
	for i := range n {
		name := fmt.Sprint("at-once-", i)
		w.a.endpoint(w.app, w.receiver.URL+"/"+name, object{"eventTypes": []string{name + ".*"}})
		if id := w.b.publish(w.app, name+".made", object{}); i%10 == 0 {
			if got := len(w.c.states(w.app, id)); got != 1 {
				w.t.Errorf("%s goes to %d endpoints", name, got)
			}
		}
	}
	for i := range n {
		w.receiver.await(w.t, fmt.Sprint("/at-once-", i), 1)
	}
}

// readsAtOnce: whatever is made, changed and deleted on one node is seen on another.
func (w *threeNodes) readsAtOnce(n int) {
	w.t.Helper()
	for i := range n {
		name := fmt.Sprint("read-", i)
		app := w.a.application(name)
		w.b.want(200, "GET", "/app/"+app, nil, nil)
		w.c.publish(app, "any.made", object{})
		w.b.want(200, "PATCH", "/app/"+app, object{"name": name + " changed"}, nil)
		var got struct{ Name string }
		if w.c.want(200, "GET", "/app/"+app, nil, &got); got.Name != name+" changed" {
			w.t.Errorf("%s is still %s on another node", name, got.Name)
		}
		if r := w.c.call("DELETE", "/app/"+app, nil); r.status != 204 {
			w.t.Errorf("deleting %s: %d %s", name, r.status, r.body)
		}
		w.a.want(404, "GET", "/app/"+app, nil, nil)
	}
}

// verifiesAtOnce: a request that is signed with a secret which one node has just been
// given is taken by another.
func (w *threeNodes) verifiesAtOnce(n int) {
	w.t.Helper()
	var source struct{ ID, IngestURL string }
	w.a.want(201, "POST", "/app/"+w.app+"/source", object{"name": "rotated", "provider": "github", "secrets": []string{"first"}}, &source)
	_, token, _ := strings.Cut(source.IngestURL, "/in/")
	for i := range n {
		secret, body := fmt.Sprint("secret-", i), fmt.Sprintf(`{"i":%d}`, i)
		if r := w.a.call("POST", "/app/"+w.app+"/source/"+source.ID+"/secret/rotate", object{"key": secret, "keepOld": false}); r.status != 204 {
			w.t.Fatalf("rotating a secret: %d %s", r.status, r.body)
		}
		signed := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + hexMAC(secret, body)}}
		status := 503
		for tries := 0; status == 503 && tries < 10; tries++ { // a database that is slow here and now, which senders outlive
			r, err := w.b.send("POST", "/in/"+token, signed, strings.NewReader(body))
			if err != nil {
				w.t.Fatal(err)
			}
			status = r.status
		}
		if status != 202 {
			w.t.Errorf("what is signed with a secret of another node is answered %d", status)
		}
	}
}

// revokes: a key opens every node as soon as it is made, and none within a second of
// its end.
func (w *threeNodes) revokes(n int) {
	w.t.Helper()
	var longest time.Duration
	for range n {
		var key struct{ ID, Token string }
		w.a.want(201, "POST", "/key", object{"name": "short-lived", "scope": "application", "application": w.app}, &key)
		bearer := http.Header{"Authorization": {"Bearer " + key.Token}}
		publishes := func(n *node) int {
			body := strings.NewReader(`{"eventType":"any.made","payload":{}}`)
			r, err := n.send("POST", "/api/v1/app/"+w.app+"/msg", bearer, body)
			if err != nil {
				w.t.Fatal(err)
			}
			return r.status
		}
		if got := publishes(w.b); got != 202 {
			w.t.Errorf("a new key opens another node with %d", got)
		}
		if r := w.a.call("DELETE", "/key/"+key.ID, nil); r.status != 204 {
			w.t.Fatalf("taking a key back: %d %s", r.status, r.body)
		}
		over := time.Now()
		if !holds(time.Second+busy(), func() bool { return publishes(w.b) == 401 }) {
			w.t.Errorf("a key is taken that was taken back")
		}
		longest = max(longest, time.Since(over))
	}
	w.t.Logf("keys are refused elsewhere within %v", longest.Round(time.Millisecond))
	if longest > time.Second+busy() {
		w.t.Errorf("want one second at most")
	}
}

// changesMeet: two nodes change the same at the same time. Each change is stored or
// may be tried again, and all nodes agree on what is there in the end.
func (w *threeNodes) changesMeet(n int) {
	w.t.Helper()
	endpoint := w.a.endpoint(w.app, w.receiver.URL+"/met", object{"eventTypes": []string{"met.*"}})
	path := "/app/" + w.app + "/endpoint/" + endpoint
	moved := 0
	for i := range n {
		var both sync.WaitGroup
		var mu sync.Mutex
		stored := map[string]bool{}
		for _, n := range []*node{w.a, w.b} {
			both.Go(func() {
				text := fmt.Sprint(n.name, "-", i)
				r := n.call("PATCH", path, object{"description": text})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case r.status == 200:
					stored[text] = true
				case r.status == 503 && gjson.GetBytes(r.body, "code").Str == "catalogue_moved":
					moved++
				default:
					w.t.Errorf("changing: %d %s", r.status, r.body)
				}
			})
		}
		both.Wait()
		for _, n := range w.nodes {
			var got struct{ Description string }
			n.want(200, "GET", path, nil, &got)
			if len(stored) > 0 && !stored[got.Description] {
				w.t.Errorf("%s has %q, stored was %v", n.name, got.Description, stored)
			}
		}
	}
	w.t.Logf("%d pairs of changes, %d were to be tried again", n, moved)
}

// The same event, published to two nodes at the same time, is one message; so is what
// bears the same idempotency key.
func TestCopiesOverNodes(t *testing.T) {
	t.Parallel()
	w := newThreeNodes(t)
	w.a.endpoint(w.app, w.receiver.URL+"/copies", nil)
	n := testkit.Count(100, 200)
	var tally [2]map[int]int
	for i, send := range []func(n *node, i int) *reply{
		func(n *node, i int) *reply {
			return n.call("POST", "/app/"+w.app+"/msg", object{"eventType": "any.made", "eventId": fmt.Sprint("copy-", i), "payload": object{}})
		},
		func(n *node, i int) *reply {
			text, _ := json.Marshal(object{"eventType": "any.made", "payload": object{"n": i}}) // nothing in it can fail
			r, err := n.send("POST", "/api/v1/app/"+w.app+"/msg", http.Header{"Idempotency-Key": {fmt.Sprint("copy-", i)}}, strings.NewReader(string(text)))
			if err != nil {
				t.Error(err)
				return &reply{}
			}
			return r
		},
	} {
		tally[i] = map[int]int{}
		for copy := range n {
			var both sync.WaitGroup
			var replies [2]*reply
			for i, n := range []*node{w.a, w.b} {
				both.Go(func() { replies[i] = send(n, copy) })
			}
			both.Wait()
			for _, r := range replies {
				tally[i][r.status]++
			}
			first, second := replies[0], replies[1]
			if second.status == 202 && first.status != 202 {
				first, second = second, first
			}
			id := idOf(first.body)
			if first.status != 202 || !strings.Contains(string(second.body), id) {
				t.Errorf("copy %d is answered %d %s and %d %s", copy, first.status, first.body, second.status, second.body)
			}
		}
	}
	for copy := range 10 {
		var both sync.WaitGroup
		var replies [2]*reply
		for i, n := range []*node{w.a, w.b} {
			both.Go(func() {
				replies[i], _ = n.send("POST", "/api/v1/app", http.Header{"Idempotency-Key": {fmt.Sprint("made-", copy)}}, strings.NewReader(`{"name":"once"}`))
			})
		}
		both.Wait()
		if a, b := replies[0], replies[1]; a == nil || b == nil || a.status != 201 || b.status != 201 || string(a.body) != string(b.body) {
			t.Errorf("copy %d of an application is answered %+v and %+v", copy, a, b)
		}
	}
	if tally[0][202] != n || tally[0][409] != n || tally[1][202] != 2*n {
		t.Errorf("answers to event ids: %v, to idempotency keys: %v", tally[0], tally[1])
	}
	await(t, "each has arrived", func() bool { return len(w.receiver.requests("/copies")) >= 2*n })
	if rows := w.c.all("/app/" + w.app + "/msg?"); len(rows) != 2*n {
		t.Errorf("%d messages, want %d", len(rows), 2*n)
	}
}

// Whatever is asked about a message of another node, wherever it is asked, is done
// where the message is.
func TestCommandsOverNodes(t *testing.T) {
	t.Parallel()
	w := newThreeNodes(t)
	w.broken.Store(true)
	endpoint := w.a.endpoint(w.app, w.receiver.URL+"/broken", nil)
	state := func(n *node, id, want string) {
		t.Helper()
		await(t, id+" is "+want, func() bool { return n.states(w.app, id)[endpoint] == want })
	}
	for i := range testkit.Count(5, 30) {
		owner, asked, other := w.nodes[i%3], w.nodes[(i+1)%3], w.nodes[(i+2)%3]
		w.broken.Store(true)
		resent := owner.publish(w.app, "any.made", object{})
		canceled := owner.publish(w.app, "any.made", object{})
		expunged := owner.publish(w.app, "any.made", object{})
		for _, id := range []string{resent, canceled, expunged} {
			state(other, id, "retrying")
		}
		path := func(id string) string { return "/app/" + w.app + "/msg/" + id + "/endpoint/" + endpoint }
		if r := asked.call("POST", path(canceled)+"/cancel", nil); r.status != 204 {
			t.Errorf("canceling: %d %s", r.status, r.body)
		}
		state(other, canceled, "canceled")
		if r := other.call("POST", path(canceled)+"/cancel", nil); r.status != 409 {
			t.Errorf("canceling again: %d %s", r.status, r.body)
		}
		if r := asked.call("DELETE", "/app/"+w.app+"/msg/"+expunged+"/content", nil); r.status != 204 {
			t.Errorf("expunging: %d %s", r.status, r.body)
		}
		state(other, expunged, "canceled")
		if r := asked.call("POST", path(expunged)+"/resend", nil); r.status/100 == 2 {
			t.Errorf("resending what is expunged: %d %s", r.status, r.body)
		}
		w.broken.Store(false)
		if r := asked.call("POST", path(resent)+"/resend", nil); r.status != 202 {
			t.Errorf("resending: %d %s", r.status, r.body)
		}
		state(other, resent, "delivered")

		asked.want(200, "POST", "/app/"+w.app+"/endpoint/"+endpoint+"/pause", nil, nil)
		held := owner.publish(w.app, "any.made", object{})
		pass(50 * time.Millisecond)
		state(other, held, "pending")
		other.want(200, "POST", "/app/"+w.app+"/endpoint/"+endpoint+"/resume", nil, nil)
		state(asked, held, "delivered")
	}
}
