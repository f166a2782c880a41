package client

import (
	"context"
	"net/http"
)

// Example names an example of an event type.
type Example struct {
	// EventType is in the catalogue, or svix.ping, which every server knows.
	EventType string `json:"eventType"`
	// Index chooses among the examples of the type's newest schema, from 0.
	Index int `json:"exampleIndex,omitempty"`
}

// SendExample publishes an example to one endpoint, whatever that selects.
// ErrNotFound for an unknown type; ErrInvalid where its schema has no such
// example, and where the endpoint is disabled.
func (e Endpoints) SendExample(ctx context.Context, app, endpoint string, x Example) (*Message, error) {
	return call[Message](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "send-example"), body: x})
}

// Precheck reports whether a message of a type would be routed to any endpoint,
// before there is one. Channels may be nil for a message without, but not empty.
func (m Messages) Precheck(ctx context.Context, app, eventType string, channels []string) (bool, error) {
	in := Patch{"eventType": eventType}
	if channels != nil {
		in["channels"] = channels
	}
	out, err := call[struct {
		Active bool `json:"active"`
	}](ctx, m.c, request{method: http.MethodPost, path: path("app", app, "msg", "precheck", "active"), body: in})
	return err == nil && out.Active, err
}
