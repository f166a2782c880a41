package api

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// annotated is a row with what its type does not tell the document.
type annotated struct {
	row
	params params
	// in and out are the bodies of a row that reads and writes them itself.
	in, out reflect.Type
	// media is the type of an answer that is not JSON.
	media string
	// also is another status of success, 0 for none.
	also int
	// These are the operation's of the same name.
	brings, anew, swift bool
}

// operation implements row.
func (a annotated) operation() *operation {
	o := a.row.operation()
	o.query = append(o.query, a.params...)
	if a.in != nil || a.out != nil {
		o.in, o.out = a.in, a.out
	}
	o.media = cmp.Or(a.media, o.media)
	o.also = cmp.Or(a.also, o.also)
	o.brings = a.brings || o.brings
	o.anew = a.anew || o.anew
	o.swift = a.swift || o.swift
	return o
}

// asks adds what the operation reads of the query.
func (o op[In, Out]) asks(lists ...params) row {
	return annotated{row: o, params: slices.Concat(lists...)}
}

// asks adds what the operation reads of the query.
func (o raw) asks(lists ...params) row { return annotated{row: o, params: slices.Concat(lists...)} }

// also adds another status of success: 201 to a PUT that may create.
func also(status int, r row) row { return annotated{row: r, also: status} }

// brings has the body bring along an application that is not there yet.
func brings(r row) row { return annotated{row: r, brings: true} }

// anew has a POST be answered anew, whatever idempotency key it has.
func anew(r row) row { return annotated{row: r, anew: true} }

// swift has a row do without a look at what other nodes have changed.
func swift(r row) row { return annotated{row: r, swift: true} }

// bodies tells of a raw row what it reads and answers.
func bodies[In, Out any](r row) row { return annotated{row: r, in: typeOf[In](), out: typeOf[Out]()} }

// media tells of a raw row the type of what it answers.
func media(contentType string, r row) row { return annotated{row: r, media: contentType} }

// getOpenAPI answers the document, which is made at the first request.
func (h *handler) getOpenAPI(c *call) error {
	document, err := h.document()
	if err != nil {
		return err
	}
	c.answer.Write(document)
	h.send(c)
	return nil
}

// newDocument is the table as an OpenAPI 3.1 document.
func newDocument(rows []row, version, server string) ([]byte, error) {
	if server == "" {
		server = "/"
	}
	schemas := components{}
	paths := map[string]map[string]schema{}
	for _, r := range rows {
		o := r.operation()
		path := Prefix + o.path
		if paths[path] == nil {
			paths[path] = map[string]schema{}
		}
		paths[path][strings.ToLower(o.method)] = describe(o, schemas)
	}
	document := schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Postern", "version": version,
			"description": "Receives, routes and delivers webhooks. Ids may be replaced by uids wherever a path names an object that has one. Lists are pages: follow iterator until done.",
			"license":     schema{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []schema{{"url": server}},
		"security": []schema{{"key": []string{}}},
		"paths":    paths,
		"components": schema{
			"schemas":   schemas,
			"responses": refusals(schemas),
			"securitySchemes": schema{
				"key": schema{"type": "http", "scheme": "bearer", "description": "An API key, a portal's token, or a token of svix-server where its secret is configured."},
			},
		},
	}
	return json.Marshal(document)
}

// describe is one operation of the document.
func describe(o *operation, schemas components) schema {
	described := schema{
		"operationId": operationID(o.name), "summary": summary(o.name), "tags": []string{noun(o.name)},
		"responses": responses(o, schemas),
	}
	if o.access == open {
		described["security"] = []schema{}
	}
	if parameters := parameters(o); len(parameters) > 0 {
		described["parameters"] = parameters
	}
	if o.in != nil {
		described["requestBody"] = schema{
			"required": len(needed(o.in, o.method)) > 0,
			"content":  schema{"application/json": exemplified(o, schemas, schemas.body(o.in, o.method))},
		}
	}
	return described
}

// parameters are those of the path, the query and the header.
func parameters(o *operation) []schema {
	var list []schema
	for segment := range strings.SplitSeq(o.path, "/") {
		if name, ok := variable(segment); ok {
			list = append(list, schema{
				"name": name, "in": "path", "required": true, "schema": schema{"type": "string"},
				"description": pathDoc(name),
			})
		}
	}
	for _, p := range o.query {
		list = append(list, schema{"name": p.name, "in": "query", "description": p.doc, "schema": p.schema()})
	}
	if o.method == http.MethodPost && o.access != open && !o.anew {
		list = append(list, schema{
			"name": "idempotency-key", "in": "header", "schema": schema{"type": "string"},
			"description": "Names the request: one that is sent again under the same key gets the first one's answer.",
		})
	}
	return list
}

// pathDoc says what a variable of a path may be.
func pathDoc(name string) string {
	switch name {
	case "app", "endpoint", "source":
		return "An id or a uid."
	case "msg":
		return "An id or an eventId."
	case "name":
		return "A name."
	}
	return "An id."
}

// schema is a parameter's value.
func (p param) schema() schema {
	var s schema
	switch p.kind {
	case flagParam:
		s = schema{"type": "boolean"}
	case momentParam:
		s = schema{"type": "string", "format": "date-time"}
	case numberParam:
		s = schema{"type": "integer", "minimum": p.low, "maximum": p.high}
	case listParam:
		s = schema{"type": "array", "items": schema{"type": "string"}}
	default:
		s = schema{"type": "string"}
	}
	if p.values != nil {
		s["enum"] = p.values
	}
	if p.otherwise != "" {
		s["default"] = json.RawMessage(p.otherwise) // a number or a boolean
	}
	return s
}

// responses are an operation's answers by status.
func responses(o *operation, schemas components) schema {
	all := schema{}
	for _, status := range []int{o.status, o.also} {
		if status != 0 {
			all[strconv.Itoa(status)] = success(o, status, schemas)
		}
	}
	for _, status := range mayRefuse(o) {
		all[strconv.Itoa(status)] = schema{"$ref": "#/components/responses/" + refusalName(status)}
	}
	return all
}

// success is the answer that was wished for.
func success(o *operation, status int, schemas components) schema {
	answer := schema{"description": http.StatusText(status)}
	switch {
	case status == http.StatusNoContent:
	case o.media != "":
		answer["content"] = schema{o.media: schema{"schema": schema{"type": "string"}, "example": mediaExample(o.media)}}
	case o.out == nil:
		answer["content"] = schema{"application/json": exemplified(o, schemas, schema{"type": "object"})}
	default:
		answer["content"] = schema{"application/json": exemplified(o, schemas, schemas.answer(o.out))}
	}
	return answer
}

// exemplified is a body with an example.
func exemplified(o *operation, schemas components, body schema) schema {
	s := specimens{schemas: schemas, values: values(), operation: o.name}
	return schema{"schema": body, "example": s.of(body, "", o.name)}
}

// mayRefuse are the statuses of an operation's refusals. What lies in front of
// us, and what is our own fault, may always add others.
func mayRefuse(o *operation) []int {
	statuses := map[int]bool{http.StatusServiceUnavailable: true}
	if o.access != open {
		statuses[http.StatusUnauthorized], statuses[http.StatusForbidden] = true, true
	}
	if strings.Contains(o.path, "{") || o.access == watching {
		statuses[http.StatusNotFound] = true
	}
	if len(o.query) > 0 || o.in != nil {
		statuses[http.StatusBadRequest], statuses[http.StatusUnprocessableEntity] = true, true
	}
	if o.in != nil {
		statuses[http.StatusRequestEntityTooLarge] = true
	}
	if o.access == publish || o.anew {
		statuses[http.StatusTooManyRequests] = true
	}
	if o.method != http.MethodGet && o.access != open {
		statuses[http.StatusConflict], statuses[http.StatusBadRequest] = true, true
	}
	return slices.Sorted(maps.Keys(statuses))
}

// refusals are the answers that are refusals, by their names.
func refusals(schemas components) schema {
	all := schema{}
	for _, status := range []int{400, 401, 403, 404, 409, 413, 422, 429, 503} {
		body := schemas.answer(reflect.TypeFor[errorOut]())
		if status == http.StatusUnprocessableEntity {
			body = schemas.answer(reflect.TypeFor[invalidOut]())
		}
		all[refusalName(status)] = schema{
			"description": http.StatusText(status),
			"content":     schema{"application/json": schema{"schema": body, "example": refusalExample(status)}},
		}
	}
	return all
}

// refusalName is a status in words: NotFound.
func refusalName(status int) string {
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// operationID is a name for generated code: endpointSecretRotate.
func operationID(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' })
	for i := range words[1:] {
		words[i+1] = exported(words[i+1])
	}
	return strings.Join(words, "")
}

// noun is what an operation is about: the first part of its name.
func noun(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return strings.ReplaceAll(first, "-", " ")
}

// summary says what an operation does, from its name.
func summary(name string) string {
	if said := special(name); said != "" {
		return said
	}
	parts := strings.Split(strings.ReplaceAll(name, "-", " "), ".")
	verb, of := parts[len(parts)-1], strings.Join(parts[:len(parts)-1], " ")
	article := "a"
	if strings.ContainsRune("aeiou", rune(of[0])) {
		article = "an"
	}
	switch verb {
	case "list":
		return "List " + of + "s"
	case "put":
		return "Replace " + article + " " + of
	case "patch":
		return "Change some of " + article + " " + of
	}
	return exported(verb) + " " + article + " " + of
}

// special are summaries that a name does not tell; "" for all others.
func special(name string) string { //nolint:funlen // it is a table
	switch name {
	case "openapi":
		return "The API in OpenAPI 3.1"
	case "health":
		return "Whether requests can be served"
	case "health.ping":
		return "Whether the process answers"
	case "tail":
		return "What happens, as it happens"
	case "limits":
		return "Every limit and the value in force"
	case "application.put", "endpoint.put", "event-type.put":
		return "Replace an " + strings.ReplaceAll(strings.TrimSuffix(name, ".put"), "-", " ") + ", or create it"
	case "source.put":
		return "Replace a source, or create it"
	case "source.secret.get":
		return "Get the secret that a source's provider delivered in its handshake"
	case "endpoint.headers.get":
		return "Get an endpoint's own headers"
	case "endpoint.headers.put":
		return "Replace an endpoint's own headers"
	case "endpoint.headers.patch":
		return "Change some of an endpoint's own headers"
	case "endpoint.send-example":
		return "Send an endpoint an example of an event type"
	case "endpoint.stats":
		return "Count an endpoint's attempts"
	case "endpoint.messages":
		return "List the messages that were tried at an endpoint"
	case "lease.create":
		return "Lease what waits at a pull endpoint, or wait for it"
	case "lease.ack":
		return "Say that leased messages were processed"
	case "lease.nack":
		return "Say that they were not, and why"
	case "lease.extend":
		return "Hold leased messages for longer"
	case "lease.release":
		return "Give leased messages back that were not begun with"
	case "event-type.retry-schedule.get":
		return "Get an event type's own retry schedule"
	case "event-type.retry-schedule.put":
		return "Set an event type's own retry schedule"
	case "event-type.delete":
		return "Archive an event type, or delete it"
	case "refusal.verify":
		return "Check a refused request once more, with the source as it is now"
	case "refusal.release":
		return "Publish a refused request as a message, though it did not verify"
	case "message.create":
		return "Publish a message"
	case "message.precheck":
		return "Whether any endpoint would get a message"
	case "message.expunge":
		return "Delete a message's payload"
	case "message.bulk-expunge":
		return "Delete the payloads of some messages"
	case "message.expunge-all":
		return "Delete the payloads of all messages that there are"
	case "attempt.expunge":
		return "Delete what an endpoint answered to an attempt"
	case "message.raw":
		return "The bytes of a message's payload"
	case "message.endpoints":
		return "The endpoints of a message, and how it stands there"
	case "message.explain":
		return "Why each endpoint got a message or did not"
	case "message.resend":
		return "Deliver a message to an endpoint once more"
	case "message.cancel":
		return "End a delivery that is not finished"
	case "stats":
		return "What came of attempts over time"
	case "delivery.list":
		return "List deliveries over all endpoints"
	case "endpoint.recover":
		return "Resend everything that failed at an endpoint"
	case "endpoint.replay-missing":
		return "Send an endpoint what it would get now and never got"
	case "endpoint.bulk-replay":
		return "Resend an endpoint's messages by a filter"
	case "replay.create":
		return "Deliver messages of the past once more"
	case "replay.preview":
		return "How many deliveries a replay would start"
	case "attempt.list-of-delivery":
		return "List the attempts of a message at an endpoint"
	case "node.list":
		return "List the servers that share the store, and the journals that they hold"
	case "backup.create":
		return "Copy the server's store into a folder on its machine, while it serves"
	case "auth.app-portal-access":
		return "Open the portal to a visitor"
	case "auth.dashboard-access":
		return "Open the portal to a visitor, as older SDKs do"
	case "auth.expire-all":
		return "End all visits to an application's portal"
	case "auth.logout":
		return "End the visitor's own visit"
	case "attempt.list-by-message", "attempt.list-of-message":
		return "List the attempts of a message"
	case "attempt.list-by-endpoint":
		return "List the attempts at an endpoint"
	}
	return ""
}
