package engine

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

// pulled begins with the program's own application having a pull endpoint, made
// by the first start.
func (p *program) pulled() (e *postern.EndpointView) {
	p.Helper()
	p.begin(func(*Engine) error { return nil })
	synctest.Wait()
	app, err := p.eng.EnsureApplication(p.Context(), "")
	if err != nil {
		p.Fatal(err)
	}
	if e, err = p.eng.catalogue.Endpoint(app.Number, "worker"); errors.Is(err, postern.ErrNotFound) {
		e, err = p.eng.catalogue.CreateEndpoint(p.Context(), postern.Endpoint{Application: app.Number, Kind: postern.PullEndpoint, UID: "worker"})
	}
	if err != nil {
		p.Fatal(err)
	}
	return e
}

// lease takes up to so many, waiting for the first.
func (p *program) lease(e *postern.EndpointView, limit int) (leases []postern.Lease, ids []postern.LeaseID) {
	p.Helper()
	leases, err := p.eng.pulls.Lease(p.Context(), e, postern.LeaseRequest{Limit: limit, Wait: time.Minute, Duration: time.Hour})
	if err != nil {
		p.Fatal(err)
	}
	for i := range leases {
		ids = append(ids, leases[i].ID)
	}
	return leases, ids
}

func (p *program) stats() Stats {
	p.Helper()
	s, err := p.eng.Stats(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return s
}

// A backlog that nobody asks for is left in the store, whole and in order, and
// comes into memory for who asks, until a minute after the last one did.
func TestAPullEndpointsBacklogWaitsInTheStore(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		e := p.pulled()
		const backlog = 2500
		var published, got []string
		publish := func(n int) {
			for range n {
				payload := fmt.Sprint(len(published))
				p.publish("a.b", payload)
				published = append(published, payload)
			}
			synctest.Wait()
		}
		parked := func(when string) {
			t.Helper()
			if s := p.stats(); s.Queued != 0 || s.QueuedBytes != 0 || s.InFlight != 0 || s.LanesBehind != 1 {
				t.Errorf("%s: %d queued with %d bytes, %d lanes behind", when, s.Queued, s.QueuedBytes, s.LanesBehind)
			}
		}
		take := func(n int) {
			t.Helper()
			for until := len(got) + n; len(got) < until; {
				leases, ids := p.lease(e, 1000)
				if len(leases) == 0 {
					t.Fatalf("%d of %d came", len(got), until)
				}
				for _, l := range leases {
					got = append(got, string(l.Content.Payload))
				}
				if s := p.stats(); s.Leased != len(leases) || s.InFlight != 0 {
					t.Errorf("%d leased of %d, %d in flight", s.Leased, len(leases), s.InFlight)
				}
				if missing, err := p.eng.pulls.Ack(p.Context(), e.Number, ids); err != nil || len(missing) != 0 {
					t.Fatal(missing, err)
				}
			}
		}
		publish(backlog)
		parked("before anybody asks")
		take(backlog)
		publish(10)
		if s := p.stats(); s.Queued != 10 {
			t.Errorf("%d queued while a consumer is near", s.Queued)
		}
		p.pass(2 * time.Minute)
		parked("once nobody asks any more")
		publish(5)
		parked("what comes then")
		take(15)
		if !slices.Equal(got, published) {
			t.Errorf("%d came in another order or twice", len(got))
		}
		p.pass(10 * time.Second)
		if s := p.stats(); s.Leased != 0 || s.LanesBehind != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// What consumers hold when the engine stops is given out by the next one, as the
// same try; what they acknowledged is not. Leases of before are missing.
func TestLeasesEndWithTheEngine(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		e := p.pulled()
		first, second := p.publish("a.b", "1"), p.publish("a.b", "2")
		synctest.Wait()
		_, held := p.lease(e, 2)
		if _, err := p.eng.pulls.Ack(p.Context(), e.Number, held[:1]); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		go func() {
			_, err := p.eng.pulls.Lease(p.Context(), e, postern.LeaseRequest{Limit: 1, Wait: time.Minute})
			waiting <- err
		}()
		synctest.Wait()
		begun := time.Now()
		p.stop()
		if err := <-waiting; !errors.Is(err, postern.ErrUnavailable) || time.Since(begun) > time.Second {
			t.Errorf("who waited was told %v after %v", err, time.Since(begun))
		}
		if s := p.standing(second, 0); s.State != postern.Pending || s.Attempts != 0 {
			t.Errorf("%+v", s)
		}

		e = p.pulled()
		missing, err := p.eng.pulls.Ack(p.Context(), e.Number, held)
		if err != nil || len(missing) != 2 {
			t.Errorf("missing %v, %v", missing, err)
		}
		leases, _ := p.lease(e, 10)
		if len(leases) != 1 || leases[0].Message.ID != second.ID || leases[0].Attempt != 1 {
			t.Errorf("%+v", leases)
		}
		if s := p.standing(first, 0); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// An acknowledgement that meets the stop is either kept or refused, and comes to
// an end in any case.
func TestAcknowledgingAStoppingEngine(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		for range 30 {
			e := p.pulled()
			m := p.publish("a.b", "1")
			leases, ids := p.lease(e, 1)
			if len(leases) != 1 || leases[0].Message.ID != m.ID {
				t.Fatalf("%+v", leases)
			}
			type answer struct {
				missing []postern.LeaseID
				err     error
			}
			told, book := make(chan answer, 1), p.eng.pulls
			go func() {
				missing, err := book.Ack(p.Context(), e.Number, ids)
				told <- answer{missing, err}
			}()
			p.stop()
			got := <-told
			switch s := p.standing(m, 0); {
			case got.err == nil && len(got.missing) == 0 && s.State != postern.Delivered:
				t.Errorf("acknowledged, and %+v", s)
			case got.err != nil && !errors.Is(got.err, postern.ErrUnavailable):
				t.Errorf("refused with %v", got.err)
			case s.State == postern.Delivered:
				continue
			}
			e = p.pulled()
			if again, ids := p.lease(e, 1); len(again) != 1 || again[0].Message.ID != m.ID {
				t.Errorf("not given out again: %+v", again)
			} else if _, err := p.eng.pulls.Ack(p.Context(), e.Number, ids); err != nil {
				t.Error(err)
			}
		}
	})
}
