package api

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// volatile are ids, times and tokens, which differ from run to run.
var volatile = regexp.MustCompile(`(app_|ep_|msg_|atmpt_|src_|rfs_|key_|rpl_|qtask_)[0-9A-Za-z]{27}|\d{4}-\d\d-\d\dT[0-9:.]+Z|/in/[0-9A-Za-z]{20,}|pk_[0-9A-Za-z]{43}`)

// TestShapes compares whole answers with golden files: what SDKs parse.
func TestShapes(t *testing.T) {
	s := newStory(t)
	s.names["full"] = s.must("/app/shop/endpoint", `{"url":"https://example.com/full","uid":"full","description":"d","version":3,
		"filterTypes":["invoice.paid","user.*"],"channels":["eu"],"rateLimit":5,"retrySchedule":[0.5,60],"metadata":{"k":"v"},
		"svixHeaders":true,"disabled":true,"unknown":{"ignored":1}}`)
	s.names["retried"] = s.attempt(postern.Attempt{
		ID: postern.AttemptID{1}, N: 2, Trigger: postern.Manual, Code: 503, Failure: "", Response: []byte("busy \xff"),
		Timings: postern.Timings{DNS: time.Millisecond, Total: 12 * time.Millisecond}, State: postern.Retrying, Next: s.now.Add(time.Minute),
	})
	for name, path := range map[string]string{
		"application":      "/app/shop",
		"application-list": "/app?limit=1",
		"event-type":       "/event-type/invoice.paid",
		"endpoint":         "/app/shop/endpoint/{endpoint}",
		"endpoint-full":    "/app/shop/endpoint/full",
		"message":          "/app/shop/msg/evt-1",
		"message-list":     "/app/shop/msg?with_content=false",
		"message-endpoint": "/app/shop/msg/{msg}/endpoint",
		"attempt":          "/app/shop/msg/{msg}/attempt/{retried}",
		"attempt-list":     "/app/shop/attempt/msg/{msg}?with_msg=true&status=0",
		"source":           "/app/shop/source/gh",
		"refusal":          "/app/shop/source/gh/refusal/{refusal}",
		"key":              "/key/{key}",
		"empty-list":       "/app/other/endpoint",
	} {
		t.Run(name, func(t *testing.T) {
			got := s.do("GET", s.path(path), "")
			if got.StatusCode != 200 {
				t.Fatalf("%d %s", got.StatusCode, got.body)
			}
			golden(t, name, got.body)
		})
	}
}

// golden compares a JSON text, laid out and without what differs from run to
// run, with a file; -update writes it.
func golden(t *testing.T, name, body string) {
	t.Helper()
	var indented strings.Builder
	var text any
	if err := json.Unmarshal([]byte(volatile.ReplaceAllString(body, "<$1>")), &text); err != nil {
		t.Fatal(err)
	}
	encoder := json.NewEncoder(&indented)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, []byte(indented.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), indented.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestPayloadsAreKeptToTheByte reads back what a map would not survive.
func TestPayloadsAreKeptToTheByte(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	const payload = `{ "z":1.0, "a":12345678901234567890, "a":"<&>\u00e9é", "n" : null }`
	got := w.do("POST", "/app/shop/msg", `{"payload":`+payload+`,"eventType":"a.b"}`)
	if got.StatusCode != 202 || !strings.Contains(got.body, `"payload":`+payload) {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &m); err != nil {
		t.Fatal(err)
	}
	raw := w.do("GET", "/app/shop/msg/"+m.ID+"/raw", "")
	if raw.body != payload || raw.Header.Get("Content-Type") != "application/json" || raw.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("raw: %q, %v", raw.body, raw.Header)
	}
	read := w.do("GET", "/app/shop/msg/"+m.ID, "")
	for _, want := range []string{`"z":1.0`, `12345678901234567890`, `<&>`} {
		if !strings.Contains(read.body, want) {
			t.Errorf("%s lacks %s", read.body, want)
		}
	}
	// Creating and reading answer the same.
	var created, again any
	if err := json.Unmarshal([]byte(got.body), &created); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read.body), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(created, again); diff != "" {
		t.Errorf("created and read differ: %s", diff)
	}
	short := w.do("POST", "/app/shop/msg?with_content=false", `{"payload":`+payload+`,"eventType":"a.b"}`)
	if !strings.Contains(short.body, `"payload":{},`) {
		t.Errorf("with_content=false: %s", short.body)
	}
}

func TestRawPayload(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	created := w.want(202, "POST", "/app/shop/msg",
		`{"transformationsParams":{"rawPayload":"<a>\"é\"</a>","headers":{"Content-Type":"text/xml"}},"eventType":"a","payload":{}}`)
	want := map[string]any{"contentType": "text/xml", "body": `<a>"é"</a>`}
	if diff := cmp.Diff(want, created["payload"]); diff != "" {
		t.Error(diff)
	}
	id, _ := created["id"].(string)
	if diff := cmp.Diff(want, w.want(200, "GET", "/app/shop/msg/"+id, "")["payload"]); diff != "" {
		t.Error(diff)
	}
	if raw := w.do("GET", "/app/shop/msg/"+id+"/raw", ""); raw.body != `<a>"é"</a>` || raw.Header.Get("Content-Type") != "text/xml" {
		t.Errorf("raw: %q, %v", raw.body, raw.Header)
	}
	if got := string(wrapPayload("image/png", []byte{0xff, 0x00})); got != `{"contentType":"image/png","bodyBase64":"/wA="}` {
		t.Error(got)
	}
}

func TestDuplicateEventID(t *testing.T) {
	s := newStory(t)
	s.refused(409, `"code":"conflict"`, "POST", "/app/shop/msg", `{"eventType":"a","eventId":"evt-1","payload":{}}`)
	s.refused(404, "not_found", "GET", "/app/shop/msg/evt-2", "")
}

func TestCancel(t *testing.T) {
	s := newStory(t)
	id := s.must("/app/shop/msg", `{"eventType":"invoice.paid","payload":{}}`)
	at := func(query string) any {
		data, _ := s.want(200, "GET", "/app/shop/msg/"+id+"/endpoint"+query, "")["data"].([]any)
		if len(data) != 1 {
			t.Fatalf("destinations: %v", data)
		}
		destination, _ := data[0].(map[string]any)
		return destination["statusText"]
	}
	if got := at(""); got != "pending" {
		t.Errorf("before any attempt: %v", got)
	}
	s.want(204, "POST", "/app/shop/msg/"+id+"/endpoint/a/cancel", "")
	if plain, expanded := at(""), at("?expanded_statuses=true"); plain != "success" || expanded != "canceled" {
		t.Errorf("canceled reads %v, and %v with expanded statuses", plain, expanded)
	}
	if got := s.do("POST", "/app/shop/msg/"+id+"/endpoint/a/resend", ""); got.StatusCode != 202 || strings.TrimSpace(got.body) != "{}" {
		t.Errorf("resend: %d %s", got.StatusCode, got.body)
	}
	if got := at(""); got != "sending" {
		t.Errorf("resent reads %v", got)
	}
}
