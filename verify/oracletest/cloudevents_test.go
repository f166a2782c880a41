package oracletest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/postern-dev/postern/verify"
)

const accessToken = "a token of ours"

// mode is one of the three ways in which an event becomes a request.
type mode string

const (
	binary     mode = "binary"
	structured mode = "structured"
	batched    mode = "batched"
)

// sdkRequest has the SDK write a request that brings the events.
func sdkRequest(t *testing.T, m mode, url string, events ...event.Event) *http.Request {
	t.Helper()
	ctx := binding.WithForceBinary(t.Context())
	if m == structured {
		ctx = binding.WithForceStructured(t.Context())
	}
	var r *http.Request
	var err error
	if m == batched {
		r, err = cehttp.NewHTTPRequestFromEvents(ctx, url, events)
	} else {
		r, err = cehttp.NewHTTPRequestFromEvent(ctx, url, events[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	return r
}

// sdkEvents has the SDK read a request, and check what it has read.
func sdkEvents(r *http.Request) ([]event.Event, error) {
	var events []event.Event
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.EqualFold(mediaType, event.ApplicationCloudEventsBatchJSON) {
		var err error
		if events, err = cehttp.NewEventsFromHTTPRequest(r); err != nil {
			return nil, err
		}
	} else {
		e, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			return nil, err
		}
		events = []event.Event{*e}
	}
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func ourVerifier(t *testing.T) *verify.Verifier {
	t.Helper()
	v, err := verify.For("cloudevents", accessToken)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// samples are events with data and attributes of all kinds.
func samples(t *testing.T) map[string]event.Event {
	t.Helper()
	sample := func(change func(e *event.Event)) event.Event {
		e := event.New()
		e.SetID("A234-1234-1234")
		e.SetSource("https://github.com/cloudevents/spec/pull?a=b#123")
		e.SetType("com.github.pull.create")
		change(&e)
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		return e
	}
	data := func(contentType string, content any) event.Event {
		return sample(func(e *event.Event) {
			if err := e.SetData(contentType, content); err != nil {
				t.Fatal(err)
			}
		})
	}
	return map[string]event.Event{
		"nothing but what is required": sample(func(*event.Event) {}),
		"every attribute": sample(func(e *event.Event) {
			e.SetSubject("a subject")
			e.SetTime(time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC))
			e.SetDataSchema("https://example.com/schema#1")
			e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01")
			e.SetExtension("count", 7)
			e.SetExtension("urgent", true)
		}),
		"a source that is a path":       sample(func(e *event.Event) { e.SetSource("/orders/7") }),
		"a source that is a URN":        sample(func(e *event.Event) { e.SetSource("urn:event:from:myapi/resource/123") }),
		"an id with a percent sign":     sample(func(e *event.Event) { e.SetID("100% of 7") }),
		"an id of other letters":        sample(func(e *event.Event) { e.SetID("Zoë 🎣") }),
		"a long id":                     sample(func(e *event.Event) { e.SetID(strings.Repeat("7", 300)) }),
		"a type of other letters":       sample(func(e *event.Event) { e.SetType("täglich/7") }),
		"JSON, an object":               data("application/json", map[string]any{"n": 1.5, "s": "<&>"}),
		"JSON, an array":                data("application/json; charset=utf-8", []int{1, 2}),
		"JSON, a string":                data("application/json", "text"),
		"JSON of the sender's":          data("application/vnd.example.v1+json", json.RawMessage(`{"big":12345678901234567890,"one":1.0}`)),
		"text":                          data("text/plain; charset=us-ascii", []byte("plain \"text\"\n")),
		"text with emoji":               data("text/plain; charset=utf-8", []byte("🎣 Zoë")),
		"XML":                           data("application/xml", []byte("<much wow=\"xml\"/>")),
		"bytes":                         data("application/octet-stream", []byte{0, 1, 0xff, 0xfe}),
		"bytes without a type of their": data("image/png", bytes.Repeat([]byte{0x89, 'P'}, 5000)),
	}
}

// TestCloudEventsOfTheSDK sends what the SDK writes over HTTP, and has the SDK
// read what an endpoint would be given.
func TestCloudEventsOfTheSDK(t *testing.T) {
	t.Parallel()
	v := ourVerifier(t)
	for name, sent := range samples(t) {
		for _, m := range []mode{binary, structured, batched} {
			if m != binary && (name == "text" || name == "text with emoji" || name == "XML") {
				sent = sent.Clone()
				sent.DataBase64 = m == batched // both ways to write text into JSON
			}
			t.Run(name+", "+string(m), func(t *testing.T) {
				header, body := overHTTP(t, m, sent)
				got, err := v.Verify(t.Context(), verify.Request{Method: http.MethodPost, Header: header, Body: body}, time.Now())
				if err != nil {
					t.Fatalf("%v\n%v\n%s", err, header, body)
				}
				if got.ProviderEventType != sent.Type() || len(sent.ID()) < 256 && got.DeliveryID != sent.Source()+" "+sent.ID() {
					t.Errorf("got %q and %q of\n%s", got.ProviderEventType, got.DeliveryID, sent)
				}
				if got.Payload != nil {
					body = got.Payload
					header.Set("Content-Type", got.ContentType)
				}
				delivered, err := sdkEvents(&http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(body))})
				if err != nil || len(delivered) != 1 {
					t.Fatalf("%v: %v\n%s", delivered, err, body)
				}
				alike(t, delivered[0], sent)
			})
		}
	}
}

// TestCloudEventsInBatchesOfTheSDK has every sample in one request, and an empty
// one.
func TestCloudEventsInBatchesOfTheSDK(t *testing.T) {
	t.Parallel()
	var sent []event.Event
	for _, name := range slices.Sorted(maps.Keys(samples(t))) {
		sent = append(sent, samples(t)[name])
	}
	for _, batch := range [][]event.Event{{}, sent[:1], sent} {
		header, body := overHTTP(t, batched, batch...)
		result, err := ourVerifier(t).Receive(t.Context(), verify.Request{Method: http.MethodPost, Header: header, Body: body}, time.Now())
		if err != nil || len(result.Events) != len(batch) {
			t.Fatalf("%d events of %d: %v", len(result.Events), len(batch), err)
		}
		for i, got := range result.Events {
			delivered, err := sdkEvents(&http.Request{Header: http.Header{"Content-Type": {got.ContentType}}, Body: io.NopCloser(bytes.NewReader(got.Payload))})
			if err != nil {
				t.Fatalf("%v\n%s", err, got.Payload)
			}
			alike(t, delivered[0], batch[i])
		}
	}
}

// overHTTP is a request of the SDK's as a server gets it.
func overHTTP(t *testing.T, m mode, sent ...event.Event) (http.Header, []byte) {
	t.Helper()
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		body, _ = io.ReadAll(r.Body) // what is missing shows in the events
	}))
	defer server.Close()
	response, err := http.DefaultClient.Do(sdkRequest(t, m, server.URL, sent...))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return header, body
}

// alike compares attributes and data of two events.
func alike(t *testing.T, got, want event.Event) {
	t.Helper()
	if got.ID() != want.ID() || got.Source() != want.Source() || got.Type() != want.Type() || got.Subject() != want.Subject() ||
		!got.Time().Equal(want.Time()) || got.DataContentType() != want.DataContentType() || got.DataSchema() != want.DataSchema() {
		t.Errorf("attributes are\n%s\nwant\n%s", got, want)
	}
	if len(got.Extensions()) != len(want.Extensions()) {
		t.Errorf("extensions are %v, want %v", got.Extensions(), want.Extensions())
	}
	if !bytes.Equal(got.Data(), want.Data()) {
		t.Errorf("data is %q, want %q", got.Data(), want.Data())
	}
}

// judgement is what a request of events says, to the SDK or to us: types and
// ids of its events, or that it is refused.
type judgement struct {
	accepted bool
	events   []string
}

// judge shows a request to the SDK and to us.
func judge(t *testing.T, r *request) (sdk, we judgement) {
	t.Helper()
	if events, err := sdkEvents(r.http()); err == nil {
		sdk.accepted = true
		for _, e := range events {
			sdk.events = append(sdk.events, e.Type()+" "+e.Source()+" "+e.ID())
		}
	}
	result, err := ourVerifier(t).Verify(context.Background(), verify.Request{Method: r.method, Header: r.header.Clone(), Body: r.body}, time.Now())
	if err == nil {
		we.accepted = true
		we.events = []string{result.ProviderEventType + " " + result.DeliveryID}
	}
	return sdk, we
}

// TestCloudEventsMutated shows requests that were changed to both. What both
// accept both must read alike.
func TestCloudEventsMutated(t *testing.T) {
	t.Parallel()
	mutations := slices.Concat(binaryMutations(), structuredMutations(), batchedMutations())
	met, both := map[string]bool{}, 0
	for _, m := range mutations {
		e := samples(t)["every attribute"]
		if err := e.SetData("application/json", map[string]any{"a": 1}); err != nil {
			t.Fatal(err)
		}
		header, body := overHTTP(t, m.from, e)
		r := &request{method: http.MethodPost, url: "https://hooks.example.com/in/token", header: header, body: body}
		m.change(r)
		name := string(m.from) + ", " + m.name
		sdk, we := judge(t, r)
		switch {
		case sdk.accepted && we.accepted:
			both++
			if met[name] = !slices.Equal(sdk.events, we.events); met[name] && cloudEventsRead[name] == "" {
				t.Errorf("%s: the SDK reads %q, we %q", name, sdk.events, we.events)
			}
		case sdk.accepted != we.accepted:
			if met[name] = true; cloudEventsStricter[name] == "" || we.accepted {
				t.Errorf("%s: the SDK accepts: %t, we: %t\n%v\n%s", name, sdk.accepted, we.accepted, r.header, r.body)
			}
		}
	}
	for _, listed := range []map[string]string{cloudEventsStricter, cloudEventsRead} {
		for name := range maps.Keys(listed) {
			if !met[name] {
				t.Errorf("%s is listed as a difference and is none", name)
			}
		}
	}
	if len(mutations) < 50 || both < 10 {
		t.Errorf("%d mutations, %d accepted by both: too few to tell anything", len(mutations), both)
	}
	t.Logf("%d requests, %d accepted by both", len(mutations), both)
}
