package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/config"
)

// The documentation of the settings is the table, printed. `make docs` rewrites
// it.
func TestDocumentIsUpToDate(t *testing.T) {
	const file = "../../docs/configuration.md"
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(config.Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != config.Document() {
		t.Errorf("%s differs from the table of settings; run: make docs", file)
	}
}

// Every field of Config says its default in its comment, as the table has it.
func TestFieldsNameTheirDefaults(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Config" {
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				comments[strings.ToLower(field.Names[0].Name)] = strings.Join(strings.Fields(field.Doc.Text()), " ")
			}
		}
		return true
	})
	if len(comments) != reflect.TypeFor[config.Config]().NumField() {
		t.Fatalf("%d comments for %d fields", len(comments), reflect.TypeFor[config.Config]().NumField())
	}
	for _, e := range config.Default().Entries() {
		name := strings.ReplaceAll(e.Name, "-", "")
		if name == "config" {
			name = "file"
		}
		want := "Default " + e.Default
		if e.Default == "" {
			want = "Default empty"
		}
		if comment, ok := comments[name]; !ok || !strings.Contains(comment, want) {
			t.Errorf("the comment of %s does not say %q: %s", e.Name, want, comment)
		}
	}
}
