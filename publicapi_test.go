package postern_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const publicAPIFile = "testdata/api.txt"

// A change of what users can name shows in review, as a line of the file.
func TestPublicAPIUpToDate(t *testing.T) {
	now := publicAPI(t)
	if len(now) < 500 {
		t.Fatalf("%d exported names: they are not all there", len(now))
	}
	if os.Getenv("UPDATE") == "1" {
		var page strings.Builder
		for _, name := range slices.Sorted(maps.Keys(now)) {
			fmt.Fprintf(&page, "%s %s\n", name, now[name])
		}
		if err := os.WriteFile(publicAPIFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(publicAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, is, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		written[name] = is
	}
	if diff := apiDiff(written, now); diff != "" {
		t.Errorf("the public API is not that of %s. What is meant goes into the CHANGELOG, and `make docs` writes it down:\n%s", publicAPIFile, diff)
	}
}

func TestAPIDiffTellsWhatChanged(t *testing.T) {
	got := apiDiff(map[string]string{"a.Gone": "type struct", "a.Kept": "var int", "a.Other": "func()"},
		map[string]string{"a.Kept": "var int", "a.New": "func() error", "a.Other": "func(n int)"})
	want := "removed: a.Gone type struct\nadded:   a.New func() error\nchanged: a.Other func()\n     to: a.Other func(n int)\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// apiDiff tells the ways from one API to another, a line for each; "" for none.
func apiDiff(from, to map[string]string) string {
	names := maps.Clone(from)
	maps.Copy(names, to)
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, was := from[name]
		after, is := to[name]
		switch {
		case !was:
			fmt.Fprintf(&out, "added:   %s %s\n", name, after)
		case !is:
			fmt.Fprintf(&out, "removed: %s %s\n", name, before)
		case before != after:
			fmt.Fprintf(&out, "changed: %s %s\n     to: %s %s\n", name, before, name, after)
		}
	}
	return out.String()
}

// notPublic are packages that no user imports.
var notPublic = []string{"internal/...", "cmd/...", "examples/..."}

// publicAPI is every name that a user can write, with what it is: constants with
// their values, members below their types. Types of internal packages that have
// an exported alias are told with their members.
func publicAPI(t *testing.T) map[string]string {
	t.Helper()
	w := &apiWriter{fset: token.NewFileSet(), listed: map[string]*listedPackage{}, checked: map[string]*types.Package{}, api: map[string]string{}}
	var public []string
	for _, p := range listPackages(t) {
		w.listed[p.ImportPath] = p
		if from := relative(p.ImportPath); from != p.ImportPath && p.Name != "main" && !matchesAny(notPublic, from) {
			public = append(public, p.ImportPath)
		}
	}
	for _, path := range public {
		pkg, err := w.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		if !w.isUnfinishedDriver(pkg) {
			w.addPackage(pkg)
		}
	}
	for name, is := range w.api {
		if strings.Contains(is, "invalid type") {
			t.Errorf("%s %s: its type is not known", name, is)
		}
	}
	return w.api
}

// listPackages lists the module's packages and what they import, which is the
// same on whichever system the test runs.
func listPackages(t *testing.T) (packages []*listedPackage) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Dir,GoFiles", "./...")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		p := new(listedPackage)
		if err := dec.Decode(p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

// apiWriter writes down packages. It is the types.Importer of the module's own.
type apiWriter struct {
	fset    *token.FileSet
	listed  map[string]*listedPackage
	checked map[string]*types.Package
	api     map[string]string
}

// Import reads a package of the module with what that imports. Others are read
// alone, since nothing but their names and constants is looked at.
func (w *apiWriter) Import(path string) (*types.Package, error) {
	if pkg := w.checked[path]; pkg != nil {
		return pkg, nil
	}
	from := w.listed[path]
	if from == nil {
		return nil, fmt.Errorf("%s: not listed", path)
	}
	var files []*ast.File
	for _, name := range from.GoFiles {
		f, err := parser.ParseFile(w.fset, filepath.Join(from.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	// What cannot be known of a package that is read alone is no error: it shows
	// as an invalid type if it counts.
	cfg := &types.Config{IgnoreFuncBodies: true, FakeImportC: true, Error: func(error) {}, Importer: alone{}}
	if relative(path) != path {
		cfg.Importer = w
	}
	pkg, _ := cfg.Check(path, w.fset, files, nil)
	w.checked[path] = pkg
	return pkg, nil
}

// isUnfinishedDriver reports whether a package below store has a Store that is no
// store.Store yet: what nobody can use is not written down while it grows.
func (w *apiWriter) isUnfinishedDriver(pkg *types.Package) bool {
	driver := pkg.Scope().Lookup("Store")
	seam := w.checked[module+"/store"]
	if driver == nil || seam == nil || !strings.HasPrefix(relative(pkg.Path()), "store/") {
		return false
	}
	whole, ok := seam.Scope().Lookup("Store").Type().Underlying().(*types.Interface)
	return ok && !types.Implements(types.NewPointer(driver.Type()), whole)
}

// alone is the importer of packages that are read without what they import.
type alone struct{}

// Import makes an empty package.
func (alone) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	pkg := types.NewPackage(path, filepath.Base(path))
	pkg.MarkComplete()
	return pkg, nil
}

func (w *apiWriter) addPackage(pkg *types.Package) {
	in := pkg.Name()
	if at := relative(pkg.Path()); at != "." {
		in = at
	}
	qualify := func(other *types.Package) string {
		switch {
		case other == pkg:
			return ""
		case strings.HasPrefix(relative(other.Path()), "internal/"):
			return relative(other.Path())
		}
		return other.Name()
	}
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		of := types.TypeString(obj.Type(), qualify)
		name = in + "." + name
		switch obj := obj.(type) {
		case *types.Const:
			w.api[name] = fmt.Sprintf("const %s = %s", of, constantText(of, obj.Val().ExactString()))
		case *types.Var:
			w.api[name] = "var " + of
		case *types.Func:
			w.api[name] = of
		case *types.TypeName:
			w.addType(name, obj, qualify)
		}
	}
}

func (w *apiWriter) addType(name string, obj *types.TypeName, qualify types.Qualifier) {
	under := obj.Type().Underlying()
	declared := types.TypeString(under, qualify)
	switch under.(type) {
	case *types.Struct:
		declared = "struct"
	case *types.Interface:
		declared = "interface"
	}
	if named, ok := obj.Type().(*types.Named); ok {
		declared = parameters(named.TypeParams(), qualify) + declared
	}
	target := types.Unalias(obj.Type())
	named, _ := target.(*types.Named)
	if obj.IsAlias() {
		declared = "= " + types.TypeString(target, qualify)
	}
	w.api[name] = "type " + declared
	if obj.IsAlias() && (named == nil || !strings.HasPrefix(relative(named.Obj().Pkg().Path()), "internal/")) {
		return // its members are told where it is public
	}
	if s, ok := under.(*types.Struct); ok {
		w.addFields(name, s, qualify)
	}
	receiver := target
	if !types.IsInterface(receiver) {
		receiver = types.NewPointer(receiver)
	}
	methods := types.NewMethodSet(receiver)
	for i := range methods.Len() {
		f, ok := methods.At(i).Obj().(*types.Func)
		if !ok || !f.Exported() {
			continue
		}
		how := "method "
		if _, pointer := f.Signature().Recv().Type().(*types.Pointer); pointer {
			how = "method* "
		}
		w.api[name+"."+f.Name()] = how + types.TypeString(f.Signature(), qualify)
	}
}

func (w *apiWriter) addFields(name string, s *types.Struct, qualify types.Qualifier) {
	for i := range s.NumFields() {
		f := s.Field(i)
		if !f.Exported() {
			if inner, ok := f.Type().Underlying().(*types.Struct); ok && f.Embedded() {
				w.addFields(name, inner, qualify) // they are its own to whoever writes them
			}
			continue
		}
		is := "field " + types.TypeString(f.Type(), qualify)
		if f.Embedded() {
			is = "embeds " + types.TypeString(f.Type(), qualify)
		}
		if tag := s.Tag(i); tag != "" {
			is += " `" + tag + "`"
		}
		w.api[name+"."+f.Name()] = is
	}
}

// constantText is a constant's value as a person would write it.
func constantText(of, value string) string {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && of == "time.Duration" {
		return time.Duration(n).String()
	}
	return value
}

// parameters are those of a generic type; "" for none.
func parameters(list *types.TypeParamList, qualify types.Qualifier) string {
	var names []string
	for p := range list.TypeParams() {
		names = append(names, p.Obj().Name()+" "+types.TypeString(p.Constraint(), qualify))
	}
	if names == nil {
		return ""
	}
	return "[" + strings.Join(names, ", ") + "] "
}
