package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// TestStandings reads what has become of a message at its endpoints, from either
// side, and why it got to them.
func TestStandings(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.fails = http.StatusTeapot
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	for uid, types := range map[string][]string{"all": nil, "some": {"invoice.*"}, "other": {"refund.*"}} {
		in := client.EndpointIn{URL: w.hooks, UID: uid, EventTypes: types, RetrySchedule: []float64{3600}}
		must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", in))
	}
	m := must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{EventType: "invoice.paid", Payload: json.RawMessage(`{"n":1}`), Wait: 10 * time.Second}))
	ok(t, w.Messages.Cancel(ctx, "shop", m.ID.String(), "some"))

	at := map[string]client.MessageEndpoint{}
	for _, e := range collect(t, w.Messages.Endpoints(ctx, "shop", m.ID.String(), client.Page{Limit: 1})) {
		at[e.UID] = e
	}
	if all, some := at["all"], at["some"]; len(at) != 2 || all.State != "retrying" || all.StatusText != "sending" || all.NextAttempt == nil || all.URL != w.hooks ||
		some.State != "canceled" || some.StatusText != "canceled" || some.NextAttempt != nil {
		t.Errorf("endpoints: %+v", at)
	}
	for _, test := range []struct {
		endpoint, status string
		want             int
	}{{"all", "", 1}, {"all", "sending", 1}, {"all", "success", 0}, {"some", "canceled", 1}, {"some", "success", 0}, {"other", "", 0}} {
		found := collect(t, w.Endpoints.Messages(ctx, "shop", test.endpoint, client.EndpointMessageFilter{Status: test.status}))
		if len(found) != test.want || test.want == 1 && (found[0].ID != m.ID || string(found[0].Payload) != `{"n":1}` || found[0].State != at[test.endpoint].State) {
			t.Errorf("%s at %s: %+v", test.status, test.endpoint, found)
		}
	}
	narrow := client.EndpointMessageFilter{History: client.History{EventTypes: []string{"refund.made"}}}
	if found := collect(t, w.Endpoints.Messages(ctx, "shop", "all", narrow)); len(found) != 0 {
		t.Errorf("of another type: %+v", found)
	}
	for _, err := range w.Endpoints.Messages(ctx, "shop", "all", client.EndpointMessageFilter{Status: "lost"}) {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("an unknown status: %v", err)
		}
	}

	why := map[string]client.Explanation{}
	for page := (client.Page{Limit: 2}); ; {
		got := must[*client.Explanations](t)(w.Messages.Explain(ctx, "shop", m.ID.String(), page))
		if got.Matched != 2 || got.Deleted != 0 {
			t.Errorf("explained: %+v", got)
		}
		for _, e := range got.Data {
			why[e.EndpointUID] = e
		}
		if page.Iterator = got.Iterator; got.Done {
			break
		}
	}
	if some, other := why["some"], why["other"]; len(why) != 3 || !some.Matched || !some.MatchesNow || some.Changed || other.Matched || other.MatchesNow || other.Reason == "" {
		t.Errorf("explained: %+v", why)
	}
	if _, err := w.Messages.Explain(ctx, "shop", "nothing", client.Page{}); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no message: %v", err)
	}
}
