package client

import (
	"context"
	"net/http"
)

// What an endpoint is given once more goes on over restarts, as a task: Tasks.Get
// follows it, and tells the replay that it is.

// Recover delivers once more what failed at an endpoint. Since is needed, and no
// more than 14 days ago.
func (e Endpoints) Recover(ctx context.Context, app, endpoint string, s Span) (*Task, error) {
	return call[Task](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "recover"), body: s})
}

// ReplayMissing delivers what an endpoint as it is now would get and never got.
// Since is needed.
func (e Endpoints) ReplayMissing(ctx context.Context, app, endpoint string, s Span) (*Task, error) {
	return call[Task](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "replay-missing"), body: s})
}

// BulkReplayIn chooses among what was ever sent to an endpoint. Since is needed;
// zero fields narrow nothing.
type BulkReplayIn struct {
	Span
	EventTypes []string `json:"eventTypes,omitempty"`
	Channel    string   `json:"channel,omitempty"`
	Tag        string   `json:"tag,omitempty"`
	// Status is success or fail; "" for both.
	Status string `json:"-"`
}

// BulkReplay delivers once more what is chosen. Replays.Create can do more, and
// bounds the rate.
func (e Endpoints) BulkReplay(ctx context.Context, app, endpoint string, in BulkReplayIn) (*Task, error) {
	body := struct {
		BulkReplayIn
		Number *int `json:"status,omitempty"`
	}{BulkReplayIn: in}
	if in.Status != "" {
		number := statusNumber(in.Status)
		body.Number = &number
	}
	return call[Task](ctx, e.c, request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "bulk-replay"), body: body})
}
