package postern_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ARCHITECTURE.md names tests and files, which move.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var there []string // in the manner in which they are named
	for _, f := range load(t) {
		there = append(there, path.Base(f.name))
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				there = append(there, fn.Name.Name)
			}
		}
	}
	names := regexp.MustCompile("`(?:[a-z]+\\.|[a-z/]+/)?(Test[A-Za-z*]+|[a-z*_]+\\.go)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 60 {
		t.Errorf("it names %d tests and files", len(names))
	}
	for _, name := range names {
		pattern := strings.Replace(name[1], "_NAME", "_*", 1)
		if !fitsAny(pattern, there) {
			t.Errorf("ARCHITECTURE.md names %s, which is not there.", name[1])
		}
	}
	packages, err := filepath.Glob("internal/*")
	if err != nil || len(packages) == 0 {
		t.Fatalf("%d packages: %v", len(packages), err)
	}
	for _, p := range packages {
		if !strings.Contains(string(text), "`"+filepath.ToSlash(p)+"`") {
			t.Errorf("ARCHITECTURE.md leaves out %s.", p)
		}
	}
}

// fitsAny reports whether a pattern of path.Match fits any of some names.
func fitsAny(pattern string, names []string) bool {
	for _, name := range names {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}
