package e2e_test

import (
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// key makes an API key of a scope for the world's application, or for all where
// that is the scope's, and returns its token and id.
func (w *conventionWorld) key(scope string) (token, id string) {
	w.t.Helper()
	in := object{"name": "conventions", "scope": scope}
	if scope != "admin" {
		in["application"] = w.app
	}
	out := w.ask(201, "POST", "/key", in)
	return out.Get("token").Str, out.Get("id").Str
}

// visitor opens the portal and returns a world that calls as its visitor.
func (w *conventionWorld) visitor(in object) *conventionWorld {
	w.t.Helper()
	return w.as(w.ask(200, "POST", "/auth/app-portal-access/"+w.app, in).Get("token").Str)
}

// svixToken is a token as svix-server makes them, signed in a way.
func (w *conventionWorld) svixToken(method jwt.SigningMethod, key any, change jwt.MapClaims) string {
	w.t.Helper()
	claims := jwt.MapClaims{"iss": "svix-server", "sub": "org_23rb8YdGqMT0qIzpgGwdXfHirMu", "iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(hour).Unix()}
	for name, value := range change {
		claims[name] = value
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// accessConventions are about keys, scopes, the tokens of svix-server and the
// portal.
func accessConventions() []convention {
	const keys, jwts, portal = "Keys", "Tokens of svix-server", "Portal"
	return []convention{
		{keys, "No key, a wrong key and another scheme are 401 authentication_failed, whatever is asked for.", in(func(w *conventionWorld) {
			for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic " + adminKey, adminKey} {
				stranger := w.with("Authorization", header)
				for _, path := range []string{"/app", w.of(""), "/app/nowhere", "/key"} {
					stranger.fails(401, "authentication_failed", "GET", path, nil)
				}
				w.same("challenge", stranger.reply("GET", "/app", nil).header.Get("WWW-Authenticate"), "Bearer")
			}
		})},
		{keys, "The scheme's name is Bearer in any case.", in(func(w *conventionWorld) {
			w.with("Authorization", "bearer "+adminKey).ask(200, "GET", w.of(""), nil)
		})},
		{keys, "A key's token has no dot, and is shown once.", in(func(w *conventionWorld) {
			token, id := w.key("application")
			if len(token) < 32 || strings.Contains(token, ".") {
				w.t.Errorf("token %q", token)
			}
			w.reads(w.ask(200, "GET", "/key/"+id, nil), "token", "", "scope", `"application"`, "applicationId", quoted(w.app))
			w.same("in the list", strings.Contains(w.page("/key", "limit", "250").Raw, token), false)
		})},
		{keys, "A revoked key is refused at once.", in(func(w *conventionWorld) {
			token, id := w.key("application")
			w.as(token).ask(200, "GET", w.of(""), nil)
			w.ask(204, "DELETE", "/key/"+id, nil)
			w.as(token).fails(401, "authentication_failed", "GET", w.of(""), nil)
		})},
		{keys, "A key's end lies in the future, else 422.", in(func(w *conventionWorld) {
			in := object{"name": "k", "scope": "read-only", "expiresAt": ago(-hour)}
			w.ask(201, "POST", "/key", in)
			in["expiresAt"] = ago(hour)
			w.faulty("body.expiresAt", "POST", "/key", in)
		})},
		{keys, "A key whose end is past is 401.", in(func(w *conventionWorld) {
			out := w.ask(201, "POST", "/key", object{"name": "k", "scope": "application", "application": w.app, "expiresAt": ago(-5 * time.Second)})
			w.reads(w.ask(200, "GET", "/key/"+out.Get("id").Str, nil), "expiresAt", out.Get("expiresAt").Raw)
			expiring := w.as(out.Get("token").Str)
			await(w.t, "the key's end", func() bool { return expiring.reply("GET", w.of(""), nil).status != 200 })
			expiring.fails(401, "authentication_failed", "GET", w.of(""), nil)
			w.same("it was before its end", time.Now().Before(out.Get("expiresAt").Time()), false)
		})},
		{keys, "A key of an application does everything there, 403 outside, and does not find another.", in(func(w *conventionWorld) {
			token, _ := w.key("application")
			own, other := w.as(token), w.application("other")
			endpoint := own.ask(201, "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1:9/", "disabled": true}).Get("id").Str
			own.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			own.ask(200, "GET", w.of("/endpoint/"+endpoint+"/secret"), nil)
			own.fails(403, "insufficient access", "GET", "/app", nil)
			own.fails(403, "insufficient access", "POST", "/app", object{"name": "n"})
			own.fails(403, "insufficient access", "DELETE", w.of(""), nil)
			own.fails(403, "insufficient access", "POST", "/event-type", object{"name": w.uid, "description": "d"})
			own.fails(404, "not_found", "GET", "/app/"+other, nil)
			own.fails(404, "not_found", "POST", "/app/"+other+"/msg", envelopeOf("a.b", nil))
		})},
		{keys, "A read-only key reads, but no secret; a publish-only key publishes, and reads nothing.", in(func(w *conventionWorld) {
			endpoint := w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true})
			token, _ := w.key("read-only")
			reader := w.as(token)
			reader.ask(200, "GET", w.of("/endpoint"), nil)
			reader.fails(403, "insufficient access", "GET", w.of("/endpoint/"+endpoint+"/secret"), nil)
			reader.fails(403, "insufficient access", "POST", w.of("/msg"), envelopeOf("a.b", nil))
			token, _ = w.key("publish-only")
			publisher := w.as(token)
			publisher.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			publisher.fails(403, "insufficient access", "GET", w.of("/msg"), nil)
			publisher.fails(403, "insufficient access", "GET", w.of(""), nil)
		})},
		{keys, "A key of an application follows the background tasks of that one; another's do not exist to it.", in(func(w *conventionWorld) {
			other, tasks := w.application("other"), map[string]string{}
			for _, app := range []string{w.app, other} {
				tasks[app] = w.ask(202, "POST", "/app/"+app+"/msg/expunge-all-contents", nil).Get("id").Str
			}
			for _, scope := range []string{"application", "read-only"} {
				token, _ := w.key(scope)
				own := w.as(token)
				own.reads(own.ask(200, "GET", "/background-task/"+tasks[w.app], nil), "data.appId", quoted(w.app))
				own.fails(404, "not_found", "GET", "/background-task/"+tasks[other], nil)
				w.same("listed", texts(own.page("/background-task"), "data.#.id"), []string{tasks[w.app]})
			}
		})},
		{keys, "A key that was never used says so: lastUsedAt is null.", in(func(w *conventionWorld) {
			_, id := w.key("read-only")
			w.reads(w.ask(200, "GET", "/key/"+id, nil), "lastUsedAt", "null", "expiresAt", "null")
		})},

		{jwts, "A token of svix-server, signed with the secret that is configured, is an administrator's.", in(func(w *conventionWorld) {
			w.as(w.svixToken(jwt.SigningMethodHS256, []byte(conventionSecret), nil)).ask(200, "GET", "/app?limit=1", nil)
		})},
		{jwts, "One for an application is a visitor's of its portal.", in(func(w *conventionWorld) {
			visitor := w.as(w.svixToken(jwt.SigningMethodHS256, []byte(conventionSecret), jwt.MapClaims{"sub": w.app, "org": "org_23rb8YdGqMT0qIzpgGwdXfHirMu"}))
			visitor.ask(200, "GET", w.of("/endpoint"), nil)
			visitor.fails(403, "insufficient access", "GET", "/app", nil)
			visitor.fails(404, "not_found", "GET", "/app/"+w.application("other")+"/endpoint", nil)
		})},
		{jwts, "Its feature_flags show the event types that have one of them, as a visit's do.", in(func(w *conventionWorld) {
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d", "featureFlags": []string{"beta", "gamma"}})
			claims := jwt.MapClaims{"sub": w.app}
			w.as(w.svixToken(jwt.SigningMethodHS256, []byte(conventionSecret), claims)).fails(404, "not_found", "GET", "/event-type/"+w.uid, nil)
			claims["feature_flags"] = []string{"alpha", "beta"}
			w.as(w.svixToken(jwt.SigningMethodHS256, []byte(conventionSecret), claims)).ask(200, "GET", "/event-type/"+w.uid, nil)
		})},
		// svix-server also takes HS384, HS512, RS* and EdDSA where it is told to.
		{jwts, "Another secret, issuer or algorithm, an end that is past and none at all are 401.", in(func(w *conventionWorld) {
			secret := []byte(conventionSecret)
			for what, token := range map[string]string{
				"secret": w.svixToken(jwt.SigningMethodHS256, []byte("another"), nil), "issuer": w.svixToken(jwt.SigningMethodHS256, secret, jwt.MapClaims{"iss": "another"}),
				"algorithm": w.svixToken(jwt.SigningMethodHS512, secret, nil), "no algorithm": w.svixToken(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
				"past": w.svixToken(jwt.SigningMethodHS256, secret, jwt.MapClaims{"exp": time.Now().Add(-hour).Unix()}), "not yet": w.svixToken(jwt.SigningMethodHS256, secret, jwt.MapClaims{"nbf": time.Now().Add(hour).Unix()}),
				"no subject": w.svixToken(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": ""}),
			} {
				if status := w.as(token).reply("GET", "/app?limit=1", nil).status; status != 401 {
					w.t.Errorf("%s: %d", what, status)
				}
			}
		})},

		{portal, "Opening the portal answers 200 with a token that has no dot, and a url that ends in #key= and the token.", in(func(w *conventionWorld) {
			out := w.ask(200, "POST", "/auth/app-portal-access/"+w.uid, object{})
			if token := out.Get("token").Str; len(token) < 32 || strings.Contains(token, ".") || !strings.HasSuffix(out.Get("url").Str, "/portal#key="+token) {
				w.t.Errorf("%s", out.Raw)
			}
		})},
		{portal, "The older dashboard-access answers the same, without a body.", in(func(w *conventionWorld) {
			out := w.ask(200, "POST", "/auth/dashboard-access/"+w.app, nil)
			w.as(out.Get("token").Str).ask(200, "GET", w.of("/endpoint"), nil)
			w.fails(404, "not_found", "POST", "/auth/dashboard-access/nowhere", nil)
		})},
		{portal, "A visitor reads the application, its endpoints, messages and attempts, and the event types.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			visitor := w.visitor(object{})
			for _, path := range []string{w.of(""), w.of("/endpoint"), w.of("/endpoint/" + endpoint), w.of("/msg"), w.of("/msg/" + message), w.of("/attempt/msg/" + message), w.of("/attempt/endpoint/" + endpoint), "/event-type"} {
				visitor.ask(200, "GET", path, nil)
			}
		})},
		{portal, "A visitor makes, changes and deletes endpoints, reads and rotates their secrets, resends, and follows what that becomes.", in(func(w *conventionWorld) {
			visitor, r := w.visitor(object{}), newReceiver(w.t, nil)
			endpoint := visitor.ask(201, "POST", w.of("/endpoint"), object{"url": r.URL + "/hook"}).Get("id").Str
			path, message := w.of("/endpoint/"+endpoint), w.message("a.b", nil).Get("id").Str
			visitor.ask(200, "PATCH", path, object{"description": "d"})
			visitor.ask(200, "PUT", path, object{"url": r.URL + "/hook"})
			visitor.ask(200, "GET", path+"/secret", nil)
			visitor.ask(204, "POST", path+"/secret/rotate", object{})
			visitor.ask(204, "PUT", path+"/headers", object{"headers": object{"X-A": "a"}})
			visitor.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+endpoint+"/resend"), nil)
			task := visitor.ask(202, "POST", path+"/recover", object{"since": ago(hour)}).Get("id").Str
			visitor.ask(200, "GET", "/background-task/"+task, nil)
			visitor.ask(200, "POST", path+"/send-example", object{"eventType": "svix.ping"})
			visitor.ask(204, "DELETE", path, nil)
		})},
		{portal, "To a visitor, writing applications or event types, publishing and expunging are 403.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			attempt, visitor := w.attempts(w.app, message)[0].ID, w.visitor(object{})
			for _, o := range []struct{ method, path string }{
				{"GET", "/app"}, {"POST", "/app"}, {"PUT", w.of("")}, {"PATCH", w.of("")}, {"DELETE", w.of("")}, {"POST", w.of("/msg")},
				{"DELETE", w.of("/msg/" + message + "/content")}, {"DELETE", w.of("/msg/" + message + "/attempt/" + attempt + "/content")}, {"POST", w.of("/msg/bulk-expunge")},
				{"POST", "/event-type"}, {"PUT", "/event-type/" + w.uid}, {"PATCH", "/event-type/" + w.uid}, {"DELETE", "/event-type/" + w.uid},
				{"GET", "/key"}, {"POST", "/auth/app-portal-access/" + w.app}, {"GET", w.of("/source")},
			} {
				var in any
				if o.method != "GET" && o.method != "DELETE" {
					in = object{}
				}
				visitor.fails(403, "insufficient access", o.method, o.path, in)
			}
		})},
		{portal, "Another application is 404 to a visitor.", in(func(w *conventionWorld) {
			other, visitor := w.application("other"), w.visitor(object{})
			endpoint := w.client.endpoint(other, "http://127.0.0.1:9/", object{"disabled": true})
			task := w.ask(202, "POST", "/app/"+other+"/endpoint/"+endpoint+"/recover", object{"since": ago(hour)}).Get("id").Str
			visitor.fails(404, "not_found", "GET", "/background-task/"+task, nil)
			for _, path := range []string{"", "/endpoint", "/endpoint/" + endpoint, "/msg"} {
				visitor.fails(404, "not_found", "GET", "/app/"+other+path, nil)
			}
			visitor.fails(404, "not_found", "DELETE", "/app/"+other+"/endpoint/"+endpoint, nil)
		})},
		{portal, "A visit may be limited to capabilities, of which readOnly is an older form.", in(func(w *conventionWorld) {
			endpoint := w.of("/endpoint/" + w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true}))
			for _, in := range []object{{"capabilities": []string{"ViewBase"}}, {"readOnly": true}} {
				visitor := w.visitor(in)
				visitor.ask(200, "GET", endpoint, nil)
				visitor.fails(403, "insufficient access", "GET", endpoint+"/secret", nil)
				visitor.fails(403, "insufficient access", "PATCH", endpoint, object{})
				visitor.fails(403, "insufficient access", "GET", "/background-task", nil)
			}
			visitor := w.visitor(object{"capabilities": []string{"ViewEndpointSecret"}})
			visitor.ask(200, "GET", endpoint+"/secret", nil)
			visitor.fails(403, "insufficient access", "POST", endpoint+"/secret/rotate", object{})
			w.faulty("body.capabilities.0", "POST", "/auth/app-portal-access/"+w.app, object{"capabilities": []string{"Everything"}})
		})},
		{portal, "Event types with feature flags are shown to visitors who have one of them.", in(func(w *conventionWorld) {
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d", "featureFlags": []string{"beta"}})
			w.visitor(object{}).fails(404, "not_found", "GET", "/event-type/"+w.uid, nil)
			w.visitor(object{"featureFlags": []string{"beta"}}).ask(200, "GET", "/event-type/"+w.uid, nil)
		})},
		{portal, "A visit lasts an hour to seven days.", in(func(w *conventionWorld) {
			path := "/auth/app-portal-access/" + w.app
			w.ask(200, "POST", path, object{"expiry": 3600})
			w.ask(200, "POST", path, object{"expiry": 7 * 24 * 3600})
			w.faulty("body.expiry", "POST", path, object{"expiry": 3599})
			w.faulty("body.expiry", "POST", path, object{"expiry": 7*24*3600 + 1})
		})},
		{portal, "A visit lasts seven days unless asked otherwise; limits tells so.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", "/limits", nil), `data.#(name=="portal.default").value`, "604800", `data.#(name=="portal.default").unit`, `"seconds"`)
		})},
		{portal, "Opening the portal makes the application that the body describes; its uid is the path's, else 422.", in(func(w *conventionWorld) {
			path := "/auth/app-portal-access/" + w.uid + ".new"
			w.faulty("body.application.uid", "POST", path, object{"application": object{"name": "n", "uid": "another"}})
			w.faulty("body.application.name", "POST", path, object{"application": object{"uid": w.uid + ".new"}})
			w.fails(404, "not_found", "POST", path, object{})
			token := w.ask(200, "POST", path, object{"application": object{"name": "n", "uid": w.uid + ".new"}}).Get("token").Str
			w.as(token).reads(w.as(token).ask(200, "GET", "/app/"+w.uid+".new", nil), "name", `"n"`)
		})},
		{portal, "Expiring ends the visits of an application, or those of the sessions named.", in(func(w *conventionWorld) {
			first, second := w.visitor(object{"sessionId": "one"}), w.visitor(object{"sessionId": "two"})
			w.ask(204, "POST", "/auth/app/"+w.app+"/expire-all", object{"sessionIds": []string{"one"}})
			first.fails(401, "authentication_failed", "GET", w.of(""), nil)
			second.ask(200, "GET", w.of(""), nil)
			w.ask(204, "POST", "/auth/app/"+w.app+"/expire-all", object{})
			second.fails(401, "authentication_failed", "GET", w.of(""), nil)
		})},
		{portal, "Logging out ends the visitor's own visit.", in(func(w *conventionWorld) {
			first, second := w.visitor(object{}), w.visitor(object{})
			first.ask(204, "POST", "/auth/logout", nil)
			first.fails(401, "authentication_failed", "GET", w.of(""), nil)
			second.ask(200, "GET", w.of(""), nil)
			w.fails(403, "insufficient access", "POST", "/auth/logout", nil)
		})},
		{portal, "A page of any origin calls with a visitor's token.", in(func(w *conventionWorld) {
			r := w.visitor(object{}).with("Origin", "https://customer.example").reply("GET", w.of("/endpoint"), nil)
			w.same("answer", []string{http.StatusText(r.status), r.header.Get("Access-Control-Allow-Origin"), r.header.Get("Access-Control-Allow-Credentials")}, []string{"OK", "*", ""})
		})},
	}
}
