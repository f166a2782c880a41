package api

import (
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

func TestSendExample(t *testing.T) {
	s := newStory(t)
	const path = "/app/shop/endpoint/a/send-example"
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","uid":"b"}`)
	s.want(201, "POST", "/event-type", `{"name":"user.made","description":"d","schemas":{
		"9":{"type":"object","examples":[{"old":true}]},
		"10":{"type":"object","examples":[{"id": 1.0,"x":"<&>"},{"second":2}]}}}`)
	s.want(201, "POST", "/event-type", `{"name":"bare","description":"d"}`)
	for body, payload := range map[string]string{
		`{"eventType":"svix.ping"}`:                  `"payload":{"success":true}`,
		`{"eventType":"user.made"}`:                  `"payload":{"id":1.0,"x":"<&>"}`,
		`{"eventType":"user.made","exampleIndex":1}`: `"payload":{"second":2}`,
	} {
		got := s.do("POST", path, body)
		if got.StatusCode != 200 || !strings.Contains(got.body, payload) {
			t.Fatalf("%s: %d %s", body, got.StatusCode, got.body)
		}
		id, err := postern.ParseMessageID(got.body[len(`{"id":"`):strings.Index(got.body, `","eventType`)])
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.store.Message(t.Context(), 1, id)
		if err != nil || len(m.Routes) != 1 || m.Routes[0] != 1 {
			t.Errorf("%s: it went to %v, want this endpoint alone: %v", body, m.Routes, err)
		}
	}
	s.refused(400, "invalid_scheme", "POST", path, `{"eventType":"bare"}`)
	s.refused(400, "invalid_scheme", "POST", path, `{"eventType":"user.made","exampleIndex":2}`)
	s.refused(404, "not_found", "POST", path, `{"eventType":"nobody.knows"}`)
	s.refused(422, `"loc":["body","eventType"]`, "POST", path, `{}`)
	s.refused(422, `"loc":["body","exampleIndex"]`, "POST", path, `{"eventType":"user.made","exampleIndex":-1}`)
	s.want(200, "PATCH", "/app/shop/endpoint/a", `{"disabled":true}`)
	s.refused(400, "endpoint_disabled", "POST", path, `{"eventType":"svix.ping"}`)
}

func TestPrecheck(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","channels":["c"]}`)
	for body, active := range map[string]bool{
		`{"eventType":"invoice.paid"}`:                  true,
		`{"eventType":"user.made"}`:                     false,
		`{"eventType":"user.made","channels":["c"]}`:    true,
		`{"eventType":"user.made","channels":["d"]}`:    false,
		`{"eventType":"invoice.paid","channels":null}`:  true,
		`{"eventType":"invoice.paid","channels":["x"]}`: true,
	} {
		if got := s.want(200, "POST", "/app/shop/msg/precheck/active", body)["active"]; got != active {
			t.Errorf("%s: active %v, want %t", body, got, active)
		}
	}
	s.refused(422, `"channels"`, "POST", "/app/shop/msg/precheck/active", `{"eventType":"a","channels":["1","2","3","4","5","6"]}`)
	s.refused(422, `"eventType"`, "POST", "/app/shop/msg/precheck/active", `{}`)
}
