// Package event is what holds for an event that a program publishes, whichever
// way: at once by an engine, or by an outbox once a transaction has committed.
// What is wrong with it is found where it is published, while somebody is there to
// be told; what it was caused by is noted there, since a relay cannot know.
package event

import (
	"context"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

const (
	// MaxDepth is how many messages may cause one another before the next: handlers
	// that set each other off would never end.
	MaxDepth = 16
	jsonType = "application/json"
)

// Bounds of what stands beside a payload: the API's own.
const (
	maxContentType = 256 // bytes
	maxChannels    = 5
	maxTags        = 10
	maxTag         = 256 // bytes
)

// Cause is a message that is being handled or listened to.
type Cause struct {
	// By tells engines apart: an engine's messages are no cause of another's.
	By      any
	Message postern.MessageID
	Depth   int
}

type causeKey struct{}

// Causing is the context that a message is handled in: what is published with it
// was caused by the message.
func Causing(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf is what a context is handled for; false for none.
func CauseOf(ctx context.Context) (Cause, bool) {
	c, ok := ctx.Value(causeKey{}).(Cause)
	return c, ok
}

// Note writes the cause into p, where p names none itself. How deep it is says the
// cause in any case, so that no chain is shortened by naming another message.
func (c Cause) Note(p *postern.Publish) {
	if p.CausedBy.IsZero() {
		p.CausedBy = c.Message
	}
	p.Depth = max(p.Depth, c.Depth+1)
}

// Check is nil, or says what of p no API would take. The error is of kind Invalid;
// that of a chain which is too long is permanent as well, for the handler that
// returns it.
func Check(p *postern.Publish) error {
	if p.Depth > MaxDepth {
		return postern.Permanent(&postern.Error{
			Kind: postern.Invalid, Code: "chain_too_long",
			Detail: fmt.Sprintf("%s would be caused by %d messages in a row, at most %d may: do handlers set each other off?", p.EventType, p.Depth, MaxDepth),
		})
	}
	var field string
	want := "must have 1 to 256 of letters, digits and the characters - _ ."
	switch {
	case !route.ValidName(p.EventType):
		field = "EventType"
	case p.EventID != "" && !route.ValidName(p.EventID):
		field = "EventID"
	case slices.ContainsFunc(p.Channels, func(name string) bool { return !route.ValidName(name) }):
		field = "Channels"
	case isID(p.EventID):
		field, want = "EventID", "may not begin as an id of a message or a refusal does"
	case len(p.Channels) > maxChannels:
		field, want = "Channels", "are 5 at most"
	case len(p.Tags) > maxTags || slices.ContainsFunc(p.Tags, func(tag string) bool { return tag == "" || len(tag) > maxTag }):
		field, want = "Tags", "are 10 at most, of 1 to 256 bytes"
	case !validContentType(p.ContentType):
		field, want = "ContentType", "must be a media type such as text/plain, in at most 256 bytes; an endpoint cannot be sent another"
	case p.Depth < 0:
		field, want = "Depth", "is not negative"
	default:
		return nil
	}
	return postern.InvalidField(want, "Publish", field)
}

// isID reports whether an event id could be taken for a message's id, in whose place
// it can stand, or for a refusal's, which is the event id of what is released.
func isID(eventID string) bool {
	return strings.HasPrefix(eventID, postern.MessageID{}.Prefix()) || strings.HasPrefix(eventID, postern.RefusalID{}.Prefix())
}

// validContentType reports whether text can be sent as a content type. "" is
// whatever the engine takes for it.
func validContentType(text string) bool {
	if text == "" || text == jsonType {
		return true
	}
	_, _, err := mime.ParseMediaType(text)
	return err == nil && len(text) <= maxContentType
}
