package api

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTasksAreTheirApplications: who sees one application only follows what was
// begun there, expungings too, and does not find another's; who sees all follows
// all.
func TestTasksAreTheirApplications(t *testing.T) {
	s := newStory(t)
	s.must("/app/other/endpoint", `{"url":"https://example.com/o","uid":"o"}`)
	begin := func(path, body string) string {
		id, _ := s.want(202, "POST", path, body)["id"].(string)
		return id
	}
	own := []string{begin("/app/shop/msg/expunge-all-contents", ""), s.names["task"], taskOf(s.names["ended"])}
	theirs := []string{begin("/app/other/msg/expunge-all-contents", ""), begin("/app/other/endpoint/o/recover", `{"since":"`+recent()+`"}`)}
	all := slices.Concat(own, theirs)
	key := func(fields string) string {
		token, _ := s.want(201, "POST", "/key", `{"name":"k",`+fields+`}`)["token"].(string)
		return token
	}
	for name, test := range map[string]struct {
		token string
		sees  []string
	}{
		"admin":            {adminToken, all},
		"reader of all":    {key(`"scope":"read-only"`), all},
		"application":      {key(`"scope":"application","application":"shop"`), own},
		"reader":           {key(`"scope":"read-only","application":"shop"`), own},
		"the other's":      {key(`"scope":"application","application":"other"`), theirs},
		"visitor":          {s.visitor("shop", `{"capabilities":["CreateAttempts"]}`), own},
		"svix's visitor":   {s.svixToken(s.names["app"]), own},
		"the other's, too": {s.visitor("other", `{}`), theirs},
	} {
		var listed []string
		path := "/background-task?limit=2"
		for done := false; !done; {
			page := s.page(test.token, path)
			listed = append(listed, ids(t, page)...)
			next, _ := page["iterator"].(string)
			path, done = "/background-task?limit=2&iterator="+next, page["done"] != false
		}
		slices.Sort(listed)
		if diff := cmp.Diff(slices.Sorted(slices.Values(test.sees)), listed); diff != "" {
			t.Errorf("listed to %s: %s", name, diff)
		}
		for _, id := range all {
			want := 404
			if slices.Contains(test.sees, id) {
				want = 200
			}
			if got := s.as(test.token, "GET", "/background-task/"+id, ""); got.StatusCode != want {
				t.Errorf("%s as %s: %d, want %d: %s", id, name, got.StatusCode, want, got.body)
			}
		}
	}
	for name, token := range map[string]string{
		"publisher": key(`"scope":"publish-only","application":"shop"`), "visitor who only looks": s.visitor("shop", `{"readOnly":true}`),
	} {
		for _, path := range []string{"/background-task", "/background-task/" + s.names["task"]} {
			if got := s.as(token, "GET", path, ""); got.StatusCode != 403 {
				t.Errorf("%s as %s: %d %s", path, name, got.StatusCode, got.body)
			}
		}
	}
}
