package api

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/postern-dev/postern"
)

// specimens makes the document's examples out of its schemas, so that no body is
// written down twice. A body has the properties that are always there, and those
// for which values names one for this very operation or schema.
type specimens struct {
	schemas components
	values  map[string]any
	// operation is the name of the row.
	operation string
}

// values are what stands for any value, by the name of a property, of a schema's
// or of an operation's property. Where there is none it is null, or of the right
// type, or the first of an enumeration.
func values() map[string]any {
	const (
		when   = "2026-01-31T15:04:05Z"
		secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // the one of Standard Webhooks' own examples
		token  = "pk_0000000000000000000000000000000000000000000"
	)
	text := map[string]any{
		"name": "Shop", "uid": "shop", "endpointUid": "billing", "description": "For the billing team",
		"url": "https://example.com/hooks", "ingestUrl": "https://hooks.example.com/in/0000000000000000000000",
		"provider": "github", "eventType": "invoice.paid", "contentType": "application/json", "eventId": "invoice-17",
		"code": "invalid", "detail": "The signature does not match", "response": "OK", "statusText": "success", "state": "delivered",
		"version": "1.2.3", "unit": "bytes", "method": http.MethodPost, "path": "/in/***", "remoteAddr": "203.0.113.7",
		"since": when, "until": "2026-01-31T16:04:05Z", "token": token, "key": secret,

		"EventTypeOut.name": "invoice.paid", "EventTypeIn.name": "invoice.paid", "EventTypeOut.description": "An invoice was paid",
		"EventTypeIn.description": "An invoice was paid", "EventTypeUpdate.description": "An invoice was paid", "EventTypePatch.description": "An invoice was paid",
		"EndpointIn.url": "https://example.com/hooks", "EndpointUpdate.url": "https://example.com/hooks",
		"EndpointOut.uid": "billing", "DestinationOut.uid": "billing", "EndpointPatch.description": "For the billing team", "ApplicationPatch.name": "Shop",
		"SourceOut.name": "GitHub", "SourceIn.name": "GitHub", "SourceOut.uid": "github", "eventTypePrefix": "github.", "query": "", "SourcePatch.name": "GitHub", "SourceSecretIn.key": "the new secret",
		"KeyOut.name": "reports", "KeyIn.name": "reports", "KeyIn.scope": "read-only", "KeyOut.scope": "read-only", "key.create.token": token,
		"PortalOut.url": "https://hooks.example.com/portal#key=" + token, "LimitOut.name": "request.body", "LimitOut.description": "The body of a request is at most so large.",
		"HeaderOut.name": "Content-Type", "HeaderOut.value": "application/json", "HealthOut.status": "ok",
		"ExplanationOut.reason": "the event type is selected", "RefusalOut.reason": "signature",
		"ApplicationIn.uid": "shop", "EventTypeOut.groupName": "invoice", "MessageIn.eventId": "invoice-17",
		"PrecheckIn.eventType": "invoice.paid", "ExampleIn.eventType": pingType,
		"ReplayIn.endpointId": "billing", "ReplayIn.status": "failed", "ReplayOut.status": "failed",
	}
	all := map[string]any{
		"payload": map[string]any{"invoice": 17, "amount": 1200}, "metadata": map[string]any{"plan": "pro"},
		"openapi": map[string]any{"openapi": "3.1.0"}, "responseStatusCode": http.StatusOK, "responseDurationMs": 42, "number": 1, "attempts": 1,
		"success": 120, "total": 120, "value": 1 << 20, "count": 120, "bucketSeconds": 3600, "p50Ms": 12.5, "p90Ms": 40.5, "p99Ms": 180.5,
		"dns": 1, "connect": 2, "tls": 9, "firstByte": 40, "TimingsOut.total": 42, "FiguresOut.attempts": 124, "delivered": 120, "retrying": 4,
		"examined": 60, "replayed": 50, "skipped": 10, "ReplayOut.rate": 50, "ReplayOut.toEndpointId": nil, "Explanations.matched": 1, "BucketOut.attempts": 124,
		"done": true, "active": true, "exact": true, "complete": true, "matched": true, "matchesNow": true,
		"EndpointOut.version": 1, "DestinationOut.version": 1, "EndpointOut.eventTypes": []string{"invoice.*"}, "EndpointOut.filterTypes": []string{"invoice.*"},
		"EndpointIn.eventTypes": []string{"invoice.*"}, "RotateIn.gracePeriodSeconds": 3600, "ReplayIn.rate": 50, "BulkReplayIn.status": 2,
		"HeadersOut.headers": map[string]any{"X-Team": "billing"}, "HeadersOut.sensitive": []string{"Authorization"},
		"HeadersUpdate.headers": map[string]any{"X-Team": "billing"}, "HeadersPatch.headers": map[string]any{"X-Team": nil},
		"LeaseIn.limit": 10, "LeaseIn.waitSeconds": 20, "LeaseIn.leaseSeconds": 30, "leaseSeconds": 60, "NackIn.delaySeconds": 60,
		"attempt": 1, "leases": []string{postern.LeaseID{}.Prefix() + exampleID}, "missing": []string{},
		"SourceIn.secrets": []string{"the secret that GitHub has too"}, "PortalIn.expiry": minVisit, "ExpireIn.sessionIds": []string{"tuesday"},
		"ExpungeIn.ids":      []string{postern.MessageID{}.Prefix() + exampleID},
		"ExpungeOut.results": map[string]any{postern.MessageID{}.Prefix() + exampleID: "expunged"},
		"FaultOut.loc":       []string{"body", "uid"}, "FaultOut.msg": "is in use", "FaultOut.type": "value_error",
	}
	for name, value := range text {
		all[name] = value
	}
	return all
}

// of is an example of a schema's values. owner and name are the schema and the
// property that it is the value of.
func (s specimens) of(shape schema, owner, name string) any {
	if reference, ok := shape["$ref"].(string); ok {
		named := reference[len("#/components/schemas/"):]
		return s.object(s.schemas[named], named)
	}
	value, asked := s.value(owner, name)
	ids, isID := shape["examples"].([]string)
	items, _ := shape["items"].(schema)
	switch enum, _ := shape["enum"].([]any); {
	case value != nil && allows(shape, value):
		return value
	case isID && !asked:
		return ids[0]
	case items["$ref"] != nil:
		return []any{s.of(items, owner, "")}
	case isNull(shape):
		return nil
	case len(enum) > 0:
		return enum[0]
	case shape["format"] == "date-time":
		return s.values["since"]
	}
	switch shape["type"] {
	case "array":
		return []any{s.of(items, owner, "")}
	case "object":
		return map[string]any{}
	case "integer", "number":
		return 0
	case "boolean":
		return false
	}
	return "text"
}

// object is a body.
func (s specimens) object(shape schema, owner string) map[string]any {
	properties, _ := shape["properties"].(schema)
	required, _ := shape["required"].([]string)
	object := map[string]any{}
	for name, property := range properties {
		_, asked := s.value(owner, name)
		if asked || slices.Contains(required, name) {
			object[name] = s.of(property.(schema), owner, name) //nolint:forcetypeassert // components writes them
		}
	}
	if entries, ok := object["data"].([]any); ok && properties["iterator"] != nil {
		if entry, ok := entries[0].(map[string]any); ok {
			object["iterator"], object["prevIterator"] = ends(entry)
		}
	}
	return object
}

// ends are the iterators of a list with a single entry.
func ends(entry map[string]any) (last, first any) {
	for _, name := range []string{"id", "endpointId", "name"} {
		if id, ok := entry[name].(string); ok {
			return id, "-" + id
		}
	}
	return nil, nil
}

// value is the representative of a property; asked where it is named for this
// operation or schema.
func (s specimens) value(owner, name string) (value any, asked bool) {
	for _, key := range []string{s.operation + "." + name, owner + "." + name} {
		if value, asked = s.values[key]; asked {
			return value, true
		}
	}
	return s.values[name], false
}

// allows reports whether a schema takes a representative that is meant for all
// properties of its name.
func allows(shape schema, value any) bool {
	if enum, ok := shape["enum"].([]any); ok {
		return slices.ContainsFunc(enum, func(one any) bool { return reflect.DeepEqual(one, value) })
	}
	kinds := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number", reflect.Slice: "array", reflect.Map: "object",
	}
	kind := kinds[reflect.TypeOf(value).Kind()]
	kinded, several := shape["type"].([]string)
	return shape["type"] == kind || several && slices.Contains(kinded, kind)
}

// isNull reports whether null is one of a schema's values.
func isNull(shape schema) bool {
	kinds, several := shape["type"].([]string)
	either, _ := shape["oneOf"].([]schema)
	return shape["type"] == "null" || several && slices.Contains(kinds, "null") || slices.ContainsFunc(either, isNull)
}

// refusalExample is the answer of a status that is a refusal.
func refusalExample(status int) any {
	if status == http.StatusUnprocessableEntity {
		return faultsOut([]postern.FieldError{{Loc: []string{"body", "uid"}, Msg: "is in use", Type: "value_error"}})
	}
	for kind := range postern.Unavailable + 1 {
		if f := failureOf(kind); f.status == status {
			return errorOut{f.code, f.detail}
		}
	}
	return nil
}

// mediaExample is an answer that is not JSON: the beginning of a tail, or the
// bytes of a payload.
func mediaExample(media string) string {
	if media != "text/event-stream" {
		return `{"invoice":17,"amount":1200}`
	}
	message, attempt := postern.MessageID{}.Prefix()+exampleID, postern.AttemptID{}.Prefix()+exampleID
	at := "id: " + message + "." + attempt + "\n"
	return "retry: 2000\n" + at + "\n" + at + "event: skipped\ndata: {\"count\":3,\"after\":\"" + message + "." + attempt + "\"}\n\n"
}
