package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// instant accepts without doing anything, so that what is measured is the
// handler alone.
type instant struct{ message postern.Message }

func (p *instant) Publish(_ context.Context, in postern.Publish) (*postern.Message, bool, error) {
	p.message.EventType, p.message.ContentType = in.EventType, in.ContentType
	return &p.message, false, nil
}
func (*instant) Resend(context.Context, store.DeliveryKey) error { return nil }
func (*instant) Cancel(context.Context, store.DeliveryKey) error { return nil }

// discard is a ResponseWriter that costs nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// hotRequest is a message create of 1 KiB that can be sent again and again.
func hotRequest(t testing.TB, path string) (h http.Handler, send func(), size int) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	key := w.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"shop"}`)
	token, _ := key["token"].(string)
	inner, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	inner.Publisher = &instant{postern.Message{ID: postern.NewMessageID(w.now, 1, 7, 9)}}
	inner.Observe = func(string, int, time.Duration) {}
	body := `{"eventType":"invoice.paid","payload":` + payload(1024) + `}`
	reader := strings.NewReader(body)
	r := httptest.NewRequest("POST", Prefix+path, io.NopCloser(reader))
	r.ContentLength = int64(len(body))
	r.Header.Set("Authorization", "Bearer "+token)
	rw := &discard{header: http.Header{}}
	return w.handler, func() {
		reader.Reset(body)
		w.handler.ServeHTTP(rw, r)
		if rw.status != http.StatusAccepted {
			t.Fatalf("status %d", rw.status)
		}
	}, len(body)
}

// TestMessageBringsItsApplication along: it is made once, and by those alone who
// may make applications.
func TestMessageBringsItsApplication(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	with := func(app string) string { return `{"eventType":"a","payload":{},"application":` + app + `}` }
	for body, loc := range map[string]string{
		with(`{"name":"x"}`):                       `["body","application","uid"]`,
		with(`{"name":"x","uid":null}`):            `["body","application","uid"]`,
		with(`{"name":"x","uid":"other"}`):         `["body","application","uid"]`,
		with(`{"uid":"new"}`):                      `["body","application","name"]`,
		with(`{"uid":"new","name":7}`):             `["body","application","name"]`,
		with(`7`):                                  `["body","application"]`,
		`{"application":{"name":"x","uid":"new"}}`: `["body","eventType"]`, // and nothing is made
	} {
		w.refused(422, `"loc":`+loc, "POST", "/app/new/msg", body)
	}
	w.refused(422, `["body","application","uid"]`, "POST", "/app/shop/msg", with(`{"name":"x","uid":"new"}`))
	w.refused(404, "not_found", "POST", "/app/new/msg", `{"eventType":"a","payload":{}}`)
	w.refused(404, "not_found", "POST", "/app/new/msg", with(`null`))
	w.refused(404, "not_found", "GET", "/app/new", "")
	own := with(`{"name":"New","uid":"new","metadata":{"a":"b"}}`)
	for _, body := range []string{`{"name":"k","scope":"application","application":"shop"}`, `{"name":"k","scope":"publish-only"}`} {
		token, _ := w.want(201, "POST", "/key", body)["token"].(string)
		if got := w.as(token, "POST", "/app/new/msg", own); got.StatusCode != 404 {
			t.Errorf("with a key of %s: %d %s", body, got.StatusCode, got.body)
		}
	}
	first := w.keyed(adminToken, "my key", "POST", "/app/new/msg", own)
	if again := w.keyed(adminToken, "my key", "POST", "/app/new/msg", own); first.StatusCode != 202 || again.body != first.body {
		t.Errorf("%d %s, and again %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	w.must("/app/new/msg", with(`{"name":"Renamed","uid":"new"}`))
	app := w.want(200, "GET", "/app/new", "")
	if app["name"] != "New" || len(ids(t, w.want(200, "GET", "/app/new/msg", ""))) != 2 {
		t.Errorf("what was made: %v", app)
	}
	w.want(204, "DELETE", "/app/new", "")
	if got := w.keyed(adminToken, "my key", "POST", "/app/new/msg", own); got.StatusCode != 202 || got.body == first.body {
		t.Errorf("after deleting the application: %d %s", got.StatusCode, got.body)
	}
}

// payload is a JSON object of about n bytes, as webhooks have them.
func payload(n int) string {
	var b bytes.Buffer
	b.WriteString(`{"id":"inv_0001","object":"invoice","amount":129900,"currency":"eur","lines":[`)
	for b.Len() < n-60 {
		b.WriteString(`{"sku":"A-1234","quantity":2,"price":64950,"tax":null},`)
	}
	return b.String() + `{"sku":"Z","quantity":1}]}`
}

// TestHotRouteAllocatesLittle holds the budget of the hot route for 1 KiB.
func TestHotRouteAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget at random")
	}
	for _, path := range []string{"/app/shop/msg", "/app/shop/msg?with_content=false"} {
		_, send, _ := hotRequest(t, path)
		if n := testing.AllocsPerRun(200, send); n > 10 {
			t.Errorf("%s: %v allocations, want at most 10", path, n)
		}
	}
}

func BenchmarkCreateMessage(b *testing.B) {
	for name, path := range map[string]string{"content": "/app/shop/msg", "without": "/app/shop/msg?with_content=false"} {
		b.Run(name, func(b *testing.B) {
			_, send, size := hotRequest(b, path)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}

func BenchmarkParseMessage(b *testing.B) {
	body := []byte(`{"eventType":"invoice.paid","payload":` + payload(1024) + `}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseMessage(body); err != nil {
			b.Fatal(err)
		}
	}
}
