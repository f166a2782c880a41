package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the document as something to hold bodies to. It is shared by all
// tests of the process, because compiling it takes long.
type contract struct {
	mu       sync.Mutex
	document map[string]any
	compiler *jsonschema.Compiler
}

var theContract = sync.OnceValues(func() (*contract, error) {
	text, err := newDocument(table(), "1.2.3", publicURL)
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := &contract{compiler: jsonschema.NewCompiler()}
	c.document, _ = parsed.(map[string]any)
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource("contract.json", parsed)
})

// at walks into the document.
func (c *contract) at(t testing.TB, way ...string) any {
	t.Helper()
	var here any = c.document
	for _, step := range way {
		object, ok := here.(map[string]any)
		if !ok {
			return nil
		}
		here = object[step]
	}
	return here
}

// check holds a body to the schema at the end of a way.
func (c *contract) check(t testing.TB, about, body string, way ...string) {
	t.Helper()
	pointer := ""
	for _, step := range way {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
	}
	c.mu.Lock()
	compiled, err := c.compiler.Compile("contract.json#" + pointer)
	c.mu.Unlock()
	if err != nil {
		t.Fatalf("%s: %v", about, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v in %s", about, err, body)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: the OpenAPI document has another shape: %v\n%s", about, err, body)
	}
}

// checkAnswer holds an answer of any test to what the document says of it. A
// status that is missing there belongs into mayRefuse or the row's also; a
// value that does not fit, into the tag of its field.
func checkAnswer(t testing.TB, r *http.Request, got response) {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	routes := newRoutes(table())
	n := routes.at(r.URL, new([maxParams]string))
	if n == nil || n.operation(r.Method) == nil || got.StatusCode == http.StatusInternalServerError {
		return
	}
	o := n.operation(r.Method)
	about := o.name + " " + strconv.Itoa(got.StatusCode)
	way := []string{"paths", Prefix + o.path, strings.ToLower(o.method), "responses", strconv.Itoa(got.StatusCode)}
	described, ok := c.at(t, way...).(map[string]any)
	if !ok {
		t.Errorf("%s: the OpenAPI document does not know this status", about)
		return
	}
	if reference, ok := described["$ref"].(string); ok {
		way = strings.Split(strings.TrimPrefix(reference, "#/"), "/")
	}
	if got.body != "" && c.at(t, append(way, "content", "application/json")...) != nil {
		c.check(t, about, got.body, append(way, "content", "application/json", "schema")...)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	w := newWorld(t)
	got := w.as("", "GET", "/openapi.json", "")
	var document struct {
		OpenAPI string
		Info    struct{ Version string }
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(got.body), &document); err != nil || got.StatusCode != 200 {
		t.Fatalf("%d %v", got.StatusCode, err)
	}
	if document.OpenAPI != "3.1.0" || document.Info.Version != "1.2.3" || document.Servers[0].URL != publicURL {
		t.Errorf("%+v %+v", document.Info, document.Servers)
	}
	ids := map[string]bool{}
	for path, methods := range document.Paths {
		for method, o := range methods {
			if ids[o.OperationID] || o.OperationID == "" {
				t.Errorf("%s %s: operationId %q", method, path, o.OperationID)
			}
			ids[o.OperationID] = true
		}
	}
	if len(ids) != len(table()) {
		t.Errorf("%d operations of %d", len(ids), len(table()))
	}
	if again := w.as("", "GET", "/openapi.json", ""); again.body != got.body {
		t.Error("it differs from one request to the next")
	}
}

// TestExamples holds every example to the schema beside it, and every body of
// every row has one.
func TestExamples(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	var walk func(here any, way ...string)
	walk = func(here any, way ...string) {
		object, ok := here.(map[string]any)
		if !ok {
			return
		}
		for name, below := range object {
			walk(below, append(way[:len(way):len(way)], name)...)
		}
		if len(way) < 2 || way[len(way)-2] != "content" {
			return
		}
		tried++
		text, err := json.Marshal(object["example"])
		if object["example"] == nil || object["schema"] == nil || err != nil {
			t.Errorf("%s: no example of a schema: %v", way, err)
			return
		}
		c.check(t, strings.Join(way, " "), string(text), append(way, "schema")...)
	}
	walk(c.document["paths"], "paths")
	walk(c.at(t, "components", "responses"), "components", "responses")
	if tried < len(table()) {
		t.Errorf("%d examples for %d rows", tried, len(table()))
	}
}

// TestExamplesAreTaken sends the example of every body to a server that knows
// what they speak of.
func TestExamplesAreTaken(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table() {
		o := r.operation()
		if o.in == nil {
			continue
		}
		text, err := json.Marshal(c.at(t, "paths", Prefix+o.path, strings.ToLower(o.method), "requestBody", "content", "application/json", "example"))
		if err != nil {
			t.Fatal(err)
		}
		s := newStory(t)
		s.consumed(o)
		s.names["name"] = "invoice.paid"
		s.want(200, "PATCH", "/app/shop/endpoint/a", `{"uid":"billing"}`)
		if o.name == "event-type.create" {
			s.want(204, "DELETE", "/event-type/invoice.paid?expunge=true", "")
		}
		if o.name == "application.create" || o.name == "application.put" {
			s.want(200, "PATCH", "/app/shop", `{"uid":null}`)
		}
		since := values()["since"].(string) //nolint:forcetypeassert // the test fails either way
		s.want(o.status, o.method, s.path(o.path), strings.ReplaceAll(string(text), since, recent()))
	}
}

// TestNeededProperties leaves out what the document says a body needs, one at
// a time: the operation must refuse it. It also sends null.
func TestNeededProperties(t *testing.T) {
	full := map[string]any{
		"name": "some.name", "description": "d", "url": "https://example.com", "provider": "github", "scope": "admin",
		"since": "2026-01-31T15:04:05Z", "key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "eventType": "a", "payload": map[string]any{}, "headers": map[string]any{},
		"leases": []any{"lse_" + exampleID}, "leaseSeconds": 60,
	}
	for _, r := range table() {
		o := r.operation()
		if o.in == nil {
			continue
		}
		for _, name := range neededNames(o.in, o.method) {
			s := newStory(t)
			s.consumed(o)
			s.names["name"] = "invoice.paid"
			if _, known := full[name]; !known {
				t.Errorf("%s needs %q, which this test has no value for", o.name, name)
			}
			for about, change := range map[string]func(map[string]any){
				"without":   func(body map[string]any) { delete(body, name) },
				"null for":  func(body map[string]any) { body[name] = nil },
				"a list as": func(body map[string]any) { body[name] = []any{7} },
			} {
				body := map[string]any{}
				for _, needed := range neededNames(o.in, o.method) {
					body[needed] = full[needed]
				}
				change(body)
				text, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				if got := s.do(o.method, s.path(o.path), string(text)); got.StatusCode != http.StatusUnprocessableEntity {
					t.Errorf("%s %s %s: %d %s", o.name, about, name, got.StatusCode, got.body)
				}
			}
		}
	}
}

// neededNames is needed, in JSON's names.
func neededNames(body reflect.Type, method string) (names []string) {
	for field := range eachField(body) {
		if needs(strings.Split(field.Tag.Get("api"), ","), method) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// inner and bodyIn are the types of TestSchemas.
type inner struct {
	A string `json:"a"`
}

type bodyIn struct {
	inner
	Needed  optional[string]            `json:"needed" api:"required"`
	Created optional[string]            `json:"created" api:"post"`
	List    optional[[]string]          `json:"list" api:"x|y" doc:"Some."`
	Any     json.RawMessage             `json:"any"`
	Map     map[string]*int             `json:"map"`
	Deep    *inner                      `json:"deep"`
	Number  optional[int]               `json:"number" api:"0|1"`
	Object  optional[map[string]string] `json:"object"`
	Hidden  string                      `json:"-"`
}

// TestSchemas holds what types become.
func TestSchemas(t *testing.T) {
	schemas := components{}
	refs := []any{}
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		refs = append(refs, schemas.body(reflect.TypeFor[bodyIn](), method)["$ref"])
	}
	refs = append(refs, schemas.answer(reflect.TypeFor[listing[bodyIn]]())["$ref"])
	const prefix = "#/components/schemas/"
	want := []any{prefix + "BodyIn", prefix + "BodyUpdate", prefix + "BodyPatch", prefix + "BodyInList"}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(schemas["BodyUpdate"])
	if err != nil {
		t.Fatal(err)
	}
	const update = `{"properties":{` +
		`"a":{"type":"string"},"any":{},"created":{"type":["string","null"]},` +
		`"deep":{"oneOf":[{"$ref":"#/components/schemas/Inner"},{"type":"null"}]},` +
		`"list":{"description":"Some.","items":{"enum":["x","y"],"type":"string"},"type":["array","null"]},` +
		`"map":{"additionalProperties":{"type":["integer","null"]},"type":["object","null"]},` +
		`"needed":{"type":"string"},"number":{"enum":[0,1,null],"type":["integer","null"]},` +
		`"object":{"additionalProperties":{"type":"string"},"type":["object","null"]}},` +
		`"required":["needed"],"type":"object"}`
	if diff := cmp.Diff(update, string(text)); diff != "" {
		t.Error(diff)
	}
	if got := schemas["BodyIn"]["required"]; !reflect.DeepEqual(got, []string{"needed", "created"}) {
		t.Errorf("POST needs %v", got)
	}
	if got := schemas["BodyPatch"]["required"]; got != nil {
		t.Errorf("PATCH needs %v", got)
	}
}

func TestSummaries(t *testing.T) {
	for name, want := range map[string]string{
		"application.list": "List applications", "endpoint.secret.rotate": "Rotate an endpoint secret",
		"event-type.put": "Replace an event type, or create it", "source.put": "Replace a source, or create it", "thing.put": "Replace a thing", "key.patch": "Change some of a key",
	} {
		if got := summary(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := operationID("endpoint.secret-of.rotate"); got != "endpointSecretOfRotate" {
		t.Errorf("operationID: %s", got)
	}
}
