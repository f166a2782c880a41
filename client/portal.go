package client

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Visit is a stay in the portal as whoever keeps the application allows it. The
// zero value may do everything there, for seven days.
type Visit struct {
	// Capabilities are what the visitor may do; nil for everything.
	Capabilities []postern.Capability
	// FeatureFlags show the event types that ask for one of them.
	FeatureFlags []string
	// Session names the visit, so that it can be ended by itself; "" for no name.
	Session string
	// Lasts is how long the token is good, to the second: an hour to seven days;
	// 0 for seven days.
	Lasts time.Duration
	// Application is made if there is none of the path's uid, which must be its
	// UID; nil to have ErrNotFound instead.
	Application *ApplicationIn
}

// PortalAccess is the way in.
type PortalAccess struct {
	// URL is a page with the token in its fragment, which no server sees.
	URL string `json:"url"`
	// Token is a key of one visitor. It is shown this once.
	Token string `json:"token"`
}

// Portal is where an application's owner looks after its endpoints. It needs a
// key of all applications, but for Logout.
type Portal struct{ c *Client }

// Open lets a visitor into one application.
func (p Portal) Open(ctx context.Context, app string, v Visit) (*PortalAccess, error) {
	in := Patch{}
	if v.Capabilities != nil {
		in["capabilities"] = v.Capabilities
	}
	if v.FeatureFlags != nil {
		in["featureFlags"] = v.FeatureFlags
	}
	if v.Session != "" {
		in["sessionId"] = v.Session
	}
	if v.Lasts != 0 {
		in["expiry"] = int64(v.Lasts.Seconds())
	}
	if v.Application != nil {
		in["application"] = v.Application
	}
	return call[PortalAccess](ctx, p.c, request{method: http.MethodPost, path: path("auth", "app-portal-access", app), body: in})
}

// OpenDashboard is Open of a zero Visit, by its older name in the API.
func (p Portal) OpenDashboard(ctx context.Context, app string) (*PortalAccess, error) {
	return call[PortalAccess](ctx, p.c, request{method: http.MethodPost, path: path("auth", "dashboard-access", app)})
}

// Expiry says which visits end. The zero value ends all of them at once.
type Expiry struct {
	// Sessions are names of Visit.Session; empty for all visits.
	Sessions []string
	// After is how long they go on, to the second and up to seven days.
	After time.Duration
}

// ExpireAll ends visits to an application.
func (p Portal) ExpireAll(ctx context.Context, app string, e Expiry) error {
	in := Patch{"expiry": int64(e.After.Seconds()), "sessionIds": e.Sessions}
	_, err := call[struct{}](ctx, p.c, request{method: http.MethodPost, path: path("auth", "app", app, "expire-all"), body: in})
	return err
}

// Logout ends the visit whose token is this client's key; ErrForbidden for any
// other key.
func (p Portal) Logout(ctx context.Context) error {
	_, err := call[struct{}](ctx, p.c, request{method: http.MethodPost, path: "/auth/logout"})
	return err
}
