package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenAPIIsValid holds the document to the specification, as a third
// party's library reads it.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	dir := nodeFolder(t, "validate.ts")
	document := string(serve(t, "memory:").call("GET", "/openapi.json", nil).body)
	for about, test := range map[string]struct{ document, says string }{
		"as it is":           {document, ""},
		"a place unknown":    {strings.Replace(document, `"in":"path"`, `"in":"nowhere"`, 1), "can be one of the following only"},
		"a reference astray": {strings.Replace(document, `/schemas/AttemptOut"`, `/schemas/Astray"`, 1), "no-unresolved-refs"},
		"a variable astray":  {strings.Replace(document, `"name":"app"`, `"name":"astray"`, 1), "path-parameters-defined"},
	} {
		stdout, all, err := outside(dir, nil, []byte(test.document), tool(dir, "tsx"), "validate.ts")
		if err != nil {
			t.Fatalf("%s: %v:\n%s", about, err, tail(string(all), 4000))
		}
		if said := string(stdout); (said == "") != (test.says == "") || !strings.Contains(said, test.says) {
			t.Errorf("%s: want %q, got:\n%s", about, test.says, tail(said, 2000))
		}
	}
}

// TestOpenAPITellsTheStory has openapi-typescript make types of the document,
// unpatched, and a program that is written with them tell the README's story.
func TestOpenAPITellsTheStory(t *testing.T) {
	t.Parallel()
	dir := nodeFolder(t, "story.ts", "tsconfig.json")
	s, receiver := serve(t, "memory:"), newReceiver(t, nil)
	document := s.call("GET", "/openapi.json", nil)
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), document.body, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]string{
		{"openapi-typescript", "openapi.json", "--output", "api.d.ts"},
		{"tsc", "--project", "tsconfig.json"},
		{"tsx", "story.ts", s.base, adminKey, receiver.URL + "/story"},
	} {
		stdout, all, err := outside(dir, nil, nil, tool(dir, step[0]), step[1:]...)
		if err != nil {
			t.Fatalf("%s: %v:\n%s", step[0], err, tail(string(all), 4000))
		}
		if step[0] == "tsx" && strings.TrimSpace(string(stdout)) != "told" {
			t.Errorf("the story ended early: %s", all)
		}
	}
	if got := receiver.await(t, "/story", 2); len(got) != 2 {
		t.Errorf("%d deliveries, want 2", len(got))
	}
}
