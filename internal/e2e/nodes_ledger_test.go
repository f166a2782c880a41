package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/testkit"
)

// event is one that is published with an id of its own, on whatever node takes it.
type event struct{ id, eventType string }

// nodesLedger is what was published, and what became of it.
type nodesLedger struct {
	w   *nodesWorld
	app string
	// routes are the event types that each path gets, nil for all, and endpoints
	// the ids by path.
	routes    map[string][]string
	endpoints map[string]string

	mu sync.Mutex
	// acknowledged are types by event; messages the ids that were told of them.
	acknowledged map[string]string
	messages     map[string]string
	repeats      int // answers that there is one already
	refused      int // 503
	unknown      int // no answer

	// duplicates are counted by check, and the requests that a loss may excuse one of.
	duplicates, excusable int
}

// newNodesLedger has a node make an application with an endpoint for each path.
func newNodesLedger(w *nodesWorld, n *node, routes map[string][]string) *nodesLedger {
	w.t.Helper()
	l := &nodesLedger{w: w, app: n.application("nodes"), routes: routes, endpoints: map[string]string{}, acknowledged: map[string]string{}, messages: map[string]string{}}
	for path, types := range routes {
		for _, name := range types {
			if r := n.call("POST", "/event-type", object{"name": name, "description": "routed to by its name"}); r.status != 201 && r.status != 409 {
				w.t.Fatalf("%s: %d %s", name, r.status, r.body)
			}
		}
		more := object{}
		if types != nil {
			more["eventTypes"] = types
		}
		l.endpoints[path] = n.endpoint(l.app, w.receiver.URL+path, more)
	}
	return l
}

// publishers publish until the returned function is called, each an event every
// pace, and each event again and again until it is acknowledged.
func (l *nodesLedger) publishers(n int, pace time.Duration, seed uint64, types []string) (stop func()) {
	quit := make(chan struct{})
	var all sync.WaitGroup
	for p := range n {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(100+p)))
			c := newClient(l.w.t, "")
			c.http.Timeout = 2 * time.Second
			ticks := time.NewTicker(pace)
			defer ticks.Stop()
			for i := 0; ; i++ {
				e := event{fmt.Sprintf("p%d-%d", p, i), types[i%len(types)]}
				for done := false; !done; {
					select {
					case <-ticks.C:
					case <-quit:
						return
					}
					living := l.w.senders()
					if len(living) == 0 {
						continue // all were killed, or the test has failed
					}
					done = l.publish(c, living[random.IntN(len(living))], e)
				}
			}
		})
	}
	return func() { close(quit); all.Wait() }
}

// publish publishes an event once, and reports whether it is acknowledged.
func (l *nodesLedger) publish(c *client, n *node, e event) bool {
	c.base = n.base
	begun := time.Now()
	r, err := c.try("POST", "/app/"+l.app+"/msg", object{"eventType": e.eventType, "eventId": e.id, "payload": object{"event": e.id}})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.unknown++
	case r.status == 202:
		if was := l.messages[e.id]; was != "" && was != idOf(r.body) {
			l.w.t.Errorf("%s became %s, then %s", e.id, was, r.body)
		}
		l.acknowledged[e.id], l.messages[e.id] = e.eventType, idOf(r.body)
		n.mu.Lock()
		if begun.After(n.proven) {
			n.proven = begun
		}
		n.mu.Unlock()
		return true
	case r.status == 409: // an earlier try was stored
		l.repeats++
		l.acknowledged[e.id] = e.eventType
		return true
	case r.status == 503:
		l.refused++
		if r.header.Get("Retry-After") == "" {
			l.w.t.Errorf("503 without Retry-After: %s", r.body)
		}
	default:
		l.w.t.Errorf("publishing %s at %s: %d %s", e.id, n.name, r.status, r.body)
	}
	return false
}

// routed are the paths that an event type goes to.
func (l *nodesLedger) routed(eventType string) (paths []string) {
	for path, types := range l.routes {
		if types == nil || slices.Contains(types, eventType) {
			paths = append(paths, path)
		}
	}
	return paths
}

// check waits until all that was acknowledged is delivered, and looks whether it was
// once, and by one node at a time.
func (l *nodesLedger) check() {
	l.w.t.Helper()
	l.arriveAll()
	l.checkHistory()
	l.checkCopies()
	l.checkAlone()
}

// arriveAll waits until all that was acknowledged has arrived, each as one message.
func (l *nodesLedger) arriveAll() {
	l.w.t.Helper()
	var missing map[string][]string
	ids := map[string]string{}
	arrived := func() bool {
		got := map[string]bool{}
		for _, r := range l.w.receiver.requests("") {
			name := gjson.GetBytes(r.body, "event").Str
			got[r.path+name] = got[r.path+name] || r.status == 200
			if was := ids[name]; was != "" && was != r.id {
				l.w.t.Fatalf("%s is two messages: %s and %s", name, was, r.id)
			}
			ids[name] = r.id
		}
		missing = map[string][]string{}
		for name, eventType := range l.acknowledged {
			for _, path := range l.routed(eventType) {
				if !got[path+name] {
					missing[path] = append(missing[path], name+"="+l.messages[name])
				}
			}
		}
		return len(missing) == 0
	}
	deadline := time.Now().Add(time.Duration(testkit.Count(60, 300)) * time.Second)
	for !arrived() {
		if time.Now().After(deadline) {
			for path, names := range missing {
				l.w.t.Errorf("%d of %d acknowledged events have not arrived at %s: %s", len(names), len(l.acknowledged), path, tail(strings.Join(names, " "), 1000))
			}
			l.w.t.Fatalf("leases: %+v", l.w.leases())
		}
		pass(100 * time.Millisecond)
	}
	for name, id := range ids { // those of events that were stored at a try without an answer
		if l.messages[name] == "" {
			l.messages[name] = id
		} else if l.messages[name] != id {
			l.w.t.Errorf("%s was acknowledged as %s and arrived as %s", name, l.messages[name], id)
		}
	}
}

// checkHistory waits until the history has every delivery as delivered, and nothing
// waits.
func (l *nodesLedger) checkHistory() {
	l.w.t.Helper()
	n := l.w.senders()[0]
	paths := map[string]string{}
	for path, id := range l.endpoints {
		paths[id] = path
	}
	var lacks []string
	if !holds(patience, func() bool {
		delivered := map[string]bool{}
		for id, path := range paths {
			for _, row := range n.all("/app/" + l.app + "/attempt/endpoint/" + id + "?status=0") {
				delivered[path+row.Get("msgId").Str] = true
			}
		}
		lacks = lacks[:0]
		for name, eventType := range l.acknowledged {
			for _, path := range l.routed(eventType) {
				if !delivered[path+l.messages[name]] {
					lacks = append(lacks, path+" "+name)
				}
			}
		}
		for _, state := range []string{"pending", "retrying", "dead", "canceled"} {
			for _, row := range n.all("/app/" + l.app + "/delivery?state=" + state) {
				lacks = append(lacks, row.Raw)
			}
		}
		return len(lacks) == 0
	}) {
		l.w.t.Errorf("the history lacks %d deliveries: %s", len(lacks), tail(strings.Join(lacks, " "), 1000))
	}
}

// checkCopies looks for deliveries that were made again though they had succeeded,
// which only a loss excuses.
func (l *nodesLedger) checkCopies() {
	l.w.t.Helper()
	copies := map[string][]request{}
	for _, r := range l.w.receiver.requests("") {
		copies[r.path+r.id] = append(copies[r.path+r.id], r)
		if r.status == 200 && l.w.at(&r).lost(&r) {
			l.excusable++
		}
	}
	for key, list := range copies {
		slices.SortFunc(list, l.bySent)
		for i, earlier := range list[:len(list)-1] {
			if earlier.status != 200 {
				continue
			}
			l.duplicates++
			if n := l.w.at(&earlier); !n.lost(&earlier) {
				l.w.t.Errorf("%s: a copy of %s at %v after one of %s from %v to %v that no loss excuses: %+v, longest commit %v; attempts %+v",
					key, l.w.at(&list[i+1]).name, list[i+1].start, n.name, earlier.start, earlier.end, n.losses, n.longest, l.w.senders()[0].attempts(l.app, earlier.id))
			}
		}
	}
}

// bySent compares requests by when they were sent.
func (l *nodesLedger) bySent(a, b request) int {
	return l.w.at(&a).sent(&a).Compare(l.w.at(&b).sent(&b))
}

// sent is when the node sent a request, at the latest: what one sent that was killed
// may be read after its end.
func (n *node) sent(r *request) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.exited:
		if k := len(n.losses) - 1; k >= 0 && n.losses[k].to.IsZero() && r.start.After(n.losses[k].from) {
			return n.losses[k].from
		}
	default:
	}
	return r.start
}

// checkAlone looks for two nodes inside the same delivery. The first of them must
// have lost its lease by then.
func (l *nodesLedger) checkAlone() {
	l.w.t.Helper()
	copies := map[string][]request{}
	for _, r := range l.w.receiver.requests("") {
		copies[r.path+r.id] = append(copies[r.path+r.id], r)
	}
	for key, list := range copies {
		slices.SortFunc(list, l.bySent)
		for i := range list[:len(list)-1] {
			a, b := &list[i], &list[i+1]
			begun := l.w.at(b).sent(b)
			if n := l.w.at(a); begun.Before(a.answering) && !n.without(a.start, begun) {
				l.w.t.Errorf("%s: %s begins at %v, %s is inside from %v to %v: %+v", key, l.w.at(b).name, begun, n.name, a.start, a.answering, n.losses)
			}
		}
	}
}

// without reports whether the node had lost its lease or its life by a moment, after
// or while another.
func (n *node) without(after, by time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.losses, func(l loss) bool {
		return l.from.Before(by) && (l.to.IsZero() || after.Before(l.to))
	})
}

// all reads a list whole.
func (c *client) all(path string) (rows []gjson.Result) {
	c.t.Helper()
	for iterator := ""; ; {
		r := c.call("GET", path+"&limit=250&iterator="+iterator, nil)
		if r.status != 200 {
			c.t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		page := gjson.ParseBytes(r.body)
		rows = append(rows, page.Get("data").Array()...)
		if page.Get("done").Bool() {
			return rows
		}
		iterator = page.Get("iterator").Str
	}
}
