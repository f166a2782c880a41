package api

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/store"
)

// newReplays keeps replays that nobody walks: they run and stay where they are.
func (w *world) newReplays() *replay.Runner {
	return replay.New(replay.Config{
		Store: w.store,
		Commit: func(ctx context.Context, changes ...store.Change) error {
			return w.commit(ctx, func(b *store.Batch) { b.Changes = changes })
		},
		Endpoint: w.cat.EndpointByNumber,
		Alive:    func(app postern.ApplicationNumber) bool { return w.cat.ApplicationByNumber(app) != nil },
		Matches: func(v *postern.EndpointView, eventType string, channels []string) bool {
			matched, _ := route.Explain(v, eventType, channels)
			return matched
		},
		Newest: func(context.Context) (time.Time, error) { return w.now, nil },
		IDs:    &postern.IDSource{Now: w.clock, Random: rand.Reader}, Now: w.clock,
	})
}

// recent is a moment that may still be recovered.
func recent() string { return time.Now().UTC().Add(-13 * 24 * time.Hour).Format(time.RFC3339) }

// replays makes the story's: one that runs, which is also a task, and one that
// has ended.
func (s *story) addReplays() {
	const since = `"since":"2020-01-01T00:00:00Z"`
	begin := func(body string) string {
		id, _ := s.want(201, "POST", "/app/shop/replay", body)["id"].(string)
		return id
	}
	s.names["ended"] = begin(`{"toEndpointId":"a",` + since + `}`)
	s.want(200, "POST", s.path("/app/shop/replay/{ended}/cancel"), "")
	s.names["replay"] = begin(`{"endpointId":"a","status":"delivered","eventTypes":["invoice.paid"],"rate":5,` + since + `}`)
	s.names["task"] = taskOf(s.names["replay"])
}

// TestReplayIsShown creates a replay with everything, and reads it back.
func TestReplayIsShown(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","uid":"b"}`)
	created := s.do("POST", "/app/shop/replay", `{"endpointId":"a","toEndpointId":"b","status":"delivered","eventTypes":["invoice.paid","x"],
		"channel":"eu","tag":"t","since":"2026-01-31T15:04:05+01:00","until":"2026-02-01T00:00:00Z","rate":7}`)
	if created.StatusCode != 201 {
		t.Fatalf("%d %s", created.StatusCode, created.body)
	}
	golden(t, "replay", created.body)
	s.refused(404, "not_found", "GET", s.path("/app/other/replay/{replay}"), "")
	golden(t, "background-task", s.do("GET", s.path("/background-task/{task}"), "").body)
	s.want(204, "DELETE", "/app/shop/endpoint/a", "")
	if got := s.want(200, "GET", s.path("/app/shop/replay/{replay}"), ""); got["endpointId"] != nil || got["toEndpointId"] != nil {
		t.Errorf("of a deleted endpoint: %v", got)
	}
}

// TestReplayStates walks one through its states: each is shown, to Svix's SDKs
// in their words.
func TestReplayStates(t *testing.T) {
	s := newStory(t)
	for _, step := range []struct{ verb, state, status string }{
		{"pause", "paused", "running"}, {"pause", "paused", "running"}, {"resume", "running", "running"}, {"cancel", "canceled", "finished"},
	} {
		if got := s.want(200, "POST", s.path("/app/shop/replay/{replay}/"+step.verb), "")["state"]; got != step.state {
			t.Errorf("%s: it is %v", step.verb, got)
		}
		if got := s.want(200, "GET", s.path("/background-task/{task}"), "")["status"]; got != step.status {
			t.Errorf("%s: the task is %v", step.verb, got)
		}
	}
	got := s.want(200, "GET", s.path("/app/shop/replay/{replay}"), "")
	if got["finishedAt"] == nil {
		t.Errorf("a canceled one has no end: %v", got)
	}
	if listed := ids(t, s.want(200, "GET", "/app/shop/replay?state=running", "")); len(listed) != 0 {
		t.Errorf("running: %v", listed)
	}
}

func TestReplayLists(t *testing.T) {
	s := newStory(t)
	s.must("/app/other/endpoint", `{"url":"https://example.com/o","uid":"o"}`)
	task := s.want(202, "POST", "/app/other/endpoint/o/recover", `{"since":"`+recent()+`"}`)
	if task["task"] != "endpoint.recover" || task["status"] != "running" || !strings.HasPrefix(task["id"].(string), "qtask_") {
		t.Errorf("recover answers %v", task)
	}
	both := []string{s.names["replay"], s.names["ended"]}
	if got := ids(t, s.want(200, "GET", "/app/shop/replay", "")); strings.Join(got, " ") != strings.Join(both, " ") {
		t.Errorf("listed: %v, want %v", got, both)
	}
	first := s.want(200, "GET", "/background-task?limit=2", "")
	next, _ := first["iterator"].(string)
	second := s.want(200, "GET", "/background-task?limit=2&iterator="+next, "")
	if a, b := ids(t, first), ids(t, second); len(a) != 2 || len(b) != 1 || a[0] != task["id"] || second["done"] != true {
		t.Errorf("pages %v and %v", a, b)
	}
	for query, want := range map[string]int{
		"status=running": 2, "status=finished": 1, "status=failed": 0,
		"task=endpoint.recover": 1, "task=endpoint.bulk-replay": 2, "status=running&task=endpoint.replay": 0,
	} {
		if got := ids(t, s.want(200, "GET", "/background-task?"+query, "")); len(got) != want {
			t.Errorf("%s: %v, want %d", query, got, want)
		}
	}
	s.refused(422, `"iterator"`, "GET", "/background-task?iterator="+s.names["replay"], "")
	s.want(204, "DELETE", "/app/other", "")
	if got := ids(t, s.want(200, "GET", "/background-task", "")); len(got) != 2 {
		t.Errorf("with an application gone: %v", got)
	}
	s.refused(404, "not_found", "GET", "/background-task/"+task["id"].(string), "")
}

// TestReplayRefusals: each fault names its place.
func TestReplayRefusals(t *testing.T) {
	s := newStory(t)
	s.must("/app/other/endpoint", `{"url":"https://example.com/o","uid":"o"}`)
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","uid":"b"}`)
	const since = `"since":"2026-01-01T00:00:00Z"`
	before := s.head.Batch
	for body, loc := range map[string]string{
		`{` + since + `}`:                                                        "endpointId",
		`{"endpointId":"o",` + since + `}`:                                       "endpointId",
		`{"endpointId":"a","toEndpointId":"o",` + since + `}`:                    "toEndpointId",
		`{"endpointId":"a"}`:                                                     "since",
		`{"endpointId":"a","since":"yesterday"}`:                                 "since",
		`{"endpointId":"a","since":"2090-01-01T00:00:00Z"}`:                      "since",
		`{"endpointId":"a","until":"2025-01-01T00:00:00Z",` + since + `}`:        "since",
		`{"endpointId":"a","until":"soon",` + since + `}`:                        "until",
		`{"endpointId":"a","status":"sent",` + since + `}`:                       "status",
		`{"toEndpointId":"a","status":"dead",` + since + `}`:                     "status",
		`{"endpointId":"a","toEndpointId":"b","status":"missing",` + since + `}`: "status",
		`{"endpointId":"a","rate":0,` + since + `}`:                              "rate",
		`{"endpointId":"a","eventTypes":[],` + since + `}`:                       "eventTypes",
		`{"endpointId":"a","channel":"a b",` + since + `}`:                       "channel",
	} {
		for _, path := range []string{"/app/shop/replay", "/app/shop/replay/preview"} {
			s.refused(422, `"loc":["body","`+loc+`"]`, "POST", path, body)
		}
	}
	s.refused(422, `"statusCodeClass"`, "POST", "/app/shop/endpoint/a/bulk-replay", `{"statusCodeClass":500,`+since+`}`)
	s.refused(404, "not_found", "POST", "/app/other/endpoint/a/recover", `{"since":"`+recent()+`"}`)
	if s.head.Batch != before {
		t.Error("something was stored")
	}
	for range 18 {
		s.want(201, "POST", "/app/shop/replay", `{"endpointId":"a",`+since+`}`)
	}
	s.want(201, "POST", "/app/shop/replay", `{"endpointId":"a",`+since+`}`)
	s.refused(400, "limit_reached", "POST", "/app/shop/replay", `{"endpointId":"a",`+since+`}`)
}

// TestReplayPreview counts what each choice comes to: of two messages one was
// delivered to a, and b would get both.
func TestReplayPreview(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/msg", `{"eventType":"invoice.paid","tags":["t"],"payload":{}}`)
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","uid":"b"}`)
	const since = `"since":"2020-01-01T00:00:00Z"`
	for body, want := range map[string]float64{
		`{"endpointId":"a",` + since + `}`:                                  1, // the other is on its way
		`{"endpointId":"a","status":"delivered",` + since + `}`:             1,
		`{"endpointId":"a","status":"failed",` + since + `}`:                0,
		`{"endpointId":"b","status":"missing",` + since + `}`:               2,
		`{"toEndpointId":"b",` + since + `}`:                                2,
		`{"toEndpointId":"b","tag":"t",` + since + `}`:                      1,
		`{"endpointId":"a","toEndpointId":"b",` + since + `}`:               2,
		`{"toEndpointId":"b","until":"2021-01-01T00:00:00Z",` + since + `}`: 0,
	} {
		got := s.want(200, "POST", "/app/shop/replay/preview", body)
		if got["count"] != want || got["exact"] != true {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}
