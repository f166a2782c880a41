package postern

import "time"

// State is where a delivery stands.
type State uint8

// The states of a delivery. Pending and Sending are never stored: a routed
// message without any other record is pending, and what is being tried is
// known to the process that tries it.
const (
	// Pending waits for its first try.
	Pending State = iota
	// Sending is being tried.
	Sending
	// Retrying waits for its next try.
	Retrying
	// Delivered ended well.
	Delivered
	// Dead ended without success: out of tries, gone, failed for good, expired.
	Dead
	// Canceled was ended by its owner, or by deletion of its endpoint.
	Canceled
)

var stateNames = [...]string{"pending", "sending", "retrying", "delivered", "dead", "canceled"}

// States lists all states in the order of a delivery's life.
func States() []State { return []State{Pending, Sending, Retrying, Delivered, Dead, Canceled} }

// String is the state's name in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState reads what String writes.
func ParseState(name string) (State, error) {
	for i, n := range stateNames {
		if n == name {
			return State(i), nil
		}
	}
	return 0, InvalidField("unknown state "+shortened(name)+": want pending, sending, retrying, delivered, dead or canceled", "state")
}

// Final reports whether a delivery in this state is finished. A finished one
// comes back to life only by a resend.
func (s State) Final() bool { return s >= Delivered }

// Reason says in one word why a delivery is where it is.
type Reason string

// The reasons that end a delivery or send it round again.
const (
	ReasonNone      Reason = ""
	ReasonExhausted Reason = "exhausted" // the last try of its schedule failed
	ReasonGone      Reason = "gone"      // the endpoint answered 410
	ReasonPermanent Reason = "permanent" // a handler said that retrying is no use
	ReasonExpired   Reason = "expired"   // its message was dropped by retention
	ReasonCanceled  Reason = "canceled"  // its owner canceled it
	ReasonDeleted   Reason = "deleted"   // its endpoint or application was deleted
	ReasonExpunged  Reason = "expunged"  // its payload was deleted
)

// Row is the stored state of a delivery that is not finished after its first
// try: it is retrying, or was resent by hand. There is at most one for a
// delivery.
type Row struct {
	Endpoint    EndpointNumber
	Application ApplicationNumber
	Message     MessageID
	// Generation tells one row of a delivery from the next: a settle touches
	// only the row that it started from.
	Generation uint64
	// Tries counts the failed tries of the current schedule; a resend starts
	// it again. Attempts counts all attempts of the delivery.
	Tries, Attempts int
	// Next is when it is due, by the wall clock, and Wait how long that was
	// when the row was put: a clock that jumps can be told by it.
	Next time.Time
	Wait time.Duration
	// Trigger is what the next attempt will be marked with.
	Trigger Trigger
	// Replay is what started the delivery's schedule; zero for none.
	Replay ReplayID
}

// Final is the record that ends a delivery without an attempt.
type Final struct {
	Endpoint    EndpointNumber
	Application ApplicationNumber
	Message     MessageID
	State       State // Canceled or Dead
	Reason      Reason
	// Attempts counts those recorded before: one with a higher number came
	// after, and tells the state if it ended the delivery.
	Attempts int
	At       time.Time
}
