package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// nounConventions are about what Svix's API has not: sources, refusals, replays,
// stats and limits.
func nounConventions() []convention {
	const sources, refusals, replays, figures = "Sources", "Refused requests", "Replays", "Stats and limits"
	return []convention{
		{sources, "A source has an address to give to its provider; its secrets are never shown.", in(func(w *conventionWorld) {
			out := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "github", "secrets": []string{githubSecret}})
			w.reads(out, "provider", `"github"`, "paused", "false", "secrets", "", "uid", "null")
			shown := w.ask(200, "GET", w.of("/source/"+out.Get("id").Str), nil)
			w.reads(shown, "ingestUrl", out.Get("ingestUrl").Raw)
			if !strings.HasPrefix(out.Get("ingestUrl").Str, w.base+"/in/") || strings.Contains(out.Raw+shown.Raw, githubSecret) {
				w.t.Errorf("%s", out.Raw)
			}
		})},
		{sources, "To a key that may only read, the token in a source's address is masked.", in(func(w *conventionWorld) {
			id := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"}).Get("id").Str
			token, _ := w.key("read-only")
			w.reads(w.as(token).ask(200, "GET", w.of("/source/"+id), nil), "ingestUrl", quoted(w.base+"/in/***"))
		})},
		{sources, "A request that verifies becomes a message under the provider's event name, and is answered 202.", in(func(w *conventionWorld) {
			source := w.github()
			w.same("cookies", w.inbound(202, source, signedByGitHub("{}", githubSecret), []byte("{}")).header.Values("Set-Cookie"), []string(nil))
			w.reads(w.page(w.of("/msg")), "data.#", "1", "data.0.eventType", `"gh.issues"`, "data.0.providerEventType", `"issues"`, "data.0.sourceId", source.Get("id").Raw)
			w.ask(200, "GET", "/event-type/gh.issues", nil)
		})},
		{sources, "A second copy of a request is answered as the first, and is no message.", in(func(w *conventionWorld) {
			source := w.github()
			first := w.inbound(202, source, signedByGitHub("{}", githubSecret), []byte("{}"))
			w.same("answer", string(w.inbound(202, source, signedByGitHub("{}", githubSecret), []byte("{}")).body), string(first.body))
			w.reads(w.page(w.of("/msg")), "data.#", "1")
		})},
		{sources, "Only POST is taken in, and other methods where the source names them; else 405 with Allow.", in(func(w *conventionWorld) {
			source := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none", "methods": []string{"PUT"}})
			path := strings.TrimPrefix(source.Get("ingestUrl").Str, w.base)
			for method, status := range map[string]int{"PUT": 202, "GET": 405, "DELETE": 405} {
				r, err := w.send(method, path, http.Header{"Authorization": nil}, strings.NewReader("{}"))
				if err != nil || r.status != status || status == 405 && r.header.Get("Allow") != "POST, PUT" {
					w.t.Errorf("%s: %+v, %v", method, r, err)
				}
			}
		})},
		{sources, "A paused source takes nothing in.", in(func(w *conventionWorld) {
			source := w.github()
			w.reads(w.ask(200, "POST", w.of("/source/"+source.Get("id").Str+"/pause"), nil), "paused", "true")
			w.inbound(503, source, signedByGitHub("{}", githubSecret), []byte("{}"))
			w.reads(w.ask(200, "POST", w.of("/source/"+source.Get("id").Str+"/resume"), nil), "paused", "false")
			w.inbound(202, source, signedByGitHub("{}", githubSecret), []byte("{}"))
		})},
		{sources, "After a rotation both secrets of a source hold, or with keepOld=false the new one alone.", in(func(w *conventionWorld) {
			source := w.github()
			rotate := w.of("/source/" + source.Get("id").Str + "/secret/rotate")
			w.ask(204, "POST", rotate, object{"key": "second"})
			w.inbound(202, source, signedByGitHub("1", githubSecret), []byte("1"))
			w.inbound(202, source, signedByGitHub("2", "second"), []byte("2"))
			w.ask(204, "POST", rotate, object{"key": "third", "keepOld": false})
			w.inbound(401, source, signedByGitHub("3", "second"), []byte("3"))
			w.inbound(202, source, signedByGitHub("4", "third"), []byte("4"))
		})},
		{sources, "A source answers with the status that it names, and forwards with its provider's headers where it says so.", in(func(w *conventionWorld) {
			_, r := w.listener(200, nil)
			source := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none", "answer": 200, "forward": true, "uid": "s"})
			w.reads(source, "answer", "200", "forward", "true", "uid", `"s"`)
			w.inbound(200, source, http.Header{"X-Provider": {"told"}, "Content-Type": {"text/plain"}}, []byte("as it was"))
			got := r.await(w.t, "/hook", 1)[0]
			w.same("delivered", []string{string(got.body), got.header.Get("Content-Type"), got.header.Get("X-Provider")}, []string{"as it was", "text/plain", "told"})
		})},
		{sources, "An unknown provider, a missing name and a wrong answer are 422.", in(func(w *conventionWorld) {
			w.faulty("body.provider", "POST", w.of("/source"), object{"name": "s", "provider": "nobody"})
			w.faulty("body.name", "POST", w.of("/source"), object{"provider": "none"})
			w.faulty("body.answer", "POST", w.of("/source"), object{"name": "s", "provider": "none", "answer": 302})
		})},
		{sources, "An unknown address is 404, and a deleted source's is one.", in(func(w *conventionWorld) {
			source := w.github()
			w.ask(204, "DELETE", w.of("/source/"+source.Get("id").Str), nil)
			w.inbound(404, source, signedByGitHub("{}", githubSecret), []byte("{}"))
		})},

		{refusals, "A request that does not verify is 401, no message, and kept with the reason, without the source's token.", in(func(w *conventionWorld) {
			source := w.github()
			w.inbound(401, source, signedByGitHub("{}", "wrong"), []byte(`{"a":1}`))
			w.reads(w.page(w.of("/msg")), "data.#", "0")
			list := w.page(w.of("/source/" + source.Get("id").Str + "/refusal"))
			w.reads(list, "data.#", "1", "data.0.reason", `"signature_mismatch"`, "data.0.body", "")
			out := w.ask(200, "GET", w.of("/source/"+source.Get("id").Str+"/refusal/"+list.Get("data.0.id").Str), nil)
			w.same("body", out.Get("body").Str, `{"a":1}`)
			w.reads(out, "request.method", `"POST"`, "request.path", `"/in/***"`, "sourceId", source.Get("id").Raw)
			w.same("the token shows", strings.Contains(out.Raw, source.Get("ingestUrl").Str[len(w.base+"/in/"):]), false)
		})},

		{refusals, "Credentials of a refused request are masked, a body that is not UTF-8 reads as bodyBase64, and before and after bound the list.", in(func(w *conventionWorld) {
			source := w.github()
			header := signedByGitHub("", "wrong")
			header["X-Api-Key"], header["Cookie"], header["X-Plain"] = []string{"s3cret"}, []string{"s3cret"}, []string{"shown"}
			w.inbound(401, source, header, []byte{0xff, 0x00, 0xfe})
			path := w.of("/source/" + source.Get("id").Str + "/refusal")
			out := w.ask(200, "GET", path+"/"+w.page(path).Get("data.0.id").Str, nil)
			w.reads(out, "bodyBase64", `"/wD+"`, "body", "", `request.headers.#(name=="X-Plain").value`, `"shown"`, `request.headers.#(name=="X-Api-Key").value`, `"***"`, `request.headers.#(name=="Cookie").value`, `"***"`)
			w.same("leaks", strings.Contains(out.Raw+w.page(path).Raw, "s3cret"), false)
			w.reads(w.page(path, "after", ago(hour)), "data.#", "1")
			w.reads(w.page(path, "before", ago(hour)), "data.#", "0")
		})},
		{refusals, "A refusal is checked again against its source as it is now, and released as one message, however often.", in(func(w *conventionWorld) {
			_, r := w.listener(200, nil)
			source := w.github()
			w.inbound(401, source, signedByGitHub(`{"a":1}`, "changed"), []byte(`{"a":1}`))
			path := w.of("/source/" + source.Get("id").Str + "/refusal")
			path += "/" + w.page(path).Get("data.0.id").Str
			w.reads(w.ask(200, "POST", path+"/verify", nil), "verified", "false", "reason", `"signature_mismatch"`)
			w.ask(204, "POST", w.of("/source/"+source.Get("id").Str+"/secret/rotate"), object{"key": "changed"})
			w.reads(w.ask(200, "POST", path+"/verify", nil), "verified", "true", "reason", "null")
			w.reads(w.ask(200, "GET", path, nil), "messageId", "null")
			released := w.ask(202, "POST", path+"/release", nil)
			w.reads(released, "verified", "true", "duplicate", "false")
			w.reads(w.ask(200, "POST", path+"/release", nil), "messageId", released.Get("messageId").Raw, "duplicate", "true")
			w.reads(w.ask(200, "GET", path, nil), "messageId", released.Get("messageId").Raw)
			got := r.await(w.t, "/hook", 1)[0]
			w.same("delivered", []string{got.id, string(got.body)}, []string{released.Get("messageId").Str, `{"a":1}`})
			w.reads(w.page(w.of("/msg")), "data.#", "1")
		})},

		{replays, "A preview counts what a replay would send, which sends it, with a header that names the replay.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			w.message("a.one", nil)
			w.message("a.two", nil)
			in := object{"endpointId": endpoint, "since": ago(hour), "status": "delivered", "eventTypes": []string{"a.one"}}
			w.reads(w.ask(200, "POST", w.of("/replay/preview"), in), "count", "1", "exact", "true")
			replay := w.ask(201, "POST", w.of("/replay"), in).Get("id").Str
			got := r.await(w.t, "/hook", 3)[2]
			w.same("header", got.header.Get("Postern-Replay"), replay)
			await(w.t, "the replay is finished", func() bool { return w.ask(200, "GET", w.of("/replay/"+replay), nil).Get("state").Str == "finished" })
			w.reads(w.ask(200, "GET", w.of("/replay/"+replay), nil), "replayed", "1", "eventTypes", `["a.one"]`, "channel", "null")
		})},
		{replays, "A replay goes to another endpoint where the body says so.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			other, r := w.listener(200, object{"uid": "other", "eventTypes": []string{"nothing.*"}})
			w.reads(w.ask(201, "POST", w.of("/replay"), object{"endpointId": endpoint, "toEndpointId": "other", "since": ago(hour)}), "toEndpointId", quoted(other))
			w.same("id", r.await(w.t, "/hook", 1)[0].id, message)
		})},
		{replays, "A replay chooses by event type, channel, tag, how the message stands at the endpoint, and time.", in(func(w *conventionWorld) {
			w.message("a.missing", nil)
			r := newReceiver(w.t, func(got *request, _ *http.Request) int {
				if strings.Contains(string(got.body), "fail") {
					return 500
				}
				return 200
			})
			endpoint := w.client.endpoint(w.app, r.URL+"/hook", once())
			w.message("a.one", object{"channels": []string{"blue"}})
			tagged := w.message("a.two", object{"tags": []string{"spring"}}).Get("id").Str
			w.message("a.two", object{"payload": object{"fail": true}})
			for _, choice := range []struct {
				more  object
				count string
			}{
				{object{}, "3"}, {object{"eventTypes": []string{"a.two"}}, "2"}, {object{"channel": "blue"}, "1"}, {object{"tag": "spring"}, "1"},
				{object{"status": "delivered"}, "2"}, {object{"status": "dead"}, "1"}, {object{"status": "failed"}, "1"}, {object{"status": "missing"}, "1"}, {object{"status": "all"}, "3"},
				{object{"until": ago(hour)}, "0"}, {object{"tag": "spring", "channel": "blue"}, "0"},
			} {
				choice.more["endpointId"], choice.more["since"] = endpoint, ago(2*hour)
				out := w.ask(200, "POST", w.of("/replay/preview"), choice.more)
				w.same(fmt.Sprint(choice.more), []string{out.Get("count").Raw, out.Get("exact").Raw}, []string{choice.count, "true"})
			}
			w.ask(201, "POST", w.of("/replay"), object{"endpointId": endpoint, "since": ago(hour), "status": "delivered", "tag": "spring"})
			w.same("replayed", r.await(w.t, "/hook", 4)[3].id, tagged)
			w.faulty("body.status", "POST", w.of("/replay"), object{"endpointId": endpoint, "since": ago(hour), "status": "lost"})
		})},
		{replays, "An application has at most 20 replays that have not ended; one more is 400 limit_reached.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			w.many(20, envelopeOf("a.b", nil))
			await(w.t, "all is delivered", func() bool { return len(w.page(w.of("/delivery"), "state", "delivered").Get("data").Array()) == 20 })
			in := object{"endpointId": endpoint, "since": ago(hour), "rate": 1} // it takes 20 seconds
			var last string
			for range 20 {
				last = w.of("/replay/" + w.ask(201, "POST", w.of("/replay"), in).Get("id").Str)
				w.ask(200, "POST", last+"/pause", nil)
			}
			w.fails(400, "limit_reached", "POST", w.of("/replay"), in)
			w.ask(200, "POST", last+"/cancel", nil)
			w.ask(201, "POST", w.of("/replay"), in)
		})},
		{replays, "A replay is paused, resumed and canceled; one that has ended is a conflict.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			for range 20 {
				w.message("a.b", nil)
			}
			path := w.of("/replay/" + w.ask(201, "POST", w.of("/replay"), object{"endpointId": endpoint, "since": ago(hour), "rate": 1}).Get("id").Str)
			w.reads(w.ask(200, "POST", path+"/pause", nil), "state", `"paused"`)
			w.reads(w.ask(200, "POST", path+"/resume", nil), "state", `"running"`, "rate", "1")
			w.reads(w.page(w.of("/replay"), "state", "running"), "data.#", "1")
			w.reads(w.ask(200, "POST", path+"/cancel", nil), "state", `"canceled"`)
			w.fails(409, "conflict", "POST", path+"/resume", nil)
		})},
		{replays, "A replay needs an endpoint and a time to begin at.", in(func(w *conventionWorld) {
			w.faulty("body.endpointId", "POST", w.of("/replay"), object{"since": ago(hour)})
			w.faulty("body.endpointId", "POST", w.of("/replay"), object{"since": ago(hour), "endpointId": "nobody"})
			w.faulty("body.since", "POST", w.of("/replay/preview"), object{"endpointId": w.client.endpoint(w.app, "http://127.0.0.1:9/", nil)})
		})},

		{figures, "An application's stats count outcomes in buckets of time, with quantiles of latency.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			w.listener(500, once())
			w.message("a.b", nil)
			out := w.page(w.of("/stats"))
			w.reads(out, "total.attempts", "2", "total.delivered", "1", "total.dead", "1", "total.retrying", "0", "total.canceled", "0")
			if out.Get("buckets.#").Int() < 2 || out.Get("total.p50Ms").Float() <= 0 {
				w.t.Errorf("%s", out.Raw)
			}
		})},
		{figures, "Stats are narrowed down by endpoint and time, and cut into buckets as asked.", in(func(w *conventionWorld) {
			good, _ := w.listener(200, object{"uid": "good"})
			w.listener(500, once())
			w.message("a.b", nil)
			w.reads(w.page(w.of("/stats"), "endpoint_id", good), "total.attempts", "1", "total.delivered", "1")
			w.reads(w.page(w.of("/stats"), "endpoint_id", "good"), "total.attempts", "1")
			from := time.Now().UTC().Add(-2 * hour)
			past := []string{"since", from.Format(time.RFC3339Nano), "until", from.Add(hour).Format(time.RFC3339Nano)}
			w.reads(w.page(w.of("/stats"), append(past, "bucket", "10m")...), "total.attempts", "0", "total.p50Ms", "null", "bucketSeconds", "600", "buckets.#", "6")
			w.reads(w.page(w.of("/stats"), "since", ago(hour)), "total.attempts", "2")
			w.reads(w.page(w.of("/endpoint/good/stats"), "since", ago(hour)), "success", "1")
			w.reads(w.page(w.of("/endpoint/good/stats"), past...), "success", "0")
			w.fails(404, "not_found", "GET", w.of("/stats?endpoint_id=nobody"), nil)
			w.faulty("query.bucket", "GET", w.of("/stats?bucket=1ms"), nil)
		})},
		{figures, "Every limit is told with its value in force, its unit and what happens there.", in(func(w *conventionWorld) {
			out := w.ask(200, "GET", "/limits", nil)
			for name, value := range map[string]string{
				"page.entries": "250", "page.default": "50", "request.body": "1048576", "message.channels": "5", "endpoint.channels": "10", "metadata.size": "4096",
				"endpoint.secrets": "11", "secret.grace": "604800", "secret.size": "75", "response.kept": "20000", "recover.since": "1209600", "retry.after": "86400", "attempt.timeout": "15",
				"inbound.body": "26214400", "inbound.duplicates": "86400", "refusal.count": "10000", "refusal.bytes": "268435456", "refusal.age": "604800",
			} {
				at := `data.#(name=="` + name + `").`
				w.reads(out, at+"value", value)
				if out.Get(at+"unit").Str == "" || out.Get(at+"description").Str == "" {
					w.t.Errorf("%s: no unit or description", name)
				}
			}
		})},
		{figures, "Metrics are Prometheus' text; the front page and the portal's are HTML.", in(func(w *conventionWorld) {
			for path, kind := range map[string]string{"/metrics": "text/plain", "/": "text/html", "/portal": "text/html"} {
				r, err := w.send("GET", path, nil, nil)
				if err != nil || r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), kind) {
					w.t.Errorf("%s: %+v, %v", path, r, err)
				}
			}
		})},
		{figures, "The API describes itself in OpenAPI 3.1, to everybody.", in(func(w *conventionWorld) {
			out := w.as("").ask(200, "GET", "/openapi.json", nil)
			if !strings.HasPrefix(out.Get("openapi").Str, "3.1.") || !out.Get(`paths./api/v1/app/{app}/msg.post`).Exists() && !out.Get(`paths./app/{app}/msg.post`).Exists() {
				w.t.Errorf("%s", tail(out.Raw, 300))
			}
		})},
	}
}

// github makes a source of that provider.
func (w *conventionWorld) github() gjson.Result {
	w.t.Helper()
	return w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "github", "secrets": []string{githubSecret}, "eventTypePrefix": "gh."})
}

// refused has a source refuse a request, and returns the path of its refusals.
func (w *conventionWorld) refused() string {
	w.t.Helper()
	source := w.github()
	w.inbound(401, source, signedByGitHub("{}", "wrong"), []byte("{}"))
	return w.of("/source/" + source.Get("id").Str + "/refusal")
}

// signedByGitHub are the headers that GitHub sends a body under.
func signedByGitHub(body, secret string) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {"issues"}, "X-Github-Delivery": {"delivery-1"},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}
}
