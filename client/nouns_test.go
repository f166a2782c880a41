package client_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// collect reads a list to its end.
func collect[T any](t *testing.T, entries iter.Seq2[T, error]) []T {
	t.Helper()
	var found []T
	for entry, err := range entries {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, entry)
	}
	return found
}

func TestApplications(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	app := must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop", ThrottleRate: 9}))
	if app.ID.IsZero() || app.UID != "shop" || app.ThrottleRate != 9 || app.CreatedAt.IsZero() {
		t.Errorf("created: %+v", app)
	}
	same := must[*client.Application](t)(w.Applications.GetOrCreate(ctx, client.ApplicationIn{Name: "Another", UID: "shop"}))
	if same.ID != app.ID || same.Name != "Shop" {
		t.Errorf("the one that is there: %+v", same)
	}
	if _, err := w.Applications.Create(ctx, client.ApplicationIn{Name: "Another", UID: "shop"}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("a uid in use: %v", err)
	}
	changed := must[*client.Application](t)(w.Applications.Patch(ctx, "shop", client.Patch{"throttleRate": nil, "metadata": map[string]string{"a": "b"}}))
	if changed.ThrottleRate != 0 || changed.Metadata["a"] != "b" || changed.Name != "Shop" {
		t.Errorf("patched: %+v", changed)
	}
	put := must[*client.Application](t)(w.Applications.Put(ctx, "other", client.ApplicationIn{Name: "Other"}))
	if put.UID != "other" || len(put.Metadata) != 0 {
		t.Errorf("put: %+v", put)
	}
	page := must[*client.List[client.Application]](t)(w.Applications.List(ctx, client.Page{Limit: 1, Order: client.Descending}))
	if len(page.Data) != 1 || page.Data[0].ID != put.ID || page.Done || page.Iterator != put.ID.String() {
		t.Errorf("a page: %+v", page)
	}
	ok(t, w.Applications.Delete(ctx, "other"))
	if _, err := w.Applications.Get(ctx, "other"); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("a deleted one: %v", err)
	}
}

func TestEventTypes(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	schema := json.RawMessage(`{"type":"object"}`)
	made := must[*client.EventType](t)(w.EventTypes.Create(ctx, client.EventTypeIn{
		Name: "invoice.paid", Description: "An invoice was paid", RetrySchedule: []float64{1, 2.5},
		Schemas: map[string]json.RawMessage{"1": schema},
	}))
	if diff := cmp.Diff([]float64{1, 2.5}, made.RetrySchedule); diff != "" {
		t.Error(diff)
	}
	for _, want := range [][]float64{{0.5, 60}, {}, nil} {
		ok(t, w.EventTypes.SetRetrySchedule(ctx, "invoice.paid", want))
		if diff := cmp.Diff(want, must[[]float64](t)(w.EventTypes.RetrySchedule(ctx, "invoice.paid"))); diff != "" {
			t.Error(diff)
		}
	}
	must[*client.EventType](t)(w.EventTypes.Put(ctx, "invoice.sent", client.EventTypeIn{Description: "An invoice was sent"}))
	must[*client.EventType](t)(w.EventTypes.Patch(ctx, "invoice.sent", client.Patch{"deprecated": true}))
	if got := must[*client.EventType](t)(w.EventTypes.Get(ctx, "invoice.sent")); !got.Deprecated {
		t.Errorf("patched: %+v", got)
	}
	ok(t, w.EventTypes.Archive(ctx, "invoice.sent"))
	if page := must[*client.List[client.EventType]](t)(w.EventTypes.List(ctx, client.Page{})); len(page.Data) != 1 || page.Data[0].Schemas != nil {
		t.Errorf("without the archived one: %+v", page)
	}
	all := collect(t, w.EventTypes.All(ctx, client.Page{Limit: 1}))
	if len(all) != 2 || string(all[0].Schemas["1"]) != string(schema) || !all[1].Archived {
		t.Errorf("all: %+v", all)
	}
	ok(t, w.EventTypes.Delete(ctx, "invoice.sent"))
	if all := collect(t, w.EventTypes.All(ctx, client.Page{})); len(all) != 1 {
		t.Errorf("after deleting: %+v", all)
	}
}

func TestEndpoints(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	made := must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", EventTypes: []string{"invoice.*"}}))
	if made.Kind != "http" || made.Channels != nil || !slices.Equal(made.EventTypes, []string{"invoice.*"}) {
		t.Errorf("made: %+v", made)
	}
	must[*client.Endpoint](t)(w.Endpoints.Put(ctx, "shop", "b", client.EndpointIn{URL: w.hooks, Disabled: true}))
	must[*client.Endpoint](t)(w.Endpoints.Patch(ctx, "shop", "b", client.Patch{"description": "second"}))
	if b := must[*client.Endpoint](t)(w.Endpoints.Get(ctx, "shop", "b")); !b.Disabled || b.Description != "second" {
		t.Errorf("b: %+v", b)
	}
	if paused := must[*client.Endpoint](t)(w.Endpoints.Pause(ctx, "shop", "a")); !paused.Paused {
		t.Error("not paused")
	}
	if paused := must[*client.Endpoint](t)(w.Endpoints.Resume(ctx, "shop", "a")); paused.Paused {
		t.Error("not resumed")
	}
	old := must[string](t)(w.Endpoints.Secret(ctx, "shop", "a"))
	none := time.Duration(0)
	ok(t, w.Endpoints.RotateSecret(ctx, "shop", "a", client.Rotation{Grace: &none}))
	if next := must[string](t)(w.Endpoints.Secret(ctx, "shop", "a")); next == old || !strings.HasPrefix(next, "whsec_") {
		t.Errorf("rotated from %q to %q", old, next)
	}
	const own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	ok(t, w.Endpoints.RotateSecret(ctx, "shop", "a", client.Rotation{Key: own}))
	if next := must[string](t)(w.Endpoints.Secret(ctx, "shop", "a")); next != own {
		t.Errorf("rotated to %q", next)
	}
	if all := collect(t, w.Endpoints.All(ctx, "shop", client.Page{Limit: 1})); len(all) != 2 {
		t.Errorf("all: %+v", all)
	}
	ok(t, w.Endpoints.Delete(ctx, "shop", "b"))
	if page := must[*client.List[client.Endpoint]](t)(w.Endpoints.List(ctx, "shop", client.Page{})); len(page.Data) != 1 {
		t.Errorf("after deleting: %+v", page)
	}
}

func TestMessages(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", RetrySchedule: []float64{3600}}))
	payload := `{"amount": 1.0, "big": 12345678901234567890, "of": "<Zoë & \u00fc>"}`
	m := must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{
		EventType: "invoice.paid", EventID: "evt-1", Payload: json.RawMessage(payload), Tags: []string{"t"}, Wait: 10 * time.Second,
	}))
	if len(m.Deliveries) != 1 || m.Deliveries[0].State != "delivered" || m.EventID != "evt-1" {
		t.Errorf("published: %+v", m)
	}
	text := must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{
		EventType: "page.made", Text: "<p>1 < 2</p>", ContentType: "text/html", Channels: []string{"c"}, Wait: 10 * time.Second,
	}))
	if diff := cmp.Diff([]string{payload, "<p>1 < 2</p>"}, w.received()); diff != "" {
		t.Errorf("delivered: %s", diff)
	}
	raw, contentType, err := w.Messages.Raw(ctx, "shop", "evt-1")
	if string(raw) != payload || contentType != "application/json" || err != nil {
		t.Errorf("raw: %q, %q, %v", raw, contentType, err)
	}
	if got := must[*client.Message](t)(w.Messages.Get(ctx, "shop", text.ID.String())); got.ContentType != "text/html" {
		t.Errorf("the text: %+v", got)
	}
	if found := collect(t, w.Messages.All(ctx, "shop", client.History{Page: client.Page{Limit: 1}, EventTypes: []string{"invoice.paid", "x"}, Tag: "t"})); len(found) != 1 || found[0].ID != m.ID {
		t.Errorf("by type and tag: %+v", found)
	}
	page := must[*client.List[client.Message]](t)(w.Messages.List(ctx, "shop", client.History{Channel: "c", After: time.Now().Add(-time.Hour), WithoutContent: true}))
	if len(page.Data) != 1 || string(page.Data[0].Payload) != "{}" {
		t.Errorf("by channel: %+v", page)
	}
	if err := w.Messages.Cancel(ctx, "shop", m.ID.String(), "a"); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("cancel of a finished one: %v", err)
	}
	brought := client.MessageIn{EventType: "a", Payload: json.RawMessage(`{}`), Application: &client.ApplicationIn{Name: "New", UID: "new"}}
	must[*client.Message](t)(w.Messages.Create(ctx, "new", brought))
	if got := must[*client.Application](t)(w.Applications.Get(ctx, "new")); got.Name != "New" {
		t.Errorf("brought along: %+v", got)
	}
	if _, err := w.Messages.Create(ctx, "shop", client.MessageIn{EventType: "invoice.paid", EventID: "evt-1", Payload: json.RawMessage(`{}`)}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("the same event: %v", err)
	}
	for about, in := range map[string]client.MessageIn{
		"nothing": {EventType: "a"}, "both": {EventType: "a", Payload: json.RawMessage(`{}`), Text: "x"},
		"no JSON": {EventType: "a", Payload: json.RawMessage(`{},"eventType":"b"`)},
	} {
		if _, err := w.Messages.Create(ctx, "shop", in); err == nil {
			t.Errorf("%s: published", about)
		}
	}
}

// TestExpunge deletes the payload of one message, then those of all, and has
// what waits for a retry end.
func TestExpunge(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.fails = http.StatusTeapot
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", RetrySchedule: []float64{3600}}))
	var messages []string
	for range 3 {
		m := must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{EventType: "a", Payload: json.RawMessage(`{"n":1}`), Wait: 10 * time.Second}))
		messages = append(messages, m.ID.String())
	}
	ok(t, w.Messages.Expunge(ctx, "shop", messages[0]))
	if got := must[*client.Message](t)(w.Messages.Get(ctx, "shop", messages[0])); string(got.Payload) != `{"expired":true}` {
		t.Errorf("expunged: %s", got.Payload)
	}
	results := must[map[string]string](t)(w.Messages.ExpungeSeveral(ctx, "shop", []string{messages[0], messages[1], "nothing"}))
	if diff := cmp.Diff(map[string]string{messages[0]: "expunged", messages[1]: "expunged", "nothing": "not-found"}, results); diff != "" {
		t.Error(diff)
	}
	if _, err := w.Messages.ExpungeSeveral(ctx, "shop", make([]string, 101)); !errors.Is(err, postern.ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
	task := must[*client.Task](t)(w.Messages.ExpungeAll(ctx, "shop"))
	deadline := time.After(time.Minute)
	for task.Status != "finished" {
		select {
		case <-deadline:
			t.Fatalf("it does not end: %+v", task)
		case <-time.After(10 * time.Millisecond):
		}
		task = must[*client.Task](t)(w.Tasks.Get(ctx, task.ID.String()))
	}
	if task.Task != "application.purge_content" || task.Data.MessagesPurged != 3 || task.Data.AppID == nil || task.Data.ReplayID != nil {
		t.Errorf("the task: %+v", task)
	}
	for _, m := range messages {
		if got := must[*client.Message](t)(w.Messages.Get(ctx, "shop", m)); string(got.Payload) != `{"expired":true}` {
			t.Errorf("%s: %s", m, got.Payload)
		}
	}
	if canceled := collect(t, w.Deliveries.All(ctx, "shop", client.DeliveryFilter{State: "canceled"})); len(canceled) != 3 {
		t.Errorf("canceled: %+v", canceled)
	}
	if all := collect(t, w.Tasks.All(ctx, "application.purge_content", client.Page{Limit: 1})); len(all) != 1 || all[0].ID != task.ID {
		t.Errorf("all: %+v", all)
	}
}

func TestAttemptsAndDeliveries(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.fails = http.StatusTeapot
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", RetrySchedule: []float64{3600}}))
	m := must[*client.Message](t)(w.Messages.Create(ctx, "shop", client.MessageIn{EventType: "a", Payload: json.RawMessage(`{}`), Wait: 10 * time.Second}))
	attempts := collect(t, w.Attempts.OfMessage(ctx, "shop", m.ID.String(), client.History{}))
	if len(attempts) != 1 || attempts[0].ResponseStatusCode != 418 || attempts[0].State != "retrying" || attempts[0].NextAttempt == nil || attempts[0].Timings.Total == 0 {
		t.Fatalf("attempts: %+v", attempts)
	}
	if got := must[*client.Attempt](t)(w.Attempts.Get(ctx, "shop", m.ID.String(), attempts[0].ID.String())); got.ID != attempts[0].ID || got.StatusText != "fail" {
		t.Errorf("get: %+v", got)
	}
	ok(t, w.Attempts.Expunge(ctx, "shop", m.ID.String(), attempts[0].ID.String()))
	if got := must[*client.Attempt](t)(w.Attempts.Get(ctx, "shop", m.ID.String(), attempts[0].ID.String())); got.Response != "EXPUNGED" || got.ResponseStatusCode != 418 {
		t.Errorf("expunged: %+v", got)
	}
	if err := w.Attempts.Expunge(ctx, "shop", m.ID.String(), "nothing"); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("no attempt: %v", err)
	}
	waiting := collect(t, w.Deliveries.All(ctx, "shop", client.DeliveryFilter{State: "retrying", Endpoint: "a", NextBefore: time.Now().Add(2 * time.Hour)}))
	if len(waiting) != 1 || waiting[0].MsgID != m.ID || waiting[0].Attempts != 1 {
		t.Errorf("waiting: %+v", waiting)
	}
	ok(t, w.Messages.Cancel(ctx, "shop", m.ID.String(), "a"))
	if page := must[*client.List[client.Delivery]](t)(w.Deliveries.List(ctx, "shop", client.DeliveryFilter{State: "canceled", Since: time.Now().Add(-time.Hour)})); len(page.Data) != 1 {
		t.Errorf("canceled: %+v", page)
	}
	ok(t, w.Messages.Resend(ctx, "shop", m.ID.String(), "a"))
	deadline := time.After(time.Minute)
	for len(collect(t, w.Attempts.AtEndpoint(ctx, "shop", "a", client.History{Page: client.Page{Limit: 1}}))) < 2 {
		select {
		case <-deadline:
			t.Fatal("not sent again")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSources(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	made := must[*client.Source](t)(w.Sources.Create(ctx, "shop", client.SourceIn{Name: "GitHub", UID: "gh", Provider: "github", Secrets: []string{"s"}}))
	refused, err := http.Post(made.IngestURL, "application/json", strings.NewReader(`{"a":1}`))
	ok(t, err)
	refused.Body.Close()
	refusals := collect(t, w.Refusals.All(ctx, "shop", "gh", client.Page{}))
	if len(refusals) != 1 || refusals[0].Body != nil || refusals[0].Request.Method != "POST" {
		t.Fatalf("refusals: %+v", refusals)
	}
	if got := must[*client.Refusal](t)(w.Refusals.Get(ctx, "shop", "gh", refusals[0].ID.String())); got.Body == nil || *got.Body != `{"a":1}` {
		t.Errorf("refusal: %+v", got)
	}
	if got := must[*client.Source](t)(w.Sources.Pause(ctx, "shop", "gh")); !got.Paused {
		t.Error("not paused")
	}
	if got := must[*client.Source](t)(w.Sources.Resume(ctx, "shop", "gh")); got.Paused {
		t.Error("not resumed")
	}
	ok(t, w.Sources.RotateSecret(ctx, "shop", "gh", "t"))
	if got := must[*client.Source](t)(w.Sources.Patch(ctx, "shop", "gh", client.Patch{"name": "Hub"})); got.Name != "Hub" {
		t.Errorf("patched: %+v", got)
	}
	if got := must[*client.Source](t)(w.Sources.Put(ctx, "shop", "gh", client.SourceIn{Name: "Hub 2", Provider: "github"})); got.IngestURL != made.IngestURL {
		t.Errorf("replaced: %+v", got)
	}
	if got := must[*client.Source](t)(w.Sources.Put(ctx, "shop", "made", client.SourceIn{Name: "Made", Provider: "none"})); got.UID != "made" {
		t.Errorf("made: %+v", got)
	}
	ok(t, w.Sources.Delete(ctx, "shop", "made"))
	if got := must[*client.Source](t)(w.Sources.Get(ctx, "shop", "gh")); got.Name != "Hub 2" {
		t.Errorf("get: %+v", got)
	}
	if all := collect(t, w.Sources.All(ctx, "shop", client.Page{})); len(all) != 1 {
		t.Errorf("all: %+v", all)
	}
	ok(t, w.Sources.Delete(ctx, "shop", "gh"))
	if page := must[*client.List[client.Source]](t)(w.Sources.List(ctx, "shop", client.Page{})); len(page.Data) != 0 || page.Iterator != "" || !page.Done {
		t.Errorf("after deleting: %+v", page)
	}
}

// TestDeliveredSecret has a provider deliver its secret in a handshake, once, and
// sign an event with it. What is secret of the source is not shown.
func TestDeliveredSecret(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	source := must[*client.Source](t)(w.Sources.Create(ctx, "shop", client.SourceIn{
		Name: "Asana", UID: "asana", Provider: "asana", EventTypePrefix: "asana.",
	}))
	send := func(body string, header ...string) *http.Response {
		r, err := http.NewRequest(http.MethodPost, source.IngestURL, strings.NewReader(body))
		ok(t, err)
		r.Header.Set(header[0], header[1])
		res, err := http.DefaultClient.Do(r)
		ok(t, err)
		res.Body.Close()
		return res
	}
	if got := must[string](t)(w.Sources.Secret(ctx, "shop", "asana")); got != "" {
		t.Errorf("before the handshake: %q", got)
	}
	if res := send("{}", "X-Hook-Secret", "b537207f20cb"); res.StatusCode != 200 || res.Header.Get("X-Hook-Secret") != "b537207f20cb" {
		t.Fatalf("the handshake was answered %d %v", res.StatusCode, res.Header)
	}
	if res := send("{}", "X-Hook-Secret", "0123456789ab"); res.StatusCode != 403 {
		t.Errorf("the second was answered %d", res.StatusCode)
	}
	if got := must[string](t)(w.Sources.Secret(ctx, "shop", "asana")); got != "b537207f20cb" {
		t.Errorf("the secret is %q", got)
	}
	if got := must[*client.Source](t)(w.Sources.Get(ctx, "shop", "asana")); got.Config["stored_secret"] != "***" {
		t.Errorf("the settings are shown as %v", got.Config)
	}
	body := `{"events":[{"action":"changed"}]}`
	mac := hmac.New(sha256.New, []byte("b537207f20cb"))
	mac.Write([]byte(body))
	if res := send(body, "X-Hook-Signature", hex.EncodeToString(mac.Sum(nil))); res.StatusCode/100 != 2 {
		t.Errorf("an event was answered %d", res.StatusCode)
	}
	if all := collect(t, w.Messages.All(ctx, "shop", client.History{})); len(all) != 1 {
		t.Errorf("messages: %+v", all)
	}
}

// TestReleasedRefusals verifies one once the secret is right, releases it, and has the
// sender's own next try find what was released.
func TestReleasedRefusals(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	source := must[*client.Source](t)(w.Sources.Create(ctx, "shop", client.SourceIn{Name: "GitHub", UID: "gh", Provider: "github", Secrets: []string{"wrong"}}))
	send := func(want int) {
		r, err := http.NewRequest(http.MethodPost, source.IngestURL, strings.NewReader("Hello, World!"))
		ok(t, err)
		r.Header.Set("X-GitHub-Event", "push")
		r.Header.Set("X-GitHub-Delivery", "72d3162e")
		// The example of docs.github.com, "Validating webhook deliveries".
		r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
		res, err := http.DefaultClient.Do(r)
		ok(t, err)
		if res.Body.Close(); res.StatusCode != want {
			t.Fatalf("the source answers %d, want %d", res.StatusCode, want)
		}
	}
	send(401)
	send(401)
	refusals := collect(t, w.Refusals.All(ctx, "shop", "gh", client.Page{}))
	if len(refusals) != 2 || refusals[0].MessageID != nil {
		t.Fatalf("refusals: %+v", refusals)
	}
	first, second := refusals[0].ID.String(), refusals[1].ID.String()
	if got := must[*client.Verification](t)(w.Refusals.Verify(ctx, "shop", "gh", first)); got.Verified || got.Reason != "signature_mismatch" {
		t.Errorf("with the wrong secret: %+v", got)
	}
	must[*client.Source](t)(w.Sources.Patch(ctx, "shop", "gh", client.Patch{"secrets": []string{"It's a Secret to Everybody"}}))
	if got := must[*client.Verification](t)(w.Refusals.Verify(ctx, "shop", "gh", first)); !got.Verified || got.Reason != "" {
		t.Errorf("with the right one: %+v", got)
	}
	released := must[*client.Release](t)(w.Refusals.Release(ctx, "shop", "gh", first))
	if released.Duplicate || !released.Verified {
		t.Errorf("released: %+v", released)
	}
	for _, refusal := range []string{first, second} { // which is the same event
		again := must[*client.Release](t)(w.Refusals.Release(ctx, "shop", "gh", refusal))
		if !again.Duplicate || again.MessageID != released.MessageID {
			t.Errorf("again: %+v", again)
		}
	}
	send(202)
	if got := must[*client.Refusal](t)(w.Refusals.Get(ctx, "shop", "gh", first)); got.MessageID == nil || *got.MessageID != released.MessageID {
		t.Errorf("the refusal: %+v", got)
	}
	messages := collect(t, w.Messages.All(ctx, "shop", client.History{}))
	if len(messages) != 1 || messages[0].EventID != first || messages[0].EventType != "push" || *messages[0].SourceID != source.ID {
		t.Errorf("messages: %+v", messages)
	}
}

func TestReplays(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a"}))
	for i := range 3 {
		in := client.MessageIn{EventType: "a", Payload: json.RawMessage(`{"n":` + strconv.Itoa(i) + `}`), Wait: 10 * time.Second}
		must[*client.Message](t)(w.Messages.Create(ctx, "shop", in))
	}
	in := client.ReplayIn{Endpoint: "a", Status: "delivered", Since: time.Now().Add(-time.Hour), Rate: 1}
	if got := must[*client.Preview](t)(w.Replays.Preview(ctx, "shop", in)); got.Count != 3 {
		t.Errorf("preview: %+v", got)
	}
	made := must[*client.Replay](t)(w.Replays.Create(ctx, "shop", in))
	id := made.ID.String()
	if made.State != "running" || made.Rate != 1 || made.EndpointID == nil {
		t.Errorf("made: %+v", made)
	}
	if got := must[*client.Replay](t)(w.Replays.Pause(ctx, "shop", id)); got.State != "paused" {
		t.Errorf("paused: %+v", got)
	}
	if got := must[*client.Replay](t)(w.Replays.Resume(ctx, "shop", id)); got.State != "running" {
		t.Errorf("resumed: %+v", got)
	}
	if got := must[*client.Replay](t)(w.Replays.Cancel(ctx, "shop", id)); got.State != "canceled" {
		t.Errorf("canceled: %+v", got)
	}
	if got := must[*client.Replay](t)(w.Replays.Get(ctx, "shop", id)); got.FinishedAt == nil {
		t.Errorf("get: %+v", got)
	}
	if all := collect(t, w.Replays.All(ctx, "shop", client.Page{})); len(all) != 1 {
		t.Errorf("all: %+v", all)
	}
}

func TestKeys(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made := must[*client.Key](t)(w.Keys.Create(ctx, client.KeyIn{Name: "k", Scope: postern.ScopeReadOnly, Application: "shop", ExpiresAt: &until}))
	if made.Token == "" || made.ApplicationID == nil || made.ExpiresAt == nil || !made.ExpiresAt.Equal(until) {
		t.Errorf("made: %+v", made)
	}
	reader, err := client.New(client.Options{URL: w.url, Key: made.Token})
	ok(t, err)
	if got := must[*client.Application](t)(reader.Applications.Get(ctx, "shop")); got.UID != "shop" {
		t.Errorf("read: %+v", got)
	}
	if _, err := reader.Keys.Get(ctx, made.ID.String()); !errors.Is(err, postern.ErrForbidden) {
		t.Errorf("a reader reads keys: %v", err)
	}
	if got := must[*client.Key](t)(w.Keys.Get(ctx, made.ID.String())); got.Token != "" || got.Name != "k" {
		t.Errorf("get: %+v", got)
	}
	if all := collect(t, w.Keys.All(ctx, client.Page{})); len(all) != 1 {
		t.Errorf("all: %+v", all)
	}
	ok(t, w.Keys.Delete(ctx, made.ID.String()))
	if _, err := reader.Applications.Get(ctx, "shop"); !errors.Is(err, postern.ErrUnauthorized) {
		t.Errorf("a revoked key: %v", err)
	}
}
