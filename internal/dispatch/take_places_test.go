package dispatch

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// TestTakenIsNotSlow has consumers hold deliveries for long: the places that slow
// endpoints share are as free as before, meanwhile and afterwards.
func TestTakenIsNotSlow(t *testing.T) {
	pulled(t, Config{Places: 8}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		const held = 20
		var all []*Taken
		for range held {
			r.publish(n)
			all = append(all, r.took(n))
		}
		for range 5 {
			time.Sleep(time.Second) // in the bubble
			r.commit()
			if r.d.slow != 0 {
				t.Fatalf("%d of the places are taken by what consumers hold", r.d.slow)
			}
		}
		for i, taken := range all {
			if i%2 == 0 {
				taken.Return()
				continue
			}
			taken.Attempt().Succeeded, taken.Attempt().Code = true, http.StatusOK
			taken.Settle()
		}
		r.commit()
		if r.d.slow != 0 || r.d.inflight != 0 || r.d.Stats().Failing != 0 {
			t.Errorf("%d slow, %d in flight, %+v", r.d.slow, r.d.inflight, r.d.Stats())
		}
	})
}

// TestTakeAfterFaults: what could be taken ends a row of faults on this side, so
// that the next one is not waited out for as long as the sixth in a row.
func TestTakeAfterFaults(t *testing.T) {
	pulled(t, Config{}, func(r *rig, n postern.EndpointNumber, _ *atomic.Int32) {
		r.publish(n)
		throttle := &r.d.lanes[n].throttle
		throttle.faults = 5
		if r.took(n); throttle.faults != 0 {
			t.Errorf("%d faults in a row", throttle.faults)
		}
	})
}
