package e2e_test

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// needs reports properties that an answer lacks; null is there.
func (w *conventionWorld) needs(what string, out gjson.Result, names string) {
	w.t.Helper()
	for name := range strings.FieldsSeq(names) {
		if !out.Get(name).Exists() {
			w.t.Errorf("%s lacks %s: %s", what, name, tail(out.Raw, 1000))
		}
	}
}

// fieldConventions are about what strict SDKs cannot do without, and cannot
// read.
func fieldConventions() []convention {
	const group = "What strict SDKs read"
	return []convention{
		{group, "Records have every field that an SDK of either generation requires.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			path := w.of("/endpoint/" + endpoint)
			message := w.message("a.b", nil).Get("id").Str
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
			attempt := w.page(w.of("/attempt/msg/" + message)).Get("data.0")
			const ofMessage, ofEndpoint = "id eventType payload timestamp", "id url version description createdAt updatedAt metadata"
			const ofAttempt = "id endpointId msgId url response responseStatusCode responseDurationMs status statusText triggerType timestamp"
			w.needs("application", w.ask(200, "GET", w.of(""), nil), "id name metadata createdAt updatedAt")
			w.needs("endpoint", w.ask(200, "GET", path, nil), ofEndpoint)
			w.needs("message", w.ask(200, "GET", w.of("/msg/"+message), nil), ofMessage)
			w.needs("attempt of a list", attempt, ofAttempt)
			w.needs("attempt", w.ask(200, "GET", w.of("/msg/"+message+"/attempt/"+attempt.Get("id").Str), nil), ofAttempt)
			w.needs("endpoint of a message", w.page(w.of("/msg/"+message+"/endpoint")).Get("data.0"), ofEndpoint+" status statusText nextAttempt")
			w.needs("message of an endpoint", w.page(path+"/msg").Get("data.0"), ofMessage+" status statusText nextAttempt")
			w.needs("event type", w.ask(200, "GET", "/event-type/"+w.uid, nil), "name description archived deprecated createdAt updatedAt")
			w.needs("headers", w.ask(200, "GET", path+"/headers", nil), "headers sensitive")
			w.needs("stats", w.ask(200, "GET", path+"/stats", nil), "success pending sending fail")
			task := w.ask(202, "POST", path+"/recover", object{"since": ago(hour)})
			w.needs("task", task, "id status task updatedAt")
			w.needs("task by id", w.ask(200, "GET", "/background-task/"+task.Get("id").Str, nil), "id status task updatedAt data")
		})},
		{group, "Metadata is an object when there is none.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", w.of(""), nil), "metadata", "{}")
			w.reads(w.ask(201, "POST", w.of("/endpoint"), object{"url": "http://127.0.0.1:9/", "disabled": true, "metadata": nil}), "metadata", "{}")
		})},
		{group, "Statuses, their texts, triggers, and the names and states of tasks have no values but Svix's.", in(func(w *conventionWorld) {
			known := map[string][]string{"AttemptOut.triggerType": {"0", "1"}}
			for _, schema := range []string{"AttemptOut", "DestinationOut", "AttemptedOut", "DeliveryOut"} {
				known[schema+".status"] = []string{"0", "1", "2", "3", "4"}
				known[schema+".statusText"] = []string{"success", "pending", "fail", "sending", "canceled"}
			}
			for _, schema := range []string{"TaskOut", "TaskDetailOut"} {
				known[schema+".status"] = []string{"running", "finished", "failed"}
				known[schema+".task"] = []string{"endpoint.replay", "endpoint.recover", "endpoint.bulk-replay", "application.purge_content"}
			}
			document := w.ask(200, "GET", "/openapi.json", nil)
			w.reads(document, "components.schemas.PublishedOut.properties.deliveries.items.$ref", `"#/components/schemas/DeliveryOut"`)
			for name, values := range known {
				schema, property, _ := strings.Cut(name, ".")
				listed := texts(document, "components.schemas."+schema+".properties."+property+".enum")
				if len(listed) == 0 || slices.ContainsFunc(listed, func(value string) bool { return !slices.Contains(values, value) }) {
					w.t.Errorf("%s may be %v, want some of %v", name, listed, values)
				}
			}
		})},
		{group, "Attempts of a message, and of one at an endpoint, are found below the message too, as older SDKs look for them.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			w.same("of the message", texts(w.page(w.of("/msg/"+message+"/attempt")), "data.#.id"), texts(w.page(w.of("/attempt/msg/"+message)), "data.#.id"))
			w.reads(w.page(w.of("/msg/"+message+"/endpoint/"+endpoint+"/attempt")), "data.#", "1", "data.0.endpointId", quoted(endpoint))
		})},
		{group, "The parameters that the second generation of SDKs always sends are taken.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.ask(202, "POST", w.of("/msg?with_content=false"), envelopeOf("a.b", nil)).Get("id").Str
			w.page(w.of("/attempt/msg/"+message), "expanded_statuses", "true", "with_content", "false", "with_msg", "false")
			w.page(w.of("/attempt/endpoint/"+endpoint), "expanded_statuses", "true")
			w.page(w.of("/msg/"+message+"/endpoint"), "expanded_statuses", "true")
			w.page(w.of("/endpoint/"+endpoint+"/msg"), "expanded_statuses", "true", "with_content", "false")
		})},
	}
}
