package dispatch

import (
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

// attempts is a throttle and the clock it goes by.
type attempts struct {
	throttle
	now time.Time
}

func newAttempts() *attempts {
	return &attempts{throttle: newThrottle(), now: time.Unix(1_760_000_000, 0)}
}

// round runs as many attempts side by side as the limit allows.
func (a *attempts) round(code int, took time.Duration) {
	n := int(a.limit)
	a.inflight = n
	a.now = a.now.Add(took)
	for range n {
		a.end(code, took)
	}
	a.inflight = 0
}

func (a *attempts) end(code int, took time.Duration) {
	a.learn(&postern.Attempt{Code: code, Succeeded: code/100 == 2, Timings: postern.Timings{Total: took}}, a.now)
}

func TestLimitGrowsWhileTheEndpointAnswers(t *testing.T) {
	a := newAttempts()
	a.round(200, time.Millisecond)
	if a.limit != 2*firstLimit {
		t.Errorf("after a round the limit is %v, want it doubled", a.limit)
	}
	for range 20 {
		a.round(200, time.Millisecond)
	}
	if a.limit != maxLimit {
		t.Errorf("in the end the limit is %v, want %d", a.limit, maxLimit)
	}
}

// A limit that is not used up says nothing.
func TestUnusedLimitsDoNotGrow(t *testing.T) {
	a := newAttempts()
	for range 1000 {
		a.inflight = 1
		a.end(200, time.Millisecond)
	}
	if a.limit != firstLimit {
		t.Errorf("limit %v", a.limit)
	}
}

// More at once do not help an endpoint that only gets slower by it.
func TestCrowdingStopsGrowth(t *testing.T) {
	a := newAttempts()
	a.round(200, time.Millisecond)
	for range 10 {
		a.round(200, 20*time.Millisecond)
	}
	if a.limit > 4*firstLimit {
		t.Errorf("limit %v of an endpoint whose latency grew twentyfold", a.limit)
	}
	a.limit = 3
	a.round(200, 20*time.Millisecond)
	if a.limit <= 3 {
		t.Error("a small limit does not grow")
	}
}

// A connection that is refused at once is no measure of an endpoint's best.
func TestRefusalsAreNoMeasure(t *testing.T) {
	a := newAttempts()
	a.round(200, 20*time.Millisecond)
	a.end(0, 10*time.Microsecond)
	a.now, a.limit = a.now.Add(time.Minute), firstLimit
	before := a.limit
	a.round(200, 20*time.Millisecond)
	if a.limit <= before {
		t.Errorf("limit %v: the endpoint counts as crowded for good", a.limit)
	}
}

// What fails side by side halves once a second.
func TestHalvingOnceASecond(t *testing.T) {
	for _, code := range []int{0, 429, 503} {
		a := newAttempts()
		for range 10 {
			a.end(code, time.Millisecond)
		}
		if a.limit != firstLimit/2 {
			t.Errorf("%d: limit %v after ten at once", code, a.limit)
		}
		a.now = a.now.Add(time.Second)
		a.end(code, time.Millisecond)
		if a.limit != firstLimit/4 {
			t.Errorf("%d: limit %v a second later", code, a.limit)
		}
		for range 20 {
			a.now = a.now.Add(time.Second)
			a.end(code, time.Millisecond)
		}
		if a.limit != 1 {
			t.Errorf("%d: limit %v in the end", code, a.limit)
		}
	}
	a := newAttempts()
	a.end(500, time.Millisecond)
	if a.limit != firstLimit {
		t.Errorf("a 500 changes the limit to %v", a.limit)
	}
}

// Above the limit at which it had to be halved it grows by one a round.
func TestGrowthIsSlowAboveTheHalved(t *testing.T) {
	a := newAttempts()
	a.end(503, time.Millisecond)
	a.round(200, time.Millisecond)
	if grown := a.limit - firstLimit/2; grown < 0.9 || grown > 1.1 {
		t.Errorf("grown by %v in a round", grown)
	}
}

// Probing takes 20 failures in a row and 30 seconds.
func TestProbingStarts(t *testing.T) {
	for name, tc := range map[string]struct {
		failures int
		every    time.Duration
		success  int // after so many; 0 for never
		probing  bool
	}{
		"20 at once":              {20, 0, 0, false},
		"19 over a minute":        {19, 4 * time.Second, 0, false},
		"20 over 30 s":            {20, 30 * time.Second / 19, 0, false}, // a little less than 30 s
		"20 over a minute":        {20, 4 * time.Second, 0, true},
		"40 with a success":       {39, 2 * time.Second, 20, false},
		"a success and then many": {50, 2 * time.Second, 20, true},
	} {
		a := newAttempts()
		for i := range tc.failures {
			if i > 0 {
				a.now = a.now.Add(tc.every)
			}
			if tc.success > 0 && i == tc.success {
				a.end(200, time.Millisecond)
			}
			a.end(500, time.Millisecond)
		}
		if a.probing() != tc.probing {
			t.Errorf("%s: probing %t", name, a.probing())
		}
	}
}

// broken is a throttle that probes.
func broken(t *testing.T) *attempts {
	t.Helper()
	a := newAttempts()
	for range 2 * breakFailures {
		a.now = a.now.Add(breakAfter / breakFailures)
		if a.end(0, time.Millisecond); a.probing() {
			return a
		}
	}
	t.Fatal("not probing")
	return nil
}

// One probe at a time, with pauses that grow up to five minutes.
func TestProbesPause(t *testing.T) {
	a := broken(t)
	for _, seconds := range []int{5, 10, 20, 40, 80, 160, 300, 300} {
		want := time.Duration(seconds) * time.Second
		ok, wake := a.admits(a.now)
		if ok || wake.Sub(a.now) != want {
			t.Fatalf("admitted %t, next in %v, want %v", ok, wake.Sub(a.now), want)
		}
		a.now = wake
		if ok, _ := a.admits(a.now); !ok {
			t.Fatal("no probe after the pause")
		}
		a.inflight = 1
		if ok, wake := a.admits(a.now); ok || !wake.IsZero() {
			t.Fatal("a second probe beside the first")
		}
		a.end(0, time.Second)
		a.inflight = 0
	}
}

// What started before probing did ends during it, and is no probe.
func TestStragglersAreNoProbes(t *testing.T) {
	a := broken(t)
	for range 30 {
		a.end(500, time.Second)
	}
	if a.pause != firstPause {
		t.Errorf("30 attempts that ended together have grown the pause to %v", a.pause)
	}
}

// The first success ends probing with one at a time, doubled from round to
// round.
func TestRampAfterSuccess(t *testing.T) {
	a := broken(t)
	a.now = a.now.Add(firstPause)
	a.inflight = 1
	a.end(200, time.Millisecond)
	for _, want := range []float64{2, 4, 8, 16, 32} {
		if a.limit != want || a.probing() {
			t.Fatalf("limit %v, want %v; probing %t", a.limit, want, a.probing())
		}
		a.round(200, time.Millisecond)
	}
}

// After an outage of timeouts an endpoint that was fast is soon as fast again.
func TestRampGoesBackToWhereItWas(t *testing.T) {
	a := newAttempts()
	for a.limit < maxLimit {
		a.round(200, 10*time.Millisecond)
	}
	for !a.probing() {
		a.round(0, 15*time.Second)
	}
	a.now = a.now.Add(firstPause)
	a.inflight = 1
	a.end(200, 10*time.Millisecond)
	for range 9 {
		a.round(200, 10*time.Millisecond)
	}
	if a.limit < maxLimit/2 || a.slow(a.now) {
		t.Errorf("limit %v after ten rounds; slow %t", a.limit, a.slow(a.now))
	}
}

// Long, hanging and failing attempts make a lane slow; a few errors do not.
func TestSlow(t *testing.T) {
	a := newAttempts()
	for range 30 {
		a.end(200, 900*time.Millisecond)
	}
	if a.slow(a.now) {
		t.Error("slow below a second")
	}
	for range 30 {
		a.end(200, 1100*time.Millisecond)
	}
	if !a.slow(a.now) {
		t.Error("not slow above a second")
	}
	a = newAttempts()
	ended, hangs := &claim{phase: settling, begun: a.now}, &claim{phase: running, begun: a.now}
	a.started(ended)
	a.started(hangs)
	a.ended(ended)
	if a.slow(a.now.Add(slowAfter)) || !a.slow(a.now.Add(slowAfter+1)) {
		t.Error("an attempt that hangs makes a lane slow after a second")
	}
	a.ended(hangs)
	if a.slow(a.now.Add(time.Hour)) {
		t.Error("slow without an attempt")
	}
	for i := range 5 {
		if a.slow(a.now) {
			t.Errorf("slow after %d failures", i)
		}
		a.end(500, time.Millisecond)
	}
	if !a.slow(a.now) {
		t.Error("not slow after five failures in a row")
	}
}

// A rate is kept within ten percent over a minute, and a tenth of a second's
// worth may go at once.
func TestRateIsKept(t *testing.T) {
	for _, perSecond := range []int{1, 7, 50, 1000} {
		var a tokens
		now := time.Unix(1_760_000_000, 0)
		end, sent, burst := now.Add(time.Minute), 0, 0
		for now.Before(end) {
			ok, wake := a.admit(now, rate.Limit(perSecond))
			if ok {
				if sent++; now.Equal(end.Add(-time.Minute)) {
					burst++
				}
				continue
			}
			if !wake.After(now) {
				t.Fatalf("%d a second: asked to come back at once", perSecond)
			}
			now = wake
		}
		if want := 60 * perSecond; sent < want*9/10 || sent > want*11/10+1 {
			t.Errorf("%d a second: %d in a minute", perSecond, sent)
		}
		if burst > max(1, perSecond/10) {
			t.Errorf("%d a second: %d at once", perSecond, burst)
		}
	}
}

// Faults on our own side keep a lane quiet, longer and longer, and are nobody's
// failure.
func TestFaultsBlock(t *testing.T) {
	a := newAttempts()
	var last time.Duration
	for range 10 {
		a.fault(a.now)
		ok, wake := a.admits(a.now)
		if pause := wake.Sub(a.now); ok || pause < last || pause > 10*time.Second {
			t.Fatalf("admitted %t, quiet for %v after %v", ok, pause, last)
		} else {
			last = pause
		}
		a.fault(a.now) // of another attempt, side by side with it
		a.now = wake
	}
	if a.failures != 0 || a.limit != firstLimit || a.failing() || a.probing() {
		t.Errorf("a fault counted: %+v", a.throttle)
	}
	a.end(200, time.Millisecond)
	if a.fault(a.now); a.blockedUntil.Sub(a.now) > time.Second {
		t.Error("the pause does not start again after an attempt")
	}
}
