package e2e_test

import (
	"slices"
	"strings"
)

// eventTypeConventions are about the catalogue of event types, schemas and
// examples.
func eventTypeConventions() []convention {
	const types, schemas, examples = "Event types", "Schemas", "Examples"
	// declare makes an event type whose name begins with the check's own.
	declare := func(w *conventionWorld, name string, more object) string {
		w.t.Helper()
		in := object{"name": w.uid + name, "description": "d"}
		for name, value := range more {
			in[name] = value
		}
		w.ask(201, "POST", "/event-type", in)
		return w.uid + name
	}
	// listed are the check's own in the list.
	listed := func(w *conventionWorld, query ...string) []string {
		w.t.Helper()
		return slices.DeleteFunc(w.walk("/event-type", "name", append(query, "limit", "250")...), func(name string) bool { return !strings.HasPrefix(name, w.uid) })
	}
	return []convention{
		{types, "The list is sorted by name, and turned round with order=descending.", in(func(w *conventionWorld) {
			names := []string{declare(w, ".b", nil), declare(w, ".c", nil), declare(w, ".a", nil)}
			slices.Sort(names)
			w.same("by name", listed(w), names)
			w.same("turned round", listed(w, "order", "descending"), backwards(names))
			w.reads(w.page("/event-type", "iterator", w.uid+".a", "limit", "1"), "data.0.name", quoted(w.uid+".b"), "iterator", quoted(w.uid+".b"))
		})},
		{types, "A description is needed.", in(func(w *conventionWorld) {
			w.faulty("body.description", "POST", "/event-type", object{"name": w.uid})
			w.faulty("body.description", "POST", "/event-type", object{"name": w.uid, "description": ""})
		})},
		{types, "Deleting archives: the type is found by name and left out of the list unless include_archived.", in(func(w *conventionWorld) {
			name := declare(w, "", nil)
			w.ask(204, "DELETE", "/event-type/"+name, nil)
			w.same("list", listed(w), []string{})
			w.same("with archived", listed(w, "include_archived", "true"), []string{name})
			w.reads(w.ask(200, "GET", "/event-type/"+name, nil), "archived", "true")
		})},
		{types, "POST revives an archived type, and is a conflict for another.", in(func(w *conventionWorld) {
			name := declare(w, "", nil)
			w.fails(409, "event_type_exists", "POST", "/event-type", object{"name": name, "description": "d"})
			w.ask(204, "DELETE", "/event-type/"+name, nil)
			w.reads(w.ask(201, "POST", "/event-type", object{"name": name, "description": "again"}), "archived", "false", "description", `"again"`)
			w.same("list", listed(w), []string{name})
		})},
		{types, "Deleting with expunge forgets the type.", in(func(w *conventionWorld) {
			name := declare(w, "", nil)
			w.ask(204, "DELETE", "/event-type/"+name+"?expunge=true", nil)
			w.fails(404, "not_found", "GET", "/event-type/"+name, nil)
			w.fails(404, "not_found", "DELETE", "/event-type/"+name, nil)
			w.fails(404, "not_found", "PATCH", "/event-type/"+name, object{"description": "d"})
		})},
		{types, "A type's retry schedule is read and set by itself too; null is none, and leaves the rest of the type alone.", in(func(w *conventionWorld) {
			name := declare(w, "", object{"groupName": "g"})
			path := "/event-type/" + name + "/retry-schedule"
			w.reads(w.ask(200, "GET", path, nil), "retrySchedule", "null")
			w.reads(w.ask(200, "PUT", path, object{"retrySchedule": []float64{1, 2.5}}), "retrySchedule", "[1,2.5]")
			w.reads(w.ask(200, "GET", "/event-type/"+name, nil), "retrySchedule", "[1,2.5]", "groupName", `"g"`)
			w.reads(w.ask(200, "PUT", path, object{"retrySchedule": nil}), "retrySchedule", "null")
			w.faulty("body.retrySchedule", "PUT", path, object{"retrySchedule": []float64{-1}})
			w.fails(404, "not_found", "GET", "/event-type/"+w.uid+".unknown/retry-schedule", nil)
		})},
		{types, "What selects a type goes on selecting it once it is archived.", in(func(w *conventionWorld) {
			name := declare(w, "", nil)
			w.listener(200, object{"eventTypes": []string{name}})
			w.ask(204, "DELETE", "/event-type/"+name, nil)
			w.reads(w.message(name, nil), "deliveries.#", "1")
		})},

		{schemas, "The list leaves schemas out unless with_content.", in(func(w *conventionWorld) {
			name := declare(w, "", object{"schemas": object{"1": object{"type": "object"}}})
			at := `data.#(name=="` + name + `").schemas`
			w.reads(w.page("/event-type", "limit", "250"), at, "null")
			w.reads(w.page("/event-type", "limit", "250", "with_content", "true"), at, `{"1":{"type":"object"}}`)
			w.reads(w.ask(200, "GET", "/event-type/"+name, nil), "schemas.1.type", `"object"`)
		})},
		{schemas, "A schema that is none is 422, with the version in the way to it.", in(func(w *conventionWorld) {
			for _, wrong := range []any{object{"type": "nothing"}, object{"pattern": "("}, 7, object{"$ref": "https://example.com/other.json"}} {
				w.faulty("body.schemas.1", "POST", "/event-type", object{"name": w.uid, "description": "d", "schemas": object{"1": wrong}})
			}
		})},
		{schemas, "Where the type asks for it, a payload that does not fit its newest schema is 422, with the way to the fault.", in(func(w *conventionWorld) {
			amount := object{"type": "object", "properties": object{"order": object{"properties": object{"amount": object{"type": "integer"}}}}}
			name := declare(w, "", object{"enforceSchema": true, "schemas": object{"1": object{}, "2": amount}})
			w.faulty("body.payload.order.amount", "POST", w.of("/msg"), envelopeOf(name, object{"payload": object{"order": object{"amount": "much"}}}))
			w.ask(202, "POST", w.of("/msg"), envelopeOf(name, object{"payload": object{"order": object{"amount": 1}}}))
			w.ask(200, "PATCH", "/event-type/"+name, object{"enforceSchema": false})
			w.ask(202, "POST", w.of("/msg"), envelopeOf(name, object{"payload": object{"order": object{"amount": "much"}}}))
		})},
		{schemas, "There is nothing to enforce without a schema: 422.", in(func(w *conventionWorld) {
			w.faulty("body.enforceSchema", "POST", "/event-type", object{"name": w.uid, "description": "d", "enforceSchema": true})
		})},

		{examples, "svix.ping needs no entry and sends that it was a success.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, object{"eventTypes": []string{"other.*"}})
			w.reads(w.ask(200, "POST", w.of("/endpoint/"+endpoint+"/send-example"), object{"eventType": "svix.ping"}), "eventType", `"svix.ping"`, "payload", `{"success":true}`)
			w.same("body", string(r.await(w.t, "/hook", 1)[0].body), `{"success":true}`)
		})},
		{examples, "An example is the first of the schema's examples, and goes to that endpoint alone.", in(func(w *conventionWorld) {
			_, other := w.listener(200, nil)
			endpoint, r := w.listener(200, nil)
			name := declare(w, "", object{"schemas": object{"1": object{"examples": []object{{"first": 1}, {"second": 2}}}}})
			example := w.of("/endpoint/" + endpoint + "/send-example")
			w.reads(w.ask(200, "POST", example, object{"eventType": name}), "eventType", quoted(name), "payload", `{"first":1}`)
			w.same("body", string(r.await(w.t, "/hook", 1)[0].body), `{"first":1}`)
			w.reads(w.ask(200, "POST", example, object{"eventType": name, "exampleIndex": 1}), "payload", `{"second":2}`)
			w.same("others", len(other.requests("")), 0)
		})},
		{examples, "Without an example it is 400, and of an unknown type 404.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			example := w.of("/endpoint/" + endpoint + "/send-example")
			w.fails(400, "invalid_scheme", "POST", example, object{"eventType": declare(w, ".none", nil)})
			w.fails(400, "invalid_scheme", "POST", example, object{"eventType": declare(w, ".bare", object{"schemas": object{"1": object{}}})})
			w.fails(404, "not_found", "POST", example, object{"eventType": w.uid + ".unknown"})
		})},
	}
}
