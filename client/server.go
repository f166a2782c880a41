package client

import (
	"context"
	"net/http"
	"time"
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

// Node is a server among those that share a store.
type Node struct {
	// Name is what its operator calls it; two may have the same.
	Name string `json:"name"`
	// Since is when it took its journal.
	Since time.Time `json:"since"`
	// ExpiresAt is the end of its lease, which it renews; nil for a store that it
	// has alone.
	ExpiresAt *time.Time `json:"expiresAt"`
	// Live: the lease holds. Leader: it does what one node is enough for. Self: it
	// is the one that answered.
	Live   bool `json:"live"`
	Leader bool `json:"leader"`
	Self   bool `json:"self"`
	// Journals are what it holds, by number.
	Journals []Journal `json:"journals"`
}

// Journal is where a node has the messages that it delivers.
type Journal struct {
	// Number is part of the ids of its messages.
	Number int `json:"number"`
	// Main: the node accepts messages with it; others it took over from nodes that
	// are gone. Idle: nothing of it is left to be delivered.
	Main bool `json:"main"`
	Idle bool `json:"idle"`
}

// Nodes are the servers that share the store of the one that answers. It needs an
// admin key.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	page, err := call[List[Node]](ctx, c, request{method: http.MethodGet, path: "/node"})
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}
