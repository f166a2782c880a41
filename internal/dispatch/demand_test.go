package dispatch

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
)

// limited makes an endpoint with a rate limit.
func (r *rig) limited(perSecond int) postern.EndpointNumber {
	return r.endpoint(app, func(v *postern.EndpointView) { v.Rate = perSecond })
}

// serve publishes so many messages a second for a while to an endpoint that answers
// at once, and returns how often it was asked.
func (r *rig) serve(n postern.EndpointNumber, perSecond int, d time.Duration) (sent int) {
	r.t.Helper()
	const ticks = 20
	due := 0
	for range int(ticks * d / time.Second) {
		var parts []Part
		for due += perSecond; due >= ticks; due -= ticks {
			parts = append(parts, r.accept(n))
		}
		r.commit(parts...)
		for tries := r.under(n); len(tries) > 0; tries = r.under(n) {
			sent += len(tries)
			r.say(answer{code: 200}, tries...)
			r.commit()
		}
		r.pass(time.Second / ticks)
	}
	return sent
}

// demand is what Demand tells of an endpoint.
func (r *rig) demand(n postern.EndpointNumber) float64 {
	demand := map[postern.EndpointNumber]float64{}
	r.d.Demand(demand)
	return demand[n]
}

// A shard keeps to its share of a rate, follows a change of it, and starts nothing
// with none.
func TestSharesDivideARate(t *testing.T) {
	var share atomic.Uint64
	set := func(f float64) { share.Store(math.Float64bits(f)) }
	bubble(t, Config{Share: func(postern.EndpointNumber) float64 { return math.Float64frombits(share.Load()) }}, func(r *rig) {
		n := r.limited(50)
		for _, tc := range []struct {
			share     float64
			low, high int
		}{
			{0.2, 95, 110}, {1, 440, 510}, {0.02, 8, 13}, {0, 0, 0}, {0.5, 220, 255}, {-1, 0, 0}, {2, 440, 510},
		} {
			set(tc.share)
			r.say(answer{code: 200}, r.under()...) // of before
			if sent := r.serve(n, 100, 10*time.Second); sent < tc.low || sent > tc.high {
				t.Errorf("share %v: %d in 10 s, want %d to %d", tc.share, sent, tc.low, tc.high)
			}
		}
		free := r.endpoint(app, nil) // has no limit to share
		set(0)
		if sent := r.serve(free, 100, time.Second); sent != 100 {
			t.Errorf("%d of 100 without a limit", sent)
		}
	})
}

// However often a rate is divided anew, and however tokens were saved, all shards
// together keep to it: a share becomes larger only after others became smaller.
func TestSharesNeverAddUpToMore(t *testing.T) {
	r := testkit.Rand(t)
	const perSecond, seconds = 50, 300
	now := time.Unix(1_760_000_000, 0)
	shards := make([]tokens, 3)
	shares := []float64{1, 0, 0}
	var sent [seconds]int
	for second := range seconds {
		if r.IntN(3) == 0 {
			from, to := r.IntN(3), r.IntN(3)
			moved := shares[from] * r.Float64()
			shares[from] -= moved
			shares[to] += moved
		}
		idle := r.IntN(4) // a shard that saves; 3 for none
		for range 1000 {
			now = now.Add(time.Millisecond)
			for i := range shards {
				if i != idle {
					if ok, _ := shards[i].admit(now, rate.Limit(perSecond*shares[i])); ok {
						sent[second]++
					}
				}
			}
		}
	}
	// Each may have saved a tenth of a second's worth, at least one.
	const saved = perSecond/10 + 3
	for _, window := range []int{1, 10, 100} {
		for from := 0; from+window <= seconds; from++ {
			sum := 0
			for _, n := range sent[from : from+window] {
				sum += n
			}
			if sum > window*perSecond+saved {
				t.Fatalf("%d in the %d s from second %d on", sum, window, from)
			}
		}
	}
}

// What a lower rate does not let be saved is gone at once.
func TestALowerRateCutsWhatWasSaved(t *testing.T) {
	var (
		a   tokens
		now = time.Unix(1_760_000_000, 0)
	)
	a.admit(now, 100)
	now = now.Add(time.Minute)
	burst := 0
	for ok := true; ok; burst++ {
		ok, _ = a.admit(now, 20)
	}
	if burst-1 != 2 {
		t.Errorf("%d at once after the rate fell from 100 to 20 a second, want 2", burst-1)
	}
	if ok, _ := a.admit(now, 100); ok {
		t.Error("a higher rate gives a token at once")
	}
	now = now.Add(time.Minute)
	a.admit(now, 0)
	now = now.Add(time.Minute)
	if ok, wake := a.admit(now, 0); ok || wake.Sub(now) != askAgain {
		t.Errorf("a token of no rate %t, else asked again in %v", ok, wake.Sub(now))
	}
	if ok, wake := a.admit(now, 0.01); ok || wake.Sub(now) != askAgain {
		t.Errorf("saved without a rate %t, else asked again in %v", ok, wake.Sub(now))
	}
}

// Demand is what starts while the rate suffices, the whole rate with a backlog, and
// nothing of what the rate does not hold back.
func TestDemand(t *testing.T) {
	var share atomic.Uint64
	set := func(f float64) { share.Store(math.Float64bits(f)) }
	set(1)
	bubble(t, Config{Share: func(postern.EndpointNumber) float64 { return math.Float64frombits(share.Load()) }}, func(r *rig) {
		n, free := r.limited(50), r.endpoint(app, nil)
		demands := func(what string, low, high float64) {
			t.Helper()
			if got := r.demand(n); got < low || got > high {
				t.Errorf("%s: %v, want %v to %v", what, got, low, high)
			}
		}
		demands("never used", 0, 0)
		r.serve(free, 100, 3*time.Second)
		for range 3 {
			r.serve(n, 20, 3*time.Second)
			r.demand(n)
		}
		r.serve(n, 20, 3*time.Second)
		demands("20 a second", 18, 24)
		demands("asked again at once", 18, 24)
		set(0.1) // another node has the rest: what comes is held back
		r.serve(n, 20, time.Second)
		demands("held back", 18, 50)
		r.serve(n, 100, 20*time.Second)
		demands("a backlog", 50, 50)
		if r.row(n) == nil {
			t.Fatal("it is not behind")
		}
		sum := map[postern.EndpointNumber]float64{n: 45}
		if r.d.Demand(sum); sum[n] != 50 || len(sum) != 1 {
			t.Errorf("with another's: %v", sum)
		}
		r.edit(n, paused)
		for range 4 {
			r.pass(3 * time.Second)
			r.demand(n)
		}
		demands("paused", 0, 0)
		r.edit(n, resumed)
		set(1)
		r.serve(n, 0, 60*time.Second)
		for range 3 {
			r.demand(n)
			r.pass(3 * time.Second)
		}
		demands("in the end", 0, 0)
		r.edit(n, func(v *postern.EndpointView) { v.Rate = 0 })
		if r.demand(n); len(r.d.limited) > 0 {
			t.Error("an endpoint without a limit is remembered")
		}
	})
}

// An endpoint that answers slowly is held back by itself, and demands no more than
// it is sent.
func TestSlowEndpointsDemandWhatTheyTake(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.limited(50)
		for range 100 {
			r.publish(n)
		}
		for round := range 9 {
			r.pass(2 * time.Second)
			r.say(answer{code: 200}, r.under()[0])
			r.commit()
			if got := r.demand(n); got > 10 && round > 2 { // it has all that it takes
				t.Fatalf("%v a second, with an answer every two", got)
			}
		}
	})
}
