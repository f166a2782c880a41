package dispatch

import (
	"math/bits"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
)

// The lane found is at least half as long as the longest, whatever was queued.
func TestLongest(t *testing.T) {
	r := testkit.Rand(t)
	d := &Dispatcher{pool: &pool{}}
	lanes := make([]*lane, 50)
	for i := range lanes {
		lanes[i] = &lane{}
	}
	for range 50_000 {
		l := lanes[r.IntN(len(lanes))]
		switch op := r.IntN(20); {
		case op == 0:
			for l.queue.len() > 0 {
				d.pop(l)
			}
		case op < 11:
			d.push(&claim{lane: l})
		case l.queue.len() > 0:
			d.pop(l)
		}
		most, sum := 0, 0
		for _, l := range lanes {
			most, sum = max(most, l.queue.len()), sum+l.queue.len()
		}
		found := d.lengths.longest()
		if sum != d.used.claims || (found == nil) != (most == 0) {
			t.Fatalf("%d queued, counted %d; found %v", sum, d.used.claims, found)
		}
		if found != nil && bits.Len(uint(found.queue.len())) != bits.Len(uint(most)) {
			t.Fatalf("found one of %d, the longest has %d", found.queue.len(), most)
		}
	}
}

// Past the budget of all queues the longest goes behind, and not the one whose
// message comes: a short fast lane is fed from memory beside one that hoards.
func TestTheLongestLaneMakesRoom(t *testing.T) {
	bubble(t, Config{Places: 2, MaxClaims: 8}, func(r *rig) {
		hog, short := r.endpoint(1, func(v *postern.EndpointView) { v.Rate = 1 }), r.endpoint(2, nil)
		var sent []*postern.Message
		for range 12 {
			sent = append(sent, r.publish(hog))
		}
		blocker := r.under(hog)
		blocker = append(blocker, r.hang(short)...) // no place is left
		for range 3 {
			sent = append(sent, r.publish(short))
		}
		if l := r.d.lanes[short]; !l.fed || l.queue.len() != 3 || l.rowState != rowNone {
			t.Errorf("the short lane: fed %t, %d queued", l.fed, l.queue.len())
		}
		if l := r.d.lanes[hog]; l.fed || l.queue.len() == 0 || r.d.Stats().Queued > 8 {
			t.Errorf("the long lane: fed %t, %d of %d queued", l.fed, l.queue.len(), r.d.Stats().Queued)
		}
		r.say(answer{code: 200}, blocker...)
		for range 60 {
			r.commit(r.accept())
			r.drain(answer{code: 200}, 5)
			r.pass(time.Second)
		}
		for i, m := range sent {
			if s := r.standing(m, m.Routes[0]); s.State != postern.Delivered || s.Attempts != 1 {
				t.Errorf("%d is %v after %d attempts", i, s.State, s.Attempts)
			}
		}
	})
}

// hang publishes one message to an endpoint and returns its try.
func (r *rig) hang(n postern.EndpointNumber) []*try {
	r.publish(n)
	return r.under(n)
}

// Where all queues are as long, the one whose message comes goes behind:
// another would gain nothing.
func TestEquallyLongLanesMakeNoRoom(t *testing.T) {
	bubble(t, Config{Places: 1, MaxClaims: 4}, func(r *rig) {
		lanes := r.endpoints(6, 1)
		r.publish(r.endpoint(2, nil)) // takes the place
		for _, n := range lanes {
			r.publish(n)
		}
		for i, n := range lanes {
			if fell := r.d.lanes[n].rowState != rowNone; fell != (i >= 4) {
				t.Errorf("lane %d: went behind %t", i, fell)
			}
		}
	})
}

// The last quarter of the memory for payloads is for what starts soon.
func TestPayloadsOfShortLanesStayInMemory(t *testing.T) {
	const each = 258 // as load counts it
	bubble(t, Config{Places: 1, MaxBytes: 80 * each}, func(r *rig) {
		hog, short := r.endpoint(1, nil), r.endpoint(2, nil)
		r.publish(r.endpoint(3, nil)) // takes the place
		for range 100 {
			r.publish(hog)
		}
		if bytes := r.d.Stats().Bytes; bytes > 60*each {
			t.Errorf("%d bytes for a lane that is long", bytes)
		}
		r.publish(short)
		if c := r.d.lanes[short].queue.peek(); c.load.content == nil {
			t.Error("the short lane's payload has to be read back")
		}
		if c := r.d.lanes[hog].queue.at(99); c.load.content != nil {
			t.Error("the long lane's last payload is in memory")
		}
	})
}
