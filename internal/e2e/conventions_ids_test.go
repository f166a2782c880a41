package e2e_test

import (
	"regexp"
	"slices"
	"strings"
)

// idConventions are about how records are named.
func idConventions() []convention {
	const group = "Ids and names"
	return []convention{
		{group, "An id is its noun's prefix and 27 letters and digits, so that none begins with a dash.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			refusals := w.refused()
			ids := map[string]string{
				"rfs_": w.page(refusals).Get("data.0.id").Str,
				"app_": w.app, "ep_": endpoint, "msg_": message, "atmpt_": w.attempts(w.app, message)[0].ID,
				"src_":   w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"}).Get("id").Str,
				"qtask_": w.ask(202, "POST", w.of("/endpoint/"+endpoint+"/recover"), object{"since": ago(hour)}).Get("id").Str,
				"rpl_":   w.ask(201, "POST", w.of("/replay"), object{"endpointId": endpoint, "since": ago(hour)}).Get("id").Str,
				"key_":   w.ask(201, "POST", "/key", object{"name": "k", "scope": "publish-only", "application": w.app}).Get("id").Str,
			}
			for prefix, id := range ids {
				if !regexp.MustCompile("^" + prefix + "[0-9A-Za-z]{27}$").MatchString(id) {
					w.t.Errorf("%s: %q", prefix, id)
				}
			}
		})},
		{group, "Ids sort by the time of their making.", in(func(w *conventionWorld) {
			made := map[string][]string{}
			source := w.github()
			refusals := w.of("/source/" + source.Get("id").Str + "/refusal")
			for range 5 {
				made["endpoints"] = append(made["endpoints"], w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true}))
				made["messages"] = append(made["messages"], w.message("a.b", nil).Get("id").Str)
				made["sources"] = append(made["sources"], w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"}).Get("id").Str)
				w.inbound(401, source, signedByGitHub("{}", "wrong"), []byte("{}"))
				made["refusals"] = append(made["refusals"], w.page(refusals).Get("data.0.id").Str)
			}
			for name, ids := range made {
				w.same(name+" are sorted", slices.IsSorted(ids) && len(slices.Compact(ids)) == 5, true)
			}
		})},
		{group, "An application answers to its uid as to its id.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", "/app/"+w.uid, nil), "id", quoted(w.app))
			w.reads(w.ask(200, "GET", "/app/"+w.app, nil), "uid", quoted(w.uid))
			w.ask(200, "GET", "/app/"+w.uid+"/endpoint", nil)
		})},
		{group, "An endpoint answers to its uid as to its id, also behind a message.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, object{"uid": "mine"})
			message := w.message("a.b", nil).Get("id").Str
			w.reads(w.ask(200, "GET", w.of("/endpoint/mine"), nil), "id", quoted(endpoint))
			w.reads(w.ask(200, "GET", w.of("/attempt/endpoint/mine"), nil), "data.#", "1", "data.0.endpointId", quoted(endpoint))
			w.reads(w.ask(200, "GET", w.of("/attempt/msg/"+message+"?endpoint_id=mine"), nil), "data.#", "1")
			w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/mine/resend"), nil)
		})},
		{group, "A message answers to its event id as to its id.", in(func(w *conventionWorld) {
			message := w.message("a.b", object{"eventId": "order-7"}).Get("id").Str
			w.reads(w.ask(200, "GET", w.of("/msg/order-7"), nil), "id", quoted(message), "eventId", `"order-7"`)
			w.ask(200, "GET", w.of("/attempt/msg/order-7"), nil)
			w.ask(200, "GET", w.of("/msg/order-7/endpoint"), nil)
		})},
		{group, "A source answers to its uid as to its id.", in(func(w *conventionWorld) {
			source := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none", "uid": "mine"}).Get("id").Raw
			w.reads(w.ask(200, "GET", w.of("/source/mine"), nil), "id", source)
			w.ask(200, "GET", w.of("/source/mine/refusal"), nil)
		})},
		{group, "Uids, event ids, channels and event types are 1 to 256 of letters, digits, dash, underscore and dot.", in(func(w *conventionWorld) {
			longest, all := strings.Repeat("x", 256), "Az09-_."
			for _, wrong := range []string{longest + "x", "", "with space", "a/b", "ä", "a:b"} {
				w.faulty("body.uid", "POST", "/app", object{"name": "n", "uid": wrong})
				w.faulty("body.uid", "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1/", "uid": wrong})
				w.faulty("body.eventId", "POST", w.of("/msg"), envelopeOf("a.b", object{"eventId": wrong}))
				w.faulty("body.eventType", "POST", w.of("/msg"), envelopeOf(wrong, nil))
				w.faulty("body.channels", "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": []string{wrong}}))
				w.faulty("body.channels.0", "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1/", "channels": []string{wrong}})
				w.faulty("body.name", "POST", "/event-type", object{"name": wrong, "description": "d"})
			}
			for _, right := range []string{longest, all} {
				w.ask(202, "POST", w.of("/msg"), envelopeOf(right, object{"eventId": right, "channels": []string{right}}))
				w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"uid": right, "channels": []string{right}, "disabled": true})
			}
		})},
		{group, "Wherever a path names an application, endpoint, source or message, its uid or event id will do, in every operation.", in(answersToNames)},
		{group, "A uid is not . or .., which paths take for something else.", in(func(w *conventionWorld) {
			for _, wrong := range []string{".", ".."} {
				w.faulty("body.uid", "POST", "/app", object{"name": "n", "uid": wrong})
				w.faulty("body.uid", "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1/", "uid": wrong})
				w.faulty("body.uid", "POST", w.of("/source"), object{"name": "s", "provider": "none", "uid": wrong})
			}
		})},
		{group, "A uid or event id does not begin with the prefix of its own noun's ids.", in(func(w *conventionWorld) {
			w.faulty("body.uid", "POST", "/app", object{"name": "n", "uid": "app_mine"})
			w.faulty("body.uid", "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1/", "uid": "ep_mine"})
			w.faulty("body.uid", "POST", w.of("/source"), object{"name": "s", "provider": "none", "uid": "src_mine"})
			w.faulty("body.eventId", "POST", w.of("/msg"), envelopeOf("a.b", object{"eventId": "msg_mine"}))
			w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"uid": "msg_mine", "disabled": true}) // another noun's is fine
		})},
		{group, "A uid in use is a conflict; the same uid may be used in another application.", in(func(w *conventionWorld) {
			url := "http://127.0.0.1:9/"
			w.fails(409, "conflict", "POST", "/app", object{"name": "n", "uid": w.uid})
			w.client.endpoint(w.app, url, object{"uid": "mine", "disabled": true})
			w.fails(409, "conflict", "POST", w.of("/endpoint"), object{"url": url, "uid": "mine"})
			other := w.application("other")
			w.client.endpoint(other, url, object{"uid": "mine", "disabled": true})
			w.fails(409, "conflict", "PATCH", "/app/"+other, object{"uid": w.uid})
		})},
		{group, "An event id in use is a conflict, in its application alone.", in(func(w *conventionWorld) {
			first := w.message("a.b", object{"eventId": "once"}).Get("id").Str
			out := w.ask(409, "POST", w.of("/msg"), envelopeOf("a.b", object{"eventId": "once"}))
			if !strings.Contains(out.Get("detail").Str, first) {
				w.t.Errorf("%s does not name %s", out.Raw, first)
			}
			w.ask(202, "POST", "/app/"+w.application("other")+"/msg", envelopeOf("a.b", object{"eventId": "once"}))
			w.reads(w.ask(200, "GET", w.of("/msg"), nil), "data.#", "1")
		})},
		{group, "Deleting a record frees its uid.", in(func(w *conventionWorld) {
			w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"uid": "mine", "disabled": true})
			w.ask(204, "DELETE", w.of("/endpoint/mine"), nil)
			w.fails(404, "not_found", "GET", w.of("/endpoint/mine"), nil)
			w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"uid": "mine", "disabled": true})
			for range 2 {
				w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none", "uid": "mine"})
				w.ask(204, "DELETE", w.of("/source/mine"), nil)
				w.fails(404, "not_found", "GET", w.of("/source/mine"), nil)
			}
			w.ask(204, "DELETE", "/app/"+w.uid, nil)
			w.fails(404, "not_found", "GET", "/app/"+w.uid, nil)
			w.ask(201, "POST", "/app", object{"name": "n", "uid": w.uid})
		})},
		{group, "Another application's record is not found, by id or by uid.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, object{"uid": "mine"})
			message := w.message("a.b", object{"eventId": "e"}).Get("id").Str
			other := "/app/" + w.application("other")
			for _, path := range []string{
				"/endpoint/" + endpoint, "/endpoint/mine", "/msg/" + message, "/msg/e", "/msg/" + message + "/raw",
				"/attempt/endpoint/" + endpoint, "/attempt/msg/" + message, "/endpoint/" + endpoint + "/secret",
			} {
				w.fails(404, "not_found", "GET", other+path, nil)
			}
			w.fails(404, "not_found", "DELETE", other+"/endpoint/"+endpoint, nil)
			w.fails(404, "not_found", "POST", other+"/msg/"+message+"/endpoint/"+endpoint+"/resend", nil)
		})},
		{group, "A PUT to an id that does not exist is not found: ids are given by the server.", in(func(w *conventionWorld) {
			w.fails(404, "not_found", "PUT", "/app/app_0ERbNHTM6fguHUOiI43R1TLOQzZ", object{"name": "n"})
			w.fails(404, "not_found", "PUT", w.of("/endpoint/ep_0ERbNHTM6fguHUOiI43R1TLOQzZ"), object{"url": "http://127.0.0.1/"})
			w.fails(404, "not_found", "PUT", w.of("/source/src_0ERbNHTM6fguHUOiI43R1TLOQzZ"), object{"name": "s", "provider": "none"})
		})},
	}
}
