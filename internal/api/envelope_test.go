package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

func TestParseMessage(t *testing.T) {
	body := []byte(` {"x":{"payload":1}, "eventType":"in\u0076oice.paid","payload": {"a" : [1.0]} ,"eventId":"e-1","channels":["a","b"],"tags":["t g"],"deliverAt":null,"payloadRetentionHours":null,"payloadRetentionPeriod":30} `)
	got, err := parseMessage(body)
	if err != nil {
		t.Fatal(err)
	}
	want := postern.Publish{
		EventType: "invoice.paid", EventID: "e-1", ContentType: "application/json",
		Channels: []string{"a", "b"}, Tags: []string{"t g"}, Payload: []byte(`{"a" : [1.0]}`),
	}
	if diff := cmp.Diff(want, got.Publish); diff != "" {
		t.Error(diff)
	}
	start := bytes.Index(body, []byte(`{"a"`))
	if unsafe.SliceData(got.Payload) != &body[start] {
		t.Error("the payload was copied")
	}
	if cap(got.Payload) != len(got.Payload) {
		t.Error("appending to the payload would write into the body")
	}
	// All but the payload must outlive the body.
	clear(body)
	if got.EventType != "invoice.paid" || got.EventID != "e-1" || got.Channels[1] != "b" || got.Tags[0] != "t g" {
		t.Errorf("labels lie in the body: %+v", got)
	}
}

func TestParseMessageRefuses(t *testing.T) {
	long := strings.Repeat("x", 257)
	for body, loc := range map[string]string{
		``:                                  "body",
		`{`:                                 "body",
		`[]`:                                "body",
		`null`:                              "body",
		`{"eventType":"a","payload":{}} {}`: "body",
		"{\"eventType\":\"a\",\"payload\":{\"a\":\"\xff\"}}": "body",
		`{"payload":{}}`:                                                                                               "body.eventType",
		`{"eventType":null,"payload":{}}`:                                                                              "body.eventType",
		`{"eventType":7,"payload":{}}`:                                                                                 "body.eventType",
		`{"eventType":"","payload":{}}`:                                                                                "body.eventType",
		`{"eventType":"a b","payload":{}}`:                                                                             "body.eventType",
		`{"eventType":"a\u0000","payload":{}}`:                                                                         "body.eventType",
		`{"eventType":"` + long + `","payload":{}}`:                                                                    "body.eventType",
		`{"eventType":"a"}`:                                                                                            "body.payload",
		`{"eventType":"a","payload":null}`:                                                                             "body.payload",
		`{"eventType":"a","payload":[]}`:                                                                               "body.payload",
		`{"eventType":"a","payload":"{}"}`:                                                                             "body.payload",
		`{"eventType":"a","payload":{},"eventId":"msg_1"}`:                                                             "body.eventId",
		`{"eventType":"a","payload":{},"eventId":"a/b"}`:                                                               "body.eventId",
		`{"eventType":"a","payload":{},"channels":[]}`:                                                                 "body.channels",
		`{"eventType":"a","payload":{},"channels":"a"}`:                                                                "body.channels",
		`{"eventType":"a","payload":{},"channels":[null]}`:                                                             "body.channels",
		`{"eventType":"a","payload":{},"channels":["a b"]}`:                                                            "body.channels",
		`{"eventType":"a","payload":{},"channels":[1]}`:                                                                "body.channels",
		`{"eventType":"a","payload":{},"channels":["1","2","3","4","5","6"]}`:                                          "body.channels",
		`{"eventType":"a","payload":{},"tags":[""]}`:                                                                   "body.tags",
		`{"eventType":"a","payload":{},"tags":["` + long + `"]}`:                                                       "body.tags",
		`{"eventType":"a","payload":{},"payloadRetentionPeriod":4}`:                                                    "body.payloadRetentionPeriod",
		`{"eventType":"a","payload":{},"payloadRetentionPeriod":91}`:                                                   "body.payloadRetentionPeriod",
		`{"eventType":"a","payload":{},"payloadRetentionPeriod":5.5}`:                                                  "body.payloadRetentionPeriod",
		`{"eventType":"a","payload":{},"payloadRetentionPeriod":"30"}`:                                                 "body.payloadRetentionPeriod",
		`{"eventType":"a","payload":{},"payloadRetentionHours":0}`:                                                     "body.payloadRetentionHours",
		`{"eventType":"a","payload":{},"payloadRetentionHours":1e400}`:                                                 "body.payloadRetentionHours",
		`{"eventType":"a","payload":{},"payloadRetentionPeriod":30,"payloadRetentionHours":720}`:                       "body.payloadRetentionHours",
		`{"eventType":"a","payload":{},"deliverAt":"2030-01-01T00:00:00Z"}`:                                            "body.deliverAt",
		`{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":7}}`:                                      "body.transformationsParams.rawPayload",
		`{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"","headers":{"content-type":"a\r\nb"}}}`: "body.transformationsParams.headers.content-type",
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`:                                  "body",
	} {
		_, err := parseMessage([]byte(body))
		e, ok := errors.AsType[*postern.Error](err)
		if !ok || e.Kind != postern.Invalid || strings.Join(e.Fields[0].Loc, ".") != loc {
			t.Errorf("%.80s: %v, want a fault of %s", body, err, loc)
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte {
		return []byte(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	wide := []byte("[" + strings.Repeat(`["[[\"[["],`, 2*maxDepth) + "1]")
	for name, test := range map[string]struct {
		text []byte
		want bool
	}{
		"at the limit": {nested(maxDepth), true}, "over it": {nested(maxDepth + 1), false},
		"many millions": {nested(4 << 20), false}, "wide": {wide, true},
	} {
		if got := validJSON(test.text); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// FuzzParseMessage compares with encoding/json what is valid and what is read.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		`{"eventType":"a","payload":{}}`,
		`{"eventType":"a","eventType":"b","payload":{"a":1},"payload":{"b":2}}`,
		`{"\u0065ventType":"a","pay\u006coad":{"a":"\ud800"}}`,
		`{"eventType":"a","payload":{"\\":"}"},"channels":["x","y"],"tags":["\n"]}`,
		`{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"\u00e9"}}`,
		`{"eventType":"a" "payload":{}}`, "\t{}\r\n", `{"a":01}`, `{"a":"` + "\x01" + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseMessage(bytes.Clone(body))
		if valid := json.Valid(body) && utf8.Valid(body); validJSON(body) != valid {
			t.Fatalf("valid: %t, encoding/json says %t", !valid, valid)
		}
		if err != nil {
			if postern.KindOf(err) != postern.Invalid {
				t.Fatal(err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%v, but it was read", err)
		}
		if !got.wrapped && !bytes.Equal(got.Payload, want["payload"]) {
			t.Errorf("payload %q, want %q", got.Payload, want["payload"])
		}
		var eventType string
		if err := json.Unmarshal(want["eventType"], &eventType); err != nil || eventType != got.EventType {
			t.Errorf("event type %q, want %q (%v)", got.EventType, eventType, err)
		}
		if out := appendMessage(nil, &postern.Message{EventType: got.EventType, Tags: got.Tags, Channels: got.Channels}, nil); !json.Valid(out) {
			t.Errorf("the answer is not JSON: %q", out)
		}
	})
}
