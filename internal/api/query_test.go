package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/postern-dev/postern"
)

// TestQueries gives every parameter that a row names a value that it cannot
// have, and every other parameter of the table at once: the first must be
// refused, because they are read, the others make no difference.
func TestQueries(t *testing.T) {
	s := newStory(t)
	s.names["name"] = "invoice.paid"
	all := map[string]bool{}
	for _, r := range table() {
		for _, p := range r.operation().query {
			all[p.name] = true
		}
	}
	refused := 0
	for _, r := range table() {
		o := r.operation()
		others := url.Values{}
		for name := range all {
			others.Set(name, "!")
		}
		for _, p := range o.query {
			others.Del(p.name)
			if p.kind == textParam && p.values == nil || p.kind == listParam {
				continue // any value will do
			}
			refused++
			got := s.do(o.method, s.path(o.path)+"?"+p.name+"=!", `{"name":"x","eventType":"a","payload":{}}`)
			if got.StatusCode != http.StatusBadRequest && got.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("%s with a wrong %s: %d %s", o.name, p.name, got.StatusCode, got.body)
			}
		}
		if o.method != "GET" || o.status != http.StatusOK {
			continue
		}
		if got := s.do(o.method, s.path(o.path)+"?"+others.Encode(), ""); got.StatusCode != o.status {
			t.Errorf("%s with parameters that it does not name: %d %s", o.name, got.StatusCode, got.body)
		}
	}
	if refused < 40 {
		t.Errorf("only %d parameters were tried", refused)
	}
	if s.log.Len() > 0 {
		t.Errorf("logged: %s", s.log)
	}
}

// TestUndeclaredParameter reads what the row does not name: a mistake of ours.
func TestUndeclaredParameter(t *testing.T) {
	c := &call{r: httptest.NewRequest("GET", "/?a=1&b=2&c=3", nil)}
	c.operation = &operation{name: "x", query: params{withText("a", ""), withList("b", "")}}
	if a, err := c.value("a"); a != "1" || err != nil {
		t.Errorf("a: %q, %v", a, err)
	}
	if b, err := c.list("b"); len(b) != 1 || err != nil {
		t.Errorf("b: %q, %v", b, err)
	}
	if _, err := c.value("c"); postern.KindOf(err) != postern.Internal {
		t.Errorf("value of c: %v", err)
	}
	if _, err := c.list("c"); postern.KindOf(err) != postern.Internal {
		t.Errorf("list of c: %v", err)
	}
	c.operation.query = params{withText("limit", "")}
	if _, err := c.window(false); postern.KindOf(err) != postern.Internal {
		t.Errorf("a window without an iterator: %v", err)
	}
}
