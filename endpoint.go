package postern

import "time"

// EndpointNumber is an endpoint's catalogue number: what routes and keys of
// the store hold instead of its id. Numbers start at 1 and are never used
// again, so that a deleted endpoint's number means nobody.
type EndpointNumber uint32

// EndpointKind says how an endpoint listens.
type EndpointKind string

// The kinds of endpoint.
const (
	// HTTPEndpoint is a URL that deliveries are posted to.
	HTTPEndpoint EndpointKind = "http"
	// HandlerEndpoint is a Go function of the embedding program.
	HandlerEndpoint EndpointKind = "handler"
	// PullEndpoint is a program that fetches its deliveries.
	PullEndpoint EndpointKind = "pull"
)

// Endpoint is who listens.
type Endpoint struct {
	ID          EndpointID
	Number      EndpointNumber
	Application ApplicationNumber
	// UID is the user's own name for it, unique in its application; "" for none.
	UID  string
	Kind EndpointKind
	// URL is where an http endpoint is reached.
	URL         string
	Description string
	// Version is the caller's version number of the endpoint, 1 unless given.
	Version int
	// EventTypes selects messages by type: exact names, or a prefix with ".*".
	// Nil for all.
	EventTypes []string
	// Channels selects messages that carry one of them; nil for all.
	Channels []string
	// Rate is the most attempts a second; 0 for no limit.
	Rate int
	// RetrySchedule replaces the message type's and the general one; nil for
	// neither.
	RetrySchedule RetrySchedule
	// Headers go with every delivery, names in the case given.
	Headers  []Header
	Metadata map[string]string
	// Secrets sign deliveries: the current one first, then those that were
	// rotated out and still live.
	Secrets []EndpointSecret
	// SvixNames has deliveries carry the svix- header names as well.
	SvixNames bool
	// Disabled endpoints are not routed to, and their deliveries wait. This is
	// the owner's wish; Health holds the engine's.
	Disabled bool
	// Paused endpoints are routed to, and their deliveries wait.
	Paused bool

	CreatedAt, UpdatedAt time.Time
}

// Reasons for which the engine itself disables an endpoint.
const (
	// DisabledGone: the endpoint answered 410.
	DisabledGone = "gone"
	// DisabledFailing: five days of nothing but failure.
	DisabledFailing = "failing"
)

// EndpointSecret is one signing secret and how long it lives.
type EndpointSecret struct {
	Key       Sealed
	CreatedAt time.Time
	// ExpiresAt is zero for the current secret.
	ExpiresAt time.Time
}

// Live reports whether the secret still signs at now.
func (s EndpointSecret) Live(now time.Time) bool {
	return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)
}

// Header is one header field, its name in the case it was given.
type Header struct{ Name, Value string }

// Health is what an endpoint's attempts say of it. It is stored with the
// settle that changed it.
type Health struct {
	// FailingSince is when the first of an unbroken row of failures ended;
	// zero while the last attempt succeeded.
	FailingSince time.Time
	// Failures counts that row up to DisableFailures, and no further: health is
	// stored when it changes.
	Failures int
	// Disabled is why the engine disabled the endpoint, one of the Disabled
	// reasons; "" while it is enabled. DisabledAt is when.
	Disabled   string
	DisabledAt time.Time
}

// EndpointView is an endpoint as it stands: what its owner configured and what
// its attempts made of it. It is shared and never changed.
type EndpointView struct {
	Endpoint
	Health Health
	// Deleted endpoints have a view for as long as something refers to them.
	Deleted bool
	// Unattended: the deliveries wait until a program has a function for the handler
	// again, or consumers ask the pull endpoint.
	Unattended bool
}

// Enabled reports whether messages are routed to the endpoint.
func (v *EndpointView) Enabled() bool {
	return !v.Deleted && !v.Disabled && v.Health.Disabled == ""
}

// Deliverable reports whether the endpoint's deliveries are tried now.
func (v *EndpointView) Deliverable() bool { return v.Enabled() && !v.Paused && !v.Unattended }
