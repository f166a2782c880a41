package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// EventType names a sort of message.
type EventType struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Schemas are JSON Schemas by their version; nil for none, and in lists.
	Schemas      map[string]json.RawMessage `json:"schemas"`
	GroupName    string                     `json:"groupName"`
	FeatureFlags []string                   `json:"featureFlags"`
	// RetrySchedule are waits in seconds; nil for none of its own.
	RetrySchedule []float64 `json:"retrySchedule"`
	// EnforceSchema has messages refused that do not fit the newest schema.
	EnforceSchema bool      `json:"enforceSchema"`
	Archived      bool      `json:"archived"`
	Deprecated    bool      `json:"deprecated"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// EventTypeIn is an event type to make or to replace. Name, which a
// replacement takes from its path, and Description are needed.
type EventTypeIn struct {
	// Name is of letters, digits, '-', '_' and '.', such as "invoice.paid".
	Name        string `json:"name,omitempty"`
	Description string `json:"description"`
	// Schemas are JSON Schemas by their version; nil for none.
	Schemas   map[string]json.RawMessage `json:"schemas,omitempty"`
	GroupName string                     `json:"groupName,omitempty"`
	// FeatureFlags show the type in the portal to visitors with one of them; empty
	// for everybody.
	FeatureFlags []string `json:"featureFlags,omitempty"`
	// RetrySchedule are waits in seconds: nil for none of its own, empty for one try.
	RetrySchedule []float64 `json:"retrySchedule,omitzero"`
	// EnforceSchema has messages refused that do not fit the newest schema.
	EnforceSchema bool `json:"enforceSchema,omitempty"`
	Archived      bool `json:"archived,omitempty"`
	Deprecated    bool `json:"deprecated,omitempty"`
}

// EventTypes are shared by all applications.
type EventTypes struct{ c *Client }

// List reads a page by name, without archived types.
func (t EventTypes) List(ctx context.Context, p Page) (*List[EventType], error) {
	return list[EventType](ctx, t.c, "/event-type", p.values())
}

// All walks all types by name, also archived ones, each with its schemas.
func (t EventTypes) All(ctx context.Context, p Page) iter.Seq2[EventType, error] {
	query := p.values()
	query.Set("include_archived", "true")
	query.Set("with_content", "true")
	return all[EventType](ctx, t.c, "/event-type", query)
}

// Create makes one, and revives an archived one; ErrConflict for a name in use.
func (t EventTypes) Create(ctx context.Context, in EventTypeIn) (*EventType, error) {
	return call[EventType](ctx, t.c, request{method: http.MethodPost, path: "/event-type", body: in})
}

// Get finds one, also an archived one.
func (t EventTypes) Get(ctx context.Context, name string) (*EventType, error) {
	return call[EventType](ctx, t.c, request{method: http.MethodGet, path: path("event-type", name)})
}

// Put replaces one, or makes it.
func (t EventTypes) Put(ctx context.Context, name string, in EventTypeIn) (*EventType, error) {
	return call[EventType](ctx, t.c, request{method: http.MethodPut, path: path("event-type", name), body: in})
}

// Patch changes what is given.
func (t EventTypes) Patch(ctx context.Context, name string, changes Patch) (*EventType, error) {
	return call[EventType](ctx, t.c, request{method: http.MethodPatch, path: path("event-type", name), body: changes})
}

// RetrySchedule is a type's own waits in seconds: nil for none of its own, empty
// for a single try.
func (t EventTypes) RetrySchedule(ctx context.Context, name string) ([]float64, error) {
	out, err := call[retrySchedule](ctx, t.c, request{method: http.MethodGet, path: path("event-type", name, "retry-schedule")})
	if err != nil {
		return nil, err
	}
	return out.RetrySchedule, nil
}

// SetRetrySchedule sets it, and leaves all else of the type alone.
func (t EventTypes) SetRetrySchedule(ctx context.Context, name string, waits []float64) error {
	_, err := call[retrySchedule](ctx, t.c, request{
		method: http.MethodPut, path: path("event-type", name, "retry-schedule"), body: retrySchedule{waits},
	})
	return err
}

// retrySchedule is one by itself.
type retrySchedule struct {
	RetrySchedule []float64 `json:"retrySchedule"`
}

// Archive takes one out of lists; messages may go on having it.
func (t EventTypes) Archive(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, t.c, request{method: http.MethodDelete, path: path("event-type", name)})
	return err
}

// Delete deletes one for good.
func (t EventTypes) Delete(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, t.c, request{
		method: http.MethodDelete, path: path("event-type", name), query: url.Values{"expunge": {"true"}},
	})
	return err
}
