package postern

import "time"

// DisableAfter is how long an endpoint may do nothing but fail before it is
// disabled.
const DisableAfter = 5 * 24 * time.Hour

// DisableFailures is how many failures in a row that takes at least: two that
// fail five days apart, with nothing in between, are no five days of failure.
const DisableFailures = 20

// Delivery is what is known of a delivery when one of its attempts ends, in
// the order of commits: a cancel that was stored before the attempt ended
// shows here.
type Delivery struct {
	// State is Sending, or Canceled or Dead when the delivery was ended while
	// the attempt ran.
	State State
	// Reason is why it was ended meanwhile; "" while Sending.
	Reason Reason
	// Tries counts the failed tries of the current schedule before this one.
	Tries int
	// Resent: a resend arrived while the attempt ran, and its row stands.
	Resent bool
	// Health is the endpoint's before this attempt.
	Health Health
}

// Policy is what governs a delivery besides its history.
type Policy struct {
	Schedule RetrySchedule
	// Jitter in [0, 1) spreads the wait; drawn by the caller, which keeps
	// Settle pure.
	Jitter float64
	// KeepEnabled suspends auto-disable: most endpoints fail at once, so the
	// fault is likely on our side.
	KeepEnabled bool
}

// Outcome is what follows from an attempt.
type Outcome struct {
	// State and Reason are the delivery's from now on.
	State  State
	Reason Reason
	// Tries is the count for the row, Next and Wait its due time: set when
	// State is Retrying and the outcome asks for a row.
	Tries int
	Next  time.Time
	Wait  time.Duration
	// PutRow asks for a row. It is false when a resend's row already stands,
	// and for a delivery that was ended while the attempt ran.
	PutRow bool
	// Health is the endpoint's after the attempt; it says whether the endpoint
	// is to be disabled.
	Health Health
}

// Settle decides what follows from an attempt that ended at now. It is the
// only place that does, and it is pure; docs/state-machine.md draws it.
func Settle(d Delivery, a Attempt, p Policy, now time.Time) Outcome {
	out := Outcome{Health: d.Health}
	if a.Succeeded {
		out.Health.FailingSince, out.Health.Failures = time.Time{}, 0
	} else {
		out = failing(out, a, p, now)
	}
	switch {
	case d.State.Final():
		// Ended while the attempt ran: the attempt is history, and changes
		// nothing for the delivery.
		out.State, out.Reason = d.State, d.Reason
	case a.Succeeded:
		out.State = Delivered
	case a.Permanent:
		out.State, out.Reason = Dead, ReasonPermanent
	case a.Code == statusGone:
		out.State, out.Reason = Dead, ReasonGone
	default:
		out = retry(out, d, a, p, now)
	}
	if d.Resent && !d.State.Final() {
		// The resend's row stands, whatever this attempt came to, and with its
		// own due time.
		state := Retrying
		if a.Succeeded {
			state = Delivered
		}
		out = Outcome{State: state, Health: out.Health}
	}
	return out
}

const statusGone = 410

// failing notes since when the endpoint does nothing but fail, and whether
// that is reason enough to disable it.
func failing(out Outcome, a Attempt, p Policy, now time.Time) Outcome {
	if out.Health.FailingSince.IsZero() {
		out.Health.FailingSince, out.Health.Failures = now, 0
	}
	out.Health.Failures = min(out.Health.Failures+1, DisableFailures)
	if out.Health.Disabled != "" {
		return out
	}
	switch {
	case a.Code == statusGone:
		out.Health.Disabled, out.Health.DisabledAt = DisabledGone, now
	case now.Sub(out.Health.FailingSince) >= DisableAfter && out.Health.Failures >= DisableFailures && !p.KeepEnabled:
		out.Health.Disabled, out.Health.DisabledAt = DisabledFailing, now
	}
	return out
}

// retry finds the next try in the schedule. Retry-After may lengthen a wait,
// never shorten it.
func retry(out Outcome, d Delivery, a Attempt, p Policy, now time.Time) Outcome {
	tries := d.Tries + 1
	wait, ok := p.Schedule.wait(tries, p.Jitter)
	if !ok {
		out.State, out.Reason = Dead, ReasonExhausted
		return out
	}
	wait = max(wait, min(a.RetryAfter, MaxRetryAfter))
	out.State, out.PutRow = Retrying, true
	out.Tries, out.Next, out.Wait = tries, now.Add(wait), wait
	return out
}
