package e2e_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// worker makes a pull endpoint and returns the path of its leases; more may hold
// any property.
func (w *conventionWorld) worker(more object) (path string) {
	w.t.Helper()
	in := object{"kind": "pull"}
	for name, value := range more {
		in[name] = value
	}
	return w.of("/endpoint/" + w.ask(201, "POST", w.of("/endpoint"), in).Get("id").Str + "/lease")
}

// job publishes a message for it and returns the id.
func (w *conventionWorld) job() string {
	w.t.Helper()
	return w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
}

// lease asks until a message is there, and returns its lease.
func (w *conventionWorld) lease(path string, more object) gjson.Result {
	w.t.Helper()
	in := object{"limit": 1, "waitSeconds": 20}
	for name, value := range more {
		in[name] = value
	}
	out := w.ask(200, "POST", path, in).Get("data.0")
	if !strings.HasPrefix(out.Get("id").Str, "lse_") {
		w.t.Fatalf("nothing came: %s", out.Raw)
	}
	return out
}

// nothing wants an endpoint to have nothing to give out.
func (w *conventionWorld) nothing(path string) {
	w.t.Helper()
	w.reads(w.ask(200, "POST", path, object{"waitSeconds": 0}), "data", "[]")
}

// named is a body that names leases; more may hold any property.
func named(more object, leases ...gjson.Result) object {
	ids := make([]string, len(leases))
	for i, l := range leases {
		ids[i] = l.Get("id").Str
	}
	in := object{"leases": ids}
	for name, value := range more {
		in[name] = value
	}
	return in
}

// pullConventions are about pull endpoints and their consumers.
func pullConventions() []convention {
	const leases = "Leases"
	return []convention{
		{leases, "A pull endpoint is made without a url, or with postern:pull, which it reads as; another one is 422.", in(func(w *conventionWorld) {
			w.reads(w.ask(201, "POST", w.of("/endpoint"), object{"kind": "pull"}), "kind", `"pull"`, "url", `"postern:pull"`)
			w.ask(201, "POST", w.of("/endpoint"), object{"kind": "pull", "url": "postern:pull"})
			w.faulty("body.url", "POST", w.of("/endpoint"), object{"kind": "pull", "url": "https://example.com/"})
		})},
		{leases, "The kind of an endpoint does not change.", in(func(w *conventionWorld) {
			at := strings.TrimSuffix(w.worker(nil), "/lease")
			w.faulty("body.kind", "PATCH", at, object{"kind": "http"})
			w.faulty("body.kind", "PUT", at, object{"kind": "handler"})
			w.ask(200, "PUT", at, object{"description": "d"})
			hooks := w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true})
			w.faulty("body.kind", "PATCH", w.of("/endpoint/"+hooks), object{"kind": "pull"})
		})},
		{leases, "An endpoint of another kind has no leases: 409 not_pull.", in(func(w *conventionWorld) {
			hooks := w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true})
			for _, verb := range []string{"", "/ack", "/nack", "/extend", "/release"} {
				w.fails(409, "not_pull", "POST", w.of("/endpoint/"+hooks+"/lease"+verb), object{})
			}
		})},
		{leases, "A lease shows the message, which try it is, and when it ends; what it holds is given to nobody else.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			message := w.job()
			l := w.lease(path, nil)
			w.reads(l, "message.id", quoted(message), "message.payload", "{}", "attempt", "1", "replayId", "")
			w.nothing(path)
		})},
		{leases, "payload base64 shows the exact bytes, as contentType and bodyBase64.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			w.ask(202, "POST", w.of("/msg"), `{"eventType":"a.b","payload":{ "n" : 1.0 }}`)
			w.reads(w.lease(path, object{"payload": "base64"}), "message.payload.contentType", `"application/json"`,
				"message.payload.bodyBase64", quoted(base64.StdEncoding.EncodeToString([]byte(`{ "n" : 1.0 }`))))
		})},
		{leases, "A request gets up to limit leases, 10 unless it says so, and waits for the first for waitSeconds, 20 unless it says so.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			w.nothing(path)
			for range 12 {
				w.job()
			}
			got := 0
			await(w.t, "all were given out", func() bool {
				n := len(w.ask(200, "POST", path, nil).Get("data").Array())
				if n > 10 {
					w.t.Errorf("%d at once", n)
				}
				got += n
				return got == 12
			})
			w.faulty("body.limit", "POST", path, object{"limit": 1001})
			w.faulty("body.waitSeconds", "POST", path, object{"waitSeconds": 61})
		})},
		{leases, "Acknowledged is delivered, with code 200; refused is retried by the schedule, with code 500 and the error as the response.", in(func(w *conventionWorld) {
			path := w.worker(later())
			first := w.job()
			w.reads(w.ask(200, "POST", path+"/ack", named(nil, w.lease(path, nil))), "missing", "[]")
			second := w.job()
			w.ask(200, "POST", path+"/nack", named(object{"error": "out of stock"}, w.lease(path, nil)))
			w.reads(w.page(w.of("/attempt/msg/"+first)), "data.0.responseStatusCode", "200", "data.0.url", `"postern:pull"`)
			w.reads(w.page(w.of("/attempt/msg/"+second)), "data.0.responseStatusCode", "500", "data.0.response", `"out of stock"`)
			w.nothing(path)
		})},
		{leases, "delaySeconds, at most a day, makes the wait for the next try at least so long; permanent ends the delivery as dead.", in(func(w *conventionWorld) {
			path := w.worker(nil) // the schedule begins with 5 seconds
			for more, want := range map[string]string{`"delaySeconds":86400`: "retrying", `"permanent":true`: "dead"} {
				message := w.job()
				id := w.lease(path, nil).Get("id").Raw
				w.ask(200, "POST", path+"/nack", fmt.Sprintf(`{"leases":[%s],%s}`, id, more))
				for _, state := range w.states(w.app, message) {
					w.same(more, state, want)
				}
			}
			w.nothing(path)
			w.faulty("body.delaySeconds", "POST", path+"/nack", object{"leases": []string{"x"}, "delaySeconds": 86401})
		})},
		{leases, "A lease that runs out is a failed attempt with code 0, and the delivery is retried.", in(func(w *conventionWorld) {
			path := w.worker(object{"retrySchedule": []float64{0.01, 3600}})
			message := w.job()
			w.lease(path, object{"leaseSeconds": 1})
			again := w.lease(path, nil)
			w.reads(again, "message.id", quoted(message), "attempt", "2")
			w.reads(w.page(w.of("/attempt/msg/"+message)), "data.#", "1", "data.0.responseStatusCode", "0")
		})},
		{leases, "A lease lasts 30 seconds unless leaseSeconds, 1 to 3600, says otherwise, and is extended from now on.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			w.job()
			l := w.lease(path, object{"leaseSeconds": 3600})
			w.reads(w.ask(200, "POST", path+"/extend", named(object{"leaseSeconds": 3600}, l)), "missing", "[]")
			w.faulty("body.leaseSeconds", "POST", path+"/extend", named(object{"leaseSeconds": 3601}, l))
			w.faulty("body.leaseSeconds", "POST", path+"/extend", named(nil, l))
			w.faulty("body.leaseSeconds", "POST", path, object{"leaseSeconds": 0})
		})},
		{leases, "What is released is given out again at once, and no attempt is recorded.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			message := w.job()
			w.ask(200, "POST", path+"/release", named(nil, w.lease(path, nil)))
			w.reads(w.lease(path, nil), "message.id", quoted(message), "attempt", "1")
			w.reads(w.page(w.of("/attempt/msg/"+message)), "data", "[]")
		})},
		{leases, "Whoever ends 1 to 1,000 leases, or extends them, is told those that had ended before; one of another endpoint has ended.", in(func(w *conventionWorld) {
			path, other := w.worker(nil), w.worker(nil)
			w.job()
			l := w.lease(path, nil)
			missing := `["` + l.Get("id").Str + `"]`
			for _, verb := range []string{"/ack", "/nack", "/extend", "/release"} {
				w.reads(w.ask(200, "POST", other+verb, named(object{"leaseSeconds": 1}, l)), "missing", missing)
			}
			w.reads(w.ask(200, "POST", path+"/ack", named(nil, l)), "missing", "[]")
			w.reads(w.ask(200, "POST", path+"/ack", named(nil, l)), "missing", missing)
			w.faulty("body.leases", "POST", path+"/ack", object{"leases": []string{}})
			w.faulty("body.leases.0", "POST", path+"/ack", object{"leases": []string{"x"}})
		})},
		{leases, "A request for leases is answered anew under a repeated idempotency key.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			keyed := w.with("Idempotency-Key", w.uid)
			w.job()
			first := keyed.lease(path, nil)
			w.job()
			if second := keyed.lease(path, nil); second.Get("message.id").Str == first.Get("message.id").Str {
				w.t.Errorf("one message twice: %s", second.Raw)
			}
		})},
		{leases, "A delivery that has ended is given out once more when it is resent.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			message := w.job()
			w.ask(200, "POST", path+"/ack", named(nil, w.lease(path, nil)))
			w.ask(202, "POST", strings.Replace(strings.TrimSuffix(path, "/lease")+"/resend", "/endpoint/", "/msg/"+message+"/endpoint/", 1), nil)
			w.reads(w.lease(path, nil), "message.id", quoted(message), "attempt", "2")
		})},
		{leases, "What goes to a pull endpoint that is paused, or that nobody asks, waits.", in(func(w *conventionWorld) {
			path := w.worker(nil)
			at := strings.TrimSuffix(path, "/lease")
			message := w.job()
			w.reads(w.ask(200, "GET", at, nil), "unattended", "true")
			w.ask(200, "POST", at+"/pause", nil)
			w.nothing(path)
			w.ask(200, "POST", at+"/resume", nil)
			w.reads(w.lease(path, nil), "message.id", quoted(message), "attempt", "1")
			w.reads(w.ask(200, "GET", at, nil), "unattended", "false")
		})},
	}
}
