package client

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/postern-dev/postern"
)

// Standing is what has become of a message at an endpoint.
type Standing struct {
	// StatusText is State in Svix's words: success, pending, fail, sending
	// (which is retrying) or canceled.
	StatusText string `json:"statusText"`
	// State is as in Delivery.
	State string `json:"state"`
	// NextAttempt is nil where none is due.
	NextAttempt *time.Time `json:"nextAttempt"`
}

// EndpointMessage is a message of an endpoint, and what has become of it there.
type EndpointMessage struct {
	Message
	Standing
}

// EndpointMessageFilter narrows an endpoint's messages down. Zero fields narrow
// nothing.
type EndpointMessageFilter struct {
	History
	// Status is one of Standing.StatusText.
	Status string
}

// Messages walks what was routed to an endpoint, the newest first unless told
// otherwise.
func (e Endpoints) Messages(ctx context.Context, app, endpoint string, f EndpointMessageFilter) iter.Seq2[EndpointMessage, error] {
	query := f.values()
	query.Set("expanded_statuses", "true")
	if f.Status != "" {
		query.Set("status", strconv.Itoa(statusNumber(f.Status)))
	}
	return all[EndpointMessage](ctx, e.c, path("app", app, "endpoint", endpoint, "msg"), query)
}

// statusNumber is Svix's number of a status; for other words -1, which the
// server refuses.
func statusNumber(text string) int {
	return slices.Index([]string{"success", "pending", "fail", "sending", "canceled"}, text)
}

// MessageEndpoint is an endpoint of a message, and what has become of that there.
type MessageEndpoint struct {
	Endpoint
	Standing
	// Reason says why the state is what it is; "" where there is nothing to say.
	Reason string `json:"reason"`
}

// Endpoints walks the endpoints that a message was routed or resent to, by their
// ids, but for those that are deleted since.
func (m Messages) Endpoints(ctx context.Context, app, msg string, p Page) iter.Seq2[MessageEndpoint, error] {
	query := p.values()
	query.Set("expanded_statuses", "true")
	return all[MessageEndpoint](ctx, m.c, path("app", app, "msg", msg, "endpoint"), query)
}

// Explanations are why an application's endpoints got a message or did not.
type Explanations struct {
	List[Explanation]
	// Matched is how many endpoints the message was routed to, Deleted how many
	// of them are deleted since and so on no page.
	Matched int `json:"matched"`
	Deleted int `json:"deleted"`
}

// Explanation is the word about one endpoint.
type Explanation struct {
	EndpointID  postern.EndpointID `json:"endpointId"`
	EndpointUID string             `json:"endpointUid"` // "" for none
	URL         string             `json:"url"`
	// Matched: the message was routed to it when it was accepted.
	Matched bool `json:"matched"`
	// MatchesNow is what the endpoint as it is now would decide, and Reason why.
	MatchesNow bool   `json:"matchesNow"`
	Reason     string `json:"reason"`
	// Changed: it is not as it was then, so that another reason may have held.
	Changed bool `json:"changed"`
}

// Explain says of each endpoint whether a message was routed there and why, a
// page at a time, the newest endpoint first unless told otherwise.
func (m Messages) Explain(ctx context.Context, app, msg string, p Page) (*Explanations, error) {
	return call[Explanations](ctx, m.c, request{method: http.MethodGet, path: path("app", app, "msg", msg, "explain"), query: p.values()})
}
