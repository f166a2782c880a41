package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

// TestLimits goes up to the limits that are told, and one beyond.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	h.Limits = []postern.Limit{postern.CountLimit("engine.own", 7, "The engine's.")}
	var page listing[limitOut]
	if err := json.Unmarshal([]byte(w.do("GET", "/limits", "").body), &page); err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, l := range page.Data {
		if _, twice := told[l.Name]; twice || l.Value <= 0 || l.Description == "" || l.Unit == "" {
			t.Errorf("%+v", l)
		}
		told[l.Name] = int(l.Value)
	}
	if !page.Done || told["engine.own"] != 7 || told["request.body"] != maxBody {
		t.Errorf("%+v", told)
	}

	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for name, at := range map[string]func(n int) (method, path, body string){
		"page.entries": func(n int) (string, string, string) { return "GET", fmt.Sprintf("/app?limit=%d", n), "" },
		"message.channels": func(n int) (string, string, string) {
			return "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"channels":[` + list(n) + `]}`
		},
		"message.tags": func(n int) (string, string, string) {
			return "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"tags":[` + list(n) + `]}`
		},
		"message.tag": func(n int) (string, string, string) {
			return "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"tags":["` + strings.Repeat("x", n) + `"]}`
		},
		"endpoint.rate": func(n int) (string, string, string) {
			return "POST", "/app/shop/endpoint", fmt.Sprintf(`{"url":"https://example.com","throttleRate":%d}`, n)
		},
		"request.body": func(n int) (string, string, string) {
			return "POST", "/app", `{"name":"x"` + strings.Repeat(" ", n-len(`{"name":"x"}`)) + `}`
		},
	} {
		method, path, body := at(told[name])
		if got := w.do(method, path, body); got.StatusCode >= 300 {
			t.Errorf("%s at its limit: %d %s", name, got.StatusCode, got.body)
		}
		method, path, body = at(told[name] + 1)
		if got := w.do(method, path, body); got.StatusCode < 400 {
			t.Errorf("%s beyond its limit: %d", name, got.StatusCode)
		}
	}
}

// list is n different strings of a JSON array.
func list(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"c%d"`, i)
	}
	return strings.Join(names, ",")
}
