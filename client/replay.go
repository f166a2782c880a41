package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Replay delivers messages of the past once more.
type Replay struct {
	ID postern.ReplayID `json:"id"`
	// State is running, paused, finished, canceled or failed, and Reason why.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// EndpointID is whose deliveries are meant, ToEndpointID where they go; nil
	// for none, and for what is deleted.
	EndpointID   *postern.EndpointID `json:"endpointId"`
	ToEndpointID *postern.EndpointID `json:"toEndpointId"`
	Status       string              `json:"status"`
	EventTypes   []string            `json:"eventTypes"`
	Channel      string              `json:"channel"`
	Tag          string              `json:"tag"`
	Since        time.Time           `json:"since"`
	Until        time.Time           `json:"until"`
	Rate         int                 `json:"rate"` // 0 for no bound
	// Examined, Replayed and Skipped count messages so far; Total is an estimate
	// of what Replayed comes to.
	Examined   int64      `json:"examined"`
	Replayed   int64      `json:"replayed"`
	Skipped    int64      `json:"skipped"`
	Total      int64      `json:"total"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// ReplayIn chooses what to replay. Since is needed, and Endpoint, ToEndpoint or
// both, each an id or uid.
type ReplayIn struct {
	Endpoint   string `json:"endpointId,omitempty"`
	ToEndpoint string `json:"toEndpointId,omitempty"`
	// Status is all, failed, dead, delivered or missing; "" for the server's
	// choice.
	Status     string     `json:"status,omitempty"`
	EventTypes []string   `json:"eventTypes,omitempty"`
	Channel    string     `json:"channel,omitempty"`
	Tag        string     `json:"tag,omitempty"`
	Since      time.Time  `json:"since"`
	Until      *time.Time `json:"until,omitempty"` // nil for now
	// Rate bounds the deliveries started per second; 0 for no bound.
	Rate int `json:"rate,omitempty"`
}

// Preview is what a replay would come to.
type Preview struct {
	// Count is of deliveries, and an estimate unless it is Exact.
	Count int64 `json:"count"`
	Exact bool  `json:"exact"`
}

// Replays are those of applications.
type Replays struct{ c *Client }

// All walks an application's replays.
func (r Replays) All(ctx context.Context, app string, p Page) iter.Seq2[Replay, error] {
	return all[Replay](ctx, r.c, path("app", app, "replay"), p.values())
}

// Preview counts what a replay would start, and starts nothing.
func (r Replays) Preview(ctx context.Context, app string, in ReplayIn) (*Preview, error) {
	return call[Preview](ctx, r.c, request{method: http.MethodPost, path: path("app", app, "replay", "preview"), body: in})
}

// Create starts one.
func (r Replays) Create(ctx context.Context, app string, in ReplayIn) (*Replay, error) {
	return call[Replay](ctx, r.c, request{method: http.MethodPost, path: path("app", app, "replay"), body: in})
}

// Get finds one, with its progress.
func (r Replays) Get(ctx context.Context, app, replay string) (*Replay, error) {
	return call[Replay](ctx, r.c, request{method: http.MethodGet, path: path("app", app, "replay", replay)})
}

// Pause stops one until it is resumed.
func (r Replays) Pause(ctx context.Context, app, replay string) (*Replay, error) {
	return r.turn(ctx, app, replay, "pause")
}

// Resume goes on with one that is paused.
func (r Replays) Resume(ctx context.Context, app, replay string) (*Replay, error) {
	return r.turn(ctx, app, replay, "resume")
}

// Cancel ends one; what it has started goes on.
func (r Replays) Cancel(ctx context.Context, app, replay string) (*Replay, error) {
	return r.turn(ctx, app, replay, "cancel")
}

// turn changes a replay's state.
func (r Replays) turn(ctx context.Context, app, replay, verb string) (*Replay, error) {
	return call[Replay](ctx, r.c, request{method: http.MethodPost, path: path("app", app, "replay", replay, verb)})
}
