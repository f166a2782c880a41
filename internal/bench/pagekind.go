package bench

import (
	"fmt"
	"net/http"
)

// absent is a channel, a tag and an event type that no message has.
const absent = "absent"

// pageKind is one request that is made again and again.
type pageKind struct {
	name string
	// path is below the application; {at} in it is one of at in turn.
	path string
	at   []string
	body any // of a POST; nil: GET
	// least is how many entries the first page must have, so that what was measured
	// was the thing itself.
	least int
	// tail is read up to its first event of this name, "id" for the first id; from is
	// the Last-Event-ID.
	tail, from string
}

func (k pageKind) method() string {
	if k.body != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// kinds is what a dashboard or an SDK asks for.
func (a *archive) kinds() []pageKind {
	var list []pageKind
	for _, limit := range []int{50, 250} {
		for _, k := range a.lists() {
			k.name = fmt.Sprintf("%s, limit %d", k.name, limit)
			k.path += fmt.Sprintf("&limit=%d", limit)
			k.least = min(k.least, limit, a.count/1000) // nothing is sure of a small archive
			list = append(list, k)
		}
	}
	return append(append(list, a.singles()...), a.tails()...)
}

// lists have a limit.
func (a *archive) lists() []pageKind {
	const full = 250
	window := "&after=" + moment(a.middle[0]) + "&before=" + moment(a.middle[1])
	ofAll, ofDead, ofWaiting, ofIdle := "/endpoint/"+a.all+"/msg?", "/endpoint/"+a.dead+"/msg?", "/endpoint/"+a.waiting+"/msg?", "/endpoint/"+a.idle+"/msg?"
	attempts, failed := "/attempt/endpoint/"+a.all+"?", "/attempt/endpoint/"+a.dead+"?"
	return []pageKind{
		{name: "messages", path: "/msg?", least: full},
		{name: "messages, headers", path: "/msg?with_content=false", least: full},
		{name: "messages, deep", path: "/msg?iterator={at}", at: a.messages},
		{name: "messages, deep, headers", path: "/msg?with_content=false&iterator={at}", at: a.messages},
		{name: "messages, deep, back", path: "/msg?iterator=-{at}", at: a.messages},
		{name: "messages, deep, oldest first", path: "/msg?order=ascending&iterator={at}", at: a.messages},
		{name: "messages, between two times", path: "/msg?" + window, least: 1},
		{name: "messages by type", path: "/msg?event_types=" + eventType, least: full},
		{name: "messages by channel", path: "/msg?channel=" + channelName(3), least: full},
		{name: "messages by tag", path: "/msg?tag=" + pageTag, least: full},
		{name: "messages by a type of none", path: "/msg?event_types=" + absent},
		{name: "messages by a channel of none", path: "/msg?channel=" + absent},
		{name: "messages by a tag of none, deep", path: "/msg?tag=" + absent + "&iterator={at}", at: a.messages},
		{name: "messages by the oldest tag", path: "/msg?tag=" + pageOldTag},
		{name: "endpoint's messages", path: ofAll, least: full},
		{name: "endpoint's messages, deep", path: ofAll + "iterator={at}", at: a.messages},
		{name: "endpoint's messages, headers", path: ofAll + "with_content=false", least: full},
		{name: "endpoint's messages, of few", path: ofDead + "with_content=false", least: 10},
		{name: "endpoint's messages, failed", path: ofDead + "status=2", least: 10},
		{name: "endpoint's messages, waiting", path: ofWaiting + "status=3", least: 10},
		{name: "endpoint's messages, failed of none", path: ofAll + "status=2"},
		{name: "endpoint's messages of none", path: ofIdle},
		{name: "endpoint's messages by a tag of none", path: ofAll + "tag=" + absent},
		{name: "attempts", path: attempts, least: full},
		{name: "attempts, deep", path: attempts + "iterator={at}", at: a.attempts},
		{name: "attempts, deep, back", path: attempts + "iterator=-{at}", at: a.attempts},
		{name: "attempts with messages", path: attempts + "with_msg=true", least: full},
		{name: "attempts between two times", path: attempts + window},
		{name: "attempts, failed", path: failed + "status=2", least: full},
		{name: "attempts, failed of none", path: attempts + "status=2"},
		{name: "attempts by code", path: failed + "status_code_class=500", least: full},
		{name: "attempts by a code of none", path: attempts + "status_code_class=400"},
		{name: "attempts by type", path: attempts + "event_types=" + eventType, least: full},
		{name: "attempts by channel", path: attempts + "channel=" + channelName(3), least: 10},
		{name: "attempts by a tag of none", path: attempts + "tag=" + absent},
		{name: "attempts of none", path: "/attempt/endpoint/" + a.idle + "?"},
		{name: "attempts of a message", path: "/attempt/msg/{at}?", at: a.messages, least: 1},
		{name: "deliveries", path: "/delivery?", least: full},
		{name: "deliveries, pending", path: "/delivery?state=pending"},
		{name: "deliveries, retrying", path: "/delivery?state=retrying", least: full},
		{name: "deliveries, retrying soon", path: "/delivery?next_before=" + moment(a.middle[0])},
		{name: "deliveries, dead", path: "/delivery?state=dead", least: full},
		{name: "deliveries, delivered", path: "/delivery?state=delivered", least: full},
		{name: "deliveries, canceled", path: "/delivery?state=canceled"},
		{name: "deliveries of an endpoint", path: "/delivery?endpoint_id=" + a.dead, least: 10},
		{name: "endpoints of a message", path: "/msg/{at}/endpoint?", at: a.messages, least: 1},
		{name: "explain", path: "/msg/{at}/explain?", at: a.messages, least: 1},
	}
}

// singles answer with one thing.
func (a *archive) singles() []pageKind {
	list := []pageKind{
		{name: "message", path: "/msg/{at}", at: a.messages},
		{name: "message by event id", path: "/msg/{at}", at: a.events},
		{name: "message, raw", path: "/msg/{at}/raw", at: a.messages},
		{name: "counts of an endpoint", path: "/endpoint/" + a.all + "/stats"},
		{name: "counts of a failing endpoint", path: "/endpoint/" + a.dead + "/stats"},
		{name: "plot of the application", path: "/stats"},
		{name: "plot between two times", path: "/stats?since=" + moment(a.middle[0]) + "&until=" + moment(a.middle[1])},
		{name: "plot of an endpoint", path: "/stats?endpoint_id=" + a.all},
		{name: "plot of an endpoint over 28 days", path: "/stats?bucket=24h&endpoint_id=" + a.all + "&since=" + moment(a.middle[0].AddDate(0, 0, -28))},
	}
	since := moment(a.middle[0].AddDate(0, 0, -1))
	for _, r := range []struct{ name, endpoint, status string }{
		{"all", a.all, "all"}, {"delivered", a.all, "delivered"}, {"failed", a.waiting, "failed"}, {"dead", a.dead, "dead"}, {"missing", a.idle, "missing"},
	} {
		list = append(list, pageKind{
			name: "preview of a replay, " + r.name, path: "/replay/preview",
			body: map[string]any{"endpointId": r.endpoint, "status": r.status, "since": since},
		})
	}
	return append(list, pageKind{
		name: "preview of a replay by a tag of none", path: "/replay/preview",
		body: map[string]any{"endpointId": a.all, "status": "all", "since": since, "tag": absent},
	})
}

// tails go on for ever: what counts is how soon the client hears of what it wants.
func (a *archive) tails() []pageKind {
	of := "/tail?app_id=" + a.app
	return []pageKind{
		{name: "tail", path: of, tail: "id"},
		{name: "tail from the beginning", path: of, tail: "message", from: a.beginning},
		{name: "tail from the beginning, by type", path: of + "&event_types=" + eventType, tail: "message", from: a.beginning},
		{name: "tail from the beginning, dead", path: of + "&outcome=dead", tail: "id", from: a.beginning},
		{name: "tail from the beginning, of none", path: of + "&event_types=" + absent, tail: "id", from: a.beginning},
	}
}
