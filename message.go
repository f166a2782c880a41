package postern

import "time"

// Message is one immutable event in an application.
type Message struct {
	ID          MessageID
	Application ApplicationNumber
	EventType   string
	ContentType string
	// EventID is the publisher's own name for the event, unique in the
	// application while the message lives; "" for none.
	EventID string
	// Channels narrow down who listens; Tags only help to find the message.
	Channels, Tags []string
	// Routes are the endpoints that were matched when it was accepted, in
	// ascending order. They are never decided again.
	Routes []EndpointNumber
	// Size is the payload's length in bytes.
	Size int
	// Source is where it came in; zero for a published message.
	Source SourceID
	// ProviderEventType is the provider's own name for the event; "" unless it
	// came in through a source.
	ProviderEventType string
	// CausedBy is the message whose handler published this one; zero for none.
	CausedBy MessageID
	// Depth is how many messages caused one another before this one.
	Depth int
}

// CreatedAt is when the message was accepted.
func (m *Message) CreatedAt() time.Time { return m.ID.Time() }

// Content is the part of a message that lists leave out: its payload, exactly
// as it was given, and the request that it came in by.
type Content struct {
	Payload []byte
	// Request is nil for a published message.
	Request *InboundRequest
}

// InboundRequest is a request to a source as it came, but for its body, and for
// masks in the places of its token and of credentials.
type InboundRequest struct {
	Method, Path, Query string
	// Headers are in the order they came, but for what net/http takes away:
	// names are in canonical case.
	Headers    []Header
	RemoteAddr string
	// URL is the address that the signature was checked against.
	URL string
}

// Publish is a message on its way in, before it has an id and routes. A program
// gives EventType and Payload, and of the fields up to Payload what it needs; the
// others are for what comes in by a source or over HTTP.
type Publish struct {
	// Application is whose message it is; package engine and package outbox take 0
	// for the engine's own.
	Application ApplicationNumber
	// EventType is a name such as "invoice.paid"; required.
	EventType string
	// ContentType is sent with the payload; where a program publishes "" is JSON.
	ContentType string
	// EventID is the publisher's own name for the event: a second message of the
	// same one is a copy, for as long as the first is kept. "" for none.
	EventID string
	// Channels also reach endpoints that select one of them; nil reaches those alone
	// that select none. Tags only help to find the message.
	Channels, Tags []string
	// Payload is delivered byte for byte. It is kept, and not to be changed any more.
	Payload []byte
	// Source is where it came in, with the provider's own name for the event and
	// the request; zero for what a program publishes.
	Source            SourceID
	ProviderEventType string
	Request           *InboundRequest
	// CausedBy and Depth are the message's own; whoever publishes from a handler
	// leaves them to the engine.
	CausedBy MessageID
	Depth    int
	// Only is the one endpoint that gets the message, whatever it selects; 0 to
	// route it.
	Only EndpointNumber
	// Duplicate recognises a second copy by something other than EventID; its
	// zero value is none.
	Duplicate DuplicateKey
	// Repeat is the digest of the request that publishes, under which its
	// repetition finds the message for 12 hours; zero for none. Who gives it has
	// looked for it.
	Repeat [16]byte
}

// DuplicateKey recognises a second copy of a message that came in twice.
type DuplicateKey struct {
	// Digest is of source, delivery id and body; zero for no key.
	Digest [16]byte
	// Window is how long a copy is known.
	Window time.Duration
}
