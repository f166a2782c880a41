package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Endpoint is who listens.
type Endpoint struct {
	ID  postern.EndpointID `json:"id"`
	UID string             `json:"uid"` // "" for none
	// Kind is http, handler or pull.
	Kind        string `json:"kind"`
	URL         string `json:"url"`
	Description string `json:"description"`
	// Disabled: nothing is routed to it. DisabledReason is the server's; "" when
	// its owner disabled it.
	Disabled       bool   `json:"disabled"`
	DisabledReason string `json:"disabledReason"`
	// Paused: deliveries wait.
	Paused bool `json:"paused"`
	// Unattended: the deliveries wait, because no running program has a function for
	// the handler, or nobody has asked the pull endpoint for a minute.
	Unattended bool `json:"unattended"`
	// FailingSince is nil when the last attempt succeeded.
	FailingSince *time.Time `json:"failingSince"`
	// EventTypes and Channels are nil for all.
	EventTypes []string `json:"eventTypes"`
	Channels   []string `json:"channels"`
	// ThrottleRate bounds attempts per second; 0 for no bound.
	ThrottleRate int `json:"throttleRate"`
	// RetrySchedule are waits in seconds; nil for none of its own.
	RetrySchedule []float64         `json:"retrySchedule"`
	SvixHeaders   bool              `json:"svixHeaders"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     time.Time         `json:"createdAt"`
	UpdatedAt     time.Time         `json:"updatedAt"`
}

// EndpointIn is an endpoint to make or to replace. Only URL is needed, or Kind.
type EndpointIn struct {
	// URL is where deliveries are posted to.
	URL string `json:"url,omitempty"`
	// Kind is http when "", or pull for one that Consume asks, which has no URL.
	Kind string `json:"kind,omitempty"`
	// UID is the user's own name for it, unique in its application and good wherever
	// an id is; "" for none.
	UID         string `json:"uid,omitempty"`
	Description string `json:"description,omitempty"`
	// Disabled has nothing routed to it.
	Disabled bool `json:"disabled,omitempty"`
	// EventTypes are exact, or patterns such as "invoice.*"; empty for all. Channels
	// select messages that carry one of them; empty for all.
	EventTypes []string `json:"eventTypes,omitempty"`
	Channels   []string `json:"channels,omitempty"`
	// ThrottleRate bounds attempts per second; 0 for no bound.
	ThrottleRate int `json:"throttleRate,omitempty"`
	// RetrySchedule are waits in seconds: nil for none of its own, empty for one try.
	RetrySchedule []float64 `json:"retrySchedule,omitzero"`
	// Headers go with every delivery; a replacement without any keeps the old.
	Headers  map[string]string `json:"headers,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Secret is whsec_ or whsk_ and base64; the server makes one where it is "".
	Secret string `json:"secret,omitempty"`
	// SvixHeaders has deliveries carry the svix- names as well.
	SvixHeaders bool `json:"svixHeaders,omitempty"`
}

// Endpoints are those of applications.
type Endpoints struct{ c *Client }

// List reads a page, the newest first unless told otherwise.
func (e Endpoints) List(ctx context.Context, app string, p Page) (*List[Endpoint], error) {
	return list[Endpoint](ctx, e.c, path("app", app, "endpoint"), p.values())
}

// All walks all endpoints of an application.
func (e Endpoints) All(ctx context.Context, app string, p Page) iter.Seq2[Endpoint, error] {
	return all[Endpoint](ctx, e.c, path("app", app, "endpoint"), p.values())
}

// Create makes one; ErrConflict for a uid in use.
func (e Endpoints) Create(ctx context.Context, app string, in EndpointIn) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint"), body: in})
}

// Get finds one.
func (e Endpoints) Get(ctx context.Context, app, endpoint string) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodGet, path: path("app", app, "endpoint", endpoint)})
}

// Put replaces one but for its secret and headers, or makes one.
func (e Endpoints) Put(ctx context.Context, app, endpoint string, in EndpointIn) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodPut, path: path("app", app, "endpoint", endpoint), body: in})
}

// Patch changes what is given. "disabled": false also lifts what the server
// disabled.
func (e Endpoints) Patch(ctx context.Context, app, endpoint string, changes Patch) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodPatch, path: path("app", app, "endpoint", endpoint), body: changes})
}

// Delete ends its deliveries, too.
func (e Endpoints) Delete(ctx context.Context, app, endpoint string) error {
	_, err := call[struct{}](ctx, e.c, request{method: http.MethodDelete, path: path("app", app, "endpoint", endpoint)})
	return err
}

// Pause has deliveries wait.
func (e Endpoints) Pause(ctx context.Context, app, endpoint string) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "pause")})
}

// Resume delivers what has waited.
func (e Endpoints) Resume(ctx context.Context, app, endpoint string) (*Endpoint, error) {
	return call[Endpoint](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "resume")})
}

// Secret is what a receiver checks signatures with; of an asymmetric key the
// public half.
func (e Endpoints) Secret(ctx context.Context, app, endpoint string) (string, error) {
	out, err := call[struct {
		Key string `json:"key"`
	}](ctx, e.c, request{method: http.MethodGet, path: path("app", app, "endpoint", endpoint, "secret")})
	if err != nil {
		return "", err
	}
	return out.Key, nil
}

// Rotation is a change of an endpoint's secret.
type Rotation struct {
	// Key is the new secret; the server makes one where it is "".
	Key string
	// Grace is how long the old one signs too, to the second; nil for a day.
	Grace *time.Duration
}

// RotateSecret changes the secret.
func (e Endpoints) RotateSecret(ctx context.Context, app, endpoint string, r Rotation) error {
	in := Patch{}
	if r.Key != "" {
		in["key"] = r.Key
	}
	if r.Grace != nil {
		in["gracePeriodSeconds"] = int64(r.Grace.Seconds())
	}
	_, err := call[struct{}](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "secret", "rotate"), body: in})
	return err
}
