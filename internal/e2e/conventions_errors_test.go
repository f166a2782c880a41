package e2e_test

import (
	"net/http"
	"strings"
)

// errorConventions are about statuses, refusals and the router.
func errorConventions() []convention {
	const statuses, refusals, router = "Statuses", "Errors", "Paths and methods"
	return []convention{
		{statuses, "Creating answers 201, with the record.", in(func(w *conventionWorld) {
			endpoint := w.ask(201, "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1:9/", "disabled": true}).Get("id").Str
			w.reads(w.ask(201, "POST", "/app", object{"name": "made"}), "name", `"made"`)
			w.reads(w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"}), "name", quoted(w.uid))
			w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"})
			w.ask(201, "POST", w.of("/replay"), object{"endpointId": endpoint, "since": ago(hour)})
			w.ask(201, "POST", "/key", object{"name": "k", "scope": "read-only", "application": w.app})
		})},
		{statuses, "get_if_exists=true answers 200 and the application that has the uid.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "POST", "/app?get_if_exists=true", object{"name": "other", "uid": w.uid}), "id", quoted(w.app), "name", `"conventions"`)
			w.reads(w.ask(201, "POST", "/app?get_if_exists=true", object{"name": "other", "uid": w.uid + ".new"}), "name", `"other"`)
		})},
		{statuses, "PUT answers 201 where it creates and 200 where it replaces.", in(func(w *conventionWorld) {
			for path, in := range map[string]object{
				"/app/" + w.uid + ".new": {"name": "n"}, w.of("/endpoint/new"): {"url": "http://127.0.0.1:9/", "disabled": true}, "/event-type/" + w.uid: {"description": "d"}, w.of("/source/new"): {"name": "s", "provider": "none"},
			} {
				made := w.ask(201, "PUT", path, in)
				again := w.ask(200, "PUT", path, in)
				w.same(path, again.Get("id").Raw+again.Get("name").Raw, made.Get("id").Raw+made.Get("name").Raw)
				w.same(path, again.Get("createdAt").Str, made.Get("createdAt").Str)
			}
		})},
		{statuses, "Publishing, resending and recovering answer 202; that of a resend is an empty object.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			answer := w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+endpoint+"/resend"), nil)
			w.same("resend", strings.TrimSpace(answer.Raw), "{}")
			w.ask(202, "POST", w.of("/endpoint/"+endpoint+"/recover"), object{"since": ago(hour)})
			w.ask(202, "POST", w.of("/endpoint/"+endpoint+"/replay-missing"), object{"since": ago(hour)})
		})},
		{statuses, "Deleting, writing headers and rotating answer 204 without a body.", in(func(w *conventionWorld) {
			endpoint := w.of("/endpoint/" + w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true}))
			w.ask(204, "PUT", endpoint+"/headers", object{"headers": object{"X-A": "a"}})
			w.ask(204, "PATCH", endpoint+"/headers", object{"headers": object{"X-B": "b"}})
			w.ask(204, "POST", endpoint+"/secret/rotate", object{})
			w.ask(204, "DELETE", endpoint, nil)
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
			w.ask(204, "DELETE", "/event-type/"+w.uid, nil)
			w.ask(204, "DELETE", w.of(""), nil)
		})},
		{statuses, "Answers have no ETag, and conditions of a request are ignored.", in(func(w *conventionWorld) {
			conditional := w.with("If-Match", `"x"`).with("If-None-Match", "*")
			r := conditional.reply("PATCH", w.of(""), object{"name": "changed"})
			w.same("status", r.status, 200)
			w.same("ETag", r.header.Values("ETag"), []string(nil))
			conditional.reads(conditional.ask(200, "GET", w.of(""), nil), "name", `"changed"`)
		})},
		{statuses, "The API does not limit the rate of requests: none of many at once is answered 429.", in(func(w *conventionWorld) {
			answers := make(chan int)
			call := func(method, path string, in any) {
				r, err := w.try(method, path, in)
				if err != nil {
					r = &reply{}
				}
				answers <- r.status // all of them are taken
			}
			for range 100 {
				go call("GET", w.of("/endpoint"), nil)
				go call("POST", w.of("/msg"), envelopeOf("a.b", nil))
			}
			counts := map[int]int{}
			for range 200 {
				counts[<-answers]++
			}
			w.same("answers by status", counts, map[int]int{200: 100, 202: 100})
		})},

		{refusals, "A refusal has a code and a detail.", in(func(w *conventionWorld) {
			w.fails(404, "not_found", "GET", w.of("/msg/nowhere"), nil)
			w.fails(404, "not_found", "GET", "/event-type/"+w.uid, nil)
			w.fails(404, "not_found", "GET", "/app/nowhere/endpoint", nil)
			w.fails(409, "conflict", "POST", "/app", object{"name": "n", "uid": w.uid})
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
			w.fails(409, "event_type_exists", "POST", "/event-type", object{"name": w.uid, "description": "d"})
		})},
		{refusals, "What is wrong with a body is 422: a list of faults, each with the way to it, a text and a type.", in(func(w *conventionWorld) {
			w.faulty("body.name", "POST", "/app", object{})
			w.faulty("body.name", "POST", "/app", object{"name": 7})
			w.faulty("body.url", "POST", w.of("/endpoint"), object{})
			w.faulty("body.metadata", "POST", "/app", `{"name":"n","metadata":{"k":1}}`)
			w.faulty("body.channels.1", "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1/", "channels": []string{"a", "b/c"}})
			w.faulty("body.headers.Host", "PUT", w.of("/endpoint/"+w.client.endpoint(w.app, "http://127.0.0.1:9/", nil)+"/headers"), object{"headers": object{"Host": "h"}})
		})},
		{refusals, "All faults of a body are told at once.", in(func(w *conventionWorld) {
			out := w.ask(422, "POST", w.of("/msg"), object{"eventType": "a b", "payload": 1, "channels": []string{}})
			w.same("faults", len(out.Get("detail").Array()), 3)
		})},
		{refusals, "A body that is not JSON is 422 value_error.jsondecode.", in(func(w *conventionWorld) {
			for _, path := range []string{"/app", w.of("/msg"), w.of("/endpoint")} {
				for _, body := range []string{`{"name":`, `{'name':'n'}`, "name", `{"name":"n"}}`} {
					w.reads(w.ask(422, "POST", path, body), "detail.0.type", `"value_error.jsondecode"`, "detail.0.loc", `["body"]`)
				}
			}
		})},
		{refusals, "A body is read as JSON whatever its content type says.", in(func(w *conventionWorld) {
			for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"} {
				w.with("Content-Type", kind).ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
				w.with("Content-Type", kind).ask(200, "PATCH", w.of(""), object{"name": kind})
			}
		})},
		{refusals, "A query that cannot be read is 400; one that can, and is out of bounds, is 422.", in(func(w *conventionWorld) {
			for _, query := range []string{"limit=many", "order=%zz", "with_content=perhaps", "before=yesterday"} {
				w.fails(400, "invalid_query", "GET", w.of("/msg?"+query), nil)
			}
			w.faulty("query.limit", "GET", w.of("/msg?limit=1000"), nil)
		})},
		{refusals, "Unknown properties of a body and unknown parameters of a query are ignored.", in(func(w *conventionWorld) {
			w.ask(200, "PATCH", w.of("?unknown=1"), object{"unknown": object{"deep": []int{1}}, "name": "still"})
			w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"unknown": true, "application": nil}))
			w.ask(201, "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1:9/", "disabled": true, "unknown": 1})
		})},
		{refusals, "A body that is too large is 413 payload_too_large, whether it says its length or not.", in(func(w *conventionWorld) {
			large := `{"eventType":"a.b","payload":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`
			w.fails(413, "payload_too_large", "POST", w.of("/msg"), large)
			w.fails(413, "payload_too_large", "POST", "/app", large)
			r, err := w.send("POST", "/api/v1"+w.of("/msg"), http.Header{"Content-Type": {"application/json"}}, unsized{strings.NewReader(large)})
			if err != nil || r.status != 413 || !strings.Contains(string(r.body), `"code":"payload_too_large"`) {
				w.t.Errorf("without a length: %+v, %v", r, err)
			}
		})},

		{router, "An unknown path is 404 in JSON.", in(func(w *conventionWorld) {
			for _, path := range []string{"/nowhere", "", "/", "/app/a/b/c/d/e/f", w.of("/nowhere")} {
				w.fails(404, "not_found", "GET", path, nil)
				w.fails(404, "not_found", "POST", path, object{})
			}
		})},
		{router, "Another method is 405 in JSON, and Allow names those there are.", in(func(w *conventionWorld) {
			w.fails(405, "method_not_allowed", "DELETE", "/app", nil)
			w.same("Allow", w.reply("DELETE", "/app", nil).header.Get("Allow"), "GET, HEAD, POST")
			w.fails(405, "method_not_allowed", "PUT", w.of("/msg"), object{})
			w.fails(405, "method_not_allowed", "POST", "/health", nil)
		})},
		{router, "What the SDKs can call and the server has not is 501 not_implemented in JSON.", in(func(w *conventionWorld) {
			for _, path := range []string{"/operational-webhook/endpoint", "/event-type/import/openapi", "/environment/export", w.of("/integration"), "/stream"} {
				w.fails(501, "not_implemented", "POST", path, object{})
			}
			r, err := w.send("GET", "/ingest/api/v1/source", nil, nil)
			if err != nil || r.status != 501 || r.header.Get("Content-Type") != "application/json" {
				w.t.Errorf("Svix's inbound API: %+v, %v", r, err)
			}
		})},
		{router, "One slash at the end of a path is as none.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", w.of("/"), nil), "id", quoted(w.app))
			w.ask(202, "POST", w.of("/msg/"), envelopeOf("a.b", nil))
			w.ask(200, "GET", w.of("/msg/?limit=1"), nil)
			w.fails(404, "not_found", "POST", w.of("/msg//"), envelopeOf("a.b", nil))
		})},
		{router, "No path is ever redirected, not even one with two slashes or dots.", in(func(w *conventionWorld) {
			for _, path := range []string{"//app", "/app//msg", "/app/../app", "/./app"} {
				w.fails(404, "not_found", "POST", path, object{"name": "n"})
			}
			for _, path := range []string{"//api/v1/app", "/api//v1/app", "/api/v1", "/api"} {
				r, err := w.send("POST", path, nil, strings.NewReader("{}"))
				if err != nil || r.status != 404 && r.status != 405 {
					w.t.Errorf("%s: %+v, %v", path, r, err)
				}
			}
		})},
		{router, "HEAD is answered by health and ping, and wherever GET is, without a body.", in(answersHeads)},
		{router, "Health is 200 with a report and ping 204, for everybody.", in(func(w *conventionWorld) {
			nobody := w.as("")
			w.reads(nobody.ask(200, "GET", "/health", nil), "status", `"ok"`)
			nobody.ask(204, "GET", "/health/ping", nil)
		})},
		{router, "Pages of any origin may call: a preflight needs no token and gets back the headers it asks for.", in(func(w *conventionWorld) {
			page := w.as("").with("Origin", "https://portal.example").with("Access-Control-Request-Method", "PATCH").with("Access-Control-Request-Headers", "authorization,svix-req-id")
			r := page.reply("OPTIONS", w.of("/endpoint/e"), nil)
			w.same("preflight", []string{http.StatusText(r.status), r.header.Get("Access-Control-Allow-Origin"), r.header.Get("Access-Control-Allow-Headers"), r.header.Get("Access-Control-Allow-Credentials")},
				[]string{"No Content", "*", "authorization,svix-req-id", ""})
			if !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "PATCH") {
				w.t.Errorf("methods: %v", r.header)
			}
			for _, path := range []string{w.of(""), "/app/nowhere", "/nowhere"} { // refusals can be read as well
				w.same(path, w.with("Origin", "https://portal.example").reply("GET", path, nil).header.Get("Access-Control-Allow-Origin"), "*")
			}
		})},
	}
}

// unsized hides a body's length.
type unsized struct{ *strings.Reader }

// Len is there so that net/http does not recognise the reader.
func (unsized) Len() {}
