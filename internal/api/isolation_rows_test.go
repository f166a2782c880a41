package api

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/auth"
)

// Every row of the table, tried by whoever may not: with names of another
// application, with keys of every scope, and without a key that is good. In all
// cases nothing may happen. A new row has to be named in rowNeeds, and in
// foreignBodies where its body names something.

// rowNeeds is what each row asks for, by need.
func rowNeeds() map[string][]string {
	return map[string][]string{
		"nothing":        {"health", "health.ping", "openapi"},
		"read catalogue": {"limits", "event-type.list", "event-type.get", "event-type.retry-schedule.get"},
		"administer": {
			"event-type.create", "event-type.put", "event-type.patch", "event-type.retry-schedule.put", "event-type.delete",
			"application.create", "application.put", "application.patch", "application.delete",
			"key.list", "key.create", "key.get", "key.delete", "node.list", "backup.create",
			"auth.app-portal-access", "auth.dashboard-access", "auth.expire-all",
		},
		"read all": {"application.list"},
		"read": {
			"application.get", "endpoint.list", "endpoint.get", "endpoint.headers.get", "endpoint.stats", "endpoint.messages",
			"message.list", "message.get", "message.raw", "message.endpoints", "message.explain",
			"attempt.get", "attempt.list-of-message", "attempt.list-of-delivery", "attempt.list-by-message", "attempt.list-by-endpoint",
			"delivery.list", "stats", "replay.list", "replay.get", "source.list", "source.get", "refusal.list", "refusal.get",
			"background-task.list", "background-task.get",
		},
		"write": {
			"endpoint.create", "endpoint.put", "endpoint.patch", "endpoint.delete", "endpoint.pause", "endpoint.resume",
			"endpoint.headers.put", "endpoint.headers.patch", "endpoint.send-example",
			"endpoint.recover", "endpoint.replay-missing", "endpoint.bulk-replay",
			"message.resend", "message.cancel", "message.expunge", "message.bulk-expunge", "message.expunge-all", "attempt.expunge",
			"replay.create", "replay.preview", "replay.pause", "replay.resume", "replay.cancel",
			"source.create", "source.put", "source.patch", "source.delete", "source.pause", "source.resume",
			"refusal.verify", "refusal.release",
			"lease.create", "lease.ack", "lease.nack", "lease.extend", "lease.release",
		},
		"publish": {"message.create", "message.precheck"},
		"secrets": {"endpoint.secret.get", "endpoint.secret.rotate", "source.secret.get", "source.secret.rotate"},
		"watch":   {"tail"},
		"visit":   {"auth.logout"},
	}
}

// holder is a kind of credential, and what it is good for.
type holder struct {
	token func(w *tenants) string
	// bound: it sees one application only.
	bound bool
	// rows are what it may.
	rows map[string]bool
}

func holders() map[string]holder {
	needs := rowNeeds()
	holding := func(bound bool, key string, held ...string) holder {
		h := holder{bound: bound, rows: map[string]bool{}, token: func(w *tenants) string {
			token, _ := w.want(201, "POST", "/key", `{"name":"k",`+key+`}`)["token"].(string)
			return token
		}}
		for _, need := range append(held, "nothing") {
			for _, row := range needs[need] {
				h.rows[row] = true
			}
		}
		return h
	}
	all := map[string]holder{
		"admin":         holding(false, `"scope":"admin"`, "read catalogue", "administer", "read all", "read", "write", "publish", "secrets", "watch"),
		"application":   holding(true, `"scope":"application","application":"shop"`, "read catalogue", "read", "write", "publish", "secrets", "watch"),
		"read-only":     holding(true, `"scope":"read-only","application":"shop"`, "read catalogue", "read", "watch"),
		"reads all":     holding(false, `"scope":"read-only"`, "read catalogue", "read all", "read", "watch"),
		"publishes":     holding(true, `"scope":"publish-only","application":"shop"`, "publish"),
		"publishes all": holding(false, `"scope":"publish-only"`, "publish"),
		"visitor":       holding(true, "", "visit"),
	}
	visitor := all["visitor"]
	visitor.token = func(w *tenants) string { return w.visitor("shop", `{}`) }
	for _, rows := range portalRows() {
		for _, row := range rows {
			visitor.rows[row] = true
		}
	}
	all["visitor"] = visitor
	return all
}

func TestEveryRowHasANeed(t *testing.T) {
	named := map[string]int{}
	for _, rows := range rowNeeds() {
		for _, name := range rows {
			named[name]++
		}
	}
	for _, r := range table() {
		if o := r.operation(); named[o.name] != 1 {
			t.Errorf("%s is named %d times in rowNeeds, want once", o.name, named[o.name])
		}
		delete(named, r.operation().name)
	}
	if len(named) > 0 {
		t.Errorf("these are no rows: %v", named)
	}
}

// TestEveryRowNeedsItsScope sends every row's request under every kind of
// credential. Who may not is refused without effect, who may succeeds, and who
// is bound to one application reads nothing of the other.
func TestEveryRowNeedsItsScope(t *testing.T) {
	refused := newTenants(t)
	kinds := holders()
	tokens := map[string]string{}
	for kind, h := range kinds {
		tokens[kind] = h.token(refused)
	}
	for _, o := range refused.rows {
		path, body := refused.request(o)
		before := refused.state()
		for kind, h := range kinds {
			switch w := refused; {
			case h.rows[o.name] && o.method == "GET":
				w.checkAllowed(kind, tokens[kind], h.bound, o)
			case h.rows[o.name]:
				w = newTenants(t)
				w.checkAllowed(kind, h.token(w), h.bound, o)
			default:
				if got := w.ask("Bearer "+tokens[kind], o.method, w.path(path), body); got.StatusCode != http.StatusForbidden {
					t.Errorf("%s as %s: %d, want 403: %s", o.name, kind, got.StatusCode, got.body)
				}
			}
		}
		if diff := cmp.Diff(before, refused.state()); diff != "" {
			t.Errorf("%s: a refused request had an effect: %s", o.name, diff)
		}
	}
}

// checkAllowed sends the request of who may.
func (w *tenants) checkAllowed(kind, token string, bound bool, o *operation) {
	w.t.Helper()
	path, body := w.request(o)
	before := w.head.Batch
	got := w.ask("Bearer "+token, o.method, w.path(path), body)
	want := o.status
	if o.name == "message.cancel" {
		want = http.StatusConflict // it is delivered
	}
	if got.StatusCode != want {
		w.t.Errorf("%s as %s: %d, want %d: %s", o.name, kind, got.StatusCode, want, got.body)
	}
	if name := w.leaks(got.body); bound && name != "" {
		w.t.Errorf("%s as %s tells of %s: %s", o.name, kind, name, got.body)
	}
	// What state compares has to see what a success does.
	idle := []string{"message.precheck", "message.cancel", "replay.preview", "replay.resume", "refusal.verify", // it runs
		"lease.create", "lease.extend", "lease.release"} // in memory
	if o.method != "GET" && !slices.Contains(idle, o.name) && w.head.Batch == before {
		w.t.Errorf("%s as %s: the success stored nothing", o.name, kind)
	}
}

// TestAnotherApplicationsObjectsDoNotExist tries every row of one application
// with the other one's names in each place of the path, by id and by uid.
func TestAnotherApplicationsObjectsDoNotExist(t *testing.T) {
	w := newTenants(t)
	kinds := holders()
	tokens := map[string]string{}
	for kind, h := range kinds {
		tokens[kind] = h.token(w)
	}
	tried := 0
	for _, o := range w.rows {
		if !ofOne(o) {
			continue
		}
		_, body := w.request(o)
		before := w.state()
		for kind, h := range kinds {
			want := http.StatusForbidden
			if h.rows[o.name] {
				want = http.StatusNotFound
			}
			for _, path := range w.foreignPaths(o, h.bound) {
				tried++
				got := w.ask("Bearer "+tokens[kind], o.method, path, body)
				if got.StatusCode != want {
					t.Errorf("%s %s as %s: %d, want %d: %s", o.method, path, kind, got.StatusCode, want, got.body)
				}
			}
		}
		if diff := cmp.Diff(before, w.state()); diff != "" {
			t.Errorf("%s: another's name had an effect: %s", o.name, diff)
		}
	}
	if tried < 1000 {
		t.Errorf("only %d requests were tried", tried)
	}
}

// TestEveryRowNeedsAKeyThatLives sends every row's request without a key, and
// with what is none any more or never was one. All are told the same.
func TestEveryRowNeedsAKeyThatLives(t *testing.T) {
	w := newTenants(t)
	key := holders()["admin"].token
	revoked, expiring := key(w), key(w)
	for _, id := range ids(t, w.want(200, "GET", "/key?limit=2", "")) {
		if id != w.names["key"] {
			w.want(204, "DELETE", "/key/"+id, "")
		}
	}
	expired, _ := w.want(201, "POST", "/key", `{"name":"k","scope":"admin","expiresAt":"`+w.now.Add(time.Minute).Format(time.RFC3339)+`"}`)["token"].(string)
	w.must("/app", `{"name":"Gone","uid":"gone"}`)
	orphan, _ := w.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"gone"}`)["token"].(string)
	w.want(204, "DELETE", "/app/gone", "")
	visitor, ended := w.visitor("shop", `{"expiry":3600}`), w.visitor("shop", `{"sessionId":"s"}`)
	w.want(204, "POST", "/auth/app/shop/expire-all", `{"sessionIds":["s"]}`)
	good := w.svixToken(w.names["app"])
	w.now = w.now.Add(2 * time.Hour)
	headers := map[string]string{
		"none": "", "no token": "Bearer ", "no scheme": adminToken, "another scheme": "Basic " + adminToken,
		"part of a key": "Bearer " + adminToken[:5], "more than a key": "Bearer " + adminToken + "x", "nobody's": "Bearer " + auth.NewToken(),
		"malformed": "Bearer pk_\x7f\xff", "endless": "Bearer " + strings.Repeat("a.", 1<<13),
		"revoked": "Bearer " + revoked, "revoked too": "Bearer " + expiring, "expired": "Bearer " + expired, "of no application": "Bearer " + orphan,
		"visit over": "Bearer " + visitor, "visit ended": "Bearer " + ended,
		"svix-server's, expired": "Bearer " + good,
	}
	maps.Copy(headers, forgedTokens(t, w))
	if got := w.ask("Bearer "+w.svixToken(w.names["app"]), "GET", "/app/shop", ""); got.StatusCode != 200 {
		t.Fatalf("the token that others are forged after opens nothing: %d", got.StatusCode)
	}
	for _, o := range w.rows {
		if o.access == open {
			continue
		}
		path, _ := w.request(o)
		methods := []string{o.method}
		if o.method == "GET" {
			methods = append(methods, "HEAD")
		}
		before, told := w.state(), ""
		for kind, header := range headers {
			for _, method := range methods {
				got := w.ask(header, method, w.path(path), "{}")
				if told == "" {
					told = got.body
				}
				if got.StatusCode != http.StatusUnauthorized || got.Header.Get("Www-Authenticate") != "Bearer" || got.body != told {
					t.Errorf("%s with a key that is %s: %d %s", o.name, kind, got.StatusCode, got.body)
				}
			}
		}
		if diff := cmp.Diff(before, w.state()); diff != "" {
			t.Errorf("%s without a key had an effect: %s", o.name, diff)
		}
	}
}

// forgedTokens are headers with tokens that svix-server did not make.
func forgedTokens(t *testing.T, w *tenants) map[string]string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "svix-server", "sub": w.names["app"], "exp": w.now.Add(time.Hour).Unix()}
	forge := func(method jwt.SigningMethod, key any) string {
		text, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	forged := map[string]string{
		"signed by another": forge(jwt.SigningMethodHS256, []byte("another secret")),
		"not signed":        forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"of another method": forge(jwt.SigningMethodHS512, []byte("old secret")),
	}
	claims["iss"] = "somebody"
	forged["of another issuer"] = forge(jwt.SigningMethodHS256, []byte("old secret"))
	return forged
}

// TestForeignNamesInQueries narrows every list down to the other application's
// objects, and goes on from them.
func TestForeignNamesInQueries(t *testing.T) {
	w := newTenants(t)
	token := holders()["application"].token(w)
	before := w.state()
	delivery := w.theirs["msg"][0] + "." + w.theirs["endpoint"][0]
	iterators := append(w.foreignNames(), delivery, w.theirs["attempt"][0]+"."+w.theirs["endpoint"][0])
	for _, o := range w.rows {
		path, _ := w.request(o)
		for _, p := range o.query {
			switch {
			case strings.HasSuffix(p.name, "_id"):
				query := "?app_id=shop&" + p.name + "="
				if p.name == "app_id" || o.inApplication {
					query = "?" + p.name + "="
				}
				for _, ref := range w.theirs[strings.TrimSuffix(p.name, "_id")] {
					if got := w.ask("Bearer "+token, o.method, w.path(path)+query+ref, ""); got.StatusCode != http.StatusNotFound {
						t.Errorf("%s with %s%s: %d %s", o.name, query, ref, got.StatusCode, got.body)
					}
				}
				if len(w.theirs[strings.TrimSuffix(p.name, "_id")]) == 0 {
					t.Errorf("%s asks for %s: newTenants has to make one that is another's", o.name, p.name)
				}
			case p.name == "iterator" && (o.inApplication || o.access == following):
				for _, ref := range iterators {
					for _, sign := range []string{"", "-"} {
						got := w.ask("Bearer "+token, o.method, w.path(path)+"?iterator="+sign+ref, "")
						if got.StatusCode != http.StatusOK && got.StatusCode != http.StatusUnprocessableEntity {
							t.Errorf("%s from %s%s: %d %s", o.name, sign, ref, got.StatusCode, got.body)
						}
						if name := w.leaks(got.body); name != "" {
							t.Errorf("%s from %s%s tells of %s: %s", o.name, sign, ref, name, got.body)
						}
					}
				}
			}
		}
	}
	if diff := cmp.Diff(before, w.state()); diff != "" {
		t.Errorf("a list had an effect: %s", diff)
	}
}

// foreignBodies are bodies with the name of something that is another's in
// place of %s, by row and field, and what they are answered. Fields without a
// body name nothing that exists already.
func foreignBodies() map[string]struct {
	kind, body string
	status     int
	text       string
} {
	type body = struct {
		kind, body string
		status     int
		text       string
	}
	none := body{}
	const since = `"since":"2020-01-01T00:00:00Z"`
	return map[string]body{
		"replay.create.endpointId":    {"endpoint", `{"endpointId":"%s",` + since + `}`, 422, `"loc":["body","endpointId"]`},
		"replay.create.toEndpointId":  {"endpoint", `{"endpointId":"a","toEndpointId":"%s",` + since + `}`, 422, `"loc":["body","toEndpointId"]`},
		"replay.preview.endpointId":   {"endpoint", `{"endpointId":"%s",` + since + `}`, 422, `"loc":["body","endpointId"]`},
		"replay.preview.toEndpointId": {"endpoint", `{"endpointId":"a","toEndpointId":"%s",` + since + `}`, 422, `"loc":["body","toEndpointId"]`},
		"message.bulk-expunge.ids":    {"msg", `{"ids":["%s"]}`, 200, `"not-found"`},
		// Another's lease has ended, like one that never was.
		"lease.ack.leases":     {"lease", `{"leases":["%s"]}`, 200, `{"missing":["lse_`},
		"lease.nack.leases":    {"lease", `{"leases":["%s"]}`, 200, `{"missing":["lse_`},
		"lease.extend.leases":  {"lease", `{"leases":["%s"],"leaseSeconds":1}`, 200, `"missing":["lse_`},
		"lease.release.leases": {"lease", `{"leases":["%s"]}`, 200, `{"missing":["lse_`},
		// Administrators name applications as they like; these only have to agree.
		"key.create.application":             none,
		"auth.app-portal-access.application": {"app", `{"application":{"name":"n","uid":"%s"}}`, 422, `"loc":["body","application","uid"]`},
		"message.create.application":         {"app", `{"eventType":"a","payload":{},"application":{"name":"n","uid":"%s"}}`, 422, `"loc":["body","application","uid"]`},
		// Sessions are each application's own; see TestNamesAreEachApplicationsOwn.
		"auth.app-portal-access.sessionId": none,
		"auth.expire-all.sessionIds":       none,
		// Names that are given, and each application's own as well.
		"message.create.eventId": none,
	}
}

func TestForeignNamesInBodies(t *testing.T) {
	w := newTenants(t)
	token := holders()["application"].token(w)
	before := w.state()
	naming := regexp.MustCompile(`(?i)ids?$|^(application|endpoint|source|message|destination|lease)s?$`)
	cases := foreignBodies()
	for _, o := range w.rows {
		in := o.in
		if in == nil || in.Kind() != reflect.Struct {
			continue
		}
		for _, field := range reflect.VisibleFields(in) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !naming.MatchString(name) || name == "uid" {
				continue
			}
			test, ok := cases[o.name+"."+name]
			if !ok {
				t.Errorf("the body of %s names something with %q: it needs a case in foreignBodies", o.name, name)
			}
			path, _ := w.request(o)
			for _, ref := range w.theirs[test.kind] {
				body := fmt.Sprintf(test.body, ref)
				if got := w.do(o.method, w.path(path), body); got.StatusCode != test.status || !strings.Contains(got.body, test.text) {
					t.Errorf("%s with %s %s: %d %s", o.name, name, ref, got.StatusCode, got.body)
				}
				if got := w.as(token, o.method, w.path(path), body); o.inApplication && got.StatusCode != test.status {
					t.Errorf("%s with %s %s, as its application: %d %s", o.name, name, ref, got.StatusCode, got.body)
				}
			}
		}
	}
	if diff := cmp.Diff(before, w.state()); diff != "" {
		t.Errorf("another's name had an effect: %s", diff)
	}
}

// TestNamesAreEachApplicationsOwn gives own objects the other's names: they are
// free, and the other's objects stay as they were.
func TestNamesAreEachApplicationsOwn(t *testing.T) {
	w := newTenants(t)
	token := holders()["application"].token(w)
	stranger := w.visitor("other", `{"sessionId":"s"}`)
	read := func() string {
		return w.do("GET", "/app/other/endpoint/their-endpoint", "").body + w.do("GET", "/app/other/source", "").body + w.do("GET", "/app/other/msg", "").body
	}
	before := read()
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/app/shop/msg", `{"eventType":"a","eventId":"their-message","payload":{"of":"us"}}`, 202},
		{"PUT", "/app/shop/endpoint/their-endpoint", `{"url":"https://example.com/ours"}`, 201},
		{"PATCH", "/app/shop/endpoint/their-endpoint", `{"description":"ours"}`, 200},
		{"DELETE", "/app/shop/endpoint/their-endpoint", ``, 204},
		{"POST", "/app/shop/endpoint", `{"url":"https://example.com/ours","uid":"their-endpoint"}`, 201},
		{"POST", "/app/shop/source", `{"name":"n","provider":"github","uid":"their-source"}`, 201},
		{"DELETE", "/app/shop/source/their-source", ``, 204},
		{"PUT", "/app/shop/source/their-source", `{"name":"n","provider":"github"}`, 201},
		{"DELETE", "/app/shop/source/their-source", ``, 204},
		{"PATCH", "/app/shop/source/gh", `{"uid":"their-source"}`, 200},
		{"DELETE", "/app/shop/msg/their-message/content", ``, 204},
	} {
		if got := w.as(token, test.method, test.path, test.body); got.StatusCode != test.status {
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.body, got.StatusCode, got.body)
		}
	}
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("the other's objects have changed: %s", diff)
	}
	w.want(204, "POST", "/auth/app/shop/expire-all", `{"sessionIds":["s"]}`)
	w.want(204, "POST", "/auth/app/shop/expire-all", ``)
	if got := w.as(stranger, "GET", "/app/other", ""); got.StatusCode != 200 {
		t.Errorf("another application's visitor is gone: %d", got.StatusCode)
	}
}
