package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
)

// messageConventions are about messages, their payloads, and what is expunged.
func messageConventions() []convention {
	const messages, payloads, expunging = "Messages", "Payloads", "Expunging"
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("n", i))
		}
		return list
	}
	return []convention{
		{messages, "A message has at most 5 channels, and null for none.", in(func(w *conventionWorld) {
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": names(5)})), "channels.#", "5")
			w.faulty("body.channels", "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": names(6)}))
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": nil})), "channels", "null")
		})},
		{messages, "A message has at most 10 tags of 1 to 256 bytes, of any characters.", in(func(w *conventionWorld) {
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"tags": append(names(9), strings.Repeat("ä", 128))})), "tags.#", "10")
			w.faulty("body.tags", "POST", w.of("/msg"), envelopeOf("a.b", object{"tags": names(11)}))
			w.faulty("body.tags", "POST", w.of("/msg"), envelopeOf("a.b", object{"tags": []string{strings.Repeat("x", 257)}}))
			w.faulty("body.tags", "POST", w.of("/msg"), envelopeOf("a.b", object{"tags": []string{""}}))
		})},
		{messages, "A message's event type need not be in the catalogue.", in(func(w *conventionWorld) {
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf(w.uid+".unheard", nil)), "eventType", quoted(w.uid+".unheard"))
			w.fails(404, "not_found", "GET", "/event-type/"+w.uid+".unheard", nil)
		})},
		{messages, "An event type and a payload are needed.", in(func(w *conventionWorld) {
			w.faulty("body.eventType", "POST", w.of("/msg"), object{"payload": object{}})
			w.faulty("body.payload", "POST", w.of("/msg"), object{"eventType": "a.b"})
			w.faulty("body", "POST", w.of("/msg"), "[]")
		})},
		{messages, "with_content=false shows an empty object for the payload; without it, payloads are shown.", in(func(w *conventionWorld) {
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"payload": object{"a": 1}})).Get("id").Str
			for path, at := range map[string]string{w.of("/msg/" + message): "payload", w.of("/msg"): "data.0.payload"} {
				w.reads(w.page(path), at, `{"a":1}`)
				w.reads(w.page(path, "with_content", "true"), at, `{"a":1}`)
				w.reads(w.page(path, "with_content", "false"), at, "{}")
			}
		})},
		{messages, "Publishing with wait tells what became of every delivery.", in(func(w *conventionWorld) {
			good, _ := w.listener(200, nil)
			bad, _ := w.listener(500, once())
			out := w.ask(202, "POST", w.of("/msg?wait=20s"), envelopeOf("a.b", nil))
			states := map[string]string{}
			for _, d := range out.Get("deliveries").Array() {
				states[d.Get("endpointId").Str] = d.Get("state").Str + " " + d.Get("statusText").Str
			}
			w.same("states", states, map[string]string{good: "delivered success", bad: "dead fail"})
			w.reads(w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)), "deliveries", "")
			w.faulty("query.wait", "POST", w.of("/msg?wait=61s"), envelopeOf("a.b", nil))
		})},
		{messages, "A precheck says whether any endpoint would get a message.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "POST", w.of("/msg/precheck/active"), object{"eventType": "a.b"}), "active", "false")
			w.listener(200, object{"eventTypes": []string{"a.*"}})
			w.reads(w.ask(200, "POST", w.of("/msg/precheck/active"), object{"eventType": "a.b"}), "active", "true")
			w.reads(w.ask(200, "POST", w.of("/msg/precheck/active"), object{"eventType": "c.d"}), "active", "false")
		})},
		{messages, "Explaining a message says of each endpoint whether it matched, and why: type, channel, disabled, made later.", in(func(w *conventionWorld) {
			for uid, more := range map[string]object{
				"yes": {"eventTypes": []string{"a.*"}}, "type": {"eventTypes": []string{"c.*"}}, "channel": {"channels": []string{"blue"}}, "off": {"disabled": true},
			} {
				more["uid"] = uid
				w.client.endpoint(w.app, "http://127.0.0.1:9/", more)
			}
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"channels": []string{"red"}}))
			late := object{"url": "http://127.0.0.1:9/", "uid": "late"}
			for !w.ask(201, "POST", w.of("/endpoint"), late).Get("createdAt").Time().After(message.Get("timestamp").Time()) { // a millisecond each
				w.ask(204, "DELETE", w.of("/endpoint/late"), nil)
			}
			out := w.ask(200, "GET", w.of("/msg/"+message.Get("id").Str+"/explain"), nil)
			w.reads(out, "matched", "1", "data.#", "5")
			for uid, because := range map[string]string{
				"yes": "a.b is selected by a.*", "type": "a.b is not among those selected: c.*", "channel": "(red) are not among those selected: blue",
				"off": "the endpoint is disabled", "late": "was created after the message",
			} {
				one := out.Get(`data.#(endpointUid=="` + uid + `")`)
				if one.Get("matched").Bool() != (uid == "yes") || !strings.Contains(one.Get("reason").Str, because) {
					w.t.Errorf("%s: %s, want because %q", uid, one.Raw, because)
				}
			}
		})},
		{messages, "A message may bring its application along, which is made if there is none; its uid is the path's, else 422.", in(func(w *conventionWorld) {
			path, brought := "/app/"+w.uid+".new/msg", object{"name": "brought", "uid": w.uid + ".new"}
			w.fails(404, "not_found", "POST", path, envelopeOf("a.b", nil))
			w.faulty("body.application.uid", "POST", path, envelopeOf("a.b", object{"application": object{"name": "n", "uid": "another"}}))
			w.faulty("body.application.uid", "POST", w.of("/msg"), envelopeOf("a.b", object{"application": brought}))
			w.fails(404, "not_found", "GET", "/app/"+w.uid+".new", nil)
			for range 2 { // the second finds what the first made
				w.ask(202, "POST", path, envelopeOf("a.b", object{"application": brought}))
			}
			w.reads(w.ask(200, "GET", "/app/"+w.uid+".new", nil), "name", `"brought"`)
			w.reads(w.page(path), "data.#", "2")
		})},
		{messages, "A key that may only publish cannot bring an application along.", in(func(w *conventionWorld) {
			token, _ := w.key("publish-only")
			in := envelopeOf("a.b", object{"application": object{"name": "n", "uid": w.uid + ".new"}})
			w.as(token).fails(404, "not_found", "POST", "/app/"+w.uid+".new/msg", in)
			w.fails(404, "not_found", "GET", "/app/"+w.uid+".new", nil)
		})},
		// Svix expunges by it; here the operator's --retention holds for all.
		{messages, "A message may say how many days its payload is to be kept, 5 to 90, which has no effect: retention is the operator's.", in(func(w *conventionWorld) {
			for _, more := range []object{{"payloadRetentionPeriod": 5}, {"payloadRetentionPeriod": 90}, {"payloadRetentionHours": 1}, {"payloadRetentionPeriod": nil}} {
				w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", more))
			}
			w.faulty("body.payloadRetentionPeriod", "POST", w.of("/msg"), envelopeOf("a.b", object{"payloadRetentionPeriod": 4}))
			w.faulty("body.payloadRetentionPeriod", "POST", w.of("/msg"), envelopeOf("a.b", object{"payloadRetentionPeriod": 91}))
		})},
		// Svix delivers later; until that is here, delivering at once would be wrong.
		{messages, "A message to be delivered at a time to come is refused, not delivered at once.", in(func(w *conventionWorld) {
			w.faulty("body.deliverAt", "POST", w.of("/msg"), envelopeOf("a.b", object{"deliverAt": ago(-hour)}))
		})},

		{payloads, "A payload is a JSON object, else 422.", in(func(w *conventionWorld) {
			for _, payload := range []any{"text", 7, []int{1}, nil, true} {
				w.faulty("body.payload", "POST", w.of("/msg"), envelopeOf("a.b", object{"payload": payload}))
			}
		})},
		{payloads, "A payload's text is delivered and kept as it was given: order of keys, 1.0, large integers, <>&, white space, repeated keys.", in(func(w *conventionWorld) {
			const payload = "{ \"z\": 1.0, \"a\":12345678901234567890123,\n\"m\" : \"<b>&amp;\\u00e9é\", \"e\":1E+2, \"z\":2 }"
			_, r := w.listener(200, nil)
			message := w.ask(202, "POST", w.of("/msg"), `{"eventType":"a.b","payload":`+payload+`}`)
			id := message.Get("id").Str
			w.same("delivered", string(r.await(w.t, "/hook", 1)[0].body), payload)
			w.same("raw", string(w.reply("GET", w.of("/msg/"+id+"/raw"), nil).body), payload)
			w.reads(message, "payload", payload)
		})},
		// The exact bytes are at raw; an object within an object needs no white space.
		{payloads, "Reading a message shows the payload's text but for white space between its parts.", in(func(w *conventionWorld) {
			const payload, read = "{ \"z\": 1.0,\n\"a\":12345678901234567890123, \"m\" : \"<b> &amp;\\u00e9é\", \"z\":1E+2 }", "{\"z\":1.0,\"a\":12345678901234567890123,\"m\":\"<b> &amp;\\u00e9é\",\"z\":1E+2}"
			id := w.ask(202, "POST", w.of("/msg"), `{"eventType":"a.b","payload":`+payload+`}`).Get("id").Str
			w.reads(w.ask(200, "GET", w.of("/msg/"+id), nil), "payload", read)
			w.reads(w.page(w.of("/msg")), "data.0.payload", read)
		})},
		{payloads, "rawPayload is delivered as it is, under its content type, and read as contentType and body.", in(func(w *conventionWorld) {
			const text = "<a>not JSON & \"quoted\"</a>"
			_, r := w.listener(200, nil)
			id := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", object{"transformationsParams": object{"rawPayload": text, "headers": object{"content-type": "text/xml"}}})).Get("id").Str
			got := r.await(w.t, "/hook", 1)[0]
			w.same("delivered", []string{string(got.body), got.header.Get("Content-Type")}, []string{text, "text/xml"})
			out := w.ask(200, "GET", w.of("/msg/"+id), nil)
			w.same("body", out.Get("payload.body").Str, text)
			w.reads(out, "payload.contentType", `"text/xml"`, "contentType", `"text/xml"`)
			raw := w.reply("GET", w.of("/msg/"+id+"/raw"), nil)
			w.same("raw", []string{string(raw.body), raw.header.Get("Content-Type")}, []string{text, "text/xml"})
		})},
		{payloads, "A payload that is not UTF-8 reads as bodyBase64.", in(func(w *conventionWorld) {
			source := w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"})
			body := []byte{0xff, 0x00, 0xfe}
			w.inbound(202, source, http.Header{"Content-Type": {"application/octet-stream"}}, body)
			out := w.page(w.of("/msg")).Get("data.0")
			w.reads(out, "payload.bodyBase64", `"/wD+"`, "payload.contentType", `"application/octet-stream"`, "payload.body", "")
			w.same("raw", w.reply("GET", w.of("/msg/"+out.Get("id").Str+"/raw"), nil).body, body)
		})},

		{expunging, "An expunged message reads as expired, its exact bytes are gone, and it is not sent again: 400 missing_payload.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			path := w.of("/msg/" + w.message("a.b", object{"payload": object{"a": 1}}).Get("id").Str)
			w.ask(204, "DELETE", path+"/content", nil)
			w.reads(w.ask(200, "GET", path, nil), "payload", `{"expired":true}`)
			w.reads(w.page(w.of("/msg")), "data.0.payload", `{"expired":true}`)
			w.fails(404, "not_found", "GET", path+"/raw", nil)
			w.fails(400, "missing_payload", "POST", path+"/endpoint/"+endpoint+"/resend", nil)
			w.ask(204, "DELETE", path+"/content", nil) // as often as one likes
		})},
		{expunging, "The response of an expunged attempt reads EXPUNGED.", in(func(w *conventionWorld) {
			w.client.endpoint(w.app, w.answering(saying(200, "private")), nil)
			message := w.message("a.b", nil).Get("id").Str
			attempt := w.attempts(w.app, message)[0]
			w.same("before", attempt.Response, "private")
			w.ask(204, "DELETE", w.of("/msg/"+message+"/attempt/"+attempt.ID+"/content"), nil)
			w.reads(w.ask(200, "GET", w.of("/msg/"+message+"/attempt/"+attempt.ID), nil), "response", `"EXPUNGED"`, "responseStatusCode", "200")
			w.reads(w.page(w.of("/attempt/msg/"+message)), "data.0.response", `"EXPUNGED"`)
		})},
		{expunging, "Several messages are expunged at once, each told as expunged or not-found.", in(func(w *conventionWorld) {
			message := w.message("a.b", object{"eventId": "e"}).Get("id").Str
			w.reads(w.ask(200, "POST", w.of("/msg/bulk-expunge"), object{"ids": []string{"e", "nobody"}}), "results", `{"e":"expunged","nobody":"not-found"}`)
			w.reads(w.ask(200, "GET", w.of("/msg/"+message), nil), "payload", `{"expired":true}`)
		})},
		{expunging, "All messages of an application are expunged as a background task, whose end can be waited for.", in(func(w *conventionWorld) {
			for range 3 {
				w.message("a.b", object{"payload": object{"a": 1}})
			}
			task := w.ask(202, "POST", w.of("/msg/expunge-all-contents"), nil)
			w.reads(task, "task", `"application.purge_content"`)
			w.finished(task.Get("id").Str)
			w.same("payloads", texts(w.page(w.of("/msg")), "data.#.payload"), []string{`{"expired":true}`, `{"expired":true}`, `{"expired":true}`})
		})},
	}
}

// statusConventions are about states and the numbers that stand for them.
func statusConventions() []convention {
	const group = "States in numbers"
	// destination is how a message stands at its only endpoint.
	destination := func(w *conventionWorld, message, query string) gjson.Result {
		return w.ask(200, "GET", w.of("/msg/"+message+"/endpoint"+query), nil).Get("data.0")
	}
	return []convention{
		{group, "Delivered is 0 success.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			w.reads(destination(w, message, ""), "status", "0", "statusText", `"success"`, "nextAttempt", "null", "state", `"delivered"`)
			w.reads(w.page(w.of("/endpoint/"+endpoint+"/msg")), "data.0.status", "0", "data.0.statusText", `"success"`, "data.0.nextAttempt", "null")
		})},
		{group, "Pending, and sending for the first time, are 1 pending.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			w.ask(200, "POST", w.of("/endpoint/"+endpoint+"/pause"), nil)
			paused := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			w.reads(destination(w, paused, ""), "status", "1", "statusText", `"pending"`, "state", `"pending"`)
			release, arrived := make(chan struct{}), make(chan struct{}, 1)
			url := w.answering(func(http.ResponseWriter, *http.Request) {
				arrived <- struct{}{}
				<-release
			})
			defer close(release)
			slow := w.client.endpoint(w.app, url, nil)
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			<-arrived
			w.reads(w.page(w.of("/msg/"+message+"/endpoint")), `data.#(id=="`+slow+`").status`, "1", `data.#(id=="`+slow+`").statusText`, `"pending"`)
		})},
		{group, "Dead is 2 fail.", in(func(w *conventionWorld) {
			w.listener(500, once())
			w.reads(destination(w, w.message("a.b", nil).Get("id").Str, ""), "status", "2", "statusText", `"fail"`, "nextAttempt", "null", "state", `"dead"`)
		})},
		{group, "A delivery that waits for its retry is 3 sending, with the time of the next attempt, while its attempt is a failure.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(500, later())
			message := w.message("a.b", nil).Get("id").Str
			for _, out := range []gjson.Result{destination(w, message, ""), w.page(w.of("/endpoint/" + endpoint + "/msg")).Get("data.0")} {
				w.reads(out, "status", "3", "statusText", `"sending"`, "state", `"retrying"`)
				if at := out.Get("nextAttempt").Time(); time.Until(at) < 40*time.Minute || time.Until(at) > 80*time.Minute {
					w.t.Errorf("next attempt at %v", at)
				}
			}
			w.reads(w.page(w.of("/attempt/msg/"+message)), "data.0.status", "2", "data.0.statusText", `"fail"`)
		})},
		{group, "A delivery under its second try is 3 sending too.", in(func(w *conventionWorld) {
			release, arrived := make(chan struct{}), make(chan struct{}, 2)
			defer close(release)
			var tries atomic.Int64
			w.client.endpoint(w.app, w.answering(func(rw http.ResponseWriter, _ *http.Request) {
				if tries.Add(1) == 1 {
					rw.WriteHeader(http.StatusInternalServerError)
					return
				}
				arrived <- struct{}{}
				<-release
			}), object{"retrySchedule": []float64{0.01}})
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			<-arrived
			w.reads(destination(w, message, ""), "status", "3", "statusText", `"sending"`)
		})},
		{group, "Canceled is 4 canceled to callers who say expanded_statuses, and 0 success to others.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(500, later())
			message := w.message("a.b", nil).Get("id").Str
			cancel := w.of("/msg/" + message + "/endpoint/" + endpoint + "/cancel")
			w.ask(204, "POST", cancel, nil)
			w.reads(destination(w, message, "?expanded_statuses=true"), "status", "4", "statusText", `"canceled"`, "state", `"canceled"`)
			w.reads(destination(w, message, ""), "status", "0", "statusText", `"success"`, "state", `"canceled"`)
			w.reads(w.page(w.of("/endpoint/"+endpoint+"/msg"), "expanded_statuses", "true"), "data.0.status", "4")
			w.reads(w.page(w.of("/endpoint/"+endpoint+"/msg")), "data.0.status", "0")
			w.reads(w.page(w.of("/endpoint/"+endpoint+"/msg"), "status", "4", "expanded_statuses", "true"), "data.#", "1")
			w.fails(409, "conflict", "POST", cancel, nil)
		})},
		{group, "An attempt is 0 success or 2 fail, with its text, whoever asks.", in(func(w *conventionWorld) {
			good, _ := w.listener(200, nil)
			bad, _ := w.listener(500, later())
			message := w.message("a.b", nil).Get("id").Str
			for _, query := range []string{"", "?expanded_statuses=true"} {
				out := w.ask(200, "GET", w.of("/attempt/msg/"+message+query), nil)
				w.reads(out, "data.#", "2", `data.#(endpointId=="`+good+`").status`, "0", `data.#(endpointId=="`+good+`").statusText`, `"success"`,
					`data.#(endpointId=="`+bad+`").status`, "2", `data.#(endpointId=="`+bad+`").statusText`, `"fail"`)
			}
		})},
		{group, "An attempt was triggered by 0, the schedule, or by 1, a hand.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+endpoint+"/resend"), nil)
			r.await(w.t, "/hook", 2)
			await(w.t, "both are there", func() bool { return len(w.attempts(w.app, message)) == 2 })
			attempts := w.attempts(w.app, message)
			w.same("triggers", []int{attempts[0].TriggerType, attempts[1].TriggerType}, []int{0, 1})
		})},
		{group, "A resend goes to an endpoint whatever its event types, channels and earlier success.", in(func(w *conventionWorld) {
			filtered, r := w.listener(200, object{"eventTypes": []string{"other.*"}, "channels": []string{"other"}})
			message := w.message("a.b", nil).Get("id").Str
			for n := 1; n <= 2; n++ {
				w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+filtered+"/resend"), nil)
				w.same("id", r.await(w.t, "/hook", n)[n-1].id, message)
			}
		})},
		{group, "One list shows the deliveries of all endpoints, by state.", in(func(w *conventionWorld) {
			good, _ := w.listener(200, nil)
			bad, _ := w.listener(500, later())
			w.message("a.b", nil)
			w.reads(w.page(w.of("/delivery")), "data.#", "2")
			w.reads(w.page(w.of("/delivery"), "state", "retrying"), "data.#", "1", "data.0.endpointId", quoted(bad), "data.0.status", "3", "data.0.attempts", "1")
			w.reads(w.page(w.of("/delivery"), "state", "delivered"), "data.#", "1", "data.0.endpointId", quoted(good), "data.0.status", "0")
			w.reads(w.page(w.of("/delivery"), "endpoint_id", good), "data.#", "1")
			w.reads(w.page(w.of("/delivery"), "state", "retrying", "next_before", ago(-hour/2)), "data.#", "0")
			w.reads(w.page(w.of("/delivery"), "state", "retrying", "next_before", ago(-2*hour)), "data.#", "1")
			w.reads(w.page(w.of("/delivery"), "since", ago(hour)), "data.#", "2")
			w.reads(w.page(w.of("/delivery"), "until", ago(hour)), "data.#", "0")
			w.faulty("query.state", "GET", w.of("/delivery?state=lost"), nil)
		})},
		{group, "An attempt's phases are told in microseconds, and its number and reason beside Svix's fields.", in(func(w *conventionWorld) {
			w.listener(500, once())
			out := w.page(w.of("/attempt/msg/" + w.message("a.b", nil).Get("id").Str)).Get("data.0")
			w.reads(out, "number", "1", "state", `"dead"`, "responseStatusCode", "500")
			if out.Get("timings.total").Int() < 1 || out.Get("responseDurationMs").Type != gjson.Number || out.Get("reason").Str == "" {
				w.t.Errorf("%s", out.Raw)
			}
		})},
	}
}

// inbound sends to a source.
func (w *conventionWorld) inbound(status int, source gjson.Result, header http.Header, body []byte) *reply {
	w.t.Helper()
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header["Authorization"] = nil
	r, err := w.send("POST", strings.TrimPrefix(source.Get("ingestUrl").Str, w.base), header, bytes.NewReader(body))
	if err != nil || r.status != status {
		w.t.Fatalf("inbound: %+v, %v; want %d", r, err, status)
	}
	if !json.Valid(r.body) {
		w.t.Errorf("inbound: %q is not JSON", r.body)
	}
	return r
}
