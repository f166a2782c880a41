package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

// explained is a page of explanations by the endpoints' uids.
func (w *world) explained(path string) (explanations, map[string]explanationOut) {
	w.t.Helper()
	var page explanations
	if err := json.Unmarshal([]byte(w.do("GET", path, "").body), &page); err != nil {
		w.t.Fatal(err)
	}
	byUID := map[string]explanationOut{}
	for _, e := range page.Data {
		byUID[*e.EndpointUID] = e
	}
	return page, byUID
}

// TestExplain has one endpoint of each kind of answer, and says the same of
// the message after they have changed.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.want(201, "POST", "/event-type", `{"name":"order.made","description":"d"}`)
	make := func(uid, rest string) {
		w.must("/app/shop/endpoint", `{"url":"https://example.com/`+uid+`","uid":"`+uid+`"`+rest+`}`)
	}
	make("all", ``)
	make("prefix", `,"eventTypes":["invoice.*"]`)
	make("type", `,"eventTypes":["order.made"]`)
	make("channel", `,"channels":["eu"]`)
	make("paused", ``)
	w.want(200, "POST", "/app/shop/endpoint/paused/pause", "")
	make("off", `,"disabled":true`)
	make("gone", ``)
	w.now = w.now.Add(time.Second)
	msg := w.must("/app/shop/msg", `{"eventType":"invoice.paid","channels":["us"],"payload":{}}`)
	path := "/app/shop/msg/" + msg + "/explain"

	want := map[string]struct {
		matched bool
		reason  string
	}{
		"all":     {true, "all event types are selected; all channels are selected"},
		"prefix":  {true, "event type invoice.paid is selected by invoice.*; all channels are selected"},
		"type":    {false, "event type invoice.paid is not among those selected: order.made"},
		"channel": {false, "all event types are selected; the message's channels (us) are not among those selected: eu"},
		"paused":  {true, "all event types are selected; all channels are selected"},
		"off":     {false, "the endpoint is disabled"},
		"gone":    {true, "all event types are selected; all channels are selected"},
	}
	page, got := w.explained(path)
	if page.Matched != 4 || page.Deleted != 0 || !page.Done || len(got) != len(want) {
		t.Errorf("%+v", page)
	}
	for uid, w := range want {
		g := got[uid]
		if g.Matched != w.matched || g.MatchesNow != w.matched || g.Reason != w.reason || g.Changed {
			t.Errorf("%s: %+v, want %+v", uid, g, w)
		}
	}

	w.now = w.now.Add(time.Second)
	w.want(200, "PATCH", "/app/shop/endpoint/prefix", `{"eventTypes":["order.made"]}`)
	w.want(200, "PATCH", "/app/shop/endpoint/off", `{"disabled":false}`)
	w.want(200, "PATCH", "/app/shop/endpoint/all", `{"description":"new"}`)
	w.want(204, "DELETE", "/app/shop/endpoint/gone", "")
	make("late", ``)
	page, got = w.explained(path)
	if page.Matched != 4 || page.Deleted != 1 {
		t.Errorf("after a deletion: %d matched, %d deleted", page.Matched, page.Deleted)
	}
	for uid, want := range map[string]explanationOut{
		"all":    {Matched: true, MatchesNow: true, Changed: true},
		"prefix": {Matched: true, MatchesNow: false, Changed: true},
		"off":    {Matched: false, MatchesNow: true, Changed: true},
		"late":   {Matched: false, MatchesNow: true, Changed: true},
		"type":   {},
	} {
		g := got[uid]
		g.EndpointID, g.EndpointUID, g.URL, g.Reason = want.EndpointID, nil, "", ""
		if diff := cmp.Diff(want, g); diff != "" {
			t.Errorf("%s: %s", uid, diff)
		}
	}
	if reason := got["late"].Reason; reason != "the endpoint was created after the message; as it is now: all event types are selected; all channels are selected" {
		t.Error(reason)
	}
}

// TestExplainWhatTheEngineDid: health changes an endpoint too, and where clocks
// tell nothing the difference does.
func TestExplainWhatTheEngineDid(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := &postern.Message{ID: postern.NewMessageID(at, 0, 1, 1), EventType: "a", Routes: []postern.EndpointNumber{7}}
	before := &EndpointView{Endpoint: postern.Endpoint{Number: 7, CreatedAt: at, UpdatedAt: at}}
	if got := explainOne(m, before); !got.Matched || got.Changed {
		t.Errorf("untouched: %+v", got)
	}
	failing := *before
	failing.Health = postern.Health{Disabled: postern.DisabledFailing, DisabledAt: at.Add(time.Hour)}
	if got := explainOne(m, &failing); !got.Matched || got.MatchesNow || !got.Changed {
		t.Errorf("disabled since: %+v", got)
	}
	failing.Health.DisabledAt = at.Add(-time.Hour) // by a clock that was set back
	if got := explainOne(m, &failing); !got.Changed {
		t.Errorf("disabled, by an odd clock: %+v", got)
	}
}

func TestExplainPages(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for _, uid := range []string{"a", "b", "c"} {
		w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"`+uid+`"}`)
	}
	path := "/app/shop/msg/" + w.must("/app/shop/msg", `{"eventType":"a","payload":{}}`) + "/explain?limit=2"
	first, got := w.explained(path)
	if first.Done || len(got) != 2 || got["c"].EndpointID.IsZero() {
		t.Fatalf("%+v", first)
	}
	second, got := w.explained(path + "&iterator=" + *first.Iterator)
	if !second.Done || len(got) != 1 || got["a"].EndpointID.IsZero() || second.Matched != 3 {
		t.Errorf("%+v", second)
	}
}
