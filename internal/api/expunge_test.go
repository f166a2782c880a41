package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpungeMessage(t *testing.T) {
	s := newStory(t)
	s.want(202, "POST", s.path("/app/shop/msg/{msg}/endpoint/a/resend"), "")
	for range 2 { // may be repeated
		s.want(204, "DELETE", "/app/shop/msg/evt-1/content", "")
	}
	for path, want := range map[string]string{
		"/app/shop/msg/{msg}":                        `"payload":{"expired":true}`,
		"/app/shop/msg":                              `"payload":{"expired":true}`,
		"/app/shop/msg/{msg}?with_content=false":     `"payload":{}`,
		"/app/shop/endpoint/a/msg":                   `"payload":{"expired":true}`,
		"/app/shop/attempt/endpoint/a?with_msg=true": `"payload":{"expired":true}`,
	} {
		if got := s.do("GET", s.path(path), ""); got.StatusCode != 200 || !strings.Contains(got.body, want) || strings.Contains(got.body, `"n":1`) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	s.refused(404, "not_found", "GET", s.path("/app/shop/msg/{msg}/raw"), "")
	s.refused(400, `"code":"missing_payload"`, "POST", s.path("/app/shop/msg/{msg}/endpoint/a/resend"), "")
	s.refused(404, "not_found", "DELETE", "/app/shop/msg/nothing/content", "")
	s.refused(409, "conflict", "POST", "/app/shop/msg", `{"eventType":"invoice.paid","eventId":"evt-1","payload":{}}`)
}

func TestBulkExpunge(t *testing.T) {
	s := newStory(t)
	kept := s.must("/app/shop/msg", `{"eventType":"a","payload":{"kept":true}}`)
	foreign := s.must("/app/other/msg", `{"eventType":"a","payload":{"kept":true}}`)
	got := s.want(200, "POST", "/app/shop/msg/bulk-expunge", fmt.Sprintf(`{"ids":["evt-1","nothing",%q]}`, foreign))
	want := map[string]any{"evt-1": "expunged", "nothing": "not-found", foreign: "not-found"}
	if diff := cmp.Diff(want, got["results"]); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		s.path("/app/shop/msg/{msg}"): `{"expired":true}`, "/app/shop/msg/" + kept: `{"kept":true}`, "/app/other/msg/" + foreign: `{"kept":true}`,
	} {
		if got := s.do("GET", path, ""); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := s.want(200, "POST", "/app/shop/msg/bulk-expunge", `{}`); cmp.Diff(map[string]any{}, got["results"]) != "" {
		t.Errorf("of none: %v", got)
	}
	s.refused(422, `"loc":["body","ids"]`, "POST", "/app/shop/msg/bulk-expunge", `{"ids":["`+strings.Repeat(`x","`, maxExpunged)+`x"]}`)
}

// TestExpungeAll: it is a task, and none of the application's replays.
func TestExpungeAll(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/msg", `{"eventType":"a","payload":{}}`)
	task := s.want(202, "POST", "/app/shop/msg/expunge-all-contents", "")
	id, _ := task["id"].(string)
	if !strings.HasPrefix(id, "qtask_") || task["status"] != "running" || task["task"] != "application.purge_content" || task["updatedAt"] == nil || len(task) != 4 {
		t.Errorf("answered: %v", task)
	}
	if again := s.want(202, "POST", "/app/shop/msg/expunge-all-contents", ""); again["id"] != id {
		t.Errorf("while it runs: %v", again)
	}
	data, _ := s.want(200, "GET", "/background-task/"+id, "")["data"].(map[string]any)
	want := map[string]any{"messagesPurged": 0.0, "total": 2.0, "appId": s.names["app"], "endpointId": nil, "replayId": nil, "state": "running", "examined": 0.0, "replayed": 0.0, "skipped": 0.0}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Error(diff)
	}
	if got := ids(t, s.want(200, "GET", "/background-task?task=application.purge_content", "")); cmp.Diff([]string{id}, got) != "" {
		t.Errorf("listed: %v", got)
	}
	if got := ids(t, s.want(200, "GET", "/app/shop/replay", "")); len(got) != 2 {
		t.Errorf("among replays: %v", got)
	}
	s.refused(404, "not_found", "POST", "/app/shop/replay/rpl_"+strings.TrimPrefix(id, "qtask_")+"/cancel", "")
}

func TestExpungeAttempt(t *testing.T) {
	s := newStory(t)
	before := s.want(200, "GET", s.path("/app/shop/msg/{msg}/attempt/{attempt}"), "")
	s.want(204, "DELETE", s.path("/app/shop/msg/{msg}/attempt/{attempt}/content"), "")
	after := s.want(200, "GET", s.path("/app/shop/msg/{msg}/attempt/{attempt}"), "")
	if after["response"] != "EXPUNGED" {
		t.Errorf("reads %v", after["response"])
	}
	before["response"] = "EXPUNGED"
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("more has changed: %s", diff)
	}
	if got := s.do("GET", s.path("/app/shop/msg/{msg}"), "").body; !strings.Contains(got, `"n":1`) {
		t.Errorf("the message lost its payload: %s", got)
	}
}
