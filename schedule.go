package postern

import (
	"fmt"
	"strings"
	"time"
)

// RetrySchedule lists the waits after failed tries: entry 0 follows the first
// try, which itself is at once. A schedule of n waits is n+1 tries. Nil means
// "not set here"; an empty, non-nil one is a single try.
type RetrySchedule []time.Duration

const (
	// MaxRetryAfter bounds what an endpoint's Retry-After may ask for.
	MaxRetryAfter = 24 * time.Hour
	// maxTries bounds a schedule's length, maxWait one of its waits.
	maxTries = 64
	maxWait  = 7 * 24 * time.Hour
	// jitterShare of a wait is added or taken off, so that deliveries that
	// failed together are not retried together.
	jitterShare = 0.2
)

// DefaultRetrySchedule is the schedule of an installation that sets none:
// eight tries over about 27 hours.
func DefaultRetrySchedule() RetrySchedule {
	return RetrySchedule{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute,
		2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}
}

// ParseRetrySchedule reads waits separated by commas, such as "5s,5m,2h". Its
// errors are of kind Invalid.
func ParseRetrySchedule(text string) (RetrySchedule, error) {
	schedule := RetrySchedule{}
	if strings.TrimSpace(text) == "" {
		return schedule, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		wait, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil {
			return nil, &Error{Kind: Invalid, Detail: fmt.Sprintf("retry schedule: %q is not a duration such as 5s, 5m or 2h", shortened(part))}
		}
		schedule = append(schedule, wait)
	}
	return schedule, schedule.Validate()
}

// Validate reports waits below a second's thousandth or over a week, and
// schedules of more than 64 tries.
func (s RetrySchedule) Validate() error {
	if len(s) >= maxTries {
		return &Error{Kind: Invalid, Detail: fmt.Sprintf("retry schedule: %d waits, at most %d", len(s), maxTries-1)}
	}
	for _, wait := range s {
		if wait < time.Millisecond || wait > maxWait {
			return &Error{Kind: Invalid, Detail: fmt.Sprintf("retry schedule: a wait of %v is outside 1ms to %v", wait, maxWait)}
		}
	}
	return nil
}

// String is the form that ParseRetrySchedule reads.
func (s RetrySchedule) String() string {
	parts := make([]string, len(s))
	for i, wait := range s {
		parts[i] = wait.String()
	}
	return strings.Join(parts, ",")
}

// Longest is the time from the first try to the last if every wait is at its
// longest.
func (s RetrySchedule) Longest() time.Duration {
	var sum time.Duration
	for _, wait := range s {
		sum += wait + time.Duration(float64(wait)*jitterShare)
	}
	return sum
}

// wait is how long to wait after the given number of failed tries, spread by
// jitter in [0, 1); false when the schedule is used up.
func (s RetrySchedule) wait(tries int, jitter float64) (time.Duration, bool) {
	if tries > len(s) {
		return 0, false
	}
	base := s[tries-1]
	return base + time.Duration(float64(base)*jitterShare*(2*jitter-1)), true
}
