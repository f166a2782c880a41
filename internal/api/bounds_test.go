package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestNothingIsKept: no cache on the way keeps what was told to one key.
func TestNothingIsKept(t *testing.T) {
	s := newStory(t)
	s.names["name"] = "invoice.paid"
	for _, r := range table() {
		o := r.operation()
		tells := o.method == http.MethodGet && o.status == http.StatusOK
		if !tells && o.name != "key.create" && o.name != "auth.app-portal-access" {
			continue
		}
		body := `{"name":"k","scope":"admin"}`
		for range 2 { // the second is the first one's answer again
			r := httptest.NewRequest(o.method, Prefix+s.path(o.path), strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+adminToken)
			r.Header.Set("Idempotency-Key", "k")
			ctx, cancel := context.WithCancel(r.Context())
			if o.access == watching {
				cancel() // it would be answered for ever
			}
			if got := s.send(r.WithContext(ctx)); got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d, Cache-Control %q", o.name, got.StatusCode, got.Header.Get("Cache-Control"))
			}
			cancel()
		}
	}
}

// TestLongLists: everything that is looked at is compared with each value.
func TestLongLists(t *testing.T) {
	s := newStory(t)
	for _, path := range []string{"/tail?event_types=", "/app/shop/msg?event_types=", "/app/shop/attempt/endpoint/a?event_types="} {
		if got := s.do("GET", path+strings.Repeat("a,", maxListed), ""); got.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
		s.refused(422, `["query","event_types"]`, "GET", path+strings.Repeat("a,", maxListed+1), "")
	}
}

// secretOfShop is in what the story's shop has.
const secretOfShop = "secret-of-shop"

// FuzzRequest sends any request as somebody: nothing breaks, every answer has the
// shape that the document promises, nobody without a key does or reads anything
// but what is open, and nobody of one application sees what is another's.
func FuzzRequest(f *testing.F) {
	s := newStory(f)
	s.want(200, "PATCH", "/app/shop", `{"name":"`+secretOfShop+`"}`)
	s.want(200, "PATCH", "/app/shop/endpoint/a", `{"description":"`+secretOfShop+`"}`)
	s.must("/app/shop/msg", `{"eventType":"invoice.paid","eventId":"known","payload":{"n":"`+secretOfShop+`"}}`)
	other, _ := s.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"other"}`)["token"].(string)
	tokens := []string{"", other, s.visitor("other", "{}"), adminToken}
	for _, r := range table() {
		o := r.operation()
		for who := range tokens {
			f.Add(who, o.method, s.path(o.path), `{"name":"n","url":"https://example.com","eventType":"a","payload":{},"uid":"shop"}`)
		}
	}
	for _, path := range []string{
		"/app/other/../shop", "/app/other%2F..%2Fshop/msg", "/app/other/endpoint/..%2f..%2fshop", "/app//msg", "/app/%00", "/app/\xff", "/tail?app_id=shop",
		"/app/other/msg?iterator=" + s.names["msg"], "/app/other/msg?event_types[0]=a&event_types[]=b&limit=250", "/app/shop;x=1", "/app/other/delivery?endpoint_id=a",
	} {
		f.Add(1, "GET", path, "")
	}
	f.Add(3, "POST", "/app/other/msg", strings.Repeat(`{"a":[`, 20_000))
	f.Fuzz(func(t *testing.T, who int, method, path, body string) {
		target, err := url.ParseRequestURI(Prefix + path)
		if err != nil || strings.Contains(path, "wait") { // which takes its time
			return
		}
		s.t = t
		token := tokens[uint(who)%uint(len(tokens))]
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, target, Prefix+path
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if strings.Contains(target.Path, "tail") {
			cancel() // it would be answered for ever
		}
		batch := s.head.Batch
		got := s.send(r.WithContext(ctx))
		if got.StatusCode == http.StatusInternalServerError {
			t.Errorf("%s %q: %s", method, path, s.log)
		}
		n := newRoutes(table()).at(target, new([maxParams]string))
		isOpen := n != nil && n.operation(method) != nil && n.operation(method).access == open
		if token == "" && (s.head.Batch != batch || got.StatusCode < 300 && !isOpen && method != http.MethodOptions) {
			t.Errorf("%s %q without a key: %d", method, path, got.StatusCode)
		}
		if token != adminToken && strings.Contains(got.body, secretOfShop) {
			t.Errorf("%s %q tells another application's: %s", method, path, got.body)
		}
	})
}
