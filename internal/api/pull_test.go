package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPullEndpoints makes and changes them like others, but for a URL.
func TestPullEndpoints(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"hooks"}`)
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "", `{"kind":"pull","uid":"a","eventTypes":["job.*"],"channels":["eu"],"throttleRate":5,"retrySchedule":[1],"metadata":{"k":"v"}}`, 201},
		{"POST", "", `{"kind":"pull","url":null}`, 201},
		{"POST", "", `{"kind":"pull","url":""}`, 201},
		{"POST", "", `{"kind":"pull","url":"postern:pull"}`, 201},
		{"PUT", "/b", `{"kind":"pull"}`, 201},
		{"PUT", "/b", `{"kind":"pull","description":"d"}`, 200},
		{"PUT", "/b", `{"description":"d"}`, 200},
		{"PUT", "/b", `{"url":"postern:pull","description":"d"}`, 200},
		{"PATCH", "/b", `{"description":"d"}`, 200},
		{"PATCH", "/b", `{"kind":"pull","eventTypes":["job.made.*"],"uid":"b"}`, 200},
		{"PATCH", "/b", `{"disabled":true}`, 200},
		{"PATCH", "/b", `{"disabled":false}`, 200},
		{"POST", "/b/pause", ``, 200},
		{"POST", "/b/resume", ``, 200},
	} {
		got := w.want(test.status, test.method, "/app/shop/endpoint"+test.path, test.body)
		if got["kind"] != "pull" || got["url"] != "postern:pull" {
			t.Errorf("%s %s %s: %v", test.method, test.path, test.body, got)
		}
	}
	for _, test := range []struct {
		method, path, body, text string
	}{
		{"POST", "", `{"kind":"pull","url":"https://example.com"}`, `["body","url"]`},
		{"POST", "", `{"kind":"pull","url":"postern:handler/x"}`, `["body","url"]`},
		{"POST", "", `{"kind":"poll"}`, `["body","kind"]`},
		{"POST", "", `{"url":"postern:pull"}`, `["body","url"]`},
		{"POST", "", `{}`, `["body","url"]`},
		{"PUT", "/c", `{"kind":"pull","url":"https://example.com"}`, `["body","url"]`},
		{"PUT", "/b", `{"url":"https://example.com"}`, `["body","url"]`},
		{"PATCH", "/b", `{"url":"https://example.com"}`, `["body","url"]`},
		{"PATCH", "/b", `{"kind":"handler"}`, `["body","kind"]`},
		{"PATCH", "/b", `{"kind":"http"}`, `["body","kind"]`},
		{"PATCH", "/b", `{"kind":"http","url":"https://example.com"}`, `["body","`},
		{"PUT", "/b", `{"kind":"http","url":"https://example.com"}`, `["body","`},
		{"PATCH", "/hooks", `{"kind":"pull"}`, `["body","kind"]`},
		{"PUT", "/hooks", `{"kind":"pull"}`, `["body","kind"]`},
		{"PATCH", "/hooks", `{"url":"postern:pull"}`, `["body","url"]`},
	} {
		w.refused(422, test.text, test.method, "/app/shop/endpoint"+test.path, test.body)
	}
}

// TestWhoAttendsAPullEndpoint is shown.
func TestWhoAttendsAPullEndpoint(t *testing.T) {
	w := newWorker(t)
	shown := func() []any {
		list, _ := w.want(200, "GET", "/app/shop/endpoint", "")["data"].([]any)
		one, _ := list[0].(map[string]any)
		return []any{w.want(200, "GET", workerPath, "")["unattended"], one["unattended"]}
	}
	before := shown()
	w.lease(`{"waitSeconds":0}`)
	if diff := cmp.Diff([][]any{{true, true}, {false, false}}, [][]any{before, shown()}); diff != "" {
		t.Error(diff)
	}
	w.want(204, "DELETE", workerPath, "") // whoever consumes it
	w.refused(404, "not_found", "POST", workerPath+"/lease", `{}`)
}
