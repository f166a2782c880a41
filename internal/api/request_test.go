package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for path, want := range map[string]int{
		"/nothing":               404,
		"":                       404,
		"/":                      404,
		"//app":                  404,
		"/app//msg":              404,
		"/app/shop/msg/x/y/z/a/": 404,
		"/app/shop/../shop":      404,
		"/app/shop":              200,
		"/app/shop/":             200,
		"/app/shop//":            404,
		"/app/":                  200,
		"/app/%73hop":            200,
		"/app/shop%2Fendpoint":   404,
		"/app/shop%2fmsg":        404,
		"/app/shop%2F":           404,
		"/app%2Fshop":            404,
		"/app/shop%252Fendpoint": 404,
	} {
		if got := w.do("GET", path, ""); got.StatusCode != want {
			t.Errorf("GET %q: %d, want %d", path, got.StatusCode, want)
		}
	}
	for path, allow := range map[string]string{
		"/app":                  "GET, HEAD, POST",
		"/app/shop":             "DELETE, GET, HEAD, PATCH, PUT",
		"/app/shop/msg/":        "GET, HEAD, POST",
		"/health":               "GET, HEAD",
		"/app/x/msg/y/raw":      "GET, HEAD",
		"/app/a/source/b/pause": "POST",
	} {
		got := w.do("PURGE", path, "")
		if got.StatusCode != 405 || got.Header.Get("Allow") != allow {
			t.Errorf("PURGE %s: %d, Allow %q, want 405 and %q", path, got.StatusCode, got.Header.Get("Allow"), allow)
		}
	}
	if got := w.send(httptest.NewRequest("GET", "/elsewhere", nil)); got.StatusCode != 404 {
		t.Errorf("a path outside the prefix: %d", got.StatusCode)
	}
	if diff := cmp.Diff([]string{"application.create", noOperation}, w.observed[:2]); w.observed[0] != "application.create" {
		t.Error(diff)
	}
}

func TestHead(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	for path, want := range map[string]int{"/health": 200, "/health/ping": 204, "/app": 401, "/nothing": 404} {
		got, err := http.Head(server.URL + Prefix + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || len(body) > 0 || got.StatusCode != want {
			t.Errorf("HEAD %s: %d %q %v, want %d and no body", path, got.StatusCode, body, err, want)
		}
		_ = got.Body.Close() // read to its end
	}
}

// TestBodies sends bodies that must change nothing to a small operation and to
// the hot one.
func TestBodies(t *testing.T) {
	big := `{"name":"` + strings.Repeat("x", maxBody) + `"}`
	for name, test := range map[string]struct {
		body   io.Reader
		length int64 // -1: unknown
		want   int
		text   string
	}{
		"over the cap":                 {strings.NewReader(big), int64(len(big)), 413, `"code":"payload_too_large"`},
		"over the cap, length unknown": {strings.NewReader(big), -1, 413, `"code":"payload_too_large"`},
		"over the cap, never sent":     {strings.NewReader(""), 1 << 40, 413, `"code":"payload_too_large"`},
		"cut off":                      {cutOffBody{strings.NewReader(`{"name":`)}, 100, 400, `"code":"incomplete_body"`},
		"cut off early end":            {strings.NewReader(`{"name":"x"}`), 100, 400, `"code":"incomplete_body"`},
		"cut off, length unknown":      {cutOffBody{strings.NewReader(`{"name":"x"}`)}, -1, 400, `"code":"incomplete_body"`},
		"syntax":                       {strings.NewReader(`{"name":}`), 9, 422, `"type":"value_error.jsondecode"`},
		"half":                         {strings.NewReader(`{"name":"x"`), 11, 422, `"type":"value_error.jsondecode"`},
		"an array":                     {strings.NewReader(`[1]`), 3, 422, `"loc":["body"]`},
		"a limit reached exactly":      {strings.NewReader(strings.Repeat(" ", maxBody)), maxBody, 422, `"loc":["body"`},
	} {
		for _, path := range []string{"/app", "/app/shop/msg"} {
			t.Run(name+path, func(t *testing.T) {
				w := newWorld(t)
				w.must("/app", `{"name":"Shop","uid":"shop"}`)
				if reader, ok := test.body.(io.Seeker); ok {
					if _, err := reader.Seek(0, io.SeekStart); err != nil {
						t.Fatal(err)
					}
				}
				if cut, ok := test.body.(cutOffBody); ok {
					seeker, _ := cut.Reader.(io.Seeker)
					if _, err := seeker.Seek(0, io.SeekStart); err != nil {
						t.Fatal(err)
					}
				}
				before := w.head
				r := httptest.NewRequest("POST", Prefix+path, io.NopCloser(test.body))
				r.ContentLength = test.length
				r.Header.Set("Authorization", "Bearer "+adminToken)
				got := w.send(r)
				if got.StatusCode != test.want || !strings.Contains(got.body, test.text) {
					t.Errorf("%d %s, want %d with %s", got.StatusCode, got.body, test.want, test.text)
				}
				if diff := cmp.Diff(before, w.head); diff != "" {
					t.Errorf("something was stored: %s", diff)
				}
			})
		}
	}
}

// TestBodyOverTheWire has the real server in between, which counts for itself.
func TestBodyOverTheWire(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	for name, body := range map[string]io.Reader{
		"with length": strings.NewReader(strings.Repeat("x", maxBody+1)),
		"chunked":     io.LimitReader(endless{}, 4*maxBody),
	} {
		r, err := http.NewRequest("POST", server.URL+Prefix+"/app/shop/msg", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+adminToken)
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if err != nil || got.StatusCode != 413 || !strings.Contains(string(text), `"code":"payload_too_large"`) {
			t.Errorf("%s: %d %s %v", name, got.StatusCode, text, err)
		}
		_ = got.Body.Close() // read to its end
	}
}

// TestSlowAndBrokenBodies has clients that announce more than they send: one
// waits until the server's patience ends, the other goes away.
func TestSlowAndBrokenBodies(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	served := make(chan int, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		served <- recorder.Code
		rw.WriteHeader(recorder.Code)
		_, _ = rw.Write(recorder.Body.Bytes()) // nobody may be there to read it
	}))
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	before := w.head
	for name, leaves := range map[string]bool{"slow": false, "broken": true} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST %s/app/shop/msg HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{\"eventType\":", Prefix, adminToken)
		if err != nil {
			t.Fatal(err)
		}
		if leaves {
			_ = conn.Close() // what is tested
		}
		if code := <-served; code != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, code)
		}
		if !leaves {
			_ = conn.Close() // answered
		}
	}
	if diff := cmp.Diff(before, w.head); diff != "" {
		t.Errorf("something was stored: %s", diff)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestReadBodyTrustsNoLength(t *testing.T) {
	r := httptest.NewRequest("POST", "/", cutOffBody{strings.NewReader("x")})
	r.ContentLength = 1 << 30
	if n := testing.AllocsPerRun(10, func() {
		if _, err := readBody(r, 1<<31); err == nil {
			t.Error("no error")
		}
	}); n > 20 {
		t.Errorf("%v allocations for a body that never came", n)
	}
	big := strings.Repeat("x", 5*eagerBody+3)
	for _, length := range []int64{int64(len(big)), -1} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(big))
		r.ContentLength = length
		got, err := readBody(r, 1<<20)
		if err != nil || string(got) != big {
			t.Errorf("length %d: %d bytes, %v", length, len(got), err)
		}
		if length > 0 && cap(got) != len(big) {
			t.Errorf("a known length of %d takes %d bytes", len(big), cap(got))
		}
	}
}

func TestErrors(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		body   string
		logged bool
	}{
		"bare":         {errors.New("disk on fire"), 500, `{"code":"internal","detail":"Something went wrong on our side"}`, true},
		"internal":     {&postern.Error{Detail: "secret place", Err: io.EOF}, 500, `{"code":"internal","detail":"Something went wrong on our side"}`, true},
		"invalid":      {&postern.Error{Kind: postern.Invalid, Code: "limit_reached", Detail: "d"}, 400, `{"code":"limit_reached","detail":"d"}`, false},
		"fields":       {postern.InvalidField("m", "channels", "0"), 422, `{"detail":[{"loc":["body","channels","0"],"msg":"m","type":"value_error"}]}`, false},
		"query":        {postern.InvalidField("m", "query", "limit"), 422, `{"detail":[{"loc":["query","limit"],"msg":"m","type":"value_error"}]}`, false},
		"unauthorized": {postern.ErrUnauthorized, 401, `{"code":"authentication_failed","detail":"Authentication failed"}`, false},
		"forbidden":    {postern.ErrForbidden, 403, `{"code":"insufficient access","detail":"Insufficient access"}`, false},
		"not found":    {postern.ErrNotFound, 404, `{"code":"not_found","detail":"Entity not found"}`, false},
		"conflict":     {&postern.Error{Kind: postern.Conflict, Code: "event_type_exists"}, 409, `{"code":"event_type_exists","detail":"An entity with this name exists already"}`, false},
		"too large":    {postern.ErrTooLarge, 413, `{"code":"payload_too_large","detail":"The body is too large"}`, false},
		"rate":         {postern.ErrRateLimited, 429, `{"code":"rate_limited","detail":"Too many requests"}`, false},
		"unavailable":  {&postern.Error{Kind: postern.Unavailable, Detail: "full", Err: io.EOF}, 503, `{"code":"unavailable","detail":"full"}`, false},
		"wrapped":      {errors.Join(io.EOF, postern.ErrNotFound), 404, `{"code":"not_found","detail":"Entity not found"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must("/app", `{"name":"Shop","uid":"shop"}`)
			w.refuseAll = test.err
			got := w.do("POST", "/app/shop/msg", `{}`)
			if got.StatusCode != test.status || strings.TrimSpace(got.body) != test.body {
				t.Errorf("%d %s, want %d %s", got.StatusCode, got.body, test.status, test.body)
			}
			if (w.log.Len() > 0) != test.logged {
				t.Errorf("logged %q, want a line: %t", w.log, test.logged)
			}
			if got.StatusCode == 503 && got.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			if got.StatusCode == 401 && got.Header.Get("Www-Authenticate") != "Bearer" {
				t.Error("401 without WWW-Authenticate")
			}
		})
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	if got := w.as("", "GET", "/health", ""); got.StatusCode != 200 || !strings.Contains(got.body, `"version":"1.2.3"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	w.unhealthy = errors.New("the disk's name")
	if got := w.as("", "GET", "/health", ""); got.StatusCode != 503 || strings.Contains(got.body, "disk") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := w.as("", "GET", "/health/ping", ""); got.StatusCode != 204 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestWrongTypes(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for body, loc := range map[string]string{
		`{"name":7}`:                      `["body","name"]`,
		`{"name":"x","uid":{}}`:           `["body","uid"]`,
		`{"name":"x","throttleRate":"1"}`: `["body","throttleRate"]`,
		`{"name":"x","throttleRate":1.5}`: `["body","throttleRate"]`,
		`{"name":"x","metadata":[]}`:      `["body","metadata"]`,
		`{"name":"x","throttleRate":0}`:   `["body","throttleRate"]`,
		`{"name":"x","rateLimit":65536}`:  `["body","throttleRate"]`,
		`{"name":"x","rateLimit":-1}`:     `["body","throttleRate"]`,
		`{"name":"x","uid":"a b"}`:        `["body","uid"]`,
		`{"name":"x","uid":"app_x"}`:      `["body","uid"]`,
		`{"name":"x","uid":"."}`:          `["body","uid"]`,
		`{"name":"x","uid":".."}`:         `["body","uid"]`,
		`{"name":""}`:                     `["body","name"]`,
	} {
		w.refused(422, `"loc":`+loc, "POST", "/app", body)
	}
	for body, loc := range map[string]string{
		`{"url":"https://e.com","eventTypes":[]}`:         `["body","eventTypes"]`,
		`{"url":"https://e.com","filterTypes":["no.no"]}`: `["body","eventTypes"]`,
		`{"url":"https://e.com","eventTypes":["a b"]}`:    `["body","eventTypes","0"]`,
		`{"url":"https://e.com","channels":[]}`:           `["body","channels"]`,
		`{"url":"https://e.com","secret":"whsec_x"}`:      `["body","secret"]`,
		`{"url":"https://e.com","kind":"handler"}`:        `["body","kind"]`,
		`{"url":"https://e.com","kind":"pull"}`:           `["body","url"]`,
		`{"url":"https://e.com","version":2147483648}`:    `["body","version"]`,
		`{"url":"https://e.com","version":0}`:             `["body","version"]`,
		`{"url":"https://e.com","retrySchedule":[-1]}`:    `["body","retrySchedule"]`,
		`{"url":"ftp://e.com"}`:                           `["body","url"]`,
		`{"url":null}`:                                    `["body","url"]`,
	} {
		w.refused(422, `"loc":`+loc, "POST", "/app/shop/endpoint", body)
	}
}
