package client_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// TestExamples sends some to an endpoint that selects other types, which the
// precheck tells.
func TestExamples(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", EventTypes: []string{"refund.*"}, Channels: []string{"c"}}))
	must[*client.EventType](t)(w.EventTypes.Create(ctx, client.EventTypeIn{
		Name: "invoice.paid", Description: "Paid", Schemas: map[string]json.RawMessage{"1": json.RawMessage(`{"examples":[{"n":1},{"n":2}]}`)},
	}))
	sent := must[*client.Message](t)(w.Endpoints.SendExample(ctx, "shop", "a", client.Example{EventType: "invoice.paid", Index: 1}))
	if sent.EventType != "invoice.paid" || string(sent.Payload) != `{"n":2}` || sent.ID.IsZero() {
		t.Errorf("sent: %+v", sent)
	}
	w.awaitReceived(t, 1)
	must[*client.Message](t)(w.Endpoints.SendExample(ctx, "shop", "a", client.Example{EventType: "svix.ping"}))
	w.awaitReceived(t, 2)
	if diff := cmp.Diff([]string{`{"n":2}`, `{"success":true}`}, w.received()); diff != "" {
		t.Error(diff)
	}
	for about, test := range map[string]struct {
		example client.Example
		want    error
	}{
		"an unknown type": {client.Example{EventType: "nothing"}, postern.ErrNotFound}, "one too far": {client.Example{EventType: "invoice.paid", Index: 2}, postern.ErrInvalid},
	} {
		if _, err := w.Endpoints.SendExample(ctx, "shop", "a", test.example); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", about, err)
		}
	}
	for _, test := range []struct {
		eventType string
		channels  []string
		want      bool
	}{{"refund.made", []string{"c", "d"}, true}, {"refund.made", []string{"d"}, false}, {"refund.made", nil, false}, {"invoice.paid", []string{"c"}, false}} {
		if got := must[bool](t)(w.Messages.Precheck(ctx, "shop", test.eventType, test.channels)); got != test.want {
			t.Errorf("%s with %q: %t", test.eventType, test.channels, got)
		}
	}
	if active, err := w.Messages.Precheck(ctx, "shop", "refund.made", []string{}); active || !errors.Is(err, postern.ErrInvalid) {
		t.Errorf("no channels: %t, %v", active, err)
	}
	if _, err := w.Messages.Precheck(ctx, "nobody", "refund.made", nil); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no application: %v", err)
	}
}
