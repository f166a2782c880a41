package client_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

func TestEndpointHeaders(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a"}))
	shows := func(want client.EndpointHeaders) {
		t.Helper()
		if diff := cmp.Diff(&want, must[*client.EndpointHeaders](t)(w.Endpoints.Headers(ctx, "shop", "a"))); diff != "" {
			t.Error(diff)
		}
	}
	shows(client.EndpointHeaders{Headers: map[string]string{}, Sensitive: []string{}})
	ok(t, w.Endpoints.SetHeaders(ctx, "shop", "a", map[string]string{"X-Own": "1", "Authorization": "s3cret"}))
	shows(client.EndpointHeaders{Headers: map[string]string{"X-Own": "1"}, Sensitive: []string{"Authorization"}})
	ok(t, w.Endpoints.PatchHeaders(ctx, "shop", "a", client.Patch{"x-own": nil, "X-New": "2"}))
	shows(client.EndpointHeaders{Headers: map[string]string{"X-New": "2"}, Sensitive: []string{"Authorization"}})
	if err := w.Endpoints.SetHeaders(ctx, "shop", "a", map[string]string{"X Own": "1"}); !errors.Is(err, postern.ErrInvalid) {
		t.Errorf("no name of a header: %v", err)
	}
	if err := w.Endpoints.PatchHeaders(ctx, "shop", "nobody", client.Patch{}); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no endpoint: %v", err)
	}
	ok(t, w.Endpoints.SetHeaders(ctx, "shop", "a", nil))
	shows(client.EndpointHeaders{Headers: map[string]string{}, Sensitive: []string{}})
}
