package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Which operations a library has is read in its sources.

// template is a call as a source writes it; the path's variables are "{}".
type template struct{ method, path string }

// sdkRequest is a request in the sources of Svix's SDKs in Go and JavaScript.
var sdkRequest = regexp.MustCompile(`(?:"|HttpMethod\.)(GET|HEAD|POST|PUT|PATCH|DELETE)"?,\s*"(/[^"]+)"`)

// sdkTemplates reads the sources that a pattern names. Each occurrence of made
// makes a request, so that none can be missed.
func sdkTemplates(t *testing.T, pattern, made string) []template {
	t.Helper()
	var all []template
	for _, text := range sources(t, pattern) {
		found := sdkRequest.FindAllStringSubmatch(text, -1)
		if want := strings.Count(text, made); len(found) != want {
			t.Fatalf("%d of %d requests found in %s", len(found), want, pattern)
		}
		for _, match := range found {
			all = append(all, template{match[1], variable.ReplaceAllString(match[2], "{}")})
		}
	}
	if len(all) < 100 {
		t.Fatalf("%d requests in %s: the run would hold for nothing", len(all), pattern)
	}
	return all
}

// variable is one in a path.
var variable = regexp.MustCompile(`\{\w*\}`)

// sources are the texts of the files that a pattern names, tests left out.
func sources(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// Requests in the sources of package client: a function makes one at most, and
// lists are read with GET.
var (
	clientFunc   = regexp.MustCompile(`(?m)^func `)
	clientMethod = regexp.MustCompile(`method: http\.Method(\w+)`)
	clientMakes  = regexp.MustCompile(`request\{method|\b(list|all)\[\w+\]\(ctx`)
	clientPath   = regexp.MustCompile(`path\(("[^)]*)\)|(?:path: |ctx, \w\.c, )"(/[^"]+)"`)
)

// clientTemplates reads package client.
func clientTemplates(t *testing.T) []template {
	t.Helper()
	var all []template
	for _, text := range sources(t, "../../client/*.go") {
		for _, function := range clientFunc.Split(text, -1)[1:] {
			path := clientPath.FindStringSubmatch(function)
			if path == nil {
				if clientMakes.MatchString(function) && !strings.Contains(function, "[T any]") {
					t.Fatalf("no path found in %s", function)
				}
				continue
			}
			call := template{"GET", "/api/v1" + path[2]}
			if method := clientMethod.FindStringSubmatch(function); method != nil {
				call.method = strings.ToUpper(method[1])
			}
			for segment := range strings.SplitSeq(path[1], ", ") {
				if name := strings.Trim(segment, `"`); name != segment {
					call.path += "/" + name
				} else if segment != "" {
					call.path += "/{}"
				}
			}
			all = append(all, call)
		}
	}
	if len(all) < 40 {
		t.Fatalf("%d requests in package client: the run would hold for nothing", len(all))
	}
	return all
}

// operationsOf are the rows that a library calls, and what it calls besides,
// sorted. A variable may stand for a word of a path: one function may make
// several requests.
func (a *apiDocument) operationsOf(calls []template) (has map[*operation]bool, lacks []template) {
	has = map[*operation]bool{}
	for _, call := range calls {
		if o := a.find(call.method, call.path); o != nil {
			has[o] = true
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(call.path), `\{\}`, "[^/]+") + "$")
		known := false
		for _, o := range a.operations {
			if o.method == call.method && pattern.MatchString(o.path) {
				has[o], known = true, true
			}
		}
		if !known {
			lacks = append(lacks, call)
		}
	}
	slices.SortFunc(lacks, func(a, b template) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return has, slices.Compact(lacks)
}
