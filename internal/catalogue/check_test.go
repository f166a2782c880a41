package catalogue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// wantFault wants an Invalid error of one field, named by its way below body.
func wantFault(t *testing.T, err error, loc string) {
	t.Helper()
	var fault *postern.Error
	if !errors.As(err, &fault) || fault.Kind != postern.Invalid || len(fault.Fields) == 0 {
		t.Errorf("%s: got %v, want an invalid field", loc, err)
		return
	}
	if got := strings.Join(fault.Fields[0].Loc, "."); got != "body."+loc {
		t.Errorf("got a fault of %s (%v), want body.%s", got, err, loc)
	}
}

// long is a text that is just too long for a name.
var long = strings.Repeat("x", 257)

func TestEndpointFields(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	header := func(name, value string) func(*postern.Endpoint) {
		return func(e *postern.Endpoint) {
			e.Headers = []postern.Header{{Name: "X-Fine", Value: "ä\t"}, {Name: name, Value: value}}
		}
	}
	for i, test := range []struct {
		loc  string
		edit func(*postern.Endpoint)
	}{
		{"uid", func(e *postern.Endpoint) { e.UID = "with space" }},
		{"uid", func(e *postern.Endpoint) { e.UID = long }},
		{"uid", func(e *postern.Endpoint) { e.UID = "ep_mine" }},
		{"kind", func(e *postern.Endpoint) { e.Kind = "smoke" }},
		{"url", func(e *postern.Endpoint) { e.URL = "" }},
		{"url", func(e *postern.Endpoint) { e.URL = strings.Repeat("x", 2049) }},
		{"description", func(e *postern.Endpoint) { e.Description = strings.Repeat("ä", 4097) }},
		{"version", func(e *postern.Endpoint) { e.Version = -1 }},
		{"eventTypes", func(e *postern.Endpoint) { e.EventTypes = []string{} }},
		{"eventTypes.0", func(e *postern.Endpoint) { e.EventTypes = []string{"in*"} }},
		{"eventTypes", func(e *postern.Endpoint) { e.EventTypes = []string{"unknown"} }},
		{"channels", func(e *postern.Endpoint) { e.Channels = []string{} }},
		{"channels", func(e *postern.Endpoint) { e.Channels = strings.Split("a b c d e f g h i j k", " ") }},
		{"channels.1", func(e *postern.Endpoint) { e.Channels = []string{"a", "b/c"} }},
		{"throttleRate", func(e *postern.Endpoint) { e.Rate = -1 }},
		{"retrySchedule", func(e *postern.Endpoint) { e.RetrySchedule = postern.RetrySchedule{-time.Second} }},
		{"metadata", func(e *postern.Endpoint) { e.Metadata = map[string]string{"k": strings.Repeat("x", 4096)} }},
		{"headers", header("", "x")},
		{"headers", header("X Y", "x")},
		{"headers.Host", header("Host", "x")},
		{"headers.USER-AGENT", header("USER-AGENT", "x")},
		{"headers.Content-Length", header("Content-Length", "1")},
		{"headers.svix-id", header("svix-id", "x")},
		{"headers.X-Amz-Date", header("X-Amz-Date", "x")},
		{"headers.Webhook-Id", header("Webhook-Id", "x")},
		{"headers.X-A", header("X-A", "a\r\nX-B: c")},
		{"headers.X-A", header("X-A", "a\x00")},
		{"headers", header("X-A", strings.Repeat("x", 16<<10))},
	} {
		e := postern.Endpoint{Application: app.Number, URL: "https://example.com/"}
		test.edit(&e)
		_, err := w.CreateEndpoint(t.Context(), e)
		if t.Failed() {
			t.Fatalf("case %d", i)
		}
		wantFault(t, err, test.loc)
	}
	if w.store.count() != 1 {
		t.Error("a faulty endpoint was stored")
	}
	full := w.endpoint(app, func(e *postern.Endpoint) {
		e.UID, e.Channels, e.Rate = strings.Repeat("x", 256), strings.Split("a b c d e f g h i j", " "), 1
		e.Headers = []postern.Header{{Name: "Authorization", Value: "Bearer x"}, {Name: "Proxy-Authorization", Value: ""}}
		e.Metadata = map[string]string{"k": strings.Repeat("x", 4096-len(`{"k":""}`))}
	})
	for name, edit := range map[string]func(*postern.Endpoint){
		"kind": func(e *postern.Endpoint) { e.Kind = postern.PullEndpoint },
		"key":  func(e *postern.Endpoint) { e.Secrets = nil },
	} {
		_, err := w.UpdateEndpoint(t.Context(), app.Number, full.Number, false, func(e *postern.Endpoint) error {
			edit(e)
			return nil
		})
		wantFault(t, err, name)
	}
}

func TestAllFaultsAreTold(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreateApplication(t.Context(), postern.Application{UID: "app_x", Rate: -1})
	var fault *postern.Error
	if !errors.As(err, &fault) {
		t.Fatal(err)
	}
	var got []string
	for _, field := range fault.Fields {
		got = append(got, field.Loc[1])
	}
	if want := []string{"uid", "name", "throttleRate"}; !slices.Equal(got, want) {
		t.Errorf("faults of %v, want %v", got, want)
	}
}

func TestOtherFields(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	for loc, a := range map[string]postern.Application{
		"name":     {Name: long},
		"metadata": {Name: "x", Metadata: map[string]string{"k": strings.Repeat("x", 4096)}},
	} {
		_, err := w.CreateApplication(t.Context(), a)
		wantFault(t, err, loc)
	}
	for loc, s := range map[string]postern.Source{
		"uid":             {Provider: "github", UID: "src_x"},
		"name":            {Provider: "github", Name: "\xff"},
		"provider":        {},
		"eventTypePrefix": {Provider: "github", EventTypePrefix: "a b"},
		"methods.1":       {Provider: "github", Methods: []string{"PUT", "TEAPOT"}},
		"answer":          {Provider: "github", Answer: 302},
		"config":          {Provider: "github", Config: map[string]string{"k": strings.Repeat("x", 16<<10)}},
		"secrets":         {Provider: "github", Secrets: slices.Repeat([]postern.Sealed{{}}, 12)},
	} {
		s.Application = app.Number
		_, err := w.CreateSource(t.Context(), s)
		wantFault(t, err, loc)
	}
	for loc, e := range map[string]postern.EventType{
		"name":          {Name: "invoice.*"},
		"description":   {Name: "x", Description: strings.Repeat("x", 4097)},
		"schemas.1":     {Name: "x", Schemas: map[string][]byte{"1": []byte(`[]`)}},
		"schemas.2":     {Name: "x", Schemas: map[string][]byte{"2": []byte(`{"type":`)}},
		"schemas":       {Name: "x", Schemas: map[string][]byte{"": []byte(`{}`)}},
		"retrySchedule": {Name: "x", RetrySchedule: make(postern.RetrySchedule, 64)},
		"groupName":     {Name: "x", GroupName: "a b"},
		"featureFlags":  {Name: "x", FeatureFlags: []string{"fine", ""}},
	} {
		_, _, err := w.PutEventType(t.Context(), e, false)
		wantFault(t, err, loc)
	}
	if w.store.count() != 1 {
		t.Error("something faulty was stored")
	}
}
