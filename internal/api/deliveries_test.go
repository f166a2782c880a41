package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// flow is an application with endpoints a, b, c and messages 0..n, each routed
// to all three. Message i goes to endpoint j with the fate (i+j) % 5.
type flow struct {
	*world
	messages []postern.MessageID
	number   map[string]postern.EndpointNumber
	attempts int
}

const flowMessages = 12

func newFlow(t testing.TB) *flow {
	f := &flow{world: newWorld(t), number: map[string]postern.EndpointNumber{}}
	f.must("/app", `{"name":"Other","uid":"other"}`)
	f.must("/app", `{"name":"Shop","uid":"shop"}`)
	for _, uid := range []string{"a", "b", "c"} {
		f.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"`+uid+`"}`)
		v, err := f.cat.Endpoint(2, uid)
		if err != nil {
			t.Fatal(err)
		}
		f.number[uid] = v.Number
	}
	for i := range flowMessages {
		f.now = f.now.Add(time.Second)
		id, err := postern.ParseMessageID(f.must("/app/shop/msg", `{"eventType":"a","payload":{}}`))
		if err != nil {
			t.Fatal(err)
		}
		f.messages = append(f.messages, id)
		for j, uid := range []string{"a", "b", "c"} {
			f.fate(i, uid, (i+j)%5)
		}
	}
	return f
}

// fate stores what became of a delivery.
func (f *flow) fate(i int, uid string, fate int) {
	f.t.Helper()
	key := store.DeliveryKey{Application: 2, Endpoint: f.number[uid], Message: f.messages[i]}
	switch fate {
	case 0: // pending
	case 1:
		f.attempt(key, 1, postern.Delivered)
	case 2:
		f.attempt(key, 1, postern.Retrying)
	case 3:
		f.attempt(key, 1, postern.Dead)
		if err := f.commit(f.t.Context(), func(b *store.Batch) { b.Dead = []store.DeadChange{{Key: key}} }); err != nil {
			f.t.Fatal(err)
		}
	case 4:
		if err := f.Cancel(f.t.Context(), key); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *flow) attempt(key store.DeliveryKey, n int, state postern.State) {
	f.attempts++
	a := postern.Attempt{
		ID:      postern.NewAttemptID(f.now, 0, uint64(f.attempts), 0, key.Endpoint),
		Message: key.Message, Application: key.Application, Endpoint: key.Endpoint, N: n,
		State: state, Succeeded: state == postern.Delivered, Started: f.now,
	}
	if state == postern.Retrying {
		a.Next = f.now.Add(time.Duration(flowMessages-len(f.messages)) * time.Hour)
	}
	f.settle(a)
}

// list walks the list page by page, forth from its start, or back from an
// iterator, and returns what it reads as "message index, endpoint, state" in the
// order of the list.
func (f *flow) list(query string, limit int, from string) []string {
	f.t.Helper()
	var got []string
	iterator, back := "", from != ""
	if back {
		iterator = "&iterator=" + from
	}
	for range 100 {
		var page listing[deliveryOut]
		answer := f.do("GET", fmt.Sprintf("/app/shop/delivery?limit=%d%s%s", limit, query, iterator), "")
		if err := json.Unmarshal([]byte(answer.body), &page); err != nil || answer.StatusCode != 200 || len(page.Data) > limit {
			f.t.Fatalf("%d %s: %v", answer.StatusCode, answer.body, err)
		}
		var names []string
		for _, d := range page.Data {
			names = append(names, fmt.Sprintf("%d %s %s", slices.Index(f.messages, d.MsgID), *d.EndpointUID, d.State))
		}
		if back {
			got = append(names, got...)
		} else {
			got = append(got, names...)
		}
		if page.Done {
			return got
		}
		if iterator = "&iterator=" + *page.Iterator; back {
			iterator = "&iterator=" + *page.PrevIterator
		}
	}
	f.t.Fatal("a list without end")
	return nil
}

// want are the deliveries of a state ("" for all), newest first: by message and
// endpoint, or the other way round.
func (f *flow) want(state string, byEndpoint bool, keep func(i int, uid string) bool) []string {
	names := []string{"pending", "delivered", "retrying", "dead", "canceled"}
	type entry struct{ i, j int }
	var all []entry
	for i := range flowMessages {
		for j := range 3 {
			if name := names[(i+j)%5]; (state == "" || state == name) && keep(i, string(rune('a'+j))) {
				all = append(all, entry{i, j})
			}
		}
	}
	slices.SortFunc(all, func(x, y entry) int {
		if byEndpoint && x.j != y.j {
			return y.j - x.j
		}
		if x.i != y.i {
			return y.i - x.i
		}
		return y.j - x.j
	})
	var want []string
	for _, e := range all {
		want = append(want, fmt.Sprintf("%d %c %s", e.i, 'a'+e.j, names[(e.i+e.j)%5]))
	}
	return want
}

func everything(int, string) bool { return true }

// TestDeliveries pages through every state, all of them and one endpoint, forth
// and back, with pages of every size.
func TestDeliveries(t *testing.T) {
	f := newFlow(t)
	for _, state := range []string{"", "pending", "delivered", "retrying", "dead", "canceled"} {
		byEndpoint := state == "delivered" || state == "retrying" || state == "dead"
		query := "&state=" + state
		all := f.want(state, byEndpoint, everything)
		ofB := f.want(state, byEndpoint, func(_ int, uid string) bool { return uid == "b" })
		since := "&since=" + f.messages[3].Time().Format(time.RFC3339Nano) + "&until=" + f.messages[8].Time().Format(time.RFC3339Nano)
		window := f.want(state, byEndpoint, func(i int, _ string) bool { return i > 3 && i < 8 })
		for _, limit := range []int{1, 2, 5, 36, 250} {
			for what, test := range map[string]struct {
				query string
				want  []string
			}{
				"all": {query, all}, "of one endpoint": {query + "&endpoint_id=b", ofB}, "within times": {query + since, window},
			} {
				if diff := cmp.Diff(test.want, f.list(test.query, limit, "")); diff != "" {
					t.Errorf("%q, %s, pages of %d: %s", state, what, limit, diff)
				}
				turned := slices.Clone(test.want)
				slices.Reverse(turned)
				if diff := cmp.Diff(turned, f.list(test.query+"&order=ascending", limit, "")); diff != "" {
					t.Errorf("%q, %s, ascending, pages of %d: %s", state, what, limit, diff)
				}
			}
		}
		if len(all) < 6 {
			t.Errorf("only %d are %s", len(all), state)
		}
	}
}

// TestDeliveriesWalkBack goes to the end, and from there back.
func TestDeliveriesWalkBack(t *testing.T) {
	f := newFlow(t)
	for _, state := range []string{"", "dead", "retrying", "delivered"} {
		want := f.want(state, state != "", everything)
		page := f.want200(fmt.Sprintf("/app/shop/delivery?state=%s&limit=%d", state, len(want)-1))
		last := f.want200("/app/shop/delivery?state=" + state + "&iterator=" + *page.Iterator)
		if len(last.Data) != 1 || !last.Done {
			t.Fatalf("%q: %+v", state, last)
		}
		back := f.list("&state="+state, 3, *last.PrevIterator)
		if diff := cmp.Diff(want[:len(want)-1], back); diff != "" {
			t.Errorf("%q: %s", state, diff)
		}
	}
}

func (f *flow) want200(path string) (page listing[deliveryOut]) {
	f.t.Helper()
	if err := json.Unmarshal([]byte(f.do("GET", path, "").body), &page); err != nil {
		f.t.Fatal(err)
	}
	return page
}

// TestDeliveryShape has every field of one of each kind.
func TestDeliveryShape(t *testing.T) {
	f := newFlow(t)
	next := f.now.Add(time.Hour).Format(time.RFC3339Nano)
	page := f.want200("/app/shop/delivery?next_before=" + next)
	if len(page.Data) == 0 || len(page.Data) == len(f.want("retrying", true, everything)) {
		t.Errorf("%d are due within the hour", len(page.Data))
	}
	for _, d := range page.Data {
		if d.NextAttempt == nil || d.NextAttempt.After(f.now.Add(time.Hour)) || d.Status != 3 || d.StatusText != "sending" || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
	}
	for state, want := range map[string]deliveryOut{
		"pending":   {Status: 1, StatusText: "pending"},
		"delivered": {Status: 0, StatusText: "success", Attempts: 1},
		"dead":      {Status: 2, StatusText: "fail", Attempts: 1},
		"canceled":  {Status: 4, StatusText: "canceled", Reason: null("canceled")},
	} {
		got := f.want200("/app/shop/delivery?expanded_statuses=true&state=" + state).Data[0]
		if got.MsgID.IsZero() || got.EndpointID.IsZero() || !got.Timestamp.Equal(got.MsgID.Time()) || got.State != state {
			t.Errorf("%+v", got)
		}
		got.MsgID, got.EndpointID, got.EndpointUID, got.State, got.Timestamp = postern.MessageID{}, postern.EndpointID{}, nil, "", time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", state, diff)
		}
	}
}

// TestDeliveriesAfterResends: what was delivered and came back is listed where
// it is now, and once.
func TestDeliveriesAfterResends(t *testing.T) {
	f := newFlow(t)
	key := store.DeliveryKey{Application: 2, Endpoint: f.number["a"], Message: f.messages[1]} // delivered
	f.attempt(key, 2, postern.Delivered)
	if got := f.list("&state=delivered&endpoint_id=a", 50, ""); len(got) != 3 || slices.Index(got, "1 a delivered") != 0 {
		t.Errorf("delivered twice: %v", got)
	}
	f.attempt(key, 3, postern.Retrying)
	if got := f.list("&state=delivered&endpoint_id=a", 50, ""); slices.Contains(got, "1 a delivered") {
		t.Errorf("still delivered: %v", got)
	}
	if got := f.list("&state=retrying&endpoint_id=a", 50, ""); !slices.Contains(got, "1 a retrying") {
		t.Errorf("not retrying: %v", got)
	}
}

// TestDeliveriesOfDeletedEndpoints: a page may end at an endpoint that is gone
// when the next one is asked for.
func TestDeliveriesOfDeletedEndpoints(t *testing.T) {
	for _, state := range []string{"", "dead"} {
		f := newFlow(t)
		want := f.want(state, state != "", func(_ int, uid string) bool { return uid != "b" })
		page := f.want200("/app/shop/delivery?limit=250&endpoint_id=b&state=" + state)
		f.world.want(204, "DELETE", "/app/shop/endpoint/b", "")
		if diff := cmp.Diff(want, f.list("&state="+state, 4, "")); diff != "" {
			t.Errorf("%q: %s", state, diff)
		}
		// Behind b's last entry lie what the others have there.
		rest := f.want200("/app/shop/delivery?state=" + state + "&iterator=" + *page.Iterator)
		for _, d := range rest.Data {
			if *d.EndpointUID == "b" {
				t.Errorf("%q: a deleted endpoint's: %+v", state, d)
			}
		}
		if state == "dead" && len(rest.Data) != 2 { // a's
			t.Errorf("behind b come %d", len(rest.Data))
		}
	}
}

func TestDeliveriesOfOthers(t *testing.T) {
	f := newFlow(t)
	for _, state := range []string{"", "pending", "delivered", "retrying", "dead", "canceled"} {
		if page := f.want200("/app/other/delivery?state=" + state); len(page.Data) != 0 || !page.Done {
			t.Errorf("%q: %+v", state, page)
		}
	}
	page := f.want200("/app/shop/delivery?state=delivered&limit=1")
	for path, text := range map[string]string{
		"/app/shop/delivery?iterator=" + *page.Iterator:                                "iterator",
		"/app/shop/delivery?state=delivered&iterator=x":                                "iterator",
		"/app/shop/delivery?state=dead&iterator=" + f.messages[0].String():             "iterator",
		"/app/shop/delivery?state=dead&next_before=2030-01-01T00:00:00Z":               "next try",
		"/app/shop/delivery?state=unknown":                                             "canceled",
		"/app/shop/delivery?iterator=" + f.messages[0].String() + "." + "app_nonsense": "iterator",
	} {
		f.refused(422, text, "GET", path, "")
	}
	f.refused(404, "not_found", "GET", "/app/other/delivery?endpoint_id=a", "")
}

// TestDeliveriesAreLookedAtWithinBounds looks for what there is little of: each
// page comes to an end, and the pages together find it.
func TestDeliveriesAreLookedAtWithinBounds(t *testing.T) {
	f := newFlow(t)
	const more = deliveryBudget
	err := f.commit(t.Context(), func(b *store.Batch) {
		for i := range more {
			id := postern.NewMessageID(f.now.Add(time.Millisecond), 1, f.head.Next+uint64(i), 7)
			m := &postern.Message{ID: id, Application: 2, EventType: "a", Routes: []postern.EndpointNumber{f.number["a"], f.number["b"]}}
			b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{}})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	page := f.want200("/app/shop/delivery?state=canceled&limit=50")
	if page.Done || len(page.Data) != 0 || page.Iterator == nil {
		t.Fatalf("%+v", page)
	}
	if diff := cmp.Diff(f.want("canceled", false, everything), f.list("&state=canceled", 50, "")); diff != "" {
		t.Error(diff)
	}
}

// reads counts the pages that are read of an endpoint's attempts.
type reads struct {
	store.History
	pages int
}

func (r *reads) EndpointAttempts(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, f store.AttemptFilter, p store.Page) (store.AttemptPage, error) {
	r.pages++
	return r.History.EndpointAttempts(ctx, app, n, f, p)
}

// TestDeliveredAmongFailures: a page looks at a bounded number of attempts, however
// many failed, and says where to go on.
func TestDeliveredAmongFailures(t *testing.T) {
	f := newFlow(t)
	h := f.world.handler.(*handler) //nolint:forcetypeassert // it is
	counted := &reads{History: h.History}
	h.History = counted
	f.now = f.now.Add(time.Hour)
	err := f.commit(t.Context(), func(b *store.Batch) {
		for i := range 50_000 {
			b.Attempts = append(b.Attempts, &postern.Attempt{
				ID:      postern.NewAttemptID(f.now.Add(time.Duration(i)*time.Millisecond), 0, f.head.Batch, i, f.number["a"]),
				Message: f.messages[0], Application: 2, Endpoint: f.number["a"], N: 100 + i, State: postern.Retrying,
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var page listing[deliveryOut]
	answer := f.do("GET", "/app/shop/delivery?state=delivered", "")
	if err := json.Unmarshal([]byte(answer.body), &page); err != nil || page.Done || page.Iterator == nil {
		t.Errorf("%d %s: %v", answer.StatusCode, answer.body, err)
	}
	if counted.pages > 3 { // one for each endpoint
		t.Errorf("it reads %d pages for one", counted.pages)
	}
	if got := f.list("&state=delivered", 50, ""); len(got) == 0 {
		t.Error("in the end it finds none")
	}
}
