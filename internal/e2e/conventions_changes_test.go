package e2e_test

import "strings"

// changeConventions are about PUT and PATCH, and the names of fields.
func changeConventions() []convention {
	const change, names = "PUT and PATCH", "Both generations of names"
	const url = "http://127.0.0.1:9/"
	full := func() object {
		return object{
			"url": url, "description": "d", "version": 3, "throttleRate": 5, "channels": []string{"c"}, "eventTypes": []string{"full.*"},
			"metadata": object{"k": "v"}, "retrySchedule": []int{60}, "svixHeaders": true, "disabled": true,
		}
	}
	return []convention{
		{change, "PUT replaces all of an endpoint: what is left out is null, empty or the default again.", in(func(w *conventionWorld) {
			w.ask(201, "PUT", w.of("/endpoint/full"), full())
			w.reads(w.ask(200, "GET", w.of("/endpoint/full"), nil), "description", `"d"`, "version", "3", "throttleRate", "5", "channels", `["c"]`, "metadata.k", `"v"`, "retrySchedule", "[60]", "disabled", "true")
			w.reads(w.ask(200, "PUT", w.of("/endpoint/full"), object{"url": url}), "description", `""`, "version", "1", "throttleRate", "null", "channels", "null",
				"eventTypes", "null", "metadata", "{}", "retrySchedule", "null", "svixHeaders", "false", "disabled", "false")
		})},
		{change, "PUT keeps an endpoint's id, secret and headers, and the uid that the path names.", in(func(w *conventionWorld) {
			in := full()
			in["headers"] = object{"X-Own": "v"}
			id := w.ask(201, "PUT", w.of("/endpoint/full"), in).Get("id").Str
			secret := w.secret(w.app, id)
			w.reads(w.ask(200, "PUT", w.of("/endpoint/full"), object{"url": url}), "id", quoted(id), "uid", `"full"`)
			w.same("secret", w.secret(w.app, id), secret)
			w.reads(w.ask(200, "GET", w.of("/endpoint/full/headers"), nil), "headers.X-Own", `"v"`)
		})},
		{change, "PUT replaces all of an application.", in(func(w *conventionWorld) {
			w.ask(200, "PATCH", w.of(""), object{"metadata": object{"k": "v"}, "throttleRate": 7})
			w.reads(w.ask(200, "PUT", w.of(""), object{"name": "new"}), "id", quoted(w.app), "name", `"new"`, "uid", "null", "metadata", "{}", "throttleRate", "null")
			w.faulty("body.name", "PUT", w.of(""), object{})
		})},
		{change, "PUT replaces all of an event type.", in(func(w *conventionWorld) {
			path := "/event-type/" + w.uid
			w.ask(201, "PUT", path, object{"description": "d", "groupName": "g", "featureFlags": []string{"f"}, "schemas": object{"1": object{}}, "deprecated": true})
			w.reads(w.ask(200, "PUT", path, object{"description": "e"}), "description", `"e"`, "groupName", "null", "featureFlags", "null", "schemas", "null", "deprecated", "false")
			w.faulty("body.description", "PUT", path, object{})
		})},
		{change, "PUT replaces all of a source but its address and secrets; a PATCH changes what is given.", in(func(w *conventionWorld) {
			source := w.github()
			path := w.of("/source/" + source.Get("id").Str)
			w.reads(w.ask(200, "PATCH", path, object{"uid": "s", "answer": 200}), "uid", `"s"`, "answer", "200", "eventTypePrefix", `"gh."`)
			w.reads(w.ask(200, "PATCH", path, object{"answer": nil}), "answer", "null", "uid", `"s"`, "eventTypePrefix", `"gh."`)
			w.reads(w.ask(200, "PUT", path, object{"name": "new", "provider": "github"}), "name", `"new"`, "eventTypePrefix", `""`, "uid", "null", "ingestUrl", source.Get("ingestUrl").Raw)
			w.inbound(202, source, signedByGitHub("{}", githubSecret), []byte("{}"))
		})},
		{change, "In a PATCH of an endpoint an absent property stays, null clears and a value is set.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/full")
			w.ask(201, "PUT", path, full())
			w.reads(w.ask(200, "PATCH", path, object{}), "uid", `"full"`, "description", `"d"`, "throttleRate", "5", "channels", `["c"]`, "metadata.k", `"v"`, "version", "3")
			w.reads(w.ask(200, "PATCH", path, object{"throttleRate": nil, "channels": nil, "metadata": nil, "retrySchedule": nil}), "throttleRate", "null", "channels", "null", "metadata", "{}", "retrySchedule", "null", "description", `"d"`)
			w.reads(w.ask(200, "PATCH", path, object{"throttleRate": 9, "channels": []string{"x"}, "metadata": object{"n": "m"}}), "throttleRate", "9", "channels", `["x"]`, "metadata.n", `"m"`, "metadata.k", "")
			w.reads(w.ask(200, "PATCH", path, object{"uid": nil}), "uid", "null")
			w.fails(404, "not_found", "PATCH", path, object{})
		})},
		{change, "In a PATCH of an application an absent property stays, null clears and a value is set.", in(func(w *conventionWorld) {
			w.ask(200, "PATCH", w.of(""), object{"metadata": object{"k": "v"}, "throttleRate": 7})
			w.reads(w.ask(200, "PATCH", w.of(""), object{"name": "new"}), "name", `"new"`, "uid", quoted(w.uid), "throttleRate", "7", "metadata.k", `"v"`)
			w.reads(w.ask(200, "PATCH", w.of(""), object{"throttleRate": nil, "uid": nil}), "throttleRate", "null", "uid", "null", "metadata.k", `"v"`)
		})},
		{change, "In a PATCH of an event type an absent property stays, null clears and a value is set.", in(func(w *conventionWorld) {
			path := "/event-type/" + w.uid
			w.ask(201, "PUT", path, object{"description": "d", "groupName": "g", "featureFlags": []string{"f"}})
			w.reads(w.ask(200, "PATCH", path, object{"deprecated": true}), "description", `"d"`, "groupName", `"g"`, "deprecated", "true")
			w.reads(w.ask(200, "PATCH", path, object{"groupName": nil, "featureFlags": nil}), "groupName", "null", "featureFlags", "null", "description", `"d"`, "deprecated", "true")
		})},
		{change, "What a record cannot be without is not cleared by null.", in(func(w *conventionWorld) {
			endpoint := w.client.endpoint(w.app, url, object{"disabled": true})
			w.faulty("body.name", "PATCH", w.of(""), object{"name": nil})
			w.faulty("body.url", "PATCH", w.of("/endpoint/"+endpoint), object{"url": nil})
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
			w.faulty("body.description", "PATCH", "/event-type/"+w.uid, object{"description": nil})
		})},
		{change, "A PATCH of headers sets those named and takes away those that are null or listed.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, object{"disabled": true, "headers": object{"X-A": "a", "X-B": "b", "X-C": "c"}}) + "/headers")
			w.ask(204, "PATCH", path, object{"headers": object{"X-A": "changed", "X-B": nil}, "deleteHeaders": []string{"x-c"}})
			w.reads(w.ask(200, "GET", path, nil), "headers", `{"X-A":"changed"}`)
			w.ask(204, "PUT", path, object{"headers": object{"X-D": "d"}})
			w.reads(w.ask(200, "GET", path, nil), "headers", `{"X-D":"d"}`)
			w.faulty("body.headers", "PUT", path, object{})
		})},

		{names, "An endpoint takes filterTypes and eventTypes, rateLimit and throttleRate, and shows all of them, and version.", in(func(w *conventionWorld) {
			old := w.ask(201, "POST", w.of("/endpoint"), object{"url": url, "disabled": true, "version": 1, "filterTypes": []string{"a.*"}, "rateLimit": 4})
			young := w.ask(201, "POST", w.of("/endpoint"), object{"url": url, "disabled": true, "eventTypes": []string{"a.*"}, "throttleRate": 4})
			both := w.ask(201, "POST", w.of("/endpoint"), object{"url": url, "disabled": true, "eventTypes": []string{"a.*"}, "throttleRate": 4, "filterTypes": []string{"old.*"}, "rateLimit": 1})
			for _, out := range []struct{ Get, Raw string }{{old.Raw, "old"}, {young.Raw, "young"}, {both.Raw, "both, where the younger wins"}} {
				w.reads(parsed(out.Get), "filterTypes", `["a.*"]`, "eventTypes", `["a.*"]`, "rateLimit", "4", "throttleRate", "4", "version", "1")
			}
		})},
		{names, "An application's throttleRate is kept and shown for Svix's clients, and says of itself that nothing enforces it yet.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "PATCH", w.of(""), object{"throttleRate": 1}), "throttleRate", "1")
			for range 20 {
				w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			}
			document := w.ask(200, "GET", "/openapi.json", nil)
			for _, schema := range []string{"ApplicationIn", "ApplicationPatch", "ApplicationOut"} {
				if said := document.Get("components.schemas." + schema + ".properties.throttleRate.description").Str; !strings.Contains(said, "not enforced yet") {
					w.t.Errorf("%s: %q", schema, said)
				}
			}
		})},
		{names, "An application takes rateLimit and throttleRate and shows both.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "PATCH", w.of(""), object{"rateLimit": 4}), "rateLimit", "4", "throttleRate", "4")
			w.reads(w.ask(200, "PATCH", w.of(""), object{"throttleRate": 5}), "rateLimit", "5", "throttleRate", "5")
		})},
		{names, "An event type takes featureFlag and featureFlags and shows both.", in(func(w *conventionWorld) {
			w.reads(w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d", "featureFlag": "beta"}), "featureFlag", `"beta"`, "featureFlags", `["beta"]`)
			w.reads(w.ask(200, "PATCH", "/event-type/"+w.uid, object{"featureFlags": []string{"gamma"}}), "featureFlag", `"gamma"`, "featureFlags", `["gamma"]`)
		})},
		{names, "Both spellings of a publish are answered in full: without parameters, and with with_content=false.", in(func(w *conventionWorld) {
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"payload": object{"a": 1}})), "payload.a", "1", "channels", "null", "tags", "null", "eventId", "null")
			w.reads(w.ask(202, "POST", w.of("/msg?with_content=false"), envelopeOf("a.b", object{"payload": object{"a": 1}})), "payload", "{}", "channels", "null")
		})},
		{names, "A list of an endpoint or message is null or has entries: an empty one is neither shown nor taken.", in(func(w *conventionWorld) {
			w.reads(w.ask(201, "POST", w.of("/endpoint"), object{"url": url, "disabled": true}), "eventTypes", "null", "filterTypes", "null", "channels", "null")
			for _, name := range []string{"eventTypes", "filterTypes", "channels"} {
				loc := name
				if name == "filterTypes" {
					loc = "eventTypes"
				}
				w.faulty("body."+loc, "POST", w.of("/endpoint"), object{"url": url, name: []string{}})
			}
			w.faulty("body.channels", "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": []string{}}))
			w.faulty("body.tags", "POST", w.of("/msg"), envelopeOf("a.b", object{"tags": []string{}}))
		})},
	}
}
