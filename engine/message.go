package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/event"
)

// Message is what a handler or a listener is given. It is shared with others
// who get the same message: its Payload and lists are not to be changed.
type Message struct {
	// ID stays the same over retries and replays: what a handler writes can be
	// recognised by it, as package inbox does.
	ID          postern.MessageID
	Application postern.ApplicationNumber
	EventType   string
	// ContentType is the payload's, such as "application/json".
	ContentType string
	// Payload has the bytes exactly as they were published.
	Payload []byte
	// EventID is the publisher's own name for the event; "" for none.
	EventID string
	// Channels narrowed down who gets it, Tags help to find it; nil for none.
	Channels, Tags []string
	// Handler is the name of the handler that it is given to; "" for a listener.
	Handler string
	// Attempt counts this delivery's attempts from 1; 0 for a listener.
	Attempt int
	// Replay is what has it delivered once more; zero for none.
	Replay postern.ReplayID
	// Source is where it came in, ProviderEventType the provider's own name for
	// the event, and Request the request it came in by; zero for a message that
	// was published.
	Source            postern.SourceID
	ProviderEventType string
	Request           *postern.InboundRequest
	// CausedBy is the message whose handler published this one, zero for none,
	// and Depth how many caused one another before it.
	CausedBy postern.MessageID
	Depth    int
}

// CreatedAt is when the message was accepted.
func (m *Message) CreatedAt() time.Time { return m.ID.Time() }

// Decode reads the payload as JSON into v. Its error is permanent, since the
// payload stays as it is, unless v is no pointer; it names the field that does not
// fit, or what a type with a way of its own found, and shows nothing of the payload.
func (m *Message) Decode(v any) error {
	err := json.Unmarshal(m.Payload, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.InvalidUnmarshalError](err); ok {
		return wrong // the program's fault, which can be mended
	}
	if fit, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := fit.Field
		if field == "" {
			field = "the payload itself"
		}
		kind, _, _ := strings.Cut(fit.Value, " ") // a number's value follows
		err = fmt.Errorf("%s is a JSON %s, want %s", field, kind, fit.Type)
	} else if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		err = fmt.Errorf("it is no JSON: %w", syntax)
	} else { // of a type's own, which may repeat what it read, as that of time.Time does
		err = fmt.Errorf("a value is none that its type takes: %T", err)
	}
	return postern.Permanent(fmt.Errorf("the payload of %s does not fit: %w", m.EventType, err))
}

// newMessage joins what is kept apart.
func newMessage(m *postern.Message, c *postern.Content) *Message {
	return &Message{
		ID: m.ID, Application: m.Application, EventType: m.EventType, ContentType: m.ContentType, Payload: c.Payload,
		EventID: m.EventID, Channels: m.Channels, Tags: m.Tags,
		Source: m.Source, ProviderEventType: m.ProviderEventType, Request: c.Request,
		CausedBy: m.CausedBy, Depth: m.Depth,
	}
}

// causing is the context that a message is handled in: what is published with
// it was caused by the message.
func (e *Engine) causing(ctx context.Context, m *Message) context.Context {
	return event.Causing(ctx, event.Cause{By: e, Message: m.ID, Depth: m.Depth})
}

// caused notes in p what caused it, if that was a message of this engine.
func (e *Engine) caused(ctx context.Context, p *postern.Publish) {
	if by, ok := event.CauseOf(ctx); ok && by.By == any(e) {
		by.Note(p)
	}
}
