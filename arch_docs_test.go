package postern_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ARCHITECTURE.md names tests and files, which move.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	page := text(t, "ARCHITECTURE.md")
	var there []string // in the manner in which they are named
	for _, f := range load(t) {
		there = append(there, path.Base(f.name))
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				there = append(there, fn.Name.Name)
			}
		}
	}
	names := regexp.MustCompile("`(?:[a-z]+\\.|[a-z/]+/)?(Test[A-Za-z*]+|[a-z*_]+\\.go)`").FindAllStringSubmatch(page, -1)
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
		if !strings.Contains(page, "`"+filepath.ToSlash(p)+"`") {
			t.Errorf("ARCHITECTURE.md leaves out %s.", p)
		}
	}
}

// Links within the documentation lead to files, and to headings in them.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(found), err)
		}
		pages = append(pages, found...)
	}
	link, heading := regexp.MustCompile(`\]\(([^()\s]+)\)`), regexp.MustCompile(`(?m)^#+ (.*)$`)
	for _, page := range pages {
		for _, found := range link.FindAllStringSubmatch(text(t, page), -1) {
			file, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(file, ":") {
				continue // another site's
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(text(t, target), -1), func(h []string) bool { return anchorOf(h[1]) == anchor }) {
				t.Errorf("%s links to %s, where there is no such heading.", page, found[1])
			}
		}
	}
}

// anchorOf is how a heading is linked to.
func anchorOf(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func text(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
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
