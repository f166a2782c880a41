package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-dev/postern"
)

// Message is an event that was accepted.
type Message struct {
	ID        postern.MessageID `json:"id"`
	EventType string            `json:"eventType"`
	EventID   string            `json:"eventId"` // "" for none
	// Payload is a JSON object, but not its bytes: Messages.Raw has those. What
	// is no JSON object stands in one, as contentType and body or bodyBase64.
	Payload     json.RawMessage `json:"payload"`
	ContentType string          `json:"contentType"`
	Channels    []string        `json:"channels"`
	Tags        []string        `json:"tags"`
	Timestamp   time.Time       `json:"timestamp"`
	// SourceID and ProviderEventType are there for what came in by a source.
	SourceID          *postern.SourceID `json:"sourceId"`
	ProviderEventType string            `json:"providerEventType"`
	// Deliveries are how it stands at its endpoints, where MessageIn.Wait asked
	// for that; MoreDeliveries that there are more.
	Deliveries     []Delivery `json:"deliveries"`
	MoreDeliveries bool       `json:"moreDeliveries"`
}

// MessageIn is an event to publish. EventType and one of Payload and Text are
// needed.
type MessageIn struct {
	EventType string
	// EventID is the publisher's name for the event: a second one of that name
	// is refused with ErrConflict. "" for none.
	EventID string
	// Payload is a JSON object, whose bytes are delivered as they are.
	Payload json.RawMessage
	// Text is delivered instead of Payload, with ContentType.
	Text, ContentType string
	Channels, Tags    []string
	// Application is made if there is none of the path's uid, which must be its
	// UID; nil to have ErrNotFound instead.
	Application *ApplicationIn
	// IdempotencyKey has the server answer a repetition of the call, also after
	// it ended without an answer, as the first one; "" for one of our own, which
	// covers the tries of a single call.
	IdempotencyKey string
	// Wait is how long to wait for what becomes of the message; 0 for not at
	// all. It must be shorter than the client's timeout.
	Wait time.Duration
}

// Messages are those of applications.
type Messages struct{ c *Client }

// Create publishes: once it returns, the message is on disk.
func (m Messages) Create(ctx context.Context, app string, in MessageIn) (*Message, error) {
	body, err := in.text()
	if err != nil {
		return nil, err
	}
	query := url.Values{"with_content": {"false"}}
	if in.Wait > 0 {
		query.Set("wait", in.Wait.String())
	}
	return call[Message](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg"), query: query, body: body, key: in.IdempotencyKey})
}

// text is the message as the API takes it. The payload is put in as it is:
// marshalling would change its bytes.
func (in *MessageIn) text() (json.RawMessage, error) {
	if len(in.Payload) > 0 == (in.Text != "") {
		return nil, errors.New("client: a message has either a payload or a text")
	}
	envelope := map[string]any{"eventType": in.EventType}
	if in.EventID != "" {
		envelope["eventId"] = in.EventID
	}
	if in.Channels != nil {
		envelope["channels"] = in.Channels
	}
	if in.Tags != nil {
		envelope["tags"] = in.Tags
	}
	if in.Application != nil {
		envelope["application"] = in.Application
	}
	payload := in.Payload
	if in.Text != "" {
		raw := map[string]any{"rawPayload": in.Text}
		if in.ContentType != "" {
			raw["headers"] = map[string]string{"content-type": in.ContentType}
		}
		envelope["transformationsParams"] = raw
		payload = json.RawMessage("{}")
	}
	if !json.Valid(payload) {
		return nil, errors.New("client: the payload is not JSON")
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		return nil, err
	}
	text = append(text[:len(text)-1], `,"payload":`...)
	return append(append(text, payload...), '}'), nil
}

// List reads a page, the newest first unless told otherwise. It may be empty
// without being the last.
func (m Messages) List(ctx context.Context, app string, h History) (*List[Message], error) {
	return list[Message](ctx, m.c, path("app", app, "msg"), h.values())
}

// All walks all messages that match.
func (m Messages) All(ctx context.Context, app string, h History) iter.Seq2[Message, error] {
	return all[Message](ctx, m.c, path("app", app, "msg"), h.values())
}

// Get finds one by its id or event id.
func (m Messages) Get(ctx context.Context, app, msg string) (*Message, error) {
	return call[Message](ctx, m.c, request{method: http.MethodGet, path: path("app", app, "msg", msg)})
}

// Raw are a payload's bytes and their content type.
func (m Messages) Raw(ctx context.Context, app, msg string) (payload []byte, contentType string, err error) {
	header, payload, err := m.c.do(ctx, request{method: http.MethodGet, path: path("app", app, "msg", msg, "raw")})
	return payload, header.Get("Content-Type"), err
}

// Resend delivers once more to an endpoint, whatever happened so far.
func (m Messages) Resend(ctx context.Context, app, msg, endpoint string) error {
	_, err := call[struct{}](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg", msg, "endpoint", endpoint, "resend")})
	return err
}

// Cancel ends a delivery; ErrConflict for one that is finished.
func (m Messages) Cancel(ctx context.Context, app, msg, endpoint string) error {
	_, err := call[struct{}](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg", msg, "endpoint", endpoint, "cancel")})
	return err
}

// Expunge deletes the payload, and ends what is unfinished of its deliveries.
// The message itself stays.
func (m Messages) Expunge(ctx context.Context, app, msg string) error {
	_, err := call[struct{}](ctx, m.c, request{method: http.MethodDelete, path: path("app", app, "msg", msg, "content")})
	return err
}

// ExpungeSeveral does what Expunge does for at most 100 messages, one after the
// other, and says of each name that it is "expunged" or "not-found". It may be
// repeated after an error.
func (m Messages) ExpungeSeveral(ctx context.Context, app string, msgs []string) (map[string]string, error) {
	out, err := call[struct {
		Results map[string]string `json:"results"`
	}](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg", "bulk-expunge"), body: Patch{"ids": msgs}})
	if err != nil {
		return nil, err
	}
	return out.Results, nil
}

// ExpungeAll begins to do so for all messages that there are by now. The task
// goes on over restarts; Tasks.Get follows it.
func (m Messages) ExpungeAll(ctx context.Context, app string) (*Task, error) {
	return call[Task](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg", "expunge-all-contents")})
}
