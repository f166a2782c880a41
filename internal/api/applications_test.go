package api

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

// TestApplicationsLeftOut walks lists that leave applications out, in both
// directions.
func TestApplicationsLeftOut(t *testing.T) {
	w := newWorld(t)
	for uid, endpoints := range map[string][]string{
		"bare":     nil,
		"live":     {`{"url":"https://example.com"}`, `{"url":"https://example.com","disabled":true}`},
		"disabled": {`{"url":"https://example.com","disabled":true}`},
		"play":     {`{"url":"https://play.svix.com/in/e_x/"}`, `{"url":"https://api.play.svix.com/in/e_x/"}`},
		"mixed":    {`{"url":"https://play.svix.com/in/e_x/"}`, `{"url":"https://play.svix.com.example.com/"}`},
	} {
		w.must("/app", `{"name":"n","uid":"`+uid+`"}`)
		for _, endpoint := range endpoints {
			w.must("/app/"+uid+"/endpoint", endpoint)
		}
	}
	const none, disabled, play = "&exclude_apps_with_no_endpoints=true", "&exclude_apps_with_disabled_endpoints=true", "&exclude_apps_with_svix_play_endpoints=true"
	for query, want := range map[string][]string{
		"":                         {"bare", "disabled", "live", "mixed", "play"},
		none:                       {"disabled", "live", "mixed", "play"},
		disabled:                   {"bare", "live", "mixed", "play"},
		play:                       {"bare", "disabled", "live", "mixed"},
		none + disabled + play:     {"live", "mixed"},
		none + "&order=descending": {"disabled", "live", "mixed", "play"},
	} {
		path := "/app?" + query
		forth := walk(t, w, path, "iterator", "")
		if diff := cmp.Diff(want, uids(w, forth)); diff != "" {
			t.Errorf("%s (-want +got): %s", path, diff)
		}
		back := walk(t, w, path, "prevIterator", "-"+forth[len(forth)-1])
		if diff := cmp.Diff(forth[:len(forth)-1], back); diff != "" {
			t.Errorf("%s, walked back (-forth +back): %s", path, diff)
		}
	}
	w.refused(400, "invalid_query", "GET", "/app?exclude_apps_with_no_endpoints=maybe", "")
}

// uids are what applications are called, sorted.
func uids(w *world, ids []string) []string {
	var names []string
	for _, id := range ids {
		name, _ := w.want(200, "GET", "/app/"+id, "")["uid"].(string)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// recurring lists one application without endpoints, over and over.
type recurring struct {
	applications
	one    *postern.Application
	looked int
}

func (e *recurring) Applications(page postern.ListPage) ([]*postern.Application, bool) {
	e.looked += page.Limit
	return slices.Repeat([]*postern.Application{e.one}, page.Limit), true
}

// TestApplicationsLeftOutAreLookedAtWithinBounds: a page that finds nothing ends,
// and says where the next one goes on.
func TestApplicationsLeftOutAreLookedAtWithinBounds(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	one, err := w.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	e := &recurring{applications: applications{w.cat}, one: one}
	h.Applications = e
	page := w.want(200, "GET", "/app?limit=100&exclude_apps_with_no_endpoints=true", "")
	if data, _ := page["data"].([]any); len(data) != 0 || page["done"] != false || page["iterator"] != one.ID.String() {
		t.Errorf("got %v", page)
	}
	if e.looked != examinedApplications {
		t.Errorf("looked at %d", e.looked)
	}
}
