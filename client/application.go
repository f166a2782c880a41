package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-dev/postern"
)

// Application is whose webhooks these are.
type Application struct {
	ID   postern.ApplicationID `json:"id"`
	UID  string                `json:"uid"` // "" for none
	Name string                `json:"name"`
	// ThrottleRate is in messages per second, 0 for none; the server keeps it and
	// does not enforce it yet.
	ThrottleRate int               `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
}

// ApplicationIn is an application to make or to replace. Only Name is needed.
type ApplicationIn struct {
	Name string `json:"name"`
	// UID is the user's own name for it, unique over applications and good wherever
	// an id is; "" for none.
	UID string `json:"uid,omitempty"`
	// ThrottleRate is as an Application's.
	ThrottleRate int `json:"throttleRate,omitempty"`
	// Metadata is kept and shown; nil for none.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Applications are the server's.
type Applications struct{ c *Client }

// List reads a page, the oldest first unless told otherwise.
func (a Applications) List(ctx context.Context, p Page) (*List[Application], error) {
	return list[Application](ctx, a.c, "/app", p.values())
}

// All walks all applications.
func (a Applications) All(ctx context.Context, p Page) iter.Seq2[Application, error] {
	return all[Application](ctx, a.c, "/app", p.values())
}

// Create makes one; ErrConflict for a uid in use.
func (a Applications) Create(ctx context.Context, in ApplicationIn) (*Application, error) {
	return call[Application](ctx, a.c, request{method: http.MethodPost, path: "/app", body: in})
}

// GetOrCreate makes one, or returns the one that has the uid already, as it is.
func (a Applications) GetOrCreate(ctx context.Context, in ApplicationIn) (*Application, error) {
	return call[Application](ctx, a.c, request{
		method: http.MethodPost, path: "/app", body: in, query: url.Values{"get_if_exists": {"true"}},
	})
}

// Get finds one.
func (a Applications) Get(ctx context.Context, app string) (*Application, error) {
	return call[Application](ctx, a.c, request{method: http.MethodGet, path: path("app", app)})
}

// Put replaces one, or makes one whose uid is app.
func (a Applications) Put(ctx context.Context, app string, in ApplicationIn) (*Application, error) {
	return call[Application](ctx, a.c, request{method: http.MethodPut, path: path("app", app), body: in})
}

// Patch changes what is given.
func (a Applications) Patch(ctx context.Context, app string, changes Patch) (*Application, error) {
	return call[Application](ctx, a.c, request{method: http.MethodPatch, path: path("app", app), body: changes})
}

// Delete deletes all that belongs to it, history included.
func (a Applications) Delete(ctx context.Context, app string) error {
	_, err := call[struct{}](ctx, a.c, request{method: http.MethodDelete, path: path("app", app)})
	return err
}
