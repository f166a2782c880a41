package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// operation is a row of the server's table, as its OpenAPI document tells it.
type operation struct {
	id, method, path string
	// answers are the schemas of the bodies by status; nil for a body that is
	// not JSON, and for none.
	answers map[int]*jsonschema.Schema
}

// outcome is which statuses a caller was seen to get, sorted.
type outcome struct {
	successes, refusals []int
	astray              bool // an answer does not fit its schema
}

// apiDocument is what a server serves.
type apiDocument struct {
	// operations are in the order of their paths.
	operations []*operation
	// routes finds the pattern of a path, which patterns leads to its row.
	routes   *http.ServeMux
	patterns map[string]*operation
	// unserved is the schema of an answer of 501.
	unserved *jsonschema.Schema
}

// readDocument reads what the conformance run needs of a document.
func readDocument(t *testing.T, text []byte) *apiDocument {
	t.Helper()
	content, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(content)
	schemas := jsonschema.NewCompiler()
	schemas.AssertFormat()
	if err := schemas.AddResource("openapi.json", content); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Responses   map[string]struct {
				Ref     string `json:"$ref"`
				Content map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	api := &apiDocument{routes: http.NewServeMux(), patterns: map[string]*operation{}}
	const body = "/content/application~1json/schema"
	api.unserved = compile(t, schemas, "/components/responses/NotFound"+body)
	for path, methods := range document.Paths {
		for method, described := range methods {
			o := &operation{id: described.OperationID, method: strings.ToUpper(method), path: path, answers: map[int]*jsonschema.Schema{}}
			for status, answer := range described.Responses {
				number, err := strconv.Atoi(status)
				if err != nil {
					t.Fatal(err)
				}
				o.answers[number] = nil
				at := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method + "/responses/" + status
				if answer.Ref != "" {
					at = strings.TrimPrefix(answer.Ref, "#")
				}
				if _, json := answer.Content["application/json"]; json || answer.Ref != "" {
					o.answers[number] = compile(t, schemas, at+body)
				}
			}
			api.operations = append(api.operations, o)
			pattern := o.method + " " + path
			api.patterns[pattern] = o
			api.routes.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
		}
	}
	if len(api.operations) < 40 {
		t.Fatalf("%d operations: the run would hold for nothing", len(api.operations))
	}
	verbs := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	slices.SortFunc(api.operations, func(a, b *operation) int {
		return cmp.Or(cmp.Compare(a.path, b.path), slices.Index(verbs, a.method)-slices.Index(verbs, b.method))
	})
	return api
}

// closeObjects has schemas allow no property besides those that they describe:
// what is answered has to be documented whole.
func closeObjects(node any) {
	switch node := node.(type) {
	case []any:
		for _, entry := range node {
			closeObjects(entry)
		}
	case map[string]any:
		for _, value := range node {
			closeObjects(value)
		}
		if _, open := node["additionalProperties"]; !open && node["properties"] != nil && node["type"] != nil {
			node["additionalProperties"] = false
		}
	}
}

// compile makes a schema of a place in the document.
func compile(t *testing.T, schemas *jsonschema.Compiler, at string) *jsonschema.Schema {
	t.Helper()
	compiled, err := schemas.Compile("openapi.json#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(at))
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// find is the operation of a request, nil for none.
func (a *apiDocument) find(method, path string) *operation {
	_, pattern := a.routes.Handler(&http.Request{Method: method, URL: &url.URL{Path: strings.TrimSuffix(path, "/")}})
	return a.patterns[pattern]
}

// judge holds what a caller was answered to the document, and tells which
// statuses were seen of each operation.
func (a *apiDocument) judge(t *testing.T, c *caller, log []exchange) map[*operation]*outcome {
	t.Helper()
	seen := map[*operation]*outcome{}
	for _, e := range log {
		if !strings.HasPrefix(e.agent, c.agent) {
			continue
		}
		o := a.find(e.method, e.path)
		if o == nil {
			if e.status != http.StatusNotImplemented {
				t.Errorf("%s %s is not served, and answers %d", e.method, e.path, e.status)
			}
			fits(t, a.unserved, e)
			continue
		}
		schema, documented := o.answers[e.status]
		if !documented {
			t.Errorf("%s answers %d, which is not documented: %s", o.id, e.status, tail(string(e.body), 500))
			continue
		}
		if seen[o] == nil {
			seen[o] = &outcome{}
		}
		if !seen[o].astray { // once is enough
			seen[o].astray = !fits(t, schema, e)
		}
		switch {
		case e.status < 300:
			seen[o].successes = with(seen[o].successes, e.status)
		case o.tells(e.status):
			seen[o].refusals = with(seen[o].refusals, e.status)
		}
	}
	return seen
}

// fits holds an answer to its schema, and reports whether it is as it should be.
func fits(t *testing.T, schema *jsonschema.Schema, e exchange) bool {
	t.Helper()
	if e.status == http.StatusNoContent && len(e.body) > 0 {
		t.Errorf("%s %s: 204 with a body", e.method, e.path)
		return false
	}
	if schema == nil {
		return true
	}
	if e.media != "application/json" {
		t.Errorf("%s %s: %d is %q, want JSON", e.method, e.path, e.status, e.media)
		return false
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.body))
	if err == nil {
		err = schema.Validate(body)
	}
	if err != nil {
		t.Errorf("%s %s: %d is not as documented: %v\n%s", e.method, e.path, e.status, err, tail(string(e.body), 1000))
	}
	return err == nil
}

// tells reports whether a refusal shows something of the operation. A wrong key
// does only where nothing else can be wrong, a server in distress never.
func (o *operation) tells(status int) bool {
	switch status {
	case http.StatusServiceUnavailable:
		return false
	case http.StatusUnauthorized:
		for other := range o.answers {
			if other >= 400 && other != 401 && other != 403 && other != 503 {
				return false
			}
		}
	}
	return true
}

// refuses reports whether a server in order refuses the operation to anybody.
func (o *operation) refuses() bool {
	for status := range o.answers {
		if status >= 400 && status != http.StatusServiceUnavailable {
			return true
		}
	}
	return false
}

// with is a sorted set with one more.
func with(set []int, status int) []int {
	if at, found := slices.BinarySearch(set, status); !found {
		return slices.Insert(set, at, status)
	}
	return set
}
