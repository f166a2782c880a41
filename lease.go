package postern

import "time"

// Bounds of what consumers of a pull endpoint ask for.
const (
	// MaxLeases is how many one request gets.
	MaxLeases = 1000
	// DefaultLease is how long a consumer has that does not say, MaxLease how long
	// one may ask for at a time, and MaxHold how long it may have altogether.
	DefaultLease = 30 * time.Second
	MaxLease     = time.Hour
	MaxHold      = 12 * time.Hour
	// MaxLeaseWait is how long a request waits for a message at most.
	MaxLeaseWait = time.Minute
)

// Lease is a delivery of a pull endpoint in the hands of a consumer, and of no
// other until it ends: acknowledged, refused, given back, or at ExpiresAt. Leases
// live in memory: when the server stops, what was held is given out again.
type Lease struct {
	ID      LeaseID
	Message *Message
	Content *Content
	// Attempt is which try of the delivery it is, from 1.
	Attempt int
	// Replay is what started the delivery anew; zero for nothing.
	Replay    ReplayID
	ExpiresAt time.Time
}

// LeaseRequest is what a consumer asks for.
type LeaseRequest struct {
	// Limit is how many it takes at once, 1 to MaxLeases. It gets what there is,
	// which can be less.
	Limit int
	// Wait is how long it waits for a first one, 0 to MaxLeaseWait.
	Wait time.Duration
	// Duration is how long it has for all it gets, up to MaxLease; DefaultLease
	// when 0.
	Duration time.Duration
}

// Nack is why a consumer did not process a message.
type Nack struct {
	// Delay makes the wait for the next try at least so long, as Retry-After does;
	// at most MaxRetryAfter counts.
	Delay time.Duration
	// Permanent ends the delivery as dead: no try would do better.
	Permanent bool
	// Error is kept as the attempt's response, up to 20 kB.
	Error string
}
