package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

func TestPortal(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	visitor := func(access *client.PortalAccess, err error) *client.Client {
		t.Helper()
		ok(t, err)
		if access.Token == "" || !strings.HasSuffix(access.URL, "#key="+access.Token) {
			t.Errorf("the way in: %+v", access)
		}
		c, err := client.New(client.Options{URL: w.url, Key: access.Token})
		ok(t, err)
		return c
	}
	reader := visitor(w.Portal.Open(ctx, "shop", client.Visit{
		Capabilities: []postern.Capability{postern.ViewBase}, FeatureFlags: []string{"beta"}, Session: "s", Lasts: time.Hour,
	}))
	keeper := visitor(w.Portal.OpenDashboard(ctx, "shop"))
	endpoint := client.EndpointIn{URL: w.hooks, UID: "a"}
	if _, err := reader.Endpoints.Create(ctx, "shop", endpoint); !errors.Is(err, postern.ErrForbidden) {
		t.Errorf("a reader writes: %v", err)
	}
	must[*client.Endpoint](t)(keeper.Endpoints.Create(ctx, "shop", endpoint))
	must[*client.Endpoint](t)(reader.Endpoints.Get(ctx, "shop", "a"))

	ok(t, w.Portal.ExpireAll(ctx, "shop", client.Expiry{After: time.Hour}))
	ok(t, w.Portal.ExpireAll(ctx, "shop", client.Expiry{Sessions: []string{"s"}}))
	if _, err := reader.Endpoints.Get(ctx, "shop", "a"); !errors.Is(err, postern.ErrUnauthorized) {
		t.Errorf("after the visit: %v", err)
	}
	must[*client.Endpoint](t)(keeper.Endpoints.Get(ctx, "shop", "a"))
	ok(t, keeper.Portal.Logout(ctx))
	if _, err := keeper.Endpoints.Get(ctx, "shop", "a"); !errors.Is(err, postern.ErrUnauthorized) {
		t.Errorf("after logging out: %v", err)
	}
	if err := w.Portal.Logout(ctx); !errors.Is(err, postern.ErrForbidden) {
		t.Errorf("who is no visitor: %v", err)
	}

	visitor(w.Portal.Open(ctx, "new", client.Visit{Application: &client.ApplicationIn{Name: "New", UID: "new"}}))
	if made := must[*client.Application](t)(w.Applications.Get(ctx, "new")); made.Name != "New" {
		t.Errorf("brought along: %+v", made)
	}
	if _, err := w.Portal.Open(ctx, "shop", client.Visit{Lasts: time.Minute}); !errors.Is(err, postern.ErrInvalid) {
		t.Errorf("a short visit: %v", err)
	}
	if _, err := w.Portal.Open(ctx, "nobody", client.Visit{}); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no application: %v", err)
	}
}
