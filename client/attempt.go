package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-dev/postern"
)

// Attempt is one try of a delivery.
type Attempt struct {
	ID         postern.AttemptID  `json:"id"`
	EndpointID postern.EndpointID `json:"endpointId"`
	MsgID      postern.MessageID  `json:"msgId"`
	// Number counts the attempts of the delivery from 1.
	Number int    `json:"number"`
	URL    string `json:"url"`
	// Response is what was kept of the answer's body, and ResponseStatusCode its
	// code; 0 where no answer came, which Failure explains.
	Response           string `json:"response"`
	ResponseStatusCode int    `json:"responseStatusCode"`
	Failure            string `json:"failure"`
	// StatusText is success or fail.
	StatusText string `json:"statusText"`
	// State, Reason and NextAttempt are what the attempt caused.
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	NextAttempt *time.Time `json:"nextAttempt"`
	Timestamp   time.Time  `json:"timestamp"`
	Timings     Timings    `json:"timings"`
}

// Timings are the phases of an attempt in microseconds, each since the one
// before; Total is all of it.
type Timings struct {
	DNS       int64 `json:"dns"`
	Connect   int64 `json:"connect"`
	TLS       int64 `json:"tls"`
	FirstByte int64 `json:"firstByte"`
	Total     int64 `json:"total"`
}

// Attempts are those of messages.
type Attempts struct{ c *Client }

// Get finds one of a message's.
func (a Attempts) Get(ctx context.Context, app, msg, attempt string) (*Attempt, error) {
	return call[Attempt](ctx, a.c, request{method: http.MethodGet, path: path("app", app, "msg", msg, "attempt", attempt)})
}

// OfMessage walks what was tried for a message, the newest first unless told
// otherwise.
func (a Attempts) OfMessage(ctx context.Context, app, msg string, h History) iter.Seq2[Attempt, error] {
	return all[Attempt](ctx, a.c, path("app", app, "attempt", "msg", msg), h.values())
}

// AtEndpoint walks what was tried at an endpoint, the newest first unless told
// otherwise.
func (a Attempts) AtEndpoint(ctx context.Context, app, endpoint string, h History) iter.Seq2[Attempt, error] {
	return all[Attempt](ctx, a.c, path("app", app, "attempt", "endpoint", endpoint), h.values())
}

// Expunge deletes what the endpoint answered: the response reads EXPUNGED from
// then on, and all else of the attempt stays.
func (a Attempts) Expunge(ctx context.Context, app, msg, attempt string) error {
	_, err := call[struct{}](ctx, a.c, request{method: http.MethodDelete, path: path("app", app, "msg", msg, "attempt", attempt, "content")})
	return err
}

// Delivery is a message on its way to an endpoint.
type Delivery struct {
	MsgID       postern.MessageID  `json:"msgId"`
	EndpointID  postern.EndpointID `json:"endpointId"`
	EndpointUID string             `json:"endpointUid"` // "" for none
	// State is pending, sending, retrying, delivered, dead or canceled, and
	// Reason why.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Attempts counts those made so far.
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"nextAttempt"`
	// Timestamp is when the message was accepted.
	Timestamp time.Time `json:"timestamp"`
}

// DeliveryFilter narrows deliveries down. Zero fields narrow nothing.
type DeliveryFilter struct {
	Page
	// State is one of Delivery.State but sending; Endpoint an id or uid.
	State, Endpoint string
	// NextBefore selects what is tried again before.
	NextBefore, Since, Until time.Time
}

// values are the filter as a query.
func (f DeliveryFilter) values() url.Values {
	query := f.Page.values()
	set(query, "state", f.State)
	set(query, "endpoint_id", f.Endpoint)
	setTime(query, "next_before", f.NextBefore)
	setTime(query, "since", f.Since)
	setTime(query, "until", f.Until)
	return query
}

// Deliveries are those of applications, over all their endpoints.
type Deliveries struct{ c *Client }

// List reads a page. It may be empty without being the last.
func (d Deliveries) List(ctx context.Context, app string, f DeliveryFilter) (*List[Delivery], error) {
	return list[Delivery](ctx, d.c, path("app", app, "delivery"), f.values())
}

// All walks all deliveries that match.
func (d Deliveries) All(ctx context.Context, app string, f DeliveryFilter) iter.Seq2[Delivery, error] {
	return all[Delivery](ctx, d.c, path("app", app, "delivery"), f.values())
}
