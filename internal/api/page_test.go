package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

// walk reads a list page by page through its iterators, forth or back.
func walk(t *testing.T, w *world, path, iterator, start string) []string {
	t.Helper()
	var all []string
	for at, pages := start, 0; ; pages++ {
		if pages > 20 {
			t.Fatalf("%s has no end", path)
		}
		separator := "?"
		if slices.Contains([]byte(path), '?') {
			separator = "&"
		}
		page := w.want(200, "GET", path+separator+"limit=2&iterator="+at, "")
		if iterator == "iterator" {
			all = append(all, ids(t, page)...)
		} else {
			all = append(ids(t, page), all...)
		}
		if done, _ := page["done"].(bool); done {
			return all
		}
		at, _ = page[iterator].(string)
	}
}

// TestPages walks every kind of list to its end and back.
func TestPages(t *testing.T) {
	s := newStory(t)
	for i := range 4 {
		s.now = s.now.Add(time.Second)
		s.must("/app", fmt.Sprintf(`{"name":"n","uid":"u%d"}`, i))
		s.want(201, "POST", "/event-type", fmt.Sprintf(`{"name":"t%d","description":"d"}`, i))
		s.must("/app/shop/endpoint", fmt.Sprintf(`{"url":"https://example.com/%d"}`, i))
		s.must("/app/shop/source", `{"name":"n","provider":"github"}`)
		s.must("/key", `{"name":"n","scope":"admin"}`)
		s.must("/app/shop/msg", `{"eventType":"a","payload":{}}`)
		id, err := (&postern.IDSource{Now: s.clock, Random: zeros{}}).Next()
		if err != nil {
			t.Fatal(err)
		}
		s.attempt(postern.Attempt{ID: id, N: i + 2, Code: 500, State: postern.Retrying, Next: s.now})
	}
	for path, want := range map[string]int{
		"/app":                                6,
		"/app?order=descending":               6,
		"/event-type":                         5,
		"/app/shop/endpoint":                  5,
		"/app/shop/source":                    5,
		"/key":                                5,
		"/app/shop/msg":                       5,
		"/app/shop/msg?order=ascending":       5,
		s.path("/app/shop/attempt/msg/{msg}"): 5,
		"/app/shop/attempt/endpoint/a":        5,
		"/app/shop/source/gh/refusal":         1,
	} {
		forth := walk(t, s.world, path, "iterator", "")
		if len(forth) != want || len(slices.Compact(slices.Sorted(slices.Values(forth)))) != want {
			t.Errorf("%s: %d entries, want %d: %v", path, len(forth), want, forth)
			continue
		}
		last := forth[len(forth)-1]
		back := walk(t, s.world, path, "prevIterator", "-"+last)
		if diff := cmp.Diff(forth[:len(forth)-1], append([]string{}, back...)); diff != "" && want > 1 {
			t.Errorf("%s, walked back (-forth +back): %s", path, diff)
		}
	}
	newest := walk(t, s.world, "/app/shop/msg", "iterator", "")
	if !slices.IsSortedFunc(newest, func(a, b string) int { return -compareText(a, b) }) {
		t.Errorf("messages are not newest first: %v", newest)
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestIteratorsOfOtherLists: a list that would answer an empty page to what is
// none of its iterators would seem to end there.
func TestIteratorsOfOtherLists(t *testing.T) {
	s := newStory(t)
	attempt := postern.AttemptID{1}.String()
	for _, path := range []string{
		"/app", "/app/shop/endpoint", "/app/shop/source", "/app/shop/replay", "/app/shop/msg", "/app/shop/delivery", "/key", "/background-task",
		"/app/shop/msg/{msg}/endpoint", "/app/shop/msg/{msg}/explain", "/app/shop/endpoint/a/msg", "/app/shop/source/gh/refusal",
	} {
		for _, iterator := range []string{"nonsense", "-nonsense", attempt, "-" + attempt, "--"} {
			s.refused(422, `"loc":["query","iterator"]`, "GET", s.path(path)+"?iterator="+iterator, "")
		}
	}
}

// zeros is randomness for ids that differ in time.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestFilters(t *testing.T) {
	s := newStory(t)
	s.must("/app/shop/msg", `{"eventType":"a.b","payload":{},"channels":["eu"],"tags":["x"]}`)
	s.attempt(postern.Attempt{ID: postern.AttemptID{1}, N: 2, Code: 503, State: postern.Dead})
	now := s.now.Format(time.RFC3339)
	for path, want := range map[string]int{
		"/app/shop/msg?event_types=a.b":                                     1,
		"/app/shop/msg?event_types=a.b,invoice.paid":                        2,
		"/app/shop/msg?event_types[]=a.b&event_types[]=x":                   1,
		"/app/shop/msg?event_types[0]=x":                                    0,
		"/app/shop/msg?channel=eu":                                          1,
		"/app/shop/msg?tag=x":                                               1,
		"/app/shop/msg?after=" + now:                                        0,
		"/app/shop/msg?before=" + s.now.Add(time.Hour).Format(time.RFC3339): 2,
		"/app/shop/attempt/msg/{msg}":                                       2,
		"/app/shop/attempt/msg/{msg}?status=0":                              1,
		"/app/shop/attempt/msg/{msg}?status=2":                              1,
		"/app/shop/attempt/msg/{msg}?status=3":                              0,
		"/app/shop/attempt/msg/{msg}?status_code_class=500":                 1,
		"/app/shop/attempt/msg/{msg}?endpoint_id=a":                         2,
		"/app/shop/attempt/msg/{msg}?event_types=a.b":                       0,
		"/app/shop/attempt/msg/{msg}?channel=eu":                            0,
		"/app/shop/attempt/endpoint/a?status=1":                             0,
		"/app/shop/attempt/endpoint/a?status=2&with_content=false":          1,
		"/app/shop/attempt/endpoint/a?status_code_class=200":                1,
		"/event-type?include_archived=true&with_content=true":               1,
	} {
		if got := ids(t, s.want(200, "GET", s.path(path), "")); len(got) != want {
			t.Errorf("%s: %v, want %d", path, got, want)
		}
	}
	for path, want := range map[string]int{
		"/app/shop/msg?limit=251": 422, "/app/shop/msg?limit=0": 422, "/app/shop/msg?limit=ten": 400,
		"/app/shop/msg?iterator=ep_1": 422, "/app/shop/msg?after=now": 400, "/app/shop/msg?with_content=maybe": 400,
		"/app/shop/msg?%zz": 400, "/app?get_if_exists=%": 400, "/app/shop/attempt/msg/{msg}?endpoint_id=nobody": 404,
	} {
		if got := s.do("GET", s.path(path), ""); got.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, got.StatusCode, got.body, want)
		}
	}
}

// TestFitting: a page with payloads ends early where those are large, and goes on
// behind its last entry; one entry is always on it.
func TestFitting(t *testing.T) {
	const half = pageBytes / 2
	for _, tc := range []struct {
		sizes []int
		kept  int
		whole bool
	}{
		{nil, 0, true},
		{[]int{1, 2, half}, 3, true},
		{[]int{half, half}, 2, true},
		{[]int{half, half, 0}, 2, false},
		{[]int{3 * pageBytes, 1}, 1, false},
		{[]int{3 * pageBytes}, 1, true},
	} {
		kept, done, next := fitting(tc.sizes, true, "next", func(size int) int { return size })
		if len(kept) != tc.kept || done != tc.whole || (next == "next") != tc.whole {
			t.Errorf("%v: %d are kept, done %t, next %q", tc.sizes, len(kept), done, next)
		}
	}
}

// TestPagesOfLargePayloads follows pages that are cut short, in either order.
func TestPagesOfLargePayloads(t *testing.T) {
	f := newTailed(t)
	payload := []byte(`{"a":"` + strings.Repeat("x", pageBytes/3) + `"}`)
	app, err := f.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for range 4 {
		m, _, err := f.Publish(t.Context(), postern.Publish{Application: app.Number, EventType: "a", Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		f.try(m, 2, postern.Delivered)
		want = append(want, m.ID.String())
	}
	for _, path := range []string{"/app/shop/msg?", "/app/shop/endpoint/a/msg?", "/app/shop/attempt/endpoint/a?with_msg=true&"} {
		for _, order := range []string{"ascending", "descending"} {
			var got []string
			pages := 1
			for iterator := ""; ; pages++ {
				answer := f.do("GET", path+"order="+order+iterator, "")
				var page struct {
					Data []struct {
						ID    string
						MsgID string // of an attempt
					}
					Iterator string
					Done     bool
				}
				if err := json.Unmarshal([]byte(answer.body), &page); err != nil || answer.StatusCode != 200 {
					t.Fatalf("%d %.200s, %v", answer.StatusCode, answer.body, err)
				}
				for _, row := range page.Data {
					id := row.MsgID
					if id == "" {
						id = row.ID
					}
					got = append(got, id)
				}
				if page.Done || pages > 9 {
					break
				}
				iterator = "&iterator=" + page.Iterator
			}
			slices.Sort(got) // ids sort by time
			if !slices.Equal(got, want) || pages != 2 {
				t.Errorf("%s %s: %d pages of %v, want three and one of %v", path, order, pages, got, want)
			}
		}
	}
}
