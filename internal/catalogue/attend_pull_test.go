package catalogue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// A pull endpoint is unattended until a consumer asks, and again once none does;
// what else becomes of it changes nothing of that.
func TestPullEndpointsAreAttendedForAWhile(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) { e.Kind, e.URL = postern.PullEndpoint, "" })
	other := w.endpoint(app, nil)
	w.tellings()
	if !view.Unattended || view.Deliverable() || !view.Enabled() {
		t.Errorf("before anybody asks: %+v", view)
	}
	for _, attended := range []bool{false, true, true, false, true} {
		w.Attend(view.Number, attended)
		if diff := cmp.Diff([]postern.EndpointNumber{view.Number}, w.tellings()); diff != "" {
			t.Errorf("attended %t: told %s", attended, diff)
		}
		w.ApplyHealth(view.Number, postern.Health{Failures: 2})
		if _, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, true, func(e *postern.Endpoint) error { e.Description += "x"; return nil }); err != nil {
			t.Fatal(err)
		}
		w.tellings()
		if now := w.EndpointByNumber(view.Number); now.Deliverable() != attended || now.Unattended == attended || !now.Enabled() {
			t.Errorf("attended %t: %+v", attended, now)
		}
	}
	if now := w.EndpointByNumber(view.Number); now.Description != "xxxxx" || !w.EndpointByNumber(other.Number).Deliverable() {
		t.Errorf("%+v", now)
	}
	if err := w.DeleteEndpoint(t.Context(), app.Number, view.Number); err != nil {
		t.Fatal(err)
	}
	w.Attend(view.Number, false) // a consumer's last minute ends after that
	if w.EndpointByNumber(other.Number).Unattended {
		t.Error("another endpoint is unattended")
	}
}
