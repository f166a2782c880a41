package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/auth"
)

// visitor opens the portal of an application and returns the token.
func (w *world) visitor(app, body string) string {
	w.t.Helper()
	token, _ := w.want(200, "POST", "/auth/app-portal-access/"+app, body)["token"].(string)
	return token
}

// svixToken makes the world accept svix-server's tokens, and makes one.
func (w *world) svixToken(subject string) string {
	w.t.Helper()
	h, ok := w.handler.(*handler)
	if !ok {
		w.t.Fatal("another handler")
	}
	const secret = "old secret"
	h.Auth = auth.New(auth.Config{Keys: w.cat, AdminToken: adminToken, JWTSecret: secret, Applications: w.cat, Now: w.clock})
	claims := jwt.MapClaims{"iss": "svix-server", "sub": subject, "exp": w.now.Add(time.Hour).Unix()}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// portalRows are the rows that visitors may use, by what they need; all others
// are closed. Reading goes by the path.
func portalRows() map[string][]string {
	rows := map[string][]string{
		"ViewEndpointSecret":   {"endpoint.secret.get"},
		"ManageEndpointSecret": {"endpoint.secret.get", "endpoint.secret.rotate"},
		"CreateAttempts":       {"message.resend", "endpoint.recover", "endpoint.replay-missing", "endpoint.bulk-replay", "endpoint.send-example", "background-task.list", "background-task.get"},
		"ManageEndpoint": {
			"endpoint.secret.get", "endpoint.secret.rotate", "endpoint.create", "endpoint.put", "endpoint.patch", "endpoint.delete",
			"endpoint.pause", "endpoint.resume", "endpoint.headers.put", "endpoint.headers.patch",
		},
	}
	readable := regexp.MustCompile(`^(/app/\{app\}(/(endpoint|msg|attempt|delivery)\b.*)?|/event-type(/\{name\}(/retry-schedule)?)?)$`)
	for _, r := range table() {
		if o := r.operation(); o.method == "GET" && readable.MatchString(o.path) && !strings.HasSuffix(o.path, "/secret") {
			rows["ViewBase"] = append(rows["ViewBase"], o.name)
		}
	}
	return rows
}

// TestEveryRowAsAVisitor sends every row's request as visitors of all kinds: of
// its application and of another, through a token of ours and one of
// svix-server, with all capabilities and with single ones. A new row is closed
// to them unless this test says otherwise.
func TestEveryRowAsAVisitor(t *testing.T) {
	s := newStory(t)
	rows := portalRows()
	for capability := range rows {
		if capability != "ViewBase" {
			rows[capability] = append(rows[capability], rows["ViewBase"]...)
		}
	}
	for _, may := range rows {
		rows["all"] = append(rows["all"], may...)
	}
	visitors := map[string]struct {
		token   string
		may     []string
		foreign bool
	}{
		"everything":     {s.visitor("shop", `{}`), rows["all"], false},
		"read-only":      {s.visitor("shop", `{"readOnly":true,"capabilities":["ManageEndpoint"]}`), rows["ViewBase"], false},
		"by svix-server": {s.svixToken(s.names["app"]), rows["all"], false},
		"of another":     {s.visitor("other", `{}`), rows["all"], true},
	}
	for capability, may := range portalRows() {
		visitor := visitors["everything"]
		visitor.token, visitor.may = s.visitor("shop", `{"capabilities":["`+capability+`"]}`), append(may, rows["ViewBase"]...)
		visitors[capability] = visitor
	}
	revoked := s.visitor("shop", `{"sessionId":"gone"}`)
	s.want(204, "POST", "/auth/app/shop/expire-all", `{"sessionIds":["gone"]}`)
	for _, r := range table() {
		o := r.operation()
		if o.access == open || o.access == visit {
			continue
		}
		if got := s.as(revoked, o.method, s.path(o.path), "{"); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with a revoked token: %d", o.name, got.StatusCode)
		}
		for name, visitor := range visitors {
			want := http.StatusForbidden
			if slices.Contains(visitor.may, o.name) {
				want = 0
				if visitor.foreign && ofOne(o) {
					want = http.StatusNotFound
				}
			}
			// An allowed request may fail later, for its body.
			got := s.as(visitor.token, o.method, s.path(o.path), "{").StatusCode
			if want == 0 && (got == 401 || got == 403 || got == 404 && !strings.HasPrefix(o.name, "event-type.")) || want != 0 && got != want {
				t.Errorf("%s as visitor with %s: %d, want %d (0: allowed)", o.name, name, got, want)
			}
			if o.method == "DELETE" && want == 0 {
				s.must("/app/shop/endpoint", `{"url":"https://example.com/a","uid":"a"}`)
				s.names["endpoint"] = "a"
			}
		}
	}
}

// TestEveryRowAsAnAdminOfSvix: a token of an organization opens everything but
// what is the visitors' own.
func TestEveryRowAsAnAdminOfSvix(t *testing.T) {
	s := newStory(t)
	token := s.svixToken("org_23rb8YdGqMT0qIzpgGwdXfHirMu")
	for _, r := range table() {
		o := r.operation()
		if o.access == open || o.method == "DELETE" {
			continue
		}
		got := s.as(token, o.method, s.path(o.path), "{").StatusCode
		if got == 401 || (got == 403) != (o.access == visit) {
			t.Errorf("%s: %d", o.name, got)
		}
	}
}

func TestPortalAccess(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	got := w.want(200, "POST", "/auth/app-portal-access/shop", `{"featureFlags":["beta"],"expiry":3600,"sessionId":"s"}`)
	token, _ := got["token"].(string)
	if got["url"] != publicURL+"/portal#key="+token || strings.Contains(token, ".") || len(token) < 40 {
		t.Errorf("got %v", got)
	}
	if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 200 {
		t.Errorf("the token opens nothing: %d", got.StatusCode)
	}
	w.now = w.now.Add(time.Hour)
	if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 401 {
		t.Errorf("after an hour: %d", got.StatusCode)
	}
	lasting := w.visitor("shop", "")
	dashboard, _ := w.want(200, "POST", "/auth/dashboard-access/shop", "")["token"].(string)
	w.now = w.now.Add(7*24*time.Hour - time.Second)
	for _, token := range []string{lasting, dashboard} {
		if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 200 {
			t.Errorf("just before a week is over: %d", got.StatusCode)
		}
	}
	w.now = w.now.Add(time.Second)
	for _, token := range []string{lasting, dashboard} {
		if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != 401 {
			t.Errorf("after a week: %d", got.StatusCode)
		}
	}
	if list := ids(t, w.want(200, "GET", "/key", "")); len(list) != 0 {
		t.Errorf("visitors are listed as keys: %v", list)
	}
}

func TestPortalAccessRefusals(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	const path = "/auth/app-portal-access/shop"
	for body, loc := range map[string]string{
		`{"expiry":3599}`:                                  `["body","expiry"]`,
		`{"expiry":604801}`:                                `["body","expiry"]`,
		`{"expiry":"1h"}`:                                  `["body","expiry"]`,
		`{"capabilities":[]}`:                              `["body","capabilities"]`,
		`{"capabilities":["ViewBase","Everything"]}`:       `["body","capabilities","1"]`,
		`{"featureFlags":["a b"]}`:                         `["body","featureFlags","0"]`,
		`{"sessionId":""}`:                                 `["body","sessionId"]`,
		`{"application":{"name":"x"}}`:                     `["body","application","uid"]`,
		`{"application":{"name":"x","uid":"other"}}`:       `["body","application","uid"]`,
		`{"application":{"name":"x","uid":null}}`:          `["body","application","uid"]`,
		`{"featureFlags":` + strings.Repeat(" ", 9) + `7}`: `["body","featureFlags"]`,
	} {
		w.refused(422, `"loc":`+loc, "POST", path, body)
	}
	w.refused(422, `["body","application","name"]`, "POST", "/auth/app-portal-access/new", `{"application":{"uid":"new"}}`)
	w.refused(404, "not_found", "POST", "/auth/app-portal-access/new", `{}`)
	w.refused(422, `["body","sessionIds","0"]`, "POST", "/auth/app/shop/expire-all", `{"sessionIds":[" "]}`)
	w.refused(422, `["body","expiry"]`, "POST", "/auth/app/shop/expire-all", `{"expiry":604801}`)
	w.refused(404, "not_found", "POST", "/auth/app/nobody/expire-all", `{}`)
	w.refused(422, `["body","scope"]`, "POST", "/key", `{"name":"k","scope":"portal","application":"shop"}`)
}

// TestPortalAccessMakesTheApplication: once, and the one that is there is left
// as it is.
func TestPortalAccessMakesTheApplication(t *testing.T) {
	w := newWorld(t)
	token := w.visitor("new", `{"application":{"name":"New","uid":"new"}}`)
	if got := w.as(token, "GET", "/app/new", ""); got.StatusCode != 200 || !strings.Contains(got.body, `"name":"New"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	w.visitor("new", `{"application":{"name":"Renamed","uid":"new"}}`)
	if name := w.want(200, "GET", "/app/new", "")["name"]; name != "New" {
		t.Errorf("it is called %v now", name)
	}
}

func TestLogout(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	one, two := w.visitor("shop", ""), w.visitor("shop", "")
	if got := w.as(one, "POST", "/auth/logout", ""); got.StatusCode != 204 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	for token, want := range map[string]int{one: 401, two: 200} {
		if got := w.as(token, "GET", "/app/shop", ""); got.StatusCode != want {
			t.Errorf("after a logout: %d, want %d", got.StatusCode, want)
		}
	}
	if got := w.as(w.svixToken("app_shop"), "POST", "/auth/logout", ""); got.StatusCode != 403 {
		t.Errorf("a token that nobody keeps: %d %s", got.StatusCode, got.body)
	}
}

func TestExpireAll(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app", `{"name":"Other","uid":"other"}`)
	one, two, other := w.visitor("shop", `{"sessionId":"one"}`), w.visitor("shop", ""), w.visitor("other", `{"sessionId":"one"}`)
	check := func(when string, want map[string]int) {
		t.Helper()
		for token, status := range want {
			if got := w.as(token, "GET", "/event-type", ""); got.StatusCode != status {
				t.Errorf("%s: %d, want %d", when, got.StatusCode, status)
			}
		}
	}
	w.want(204, "POST", "/auth/app/shop/expire-all", `{"expiry":60,"sessionIds":["one"]}`)
	check("before it is time", map[string]int{one: 200, two: 200, other: 200})
	w.now = w.now.Add(time.Minute)
	check("after a minute", map[string]int{one: 401, two: 200, other: 200})
	w.want(204, "POST", "/auth/app/shop/expire-all", "")
	check("at once", map[string]int{one: 401, two: 401, other: 200})
}

// TestFeatureFlags: visitors see the event types that ask for none of them or
// for one of theirs, and pages go on where all of one are hidden.
func TestFeatureFlags(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	for name, flags := range map[string]string{"a": "null", "b": `["beta"]`, "c": `["beta","gold"]`, "d": "null"} {
		w.want(201, "POST", "/event-type", `{"name":"`+name+`","description":"d","schemas":{"1":{"examples":[{"n":1}]}},"featureFlags":`+flags+`}`)
	}
	w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"a"}`)
	for body, want := range map[string][]string{
		`{}`: {"a", "d"}, `{"featureFlags":["gold"]}`: {"a", "c", "d"}, `{"featureFlags":["beta"]}`: {"a", "b", "c", "d"},
	} {
		token := w.visitor("shop", body)
		example := w.as(token, "POST", "/app/shop/endpoint/a/send-example", `{"eventType":"b"}`)
		if hidden := !slices.Contains(want, "b"); example.StatusCode != 200 && !hidden || example.StatusCode != 404 && hidden {
			t.Errorf("%s: an example of a hidden type: %d %s", body, example.StatusCode, example.body)
		}
		if all := w.as(token, "GET", "/event-type?limit=2", ""); strings.Contains(all.body, `"b"`) && !slices.Contains(want, "b") {
			t.Errorf("%s: a page tells of a hidden type: %s", body, all.body)
		}
		var got []string
		path := "/event-type?limit=1"
		for range 6 {
			page := w.page(token, path)
			got = append(got, ids(t, page)...)
			if page["done"] == true {
				break
			}
			iterator, _ := page["iterator"].(string)
			path = "/event-type?limit=1&iterator=" + iterator
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
		if got := w.as(token, "GET", "/event-type/b", "").StatusCode == 200; got != slices.Contains(want, "b") {
			t.Errorf("%s: reading a hidden type: %t", body, got)
		}
	}
}

// page is a list as somebody else than the admin sees it.
func (w *world) page(token, path string) map[string]any {
	w.t.Helper()
	got := w.as(token, "GET", path, "")
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
		w.t.Fatal(err)
	}
	return fields
}

func TestCORS(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	ask := func(method, path, origin, headers string) response {
		r := httptest.NewRequest(method, Prefix+path, http.NoBody)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if headers != "" {
			r.Header.Set("Access-Control-Request-Headers", headers)
		}
		return w.send(r)
	}
	got := ask("OPTIONS", "/app/shop/endpoint", "https://shop.example", "authorization,idempotency-key,x-own")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, POST",
		"Access-Control-Allow-Headers": "authorization,idempotency-key,x-own", "Access-Control-Allow-Credentials": "",
		"Access-Control-Max-Age": "7200",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("preflight: %s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if got.StatusCode != 204 {
		t.Errorf("preflight: %d", got.StatusCode)
	}
	for path, want := range map[string]int{"/app": 401, "/health": 200, "/nothing": 404} {
		got := ask("GET", path, "https://shop.example", "")
		if got.StatusCode != want || got.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("GET %s: %d, allowed to %q", path, got.StatusCode, got.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	if got := ask("DELETE", "/app", "null", ""); got.StatusCode != 405 || got.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a wrong method: %d %v", got.StatusCode, got.Header)
	}
	if got := ask("OPTIONS", "/nothing", "https://shop.example", ""); got.StatusCode != 404 {
		t.Errorf("preflight for nothing: %d", got.StatusCode)
	}
	if got := ask("GET", "/health", "", ""); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a request without an origin gets a header for it")
	}
}
