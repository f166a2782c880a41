package verify_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

const ceEvent = `{"specversion":"1.0","id":"7","source":"/orders","type":"order/paid","data":{"n":1.0}}`

func ceRequest(contentType, authorization, target, body string) verify.Request {
	req := verify.Request{Method: "POST", Target: target, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	if authorization != "" {
		req.Header["Authorization"] = strings.Split(authorization, "|")
	}
	return req
}

func TestCloudEventsAuthorization(t *testing.T) {
	bearer, err := verify.For("cloudevents", "old token", "new token")
	if err != nil {
		t.Fatal(err)
	}
	def, _ := verify.Lookup("cloudevents")
	open, err := verify.New(def, verify.Config{Settings: map[string]string{"authorization": "none"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		v             *verify.Verifier
		authorization string
		target        string
		want          verify.Reason
	}{
		"the new token":               {bearer, "Bearer new token", "/in/x", ""},
		"the old token":               {bearer, "bearer old token", "/in/x", ""},
		"in the query":                {bearer, "", "/in/x?a=b&access_token=new%20token", ""},
		"another token":               {bearer, "Bearer other token", "/in/x", verify.ReasonSignatureMismatch},
		"another in the query":        {bearer, "", "/in/x?access_token=other", verify.ReasonSignatureMismatch},
		"wrong beside a right query":  {bearer, "Bearer other", "/in/x?access_token=new%20token", verify.ReasonSignatureMismatch},
		"another scheme":              {bearer, "Basic new token", "/in/x", verify.ReasonSignatureMalformed},
		"none":                        {bearer, "", "/in/x", verify.ReasonSignatureMissing},
		"twice":                       {bearer, "Bearer new token|Bearer new token", "/in/x", verify.ReasonDuplicateHeader},
		"twice in the query":          {bearer, "", "/in/x?access_token=new%20token&access_token=x", verify.ReasonDuplicateValue},
		"none asked for":              {open, "", "/in/x", ""},
		"one where none is asked for": {open, "Bearer whatever", "/in/x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			event, err := c.v.Verify(t.Context(), ceRequest("application/cloudevents+json", c.authorization, c.target, ceEvent), time.Now())
			refused, _ := errors.AsType[*verify.Error](err)
			switch {
			case c.want == "" && (err != nil || event.ProviderEventType != "order/paid"):
				t.Errorf("got %+v, %v", event, err)
			case c.want != "" && (refused == nil || refused.Reason != c.want):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// A batch is several events to publish, and nameless as a whole.
func TestCloudEventsReceived(t *testing.T) {
	def, _ := verify.Lookup("cloudevents")
	v, err := verify.New(def, verify.Config{Secrets: []string{"token"}, EventTypePrefix: "ce."})
	if err != nil {
		t.Fatal(err)
	}
	const batch = "application/cloudevents-batch+json"
	one := verify.Event{Type: "ce.order.paid", ProviderEventType: "order/paid", DeliveryID: "/orders 7"}
	part := one
	part.Payload, part.ContentType = []byte(ceEvent), "application/cloudevents+json"
	whole := verify.Event{Type: "cloudevents.event"}
	for name, c := range map[string]struct {
		contentType, body string
		events            []verify.Event
		event             verify.Event
	}{
		"structured":         {"application/cloudevents+json", ceEvent, []verify.Event{one}, one},
		"a batch of two":     {batch, "[" + ceEvent + " , " + ceEvent + "]", []verify.Event{part, part}, whole},
		"a batch of one":     {batch, "[" + ceEvent + "]", []verify.Event{part}, part},
		"a batch of nothing": {batch, "[]", []verify.Event{}, whole},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := v.Receive(t.Context(), ceRequest(c.contentType, "Bearer token", "", c.body), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.events, result.Events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.event, result.Event); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
	result, err := v.Receive(t.Context(), ceRequest(batch, "Bearer token", "", "["+ceEvent+",{}]"), time.Now())
	if refused, ok := errors.AsType[*verify.Error](err); !ok || refused.Reason != verify.ReasonEventMalformed || len(result.Events) > 0 {
		t.Errorf("one that is wrong: %+v, %v", result, err)
	}
}

func TestFor(t *testing.T) {
	for provider, field := range map[string]string{"nobody": "provider", "github": "secrets"} {
		_, err := verify.For(provider)
		if wrong, ok := errors.AsType[*verify.ConfigError](err); !ok || len(wrong.Fields) != 1 || wrong.Fields[0].Field != field {
			t.Errorf("For(%s) without a secret: %v, want %s to be wrong", provider, err, field)
		}
	}
}
