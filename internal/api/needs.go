package api

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// What the API needs of the engine. A ref is an id or a uid. Records that are
// returned are shared and never changed: an update works on a copy that the
// catalogue hands to fn, validates and commits. Whatever changes something is
// durable, and seen by every later publish, once it returns.

// Applications keeps applications.
type Applications interface {
	Application(ref string) (*postern.Application, error)
	// ApplicationByNumber is nil for one that is deleted.
	ApplicationByNumber(n postern.ApplicationNumber) *postern.Application
	// Applications lists in the order of ids; see postern.ListPage.
	Applications(page postern.ListPage) ([]*postern.Application, bool)
	// CreateApplication fills in ID, Number and times; ErrConflict for a uid in use.
	CreateApplication(ctx context.Context, a postern.Application) (*postern.Application, error)
	UpdateApplication(ctx context.Context, n postern.ApplicationNumber, fn func(*postern.Application) error) (*postern.Application, error)
	DeleteApplication(ctx context.Context, n postern.ApplicationNumber) error
}

// Endpoints keeps the endpoints of applications.
type Endpoints interface {
	Endpoint(app postern.ApplicationNumber, ref string) (*EndpointView, error)
	// EndpointByNumber is nil for one that is deleted.
	EndpointByNumber(n postern.EndpointNumber) *EndpointView
	Endpoints(app postern.ApplicationNumber, page postern.ListPage) ([]*EndpointView, bool)
	// CreateEndpoint makes a secret where e has none.
	CreateEndpoint(ctx context.Context, e postern.Endpoint) (*EndpointView, error)
	// UpdateEndpoint with enable also lifts what the engine disabled.
	UpdateEndpoint(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, enable bool, fn func(*postern.Endpoint) error) (*EndpointView, error)
	DeleteEndpoint(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber) error
}

// EndpointView is an endpoint with its health.
type EndpointView = postern.EndpointView

// EventTypes keeps the catalogue of event types, which all applications share.
type EventTypes interface {
	EventType(name string) (*postern.EventType, error)
	// EventTypes lists by name; page.After is the last name seen.
	EventTypes(page postern.ListPage, archived bool) ([]*postern.EventType, bool)
	// PutEventType creates, or replaces when replace; else ErrConflict with
	// code "event_type_exists" for a name in use.
	PutEventType(ctx context.Context, t postern.EventType, replace bool) (created bool, stored *postern.EventType, err error)
	UpdateEventType(ctx context.Context, name string, fn func(*postern.EventType) error) (*postern.EventType, error)
	DeleteEventType(ctx context.Context, name string) error
	// DeclareEventType describes a type unless it is known.
	DeclareEventType(ctx context.Context, name, description string) error
}

// Sources keeps the inbound addresses of applications.
type Sources interface {
	Source(app postern.ApplicationNumber, ref string) (*postern.Source, error)
	Sources(app postern.ApplicationNumber, page postern.ListPage) ([]*postern.Source, bool)
	// CreateSource makes the token.
	CreateSource(ctx context.Context, s postern.Source) (*postern.Source, error)
	UpdateSource(ctx context.Context, app postern.ApplicationNumber, id postern.SourceID, fn func(*postern.Source) error) (*postern.Source, error)
	DeleteSource(ctx context.Context, app postern.ApplicationNumber, id postern.SourceID) error
}

// Keys keeps API keys.
type Keys interface {
	// KeyByHash finds by SHA-256 of the token; nil for none. Expiry is the
	// caller's to check.
	KeyByHash(hash [32]byte) *postern.Key
	Key(id postern.KeyID) (*postern.Key, error)
	// Keys lists in the order of ids.
	Keys(page postern.ListPage) ([]*postern.Key, bool)
	CreateKey(ctx context.Context, k postern.Key) (*postern.Key, error)
	DeleteKey(ctx context.Context, id postern.KeyID) error
	// ExpireVisitors ends the tokens of an application's visitors at a moment
	// or, when that has come, at once; those of some sessions where any are
	// named.
	ExpireVisitors(ctx context.Context, app postern.ApplicationNumber, sessions []string, at time.Time) error
}

// Secrets seals what must be kept and opens what must be used.
type Secrets interface {
	Seal(plain []byte) (postern.Sealed, error)
	Open(sealed postern.Sealed) ([]byte, error)
}

// URLChecker looks at an endpoint's URL when it is given: an Invalid error for
// one that deliveries could never reach.
type URLChecker interface {
	CheckURL(ctx context.Context, url string) error
}

// Publisher accepts messages and acts on deliveries.
type Publisher interface {
	// Publish routes, accepts and returns the message, durable. A second copy,
	// by event id or by the request's dedupe record, returns the first one's
	// message and duplicate true.
	Publish(ctx context.Context, p postern.Publish) (m *postern.Message, duplicate bool, err error)
	// Resend starts a delivery anew, also a finished one, and one that was not
	// routed at the time.
	Resend(ctx context.Context, d store.DeliveryKey) error
	// Cancel ends an unfinished delivery; ErrConflict for a finished one.
	Cancel(ctx context.Context, d store.DeliveryKey) error
}

// Repeats keeps for 12 hours what requests with an idempotency key were answered
// with.
type Repeats interface {
	// Repeated is the record of a request's digest; false when there is none.
	Repeated(ctx context.Context, digest store.Digest) (store.DedupeRecord, bool, error)
	// Alone keeps other processes from the same request until release.
	Alone(ctx context.Context, digest store.Digest) (release func(), err error)
	// KeepAnswer makes the record of a request durable that became no message;
	// the record's id is filled in.
	KeepAnswer(ctx context.Context, record store.DedupeRecord) error
}

// Deliveries tells how single deliveries stand, and which of an endpoint wait
// for another try; a store.Store is one.
type Deliveries interface {
	Waiting(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, page store.Page) (store.RowPage, error)
	Standing(ctx context.Context, d store.DeliveryKey) (store.Standing, error)
}

// Expunger deletes what must not be kept.
type Expunger interface {
	// Expunge deletes a message's payload and ends its unfinished deliveries.
	Expunge(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) error
	// ExpungeAll begins to do so for all messages that there are; it goes on as
	// a task of the application, over restarts.
	ExpungeAll(ctx context.Context, app postern.ApplicationNumber) (*postern.Replay, error)
	// Redact stores an attempt anew, whose response was deleted.
	Redact(ctx context.Context, a postern.Attempt) error
}

// Leases gives deliveries of pull endpoints to consumers. What is missing of
// the leases named had ended before.
type Leases interface {
	// Lease waits for something, and answers none when that took too long.
	Lease(ctx context.Context, e *EndpointView, r postern.LeaseRequest) ([]postern.Lease, error)
	// Ack and Nack return once it is durable what came of the deliveries.
	Ack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID) (missing []postern.LeaseID, err error)
	Nack(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, why postern.Nack) (missing []postern.LeaseID, err error)
	// Extend returns when the first of the leases ends.
	Extend(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID, d time.Duration) (until time.Time, missing []postern.LeaseID, err error)
	Release(ctx context.Context, n postern.EndpointNumber, ids []postern.LeaseID) (missing []postern.LeaseID, err error)
}

// Inbound looks at refused requests once more. Errors of kind Conflict are of
// those that cannot be checked.
type Inbound interface {
	// Verify checks one against its source as it is now.
	Verify(ctx context.Context, s *postern.Source, r *postern.Refusal) (postern.Verification, error)
	// Release publishes one, whether or not it verifies now, under the refusal's
	// id as its event id: once. What is there already is duplicate.
	Release(ctx context.Context, s *postern.Source, r *postern.Refusal) (m *postern.Message, found postern.Verification, duplicate bool, err error)
}

// Router tells who would get a message.
type Router interface {
	// Match lists the endpoints; it reports false when there is no such
	// application.
	Match(app postern.ApplicationNumber, eventType string, channels []string) ([]postern.EndpointNumber, bool)
}

// Replays delivers messages of the past once more.
type Replays interface {
	// Replay finds in one application.
	Replay(app postern.ApplicationNumber, id postern.ReplayID) (*postern.Replay, error)
	// Replays lists in the order of ids those that keep lets through.
	Replays(app postern.ApplicationNumber, page postern.ListPage, keep func(*postern.Replay) bool) ([]*postern.Replay, bool)
	// Task and Tasks are the same of an application's background tasks: its
	// replays, and what expunges; of all applications for 0.
	Task(app postern.ApplicationNumber, id postern.ReplayID) (*postern.Replay, error)
	Tasks(app postern.ApplicationNumber, page postern.ListPage, keep func(*postern.Replay) bool) ([]*postern.Replay, bool)
	// CreateReplay checks, completes and begins; Invalid errors name fields.
	CreateReplay(ctx context.Context, r postern.Replay) (*postern.Replay, error)
	// PreviewReplay counts what it would start; an estimate where not exact.
	PreviewReplay(ctx context.Context, r postern.Replay) (n int64, exact bool, err error)
	// SetReplayState pauses, resumes or cancels; ErrConflict for one that has
	// ended.
	SetReplayState(ctx context.Context, app postern.ApplicationNumber, id postern.ReplayID, state postern.ReplayState) (*postern.Replay, error)
}

// EventIDs finds messages by the name that their publisher gave them.
type EventIDs interface {
	// MessageByEventID is ErrNotFound for an event id that no living message
	// of the application has.
	MessageByEventID(ctx context.Context, app postern.ApplicationNumber, eventID string) (postern.MessageID, error)
}
