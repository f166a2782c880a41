package e2e_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// deliveryConventions are about what endpoints are sent, and what their answers
// mean.
func deliveryConventions() []convention {
	const requests, answers = "Deliveries", "Answers of endpoints"
	// attempt publishes to the only endpoint and shows the first attempt. It does
	// not wait for others that are soon to follow.
	attempt := func(w *conventionWorld) (first gjson.Result) {
		w.t.Helper()
		message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
		await(w.t, "there is an attempt", func() bool {
			first = w.page(w.of("/attempt/msg/"+message), "order", "ascending").Get("data.0")
			return first.Exists()
		})
		return first
	}
	return []convention{
		{requests, "A delivery is a POST of the payload, under its content type and Postern's user agent.", in(func(w *conventionWorld) {
			got := make(chan *http.Request, 1)
			w.client.endpoint(w.app, w.answering(func(_ http.ResponseWriter, r *http.Request) { got <- r })+"/path?q=1", nil)
			w.message("a.b", nil)
			r := <-got
			w.same("request", []string{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("User-Agent")[:len("Postern/")]}, []string{"POST", "/path?q=1", "application/json", "Postern/"})
		})},
		{requests, "webhook-id is the message's id, the same at every try; webhook-timestamp is the try's, in seconds.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+endpoint+"/resend"), nil)
			for _, got := range r.await(w.t, "/hook", 2) {
				w.same("id", got.header.Get("webhook-id"), message)
				at, err := strconv.ParseInt(got.header.Get("webhook-timestamp"), 10, 64)
				if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
					w.t.Errorf("timestamp %q", got.header.Get("webhook-timestamp"))
				}
			}
		})},
		{requests, "webhook-signature has v1 and the base64 of HMAC-SHA256 over id, timestamp and body, for each live key.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			old := w.secret(w.app, endpoint)
			w.ask(204, "POST", w.of("/endpoint/"+endpoint+"/secret/rotate"), object{})
			w.message("a.b", object{"payload": object{"a": 1}})
			got := r.await(w.t, "/hook", 1)[0]
			for _, signature := range strings.Fields(got.header.Get("webhook-signature")) {
				w.same("form", len(signature), len("v1,")+base64.StdEncoding.EncodedLen(32))
			}
			checkByGo(w.t, []delivery{got.signed("the old key", old, true), got.signed("the new key", w.secret(w.app, endpoint), true), got.signed("another key", symmetricOf(24), false)})
		})},
		{requests, "An asymmetric key signs as v1a, and its public half verifies.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, object{"secret": "whsk_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))})
			w.message("a.b", nil)
			got := r.await(w.t, "/hook", 1)[0]
			public, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.secret(w.app, endpoint), "whpk_"))
			signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got.header.Get("webhook-signature"), "v1a,"))
			signed := got.header.Get("webhook-id") + "." + got.header.Get("webhook-timestamp") + "." + string(got.body)
			if err != nil || len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, []byte(signed), signature) {
				w.t.Errorf("%q does not verify: %v", got.header.Get("webhook-signature"), err)
			}
		})},
		{requests, "An endpoint with svixHeaders is sent svix-id, svix-timestamp and svix-signature too, with the same values.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			_, r := w.listener(200, object{"svixHeaders": true})
			w.message("a.b", nil)
			got := r.await(w.t, "/hook", 1)[0]
			for _, name := range []string{"id", "timestamp", "signature"} {
				if value := got.header.Get("svix-" + name); value == "" || value != got.header.Get("webhook-"+name) {
					w.t.Errorf("svix-%s: %q", name, value)
				}
			}
		})},
		{requests, "Without svixHeaders an endpoint is sent none of them.", in(func(w *conventionWorld) {
			_, r := w.listener(200, nil)
			w.message("a.b", nil)
			w.same("svix-id", r.await(w.t, "/hook", 1)[0].header.Values("svix-id"), []string(nil))
		})},

		{answers, "Any 2xx is a success, and nothing else is.", in(func(w *conventionWorld) {
			want, seen := map[int64]string{}, map[int64]string{}
			for _, status := range []int64{200, 201, 204, 299, 304, 400, 404, 500, 503} {
				w.client.endpoint(w.app, w.answering(saying(int(status), "")), once())
				if want[status] = "fail"; status/100 == 2 {
					want[status] = "success"
				}
			}
			for _, a := range w.page(w.of("/attempt/msg/" + w.message("a.b", nil).Get("id").Str)).Get("data").Array() {
				seen[a.Get("responseStatusCode").Int()] = a.Get("statusText").Str
			}
			w.same("attempts by code", seen, want)
		})},
		{answers, "A redirect is a failure, and is not followed.", in(func(w *conventionWorld) {
			followed := newReceiver(w.t, nil)
			w.client.endpoint(w.app, w.answering(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, followed.URL+"/followed", http.StatusTemporaryRedirect)
			}), once())
			w.reads(attempt(w), "status", "2", "responseStatusCode", "307", "state", `"dead"`)
			w.same("requests after the redirect", len(followed.requests("")), 0)
		})},
		{answers, "20,000 bytes of an endpoint's response are kept.", in(func(w *conventionWorld) {
			w.client.endpoint(w.app, w.answering(saying(200, strings.Repeat("r", 30_000))), nil)
			w.same("response", attempt(w).Get("response").Str == strings.Repeat("r", 20_000), true)
		})},
		{answers, "An endpoint that cannot be reached is a failure with code 0, which says why.", in(func(w *conventionWorld) {
			w.client.endpoint(w.app, "http://"+refusing(w.t)+"/", once())
			out := attempt(w)
			w.reads(out, "responseStatusCode", "0", "status", "2")
			if !strings.Contains(out.Get("failure").Str, "refused") {
				w.t.Errorf("failure: %s", out.Get("failure").Raw)
			}
		})},
		{answers, "After a first failure the next try is 5 seconds later, within a fifth, unless a schedule says otherwise.", in(func(w *conventionWorld) {
			w.listener(500, nil)
			out := attempt(w)
			if wait := untilNext(out); wait < 4*time.Second || wait > 8*time.Second { // settling takes its time too
				w.t.Errorf("the next try is after %v", wait)
			}
		})},
		{answers, "By default a delivery is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h; limits tells the waits in force.", in(func(w *conventionWorld) {
			limit := w.ask(200, "GET", "/limits", nil).Get(`data.#(name=="retry.default")`)
			w.reads(limit, "value", "8")
			if !strings.HasSuffix(limit.Get("description").Str, ": 5s,5m0s,30m0s,2h0m0s,5h0m0s,10h0m0s,10h0m0s.") {
				w.t.Errorf("%s", limit.Raw)
			}
		})},
		{answers, "An endpoint's own schedule holds; an empty one is a single try.", in(func(w *conventionWorld) {
			_, r := w.listener(500, object{"retrySchedule": []float64{0.01, 0.01}})
			id := w.message("a.b", nil).Get("id").Str
			r.await(w.t, "/hook", 3)
			await(w.t, "the third failure is the last", func() bool { return len(w.attempts(w.app, id)) == 3 && w.attempts(w.app, id)[2].State == "dead" })
			other := *w
			other.app = w.application("other")
			other.listener(500, once())
			other.reads(attempt(&other), "state", `"dead"`, "nextAttempt", "null")
		})},
		{answers, "An event type's schedule holds where the endpoint has none, and the endpoint's wins.", in(func(w *conventionWorld) {
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d", "retrySchedule": []float64{}})
			plain, _ := w.listener(500, nil)
			own, _ := w.listener(500, later())
			message := w.message(w.uid, nil).Get("id").Str
			w.same("states", w.states(w.app, message), map[string]string{plain: "dead", own: "retrying"})
			w.faulty("body.retrySchedule", "PATCH", "/event-type/"+w.uid, object{"retrySchedule": []float64{-1}})
		})},
		// Svix obeys it between once and twice the step; here it may only lengthen.
		{answers, "Retry-After lengthens the wait, to 24 hours at most, and never shortens it.", in(func(w *conventionWorld) {
			for after, bounds := range map[string][2]time.Duration{"120": {2 * time.Minute, 2*time.Minute + 5*time.Second}, "1": {4 * time.Second, 8 * time.Second}, "999999": {24 * hour, 24*hour + 5*time.Second}} {
				other := *w
				other.app = w.application("retry after " + after)
				w.client.endpoint(other.app, w.answering(func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Retry-After", after)
					rw.WriteHeader(http.StatusTooManyRequests)
				}), nil)
				out := attempt(&other)
				if wait := untilNext(out); wait < bounds[0] || wait > bounds[1] {
					w.t.Errorf("Retry-After %s: the next try is after %v", after, wait)
				}
			}
		})},
		// Svix waits a minute after these; here the schedule says how long.
		{answers, "After 429 without Retry-After the schedule holds as after any failure.", in(func(w *conventionWorld) {
			w.listener(429, nil)
			out := attempt(w)
			if wait := untilNext(out); wait < 4*time.Second || wait > 8*time.Second {
				w.t.Errorf("the next try is after %v", wait)
			}
		})},
		{answers, "410 ends the delivery and disables the endpoint, until it is enabled again.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(410, nil)
			w.reads(attempt(w), "state", `"dead"`, "responseStatusCode", "410", "nextAttempt", "null")
			var out gjson.Result
			await(w.t, "the endpoint is disabled", func() bool { // a moment after its attempt is stored
				out = w.ask(200, "GET", w.of("/endpoint/"+endpoint), nil)
				return out.Get("disabled").Bool()
			})
			if out.Get("disabledReason").Str == "" {
				w.t.Errorf("no reason in %s", out.Raw)
			}
			w.reads(w.ask(200, "PATCH", w.of("/endpoint/"+endpoint), object{"disabled": false}), "disabled", "false", "disabledReason", "null")
		})},
		{answers, "An endpoint is disabled after five days of nothing but failure; limits tells so.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", "/limits", nil), `data.#(name=="endpoint.failing").value`, fmt.Sprint(5*24*3600))
			endpoint, _ := w.listener(500, once())
			w.message("a.b", nil)
			out := w.ask(200, "GET", w.of("/endpoint/"+endpoint), nil)
			w.reads(out, "disabled", "false")
			if time.Since(out.Get("failingSince").Time()) > time.Minute {
				w.t.Errorf("failing since %s", out.Get("failingSince").Raw)
			}
		})},
	}
}

// untilNext is how long after an attempt's end the next one is due. Both are
// told to a millisecond.
func untilNext(attempt gjson.Result) time.Duration {
	ended := attempt.Get("timestamp").Time().Add(time.Duration(attempt.Get("responseDurationMs").Int()) * time.Millisecond)
	return attempt.Get("nextAttempt").Time().Add(2 * time.Millisecond).Sub(ended)
}
