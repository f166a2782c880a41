package client

import (
	"context"
	"net/http"
)

// EndpointHeaders are the headers that an endpoint's deliveries carry besides
// their own.
type EndpointHeaders struct {
	// Headers are values by name; empty for none.
	Headers map[string]string `json:"headers"`
	// Sensitive names those whose values are credentials, such as
	// Authorization: the server does not show them.
	Sensitive []string `json:"sensitive"`
}

// Headers are an endpoint's own headers.
func (e Endpoints) Headers(ctx context.Context, app, endpoint string) (*EndpointHeaders, error) {
	return call[EndpointHeaders](ctx, e.c, request{method: http.MethodGet, path: path("app", app, "endpoint", endpoint, "headers")})
}

// SetHeaders replaces all of them, also those that Headers does not show; empty
// or nil takes all away. ErrInvalid for names that HTTP does not know how to
// write, or that are the deliveries' own.
func (e Endpoints) SetHeaders(ctx context.Context, app, endpoint string, headers map[string]string) error {
	if headers == nil {
		headers = map[string]string{}
	}
	_, err := call[struct{}](ctx, e.c, request{
		method: http.MethodPut, path: path("app", app, "endpoint", endpoint, "headers"), body: Patch{"headers": headers},
	})
	return err
}

// PatchHeaders changes those that are named: a string sets one, nil takes it
// away. Errors are as SetHeaders'.
func (e Endpoints) PatchHeaders(ctx context.Context, app, endpoint string, changes Patch) error {
	_, err := call[struct{}](ctx, e.c, request{
		method: http.MethodPatch, path: path("app", app, "endpoint", endpoint, "headers"), body: Patch{"headers": changes},
	})
	return err
}
