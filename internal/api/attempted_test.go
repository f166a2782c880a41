package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// TestAttemptedMessages has one delivery in each state that is stored.
func TestAttemptedMessages(t *testing.T) {
	s := newStory(t)
	delivered := s.names["msg"]
	publish := func(n int, a postern.Attempt) string {
		s.names["msg"] = s.must("/app/shop/msg", fmt.Sprintf(`{"eventType":"invoice.paid","eventId":"e-%d","channels":["c"],"tags":["t%d"],"payload":{"n":%d}}`, n, n, n))
		if a.N > 0 {
			a.ID = postern.NewAttemptID(s.now, 1, 9, n, 1)
			s.attempt(a)
		}
		return s.names["msg"]
	}
	next := s.now.Add(time.Minute)
	pending := publish(1, postern.Attempt{})
	failed := publish(2, postern.Attempt{N: 1, Code: 500, State: postern.Dead})
	sending := publish(3, postern.Attempt{N: 1, Code: 500, State: postern.Retrying, Next: next})
	canceled := publish(4, postern.Attempt{})
	s.want(204, "POST", s.path("/app/shop/msg/{msg}/endpoint/a/cancel"), "")
	s.must("/app/shop/msg", `{"eventType":"not.for.a","payload":{}}`)

	const path = "/app/shop/endpoint/a/msg"
	for query, want := range map[string][]string{
		"":                                    {canceled, sending, failed, pending, delivered},
		"?order=ascending&limit=250":          {delivered, pending, failed, sending, canceled},
		"?status=0":                           {canceled, delivered},
		"?status=0&expanded_statuses=true":    {delivered},
		"?status=4&expanded_statuses=true":    {canceled},
		"?status=1":                           {pending},
		"?status=2":                           {failed},
		"?status=3":                           {sending},
		"?status=4":                           {},
		"?tag=t3":                             {sending},
		"?channel=c&event_types=invoice.paid": {canceled, sending, failed, pending},
		"?event_types=other":                  {},
	} {
		if got := ids(t, s.want(200, "GET", path+query, "")); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	got := s.do("GET", path+"?status=3", "").body
	for _, part := range []string{`"payload":{"n":3}`, `"status":3,"statusText":"sending","nextAttempt":"` + next.Format(time.RFC3339) + `"`, `"state":"retrying"`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %s", got, part)
		}
	}
	if got := s.do("GET", path+"?status=2&with_content=false", "").body; !strings.Contains(got, `"payload":{}`) || !strings.Contains(got, `"status":2,"statusText":"fail","nextAttempt":null`) {
		t.Error(got)
	}
}

// TestAttemptedMessagesPages walks both ways, with and without a status that
// few have.
func TestAttemptedMessagesPages(t *testing.T) {
	s := newStory(t)
	all, failed := []string{s.names["msg"]}, []string{}
	for n := range 30 {
		s.names["msg"] = s.must("/app/shop/msg", fmt.Sprintf(`{"eventType":"invoice.paid","payload":{"n":%d}}`, n))
		all = append(all, s.names["msg"])
		if n%7 == 0 {
			s.attempt(postern.Attempt{ID: postern.NewAttemptID(s.now, 1, 9, n, 1), N: 1, Code: 500, State: postern.Dead})
			failed = append(failed, s.names["msg"])
		}
	}
	for query, want := range map[string][]string{"?order=ascending&limit=4": all, "?order=ascending&limit=2&status=2": failed, "?order=ascending&limit=5&status=2": failed} {
		var got []string
		iterator := ""
		for range 40 {
			page := s.want(200, "GET", "/app/shop/endpoint/a/msg"+query+"&iterator="+iterator, "")
			got = append(got, ids(t, page)...)
			if page["done"] == true {
				break
			}
			iterator, _ = page["iterator"].(string)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	back := s.want(200, "GET", "/app/shop/endpoint/a/msg?order=ascending&limit=3&iterator=-"+all[10], "")
	if got := ids(t, back); !slices.Equal(got, all[7:10]) {
		t.Errorf("back: %v, want %v", got, all[7:10])
	}
}

// TestLegacyAttemptLists are older paths to the lists of attempts.
func TestLegacyAttemptLists(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/endpoint", `{"url":"https://example.com/b","uid":"b"}`)
	for path, want := range map[string]int{
		"/app/shop/msg/evt-1/attempt":                       1,
		"/app/shop/msg/{msg}/attempt?endpoint_id=b":         0,
		"/app/shop/msg/{msg}/attempt?status=2":              0,
		"/app/shop/msg/{msg}/endpoint/a/attempt":            1,
		"/app/shop/msg/{msg}/endpoint/{endpoint}/attempt":   1,
		"/app/shop/msg/{msg}/endpoint/b/attempt":            0,
		"/app/shop/msg/{msg}/endpoint/a/attempt?tag=nobody": 0,
	} {
		if got := ids(t, s.want(200, "GET", s.path(path), "")); len(got) != want {
			t.Errorf("%s: %v, want %d", path, got, want)
		}
	}
	s.refused(404, "not_found", "GET", "/app/shop/msg/nothing/endpoint/a/attempt", "")
}

func TestEndpointStats(t *testing.T) {
	s := newStory(t)
	for n := range 5 {
		s.attempt(postern.Attempt{ID: postern.NewAttemptID(s.now.Add(-time.Hour), 1, 9, n, 1), N: n + 2, Code: 500, State: postern.Retrying})
	}
	stats := func(query string) map[string]any { return s.want(200, "GET", "/app/shop/endpoint/a/stats"+query, "") }
	at := func(d time.Duration) string { return s.now.Add(d).Format(time.RFC3339) }
	for query, want := range map[string][2]float64{
		"":                               {1, 5},
		"?since=" + at(-30*time.Minute):  {1, 0},
		"?until=" + at(-30*time.Minute):  {0, 5},
		"?since=" + at(-28*24*time.Hour): {1, 5},
		"?since=" + at(-time.Hour):       {1, 5},
		"?until=" + at(-2*time.Hour):     {0, 0},
		"?until=" + at(2*time.Minute) + "&since=" + at(0): {1, 0},
	} {
		got := stats(query)
		if got["success"] != want[0] || got["fail"] != want[1] || got["pending"] != 0.0 || got["sending"] != 0.0 || got["canceled"] != 0.0 || got["complete"] != true {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{
		"?since=" + at(-29*24*time.Hour), "?until=" + at(time.Hour), "?since=" + at(time.Minute) + "&until=" + at(-time.Minute),
		"?since=" + at(-40*24*time.Hour) + "&until=" + at(-39*24*time.Hour),
	} {
		s.refused(400, `"code":"invalid_range"`, "GET", "/app/shop/endpoint/a/stats"+query, "")
	}
}
