package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
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
		if strings.Contains(target.Path, "tail") || strings.Contains(target.Path, "lease") {
			cancel() // it would be answered for ever, or a minute later
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

// TestManyFaults: what is wrong is told, and not at such length that it would
// be worth sending.
func TestManyFaults(t *testing.T) {
	s := newStory(t)
	list := `["",` + strings.Repeat(`"",`, 20_000) + `""]`
	for path, body := range map[string]string{
		"/app/shop/source": `{"name":"n","provider":"github","secrets":` + list + `}`, "/auth/app-portal-access/shop": `{"capabilities":` + list + `}`,
	} {
		if got := s.do("POST", path, body); got.StatusCode != 422 || len(got.body) > 32<<10 {
			t.Errorf("%s: %d with %d bytes", path, got.StatusCode, len(got.body))
		}
	}
}

// vanishing has applications that are deleted right after they were looked up.
type vanishing struct {
	applications
	made int
}

func (v *vanishing) Application(ref string) (*postern.Application, error) {
	app, err := v.applications.Application(ref)
	if err == nil {
		err = v.DeleteApplication(context.Background(), app.Number)
	}
	return app, err
}

func (v *vanishing) CreateApplication(ctx context.Context, a postern.Application) (*postern.Application, error) {
	v.made++
	return v.applications.CreateApplication(ctx, a)
}

// TestNoApplicationForWhoMayOnlyPublish: one that is deleted while a message
// comes is not made again by whoever publishes it.
func TestNoApplicationForWhoMayOnlyPublish(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	token, _ := w.newKey(`{"name":"k","scope":"publish-only"}`)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	v := &vanishing{applications: applications{w.cat}}
	h.Applications, h.Publisher = v, nowhere{}
	if got := w.as(token, "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"application":{"name":"Shop","uid":"shop"}}`); got.StatusCode != 404 || v.made != 0 {
		t.Errorf("%d, %d made: %s", got.StatusCode, v.made, got.body)
	}
}

// nowhere has no application to publish in.
type nowhere struct{ Publisher }

func (nowhere) Publish(context.Context, postern.Publish) (*postern.Message, bool, error) {
	return nil, false, postern.ErrNotFound
}
