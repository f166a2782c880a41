package postern

import "time"

// Trigger says what started an attempt.
type Trigger uint8

// The triggers, in Svix's numbers.
const (
	// Scheduled is the first try or an automatic retry.
	Scheduled Trigger = 0
	// Manual is a resend by hand, a recover or a replay.
	Manual Trigger = 1
)

// Attempt is one try of a delivery. It never changes once it is written.
type Attempt struct {
	ID          AttemptID
	Message     MessageID
	Application ApplicationNumber
	Endpoint    EndpointNumber
	// N counts the attempts of the delivery from 1.
	N       int
	Trigger Trigger
	// Replay is what started the delivery's schedule, for the header of the
	// request; it is not stored with the attempt. Zero for none.
	Replay ReplayID
	// URL is where it went.
	URL       string
	Succeeded bool
	// Code is the HTTP status, 0 when there was no answer.
	Code int
	// Failure says in words why there was no (usable) answer, such as
	// "timeout"; "" when Code tells it.
	Failure string
	// Response is the beginning of the answer's body, at most 20 kB.
	Response []byte
	// RetryAfter is how long the endpoint asked to be left alone; 0 for no wish.
	RetryAfter time.Duration
	// Permanent: the failure will not go away by retrying.
	Permanent bool
	// Redialed: the kept connection was dead, and the request went out on a
	// second one within this attempt.
	Redialed bool
	Started  time.Time
	Timings  Timings

	// State, Reason and Next are what the attempt caused: the delivery's state
	// after it, why, and when it is tried again (zero unless Retrying).
	State  State
	Reason Reason
	Next   time.Time
}

// Timings are the phases of an attempt. A phase that did not happen, such as
// connecting on a kept connection, is 0.
type Timings struct {
	DNS, Connect, TLS time.Duration
	// FirstByte is from the request's first byte to the answer's.
	FirstByte time.Duration
	// Total is the whole attempt.
	Total time.Duration
}
