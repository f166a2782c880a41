package catalogue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// A handler is unattended until the program says that it is not, whatever else
// becomes of its endpoint, and again after the next start.
func TestHandlersAreUnattendedAtFirst(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) { e.Kind, e.URL, e.UID = postern.HandlerEndpoint, "", "a.b" })
	other := w.endpoint(app, nil)
	deliverable := func() bool { return w.EndpointByNumber(view.Number).Deliverable() }
	if view.Deliverable() || !view.Enabled() || !other.Deliverable() {
		t.Errorf("%+v, %+v", view, other)
	}
	w.tellings()
	w.ApplyHealth(view.Number, postern.Health{Failures: 1})
	w.Attend(99, true)
	if deliverable() {
		t.Error("deliverable without a function")
	}
	w.Attend(view.Number, true)
	if diff := cmp.Diff([]postern.EndpointNumber{view.Number}, w.tellings()); diff != "" || !deliverable() {
		t.Errorf("attended: deliverable %t, told %s", deliverable(), diff)
	}
	w.ApplyHealth(view.Number, postern.Health{Failures: 2})
	if _, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, true, func(e *postern.Endpoint) error { e.Description = "x"; return nil }); err != nil {
		t.Fatal(err)
	}
	if now := w.EndpointByNumber(view.Number); !deliverable() || now.Description != "x" {
		t.Errorf("after a change: %+v", now)
	}
}
