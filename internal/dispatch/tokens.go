package dispatch

import (
	"time"

	"golang.org/x/time/rate"
)

// askAgain is how long a lane waits for a token at most before it asks again: its
// share may be larger by then.
const askAgain = time.Second

// tokens keep a lane to its share of the endpoint's rate.
type tokens struct {
	rate   *rate.Limiter // nil until there was a limit
	heldAt time.Time     // when a delivery was last held back
}

// admits reports whether an attempt may start now, of so many a second; if not, wake
// is when to ask again, zero when the end of another attempt will tell.
func (l *lane) admits(now time.Time, allowed rate.Limit) (ok bool, wake time.Time) {
	if ok, wake = l.reach.admits(now); !ok {
		return false, wake
	}
	return l.tokens.admit(now, allowed)
}

// spares is admits for a pull endpoint, whose consumers say how many they want.
func (l *lane) spares(now time.Time, allowed rate.Limit) (ok bool, wake time.Time) {
	if blocked := l.reach.blockedUntil; now.Before(blocked) {
		return false, blocked
	}
	return l.tokens.admit(now, allowed)
}

// admit takes a token, or tells when to ask for one again. A tenth of a second's
// worth may go at once.
func (t *tokens) admit(now time.Time, allowed rate.Limit) (ok bool, wake time.Time) {
	if allowed == rate.Inf {
		return true, time.Time{}
	}
	t.limitTo(now, allowed)
	r := t.rate.ReserveN(now, 1)
	if delay := min(r.DelayFrom(now), askAgain); delay > 0 {
		r.CancelAt(now)
		t.heldAt = now
		return false, now.Add(delay)
	}
	return true, time.Time{}
}

// limitTo has tokens come at a rate. What was saved under a higher one is cut to
// what this one lets be saved.
func (t *tokens) limitTo(now time.Time, allowed rate.Limit) {
	burst := 0
	if allowed > 0 {
		burst = max(1, int(allowed/10))
	}
	switch {
	case t.rate == nil:
		t.rate = rate.NewLimiter(allowed, burst)
	case t.rate.Limit() != allowed:
		t.rate.SetLimitAt(now, allowed)
		t.rate.SetBurstAt(now, burst)
	}
}
