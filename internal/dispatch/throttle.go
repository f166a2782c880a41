package dispatch

import (
	"time"

	"github.com/postern-dev/postern"
)

const (
	// firstLimit is where a lane begins; unknownLimit holds until the first
	// answer: after a restart there could be a hundred endpoints that hang, and
	// that shows only after a second.
	firstLimit   = 32
	unknownLimit = 4
	maxLimit     = 1024
	// An endpoint whose attempts take longer than slowAfter counts as slow.
	slowAfter = time.Second
	// More at once do not help an endpoint whose latency has grown to twice its
	// best and this much more.
	crowding = 2 * time.Millisecond
	// Probing starts after so many failures in a row over at least that time.
	breakFailures = 20
	breakAfter    = 30 * time.Second
	firstPause    = 5 * time.Second
	maxPause      = 5 * time.Minute
)

// throttle decides how many attempts at an endpoint may run at once, and when. It
// grows while the endpoint answers, halves on timeouts, 429 and 503, and lets
// single probes through to an endpoint that only fails.
type throttle struct {
	limit float64
	// calm is the limit above which it grows slowly: where it last had to be
	// halved. base is the endpoint's latency at its best.
	calm   float64
	base   time.Duration
	halved time.Time

	inflight int
	starts   list // running claims in the order of their starts
	latency  time.Duration
	known    bool // an attempt has ended

	failures     int
	failingSince time.Time
	before       float64       // the limit when the row of failures began
	pause        time.Duration // between probes; 0 while not probing
	probeAt      time.Time
	// blockedUntil keeps the lane quiet after a fault on our own side.
	blockedUntil time.Time
	faults       int
}

func newThrottle() throttle {
	return throttle{limit: firstLimit, calm: maxLimit, starts: list{kind: runningList}}
}

// failing reports whether the endpoint has failed repeatedly without success.
func (t *throttle) failing() bool { return t.failures >= 5 }

// probing reports whether only single probes go out.
func (t *throttle) probing() bool { return t.pause > 0 }

// slow reports whether the endpoint belongs to those that share half of all
// places: it takes long, hangs, or fails.
func (t *throttle) slow(now time.Time) bool {
	first := t.starts.head
	return t.latency > slowAfter || t.failing() || first != nil && now.Sub(first.begun) > slowAfter
}

// admits reports whether an attempt may start now; if not, wake is when to ask
// again, zero when the end of another attempt will tell.
func (t *throttle) admits(now time.Time) (ok bool, wake time.Time) {
	switch {
	case now.Before(t.blockedUntil):
		return false, t.blockedUntil
	case t.inflight > 0 && (t.probing() || t.faults > 0):
		return false, time.Time{} // one at a time finds out
	case t.probing() && now.Before(t.probeAt):
		return false, t.probeAt
	case t.inflight >= int(t.limit), !t.known && t.inflight >= unknownLimit:
		return false, time.Time{}
	}
	return true, time.Time{}
}

// started and freed bracket an attempt's place, which it keeps until its settle
// is synced; ended says that it no longer runs.
func (t *throttle) started(c *claim) {
	t.inflight++
	t.starts.push(c)
}

func (t *throttle) ended(c *claim) { t.starts.remove(c) }

func (t *throttle) freed() { t.inflight-- }

// learn adapts to an attempt's result.
func (t *throttle) learn(a *postern.Attempt, now time.Time) {
	t.faults, t.known = 0, true
	if a.Succeeded && t.probing() {
		t.latency = 0 // what it took to fail says nothing any more
	}
	t.measure(a)
	if a.Succeeded {
		t.succeeded()
		return
	}
	if t.failures++; t.failures == 1 {
		t.failingSince, t.before = now, t.limit
	}
	if a.Code == 0 || a.Code == 429 || a.Code == 503 {
		t.halve(now)
	}
	switch {
	case t.probing() && now.Before(t.probeAt):
		// It started before probing did, and says nothing new.
	case t.probing():
		t.pause = min(2*t.pause, maxPause)
		t.probeAt = now.Add(t.pause)
	case t.failures >= breakFailures && now.Sub(t.failingSince) >= breakAfter:
		t.pause = firstPause
		t.probeAt = now.Add(t.pause)
	}
}

// succeeded ends probing with a ramp: from one at a time, each success adds
// one, which doubles the limit from round to round, up to half of where it was
// before: that it had to be halved while nothing was answered is no measure. A
// limit of which less than half is used does not grow: that it is enough says
// nothing.
func (t *throttle) succeeded() {
	if t.probing() {
		t.pause, t.limit, t.calm = 0, 1, max(t.calm, firstLimit, t.before/2)
	}
	t.failures = 0
	switch crowded := t.latency > 2*t.base+crowding; {
	case 2*t.inflight < int(t.limit) || t.limit >= maxLimit || crowded && t.limit >= firstLimit:
	case t.limit < t.calm:
		t.limit++
	default:
		t.limit += 1 / t.limit
	}
}

// measure follows the latency, and its best with a slow drift upwards, so that
// an endpoint that became slower for good is not taken for a crowded one. A
// refused connection is fast, and no measure of what the endpoint can do.
func (t *throttle) measure(a *postern.Attempt) {
	total := a.Timings.Total
	if t.latency == 0 {
		t.latency = total
	}
	t.latency += (total - t.latency) / 8
	switch {
	case !a.Succeeded:
	case t.base == 0:
		t.base = total
	default:
		t.base = min(t.base+t.base/1024+1, total)
	}
}

// halve goes down at most once in a second, since attempts that ran side by
// side fail side by side.
func (t *throttle) halve(now time.Time) {
	if now.Sub(t.halved) < time.Second {
		return
	}
	t.halved = now
	t.limit = max(1, t.limit/2)
	t.calm = t.limit
}

// fault keeps the lane quiet for a while after a fault on our own side, which
// is nobody's failure. What ran side by side meets it side by side, and counts
// once.
func (t *throttle) fault(now time.Time) {
	if now.Before(t.blockedUntil) {
		return
	}
	t.faults = min(t.faults+1, 6)
	t.blockedUntil = now.Add(100 * time.Millisecond << t.faults)
}
