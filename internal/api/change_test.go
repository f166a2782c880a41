package api

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/sign"
)

// TestThreeStates sends the same properties absent, null and with a value, by
// PATCH and by PUT.
func TestThreeStates(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop","throttleRate":9,"metadata":{"a":"b"}}`)
	step := func(status int, method, path, body string, want map[string]any) {
		t.Helper()
		got := w.want(status, method, path, body)
		for field, value := range want {
			if diff := cmp.Diff(value, got[field]); diff != "" {
				t.Errorf("%s %s: %s: %s", method, body, field, diff)
			}
		}
	}
	step(200, "PATCH", "/app/shop", `{}`, map[string]any{"name": "Shop", "uid": "shop", "throttleRate": 9.0, "metadata": map[string]any{"a": "b"}})
	step(200, "PATCH", "/app/shop", `{"rateLimit":3}`, map[string]any{"rateLimit": 3.0, "throttleRate": 3.0, "uid": "shop"})
	step(200, "PATCH", "/app/shop", `{"throttleRate":null,"metadata":null}`, map[string]any{"rateLimit": nil, "metadata": map[string]any{}})
	step(200, "PUT", "/app/shop", `{"name":"New","throttleRate":1}`, map[string]any{"name": "New", "uid": "shop", "throttleRate": 1.0})
	step(200, "PUT", "/app/shop", `{"name":"New"}`, map[string]any{"uid": "shop", "throttleRate": nil})
	step(201, "PUT", "/app/fresh", `{"name":"Fresh"}`, map[string]any{"uid": "fresh"})
	step(200, "PUT", "/app/fresh", `{"name":"Again"}`, map[string]any{"uid": "fresh", "name": "Again"})
	step(200, "PUT", "/app/fresh", `{"name":"Again","uid":null}`, map[string]any{"uid": nil})
	step(200, "POST", "/app?get_if_exists=true", `{"name":"Else","uid":"shop"}`, map[string]any{"name": "New"})
	step(201, "POST", "/app?get_if_exists=true", `{"name":"Else"}`, map[string]any{"name": "Else"})
	w.refused(404, "not_found", "PUT", "/app/app_0ERbJcKFUsD5Yry3kDFEeXW86uW", `{"name":"x"}`)
	w.refused(409, "conflict", "PUT", "/app/third", `{"name":"x","uid":"shop"}`)
	w.refused(404, "not_found", "PATCH", "/app/nobody", `{"name":"x"}`)
}

// TestEmptyUID: records hold "" for no uid, and bodies hold null for it. An empty
// one is a mistake of the caller's, who would look for what was made in vain.
func TestEmptyUID(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"e"}`)
	for path, body := range map[string]string{
		"/app": `{"name":"n",`, "/app/shop/endpoint": `{"url":"https://example.com",`, "/app/shop/source": `{"name":"n","provider":"none",`,
	} {
		w.refused(422, `"loc":["body","uid"]`, "POST", path, body+`"uid":""}`)
		if got := w.want(201, "POST", path, body+`"uid":null}`)["uid"]; got != nil {
			t.Errorf("%s: null made the uid %v", path, got)
		}
	}
	for _, path := range []string{"/app/shop", "/app/shop/endpoint/e"} {
		w.refused(422, `"loc":["body","uid"]`, "PATCH", path, `{"uid":""}`)
		if got := w.want(200, "GET", path, "")["uid"]; got == nil {
			t.Errorf("%s: the refused change took the uid away", path)
		}
	}
}

// faster makes what is asked for before the request that asks gets to it, as
// another that came at the same time does.
type faster struct {
	applications
	t *testing.T
}

func (f faster) CreateApplication(ctx context.Context, a postern.Application) (*postern.Application, error) {
	if _, err := f.applications.CreateApplication(ctx, postern.Application{Name: "Another's", UID: a.UID}); err != nil {
		f.t.Error(err)
	}
	return f.applications.CreateApplication(ctx, a)
}

func (f faster) CreateEndpoint(ctx context.Context, e postern.Endpoint) (*EndpointView, error) {
	if _, err := f.applications.CreateEndpoint(ctx, postern.Endpoint{Application: e.Application, Kind: e.Kind, URL: "https://another.com", UID: e.UID}); err != nil {
		f.t.Error(err)
	}
	return f.applications.CreateEndpoint(ctx, e)
}

func (f faster) CreateSource(ctx context.Context, s postern.Source) (*postern.Source, error) {
	if _, err := f.applications.CreateSource(ctx, postern.Source{Application: s.Application, Name: "Another's", Provider: s.Provider, UID: s.UID}); err != nil {
		f.t.Error(err)
	}
	return f.applications.CreateSource(ctx, s)
}

// TestUpsertOfWhatAnotherMakes: a PUT never fails because another was faster, and
// neither does whoever asks for one or makes it.
func TestUpsertOfWhatAnotherMakes(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	f := faster{applications{w.cat}, t}
	h.Applications, h.Endpoints, h.Sources = f, f, f
	if got := w.want(200, "PUT", "/app/fresh", `{"name":"Mine"}`); got["name"] != "Mine" || got["uid"] != "fresh" {
		t.Errorf("got %v", got)
	}
	if got := w.want(200, "PUT", "/app/shop/endpoint/fresh", `{"url":"https://mine.com"}`); got["url"] != "https://mine.com" || got["uid"] != "fresh" {
		t.Errorf("got %v", got)
	}
	if got := w.want(200, "PUT", "/app/shop/source/fresh", `{"name":"Mine","provider":"none"}`); got["name"] != "Mine" || got["uid"] != "fresh" {
		t.Errorf("got %v", got)
	}
	if got := w.want(200, "POST", "/app?get_if_exists=true", `{"name":"Mine","uid":"found"}`); got["name"] != "Another's" {
		t.Errorf("got %v", got)
	}
	w.refused(409, "conflict", "PUT", "/app/elsewhere", `{"name":"Mine","uid":"other"}`)
	w.refused(409, "conflict", "PUT", "/app/shop/endpoint/elsewhere", `{"url":"https://mine.com","uid":"other"}`)
	w.refused(409, "conflict", "PUT", "/app/shop/source/elsewhere", `{"name":"Mine","provider":"none","uid":"other"}`)
}

func TestEndpointChanges(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"e","channels":["eu"],"headers":{"X-A":"1"},"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	w.refused(409, "conflict", "POST", "/app/shop/endpoint", `{"url":"https://example.com","uid":"e"}`)
	w.refused(422, `"url"`, "PATCH", "/app/shop/endpoint/e", `{"url":"http://127.0.0.1"}`)

	put := w.want(200, "PUT", "/app/shop/endpoint/e", `{"url":"https://example.com/new"}`)
	if put["uid"] != "e" || put["channels"] != nil || put["version"] != 1.0 {
		t.Errorf("PUT left %v", put)
	}
	if key := w.want(200, "GET", "/app/shop/endpoint/e/secret", "")["key"]; key != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {
		t.Errorf("PUT changed the secret to %v", key)
	}
	if headers := w.want(200, "GET", "/app/shop/endpoint/e/headers", "")["headers"]; cmp.Diff(map[string]any{"X-A": "1"}, headers) != "" {
		t.Errorf("PUT changed the headers to %v", headers)
	}
	if w.want(201, "PUT", "/app/shop/endpoint/new", `{"url":"https://example.com/new"}`)["uid"] != "new" {
		t.Error("PUT of a new uid lost it")
	}
	for _, path := range []string{"/pause", "/resume"} {
		if got := w.want(200, "POST", "/app/shop/endpoint/e"+path, "")["paused"]; got != (path == "/pause") {
			t.Errorf("%s: paused is %v", path, got)
		}
	}

	// What the engine disabled, saying "not disabled" enables.
	w.cat.ApplyHealth(1, postern.Health{Disabled: postern.DisabledGone, DisabledAt: w.now, FailingSince: w.now})
	read := w.want(200, "GET", "/app/shop/endpoint/e", "")
	if read["disabled"] != true || read["disabledReason"] != "gone" || read["failingSince"] == nil {
		t.Errorf("a gone endpoint reads %v", read)
	}
	if w.want(200, "PATCH", "/app/shop/endpoint/e", `{"description":"d"}`)["disabled"] != true {
		t.Error("another change enabled it")
	}
	if w.want(200, "PATCH", "/app/shop/endpoint/e", `{"disabled":false}`)["disabled"] != false {
		t.Error("it cannot be enabled")
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"e"}`)
	const path = "/app/shop/endpoint/e/headers"
	for _, step := range []struct {
		method, body string
		status       int
		want         map[string]any
		sensitive    []any
	}{
		{"PUT", `{"headers":{"x-a":"1","Authorization":"Bearer x"}}`, 204, map[string]any{"x-a": "1"}, []any{"Authorization"}},
		{"PATCH", `{"headers":{"X-A":"2","X-B":"3"}}`, 204, map[string]any{"X-A": "2", "X-B": "3"}, []any{"Authorization"}},
		{"PATCH", `{"headers":{"x-b":null}}`, 204, map[string]any{"X-A": "2"}, []any{"Authorization"}},
		{"PATCH", `{"deleteHeaders":["authorization"]}`, 204, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{"X-C":"1","x-c":"2"}}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{"svix-id":"1"}}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{"Content-Length":"1"}}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{"a b":"1"}}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{"X-C":7}}`, 422, map[string]any{"X-A": "2"}, []any{}},
		{"PUT", `{"headers":{}}`, 204, map[string]any{}, []any{}},
	} {
		if got := w.do(step.method, path, step.body); got.StatusCode != step.status {
			t.Errorf("%s %s: %d %s", step.method, step.body, got.StatusCode, got.body)
		}
		got := w.want(200, "GET", path, "")
		if diff := cmp.Diff(map[string]any{"headers": step.want, "sensitive": step.sensitive}, got); diff != "" {
			t.Errorf("after %s %s: %s", step.method, step.body, diff)
		}
	}
}

func TestSecretRotation(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"e"}`)
	const path = "/app/shop/endpoint/e/secret"
	live := func() []string {
		v, err := w.cat.Endpoint(1, "e")
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, secret := range v.Secrets {
			if !secret.Live(w.now) {
				continue
			}
			plain, err := w.box.Open(secret.Key)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, string(plain))
		}
		return keys
	}
	first := live()[0]
	if got := w.want(200, "GET", path, "")["key"]; got != first {
		t.Errorf("the secret reads %v", got)
	}
	second := sign.GenerateEd25519()
	w.want(204, "POST", path+"/rotate", `{"key":"`+second.Reveal()+`"}`)
	if diff := cmp.Diff([]string{second.Reveal(), first}, live()); diff != "" {
		t.Error(diff)
	}
	public, _ := second.Public()
	if got := w.want(200, "GET", path, "")["key"]; got != public.Reveal() {
		t.Errorf("of an asymmetric secret %v is shown", got)
	}
	w.refused(422, `"key"`, "POST", path+"/rotate", `{"key":"`+first+`"}`)
	w.refused(422, `"key"`, "POST", path+"/rotate", `{"key":"`+public.Reveal()+`"}`)
	w.refused(422, `"gracePeriodSeconds"`, "POST", path+"/rotate", `{"gracePeriodSeconds":-1}`)
	w.now = w.now.Add(23 * time.Hour)
	w.want(204, "POST", path+"/rotate", `{"gracePeriodSeconds":0}`)
	if got := live(); len(got) != 2 || got[1] != first {
		t.Errorf("without grace %v are live", got)
	}
	w.now = w.now.Add(time.Hour)
	if got := live(); len(got) != 1 {
		t.Errorf("after a day %v are live", got)
	}
	for range sign.MaxOldKeys {
		w.want(204, "POST", path+"/rotate", ``)
	}
	w.refused(400, `"code":"limit_reached"`, "POST", path+"/rotate", ``)
}

func TestEventTypes(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/event-type", `{"name":"a.b","description":"d","schemas":{"1":{"type":"object"}},"featureFlag":"f"}`)
	w.refused(409, "event_type_exists", "POST", "/event-type", `{"name":"a.b","description":"d"}`)
	w.refused(422, `"description"`, "POST", "/event-type", `{"name":"a.c"}`)
	w.refused(422, `"schemas"`, "POST", "/event-type", `{"name":"a.c","description":"d","schemas":{"1":7}}`)
	for _, name := range []string{"", "a b", "a/b", "é", "a*"} {
		w.refused(422, `"name"`, "POST", "/event-type", `{"name":"`+name+`","description":"d"}`)
	}
	if got := w.want(200, "GET", "/event-type/a.b", ""); got["schemas"] == nil || got["featureFlag"] != "f" {
		t.Errorf("%v", got)
	}
	w.want(204, "DELETE", "/event-type/a.b", "")
	if got := w.want(200, "GET", "/event-type/a.b", ""); got["archived"] != true {
		t.Errorf("a deleted type reads %v", got)
	}
	if got := ids(t, w.want(200, "GET", "/event-type", "")); len(got) != 0 {
		t.Errorf("an archived type is listed: %v", got)
	}
	if got := w.want(201, "POST", "/event-type", `{"name":"a.b","description":"revived"}`); got["archived"] != false {
		t.Errorf("POST did not revive: %v", got)
	}
	w.want(204, "DELETE", "/event-type/a.b?expunge=true", "")
	w.refused(404, "not_found", "GET", "/event-type/a.b", "")
	w.refused(404, "not_found", "DELETE", "/event-type/a.b", "")
	w.want(201, "PUT", "/event-type/a.b", `{"description":"d","retrySchedule":[1,1,2]}`)
	if got := w.want(200, "PATCH", "/event-type/a.b", `{"groupName":"g"}`); cmp.Diff([]any{1.0, 1.0, 2.0}, got["retrySchedule"]) != "" {
		t.Errorf("%v", got)
	}
}

// TestRetryScheduleOfAType is shown and set by itself, and changes nothing else.
func TestRetryScheduleOfAType(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.want(201, "PUT", "/event-type/a.b", `{"description":"d","groupName":"g","featureFlags":["beta"]}`)
	const path = "/event-type/a.b/retry-schedule"
	for _, step := range []struct {
		body   string
		status int
		want   any
	}{
		{`{"retrySchedule":[1,2.5]}`, 200, []any{1.0, 2.5}},
		{`{"retrySchedule":["1s"]}`, 422, []any{1.0, 2.5}},
		{`{"retrySchedule":[-1]}`, 422, []any{1.0, 2.5}},
		{`{}`, 200, nil},
		{`{"retrySchedule":[]}`, 200, []any{}},
		{`{"retrySchedule":null}`, 200, nil},
	} {
		got := w.do("PUT", path, step.body)
		if got.StatusCode != step.status {
			t.Errorf("%s: %d %s", step.body, got.StatusCode, got.body)
		}
		want := map[string]any{"retrySchedule": step.want}
		if diff := cmp.Diff(want, w.want(200, "GET", path, "")); diff != "" {
			t.Errorf("after %s: %s", step.body, diff)
		}
		whole := w.want(200, "GET", "/event-type/a.b", "")
		if diff := cmp.Diff(step.want, whole["retrySchedule"]); diff != "" || whole["groupName"] != "g" || whole["description"] != "d" {
			t.Errorf("after %s the type is %v", step.body, whole)
		}
	}
	w.refused(404, "not_found", "PUT", "/event-type/nothing/retry-schedule", `{"retrySchedule":[1]}`)
	if got := w.as(w.visitor("shop", `{}`), "GET", path, ""); got.StatusCode != 404 {
		t.Errorf("a visitor sees that of a hidden type: %d", got.StatusCode)
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	app := w.must("/app", `{"name":"Shop","uid":"shop"}`)
	expires := w.now.Add(time.Hour).Format(time.RFC3339)
	created := w.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"shop","expiresAt":"`+expires+`"}`)
	token, _ := created["token"].(string)
	id, _ := created["id"].(string)
	if created["applicationId"] != app || created["expiresAt"] != expires {
		t.Errorf("%v", created)
	}
	if read := w.want(200, "GET", "/key/"+id, ""); read["token"] != nil {
		t.Errorf("the token is shown again: %v", read)
	}
	if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 200 {
		t.Errorf("the key's own application: %d", got.StatusCode)
	}
	w.now = w.now.Add(time.Hour)
	if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 401 {
		t.Errorf("an expired key: %d", got.StatusCode)
	}
	w.want(204, "DELETE", "/key/"+id, "")
	w.refused(404, "not_found", "GET", "/key/"+id, "")
	for body, loc := range map[string]string{
		`{"scope":"admin"}`: "name", `{"name":"k"}`: "scope",
		`{"name":"k","scope":"admin","application":"shop"}`:                   "application",
		`{"name":"k","scope":"application"}`:                                  "application",
		`{"name":"k","scope":"read-only","application":"none"}`:               "application",
		`{"name":"k","scope":"read-only","expiresAt":"2020-01-01T00:00:00Z"}`: "expiresAt",
		`{"name":"k","scope":"read-only","expiresAt":"tomorrow"}`:             "expiresAt",
		`{"name":7,"scope":"read-only"}`:                                      "name",
	} {
		w.refused(422, loc, "POST", "/key", body)
	}
}

// TestEnforcedSchemas: what is no schema, or needs another document, is refused; and a
// type that enforces its schema has messages refused with the way to each fault.
func TestEnforcedSchemas(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for schema, loc := range map[string]string{
		`{"1":{"type":"nonsense"}}`:                       `["body","schemas","1"]`,
		`{"1":{"$ref":"http://example.com/schema.json"}}`: `["body","schemas","1"]`,
		`{"1":{"pattern":"("}}`:                           `["body","schemas","1"]`,
		`{"":{}}`:                                         `["body","schemas"]`,
	} {
		w.refused(422, `"loc":`+loc, "POST", "/event-type", `{"name":"a","description":"d","schemas":`+schema+`}`)
	}
	w.refused(422, `"loc":["body","enforceSchema"]`, "POST", "/event-type", `{"name":"a","description":"d","enforceSchema":true}`)
	const schemas = `"schemas":{"1":{"type":"object","properties":{"lines":{"items":{"properties":{"n":{"type":"integer"}}}}}}}`
	w.want(201, "POST", "/event-type", `{"name":"a","description":"d",`+schemas+`}`)
	const bad = `{"eventType":"a","payload":{"lines":[{"n":1},{"n":"x"}]}}`
	w.want(202, "POST", "/app/shop/msg", bad) // nobody asked for more
	if got := w.want(200, "PATCH", "/event-type/a", `{"enforceSchema":true}`); got["enforceSchema"] != true {
		t.Errorf("%v", got)
	}
	before := w.head
	w.refused(422, `"loc":["body","payload","lines","1","n"]`, "POST", "/app/shop/msg", bad)
	w.refused(422, `"loc":["body","payload"]`, "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"text"}}`)
	if w.head != before {
		t.Error("something was stored")
	}
	w.want(202, "POST", "/app/shop/msg", `{"eventType":"a","payload":{"lines":[{"n":1}]}}`)
	w.want(202, "POST", "/app/shop/msg", `{"eventType":"b","payload":{"lines":[{"n":"x"}]}}`)
	w.refused(422, `"loc":["body","enforceSchema"]`, "PATCH", "/event-type/a", `{"schemas":null}`)
	w.want(200, "PUT", "/event-type/a", `{"description":"d"}`)
	w.want(202, "POST", "/app/shop/msg", bad)
}
