package api

import (
	"testing"

	"github.com/postern-dev/postern"
)

// A handler is its program's: here it is shown, slowed, paused, disabled, and
// deleted when no program has it any more.
func TestHandlersAreTheirPrograms(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.want(201, "POST", "/event-type", `{"name":"invoice.paid","description":"d"}`)
	w.refused(422, "registered by the program", "POST", "/app/shop/endpoint", `{"url":"postern:handler/x","kind":"handler"}`)
	app, err := w.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.cat.CreateEndpoint(t.Context(), postern.Endpoint{
		Application: app.Number, Kind: postern.HandlerEndpoint, UID: "billing", EventTypes: []string{"invoice.paid"}, Channels: []string{"eu"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/app/shop/endpoint/billing"
	read := func(method, body string, wants map[string]any) {
		t.Helper()
		got := w.want(200, method, path, body)
		for field, want := range wants {
			if got[field] != want {
				t.Errorf("%s %s: %s is %v, want %v", method, body, field, got[field], want)
			}
		}
		if types, _ := got["eventTypes"].([]any); len(types) != 1 || got["kind"] != "handler" || got["url"] != "postern:handler/billing" || got["uid"] != "billing" {
			t.Errorf("%s %s: %v", method, body, got)
		}
	}
	read("GET", "", map[string]any{"unattended": true})
	read("PATCH", `{"description":"d","throttleRate":5,"retrySchedule":[1,2]}`, map[string]any{"description": "d", "throttleRate": 5.0})
	read("PATCH", `{"disabled":true}`, map[string]any{"disabled": true, "description": "d"})
	read("PUT", `{"url":"postern:handler/billing","eventTypes":["invoice.paid"],"channels":["eu"],"uid":"billing"}`, map[string]any{"description": "", "disabled": false})
	read("PUT", `{"url":"postern:handler/billing","description":"e"}`, map[string]any{"description": "e"})
	for field, body := range map[string]string{
		`"url"`:        `{"url":"https://example.com"}`,
		`"uid"`:        `{"uid":"other"}`,
		`"eventTypes"`: `{"eventTypes":["invoice.*"]}`,
		`"channels"`:   `{"channels":null}`,
	} {
		w.refused(422, field, "PATCH", path, body)
	}
	w.cat.Attend(v.Number, true)
	read("GET", "", map[string]any{"unattended": false})
	w.refused(409, "attended", "DELETE", path, "")
	w.refused(409, "attended", "DELETE", "/app/shop", "")
	other, err := w.cat.CreateEndpoint(t.Context(), postern.Endpoint{Application: app.Number, Kind: postern.HandlerEndpoint, UID: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	w.want(204, "DELETE", "/app/shop/endpoint/"+other.ID.String(), "")
	w.cat.Attend(v.Number, false)
	w.want(204, "DELETE", "/app/shop", "")
}
