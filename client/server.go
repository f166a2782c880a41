package client

import (
	"context"
	"net/http"
)

// Health is a server's word on itself.
type Health struct {
	// Status is ok.
	Status string `json:"status"`
	// Version is the server's.
	Version string `json:"version"`
}

// Health asks whether requests can be served; ErrUnavailable where they cannot,
// after the retries of any call. It works with any key.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	return call[Health](ctx, c, request{method: http.MethodGet, path: "/health"})
}

// Limit is a bound of the server's, with the value in force.
type Limit struct {
	// Name is parts with dots between them, the noun first: message.channels.
	Name string `json:"name"`
	// Value is in Unit: bytes, seconds or count.
	Value int64  `json:"value"`
	Unit  string `json:"unit"`
	// Description says what happens there, as a sentence.
	Description string `json:"description"`
}

// Limits are all that there are.
func (c *Client) Limits(ctx context.Context) ([]Limit, error) {
	page, err := call[List[Limit]](ctx, c, request{method: http.MethodGet, path: "/limits"})
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}
