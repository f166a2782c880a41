package postern_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The rules of the house as tables. Each line has its reason; a message of a
// broken rule says what to do. Packages are named from the module's root, "."
// is the root itself, "x/..." is x and everything below it. Test files may
// import what they like. A line for a package that is not there yet is idle.

// mayImport closes what a package imports: the standard library and these.
var mayImport = []struct {
	who    string
	may    []string
	reason string
}{
	{".", nil, "the domain is what everything else agrees on; it must not bring anything along"},
	{"sign", nil, "receivers of webhooks use it without the rest"},
	{"verify", []string{"sign", "golang.org/x/text/unicode/norm"}, "receivers use it without the rest; one provider normalises its secret"},
	{"store", []string{"."}, "the seam speaks of the domain and of no database"},
	{"store/storetest/...", []string{".", "store", "store/storetest/...", "internal/testkit", "github.com/google/go-cmp/..."}, "the suite knows the seam, never a driver"},
	{"store/embedded/...", []string{".", "store", "store/embedded/...", "github.com/cockroachdb/pebble/v2/...", "golang.org/x/sys/..."}, "a driver knows the domain, the seam and its own library"},
	{"store/postgres/...", []string{".", "store", "store/postgres/...", "github.com/jackc/pgx/v5/..."}, "a driver knows the domain, the seam and its own library"},
	{"telemetry/...", []string{".", "engine", "telemetry/...", "github.com/prometheus/...", "go.opentelemetry.io/..."}, "metrics are an adapter of the engine's observer, as a user could write one"},
	{"internal/dashboard/...", []string{".", "engine", "ui/...", "internal/dashboard/..."}, "the page sees what a library user sees"},
	{"client/...", []string{".", "client/..."}, "programs that talk to a server do not link one"},
	{"cmd/postern", []string{"internal/cli"}, "main starts the program and nothing else"},
}

// mayBeImportedBy closes who imports something.
var mayBeImportedBy = []struct {
	what   string
	who    []string
	reason string
}{
	{"store/embedded/...", []string{"store/embedded/...", "internal/cli/...", "internal/bench/...", "posterntest/..."}, "the engine is given a store; only the program chooses one"},
	{"store/postgres/...", []string{"store/postgres/...", "internal/cli/...", "internal/bench/...", "posterntest/..."}, "the engine is given a store; only the program chooses one"},
	{"store/storetest/...", []string{"store/storetest/..."}, "a driver's test calls the suite; nothing else does"},
	{"engine", []string{"internal/cli/...", "internal/bench/...", "internal/dashboard/...", "telemetry/...", "posterntest/...", "outbox/...", "inbox/..."}, "the engine wires the stages; a stage that needs the engine is a cycle of ideas"},
	{"telemetry/...", []string{"telemetry/...", "internal/cli/...", "internal/bench/..."}, "the core works without metrics libraries"},
	{"internal/config", []string{"internal/cli/..."}, "outside formats are read in one place; everything else is given values"},
	{"internal/cli/...", []string{"internal/cli/...", "cmd/postern"}, "nothing builds on the command line"},
	{"internal/testkit", []string{"store/storetest/..."}, "it sizes tests"},
	{"posterntest/...", []string{"posterntest/..."}, "it is for tests"},
	{"testing", []string{"store/storetest/...", "posterntest/...", "internal/testkit", "internal/pgtest"}, "a server must not link the test framework"},
	{"github.com/cockroachdb/...", []string{"store/embedded/..."}, "one driver, one database"},
	{"github.com/jackc/...", []string{"store/postgres/...", "outbox/...", "inbox/...", "internal/userdb", "internal/pgtest", "internal/bench"}, "one driver, one database, which the bench makes copies of; the outbox works in the user's transaction"},
	{"database/sql", []string{"outbox/...", "inbox/...", "internal/userdb"}, "the outbox works in the user's transaction"},
	{"modernc.org/sqlite", nil, "who has a SQLite file has a driver for it already"},
	{"internal/pgtest", nil, "it starts databases for tests"},
	{"github.com/prometheus/...", []string{"telemetry/..."}, "metrics are an adapter"},
	{"go.opentelemetry.io/...", []string{"telemetry/..."}, "tracing is an adapter"},
	{"github.com/alecthomas/kong", []string{"internal/cli/..."}, "flags are the command line's"},
	{"github.com/goccy/go-yaml/...", []string{"internal/config"}, "outside formats are read in one place"},
}

// stages are the steps of a message's life. None imports another: a stage
// declares the one-method interface that it needs from the next, and the
// engine joins them.
var stages = []string{
	"internal/intake", "internal/accept", "internal/route", "internal/journal", "internal/dispatch", "internal/deliver",
	"internal/settle", "internal/recovery", "internal/replay", "internal/sweep",
}

// binaryInternals are the internal packages that the command line imports
// besides what a library user could.
var binaryInternals = map[string]string{
	"internal/cli/...":   "itself",
	"internal/config":    "reads the settings",
	"internal/bench/...": "the bench command",
	"internal/intake":    "verify --batch shows what a source would answer, in the server's own words",
	"internal/move":      "copies whole stores, and tallies them for a backup's manifest",
	"internal/keyring":   "reads the ring of --secret-key and makes the one of a data folder",
	"internal/demo/...":  "the demo command and serve --demo",
}

// pure packages decide; they are told the time. exempt lists the files that
// talk to the world for them.
var pure = []struct {
	who    string
	exempt []string
	passes bool // contexts, to the files that are exempt
	reason string
}{
	{".", nil, false, "the settle decision is replayed by recovery and by tests"},
	{"sign", nil, false, "the caller knows when a message was made or received"},
	{"verify", []string{"middleware.go", "remote.go"}, true, "a scheme decides over bytes; the middleware is an HTTP handler and the key fetcher downloads"},
	{"internal/route", nil, false, "the same message and endpoints give the same routes, whenever asked"},
}

// goroutineOwners may start goroutines. Each waits for what it starts.
var goroutineOwners = map[string]string{
	"engine":               "owns the stages' goroutines: ordered start, phased stop",
	"internal/lifecycle":   "runs the parts of an engine and waits for them",
	"internal/journal":     "the committer, one for each journal; Close waits for it",
	"internal/dispatch":    "the lanes' attempts; draining waits for them",
	"client":               "what a consumer handles, extends and tells; Consume waits for all of it. Calls within the process",
	"internal/cli":         "serves until the context ends and waits for the server",
	"internal/bench":       "load and receivers of a measurement, waited for at its end",
	"internal/demo":        "a receiver that lives as long as its server",
	"store/embedded":       "frees the disk of dropped days, reads what digests there are, closes when it failed; Close waits for them",
	"store/postgres":       "keeps journals' leases, listens to other nodes and tidies the tables; Close waits for all",
	"store/storetest":      "publishes side by side to provoke races and waits for all",
	"outbox":               "applications side by side, and what listens; a round and Run wait for them",
	"posterntest":          "a receiver that the test's cleanup stops",
	"internal/bench/floor": "the floor of a measurement, waited for at its end",
}

// mutableState is package-level state that is allowed.
var mutableState = map[string]string{
	// "package.name": "reason",
}

// dependencies are the modules that go.mod requires directly.
var dependencies = map[string]string{
	"code.dny.dev/ssrf":                                        "which addresses are public, generated from IANA's registries",
	"github.com/alecthomas/kong":                               "flags and commands from structs",
	"github.com/cockroachdb/pebble/v2":                         "the embedded store's database, in Go without C",
	"github.com/goccy/go-yaml":                                 "the settings file, with the line of a mistake",
	"github.com/golang-jwt/jwt/v5":                             "tokens of svix-server, for those who move over",
	"github.com/google/go-cmp":                                 "differences in tests",
	"github.com/jackc/pgx/v5":                                  "the PostgreSQL store's driver, and what the outbox is given transactions of",
	"github.com/prometheus/client_golang":                      "the /metrics page, under telemetry only",
	"github.com/prometheus/client_model":                       "reads metrics back in telemetry's tests",
	"github.com/santhosh-tekuri/jsonschema/v6":                 "schemas of event types, all drafts",
	"github.com/standard-webhooks/standard-webhooks/libraries": "the official library checks our signatures in tests and in the demo",
	"github.com/tidwall/gjson":                                 "takes one field out of a payload without decoding it",
	"go.opentelemetry.io/otel":                                 "traces, under telemetry only",
	"go.uber.org/goleak":                                       "finds goroutines that outlive their test",
	"golang.org/x/sys":                                         "free disk space, file locks and CPU time",
	"golang.org/x/text":                                        "one provider normalises its secret",
	"golang.org/x/time":                                        "rate limits of endpoints",
	"modernc.org/sqlite":                                       "SQLite without C, in the tests of outbox and inbox",
}

// forbiddenNames are package names that say nothing.
var forbiddenNames = []string{"util", "utils", "common", "model", "models", "types", "helper", "helpers", "manager", "service", "services", "base", "misc"}

// Limits of the shape of the code, in lines.
const (
	maxFileLines = 800
	maxFuncLines = 80
	maxMainLines = 20
	minDocShare  = 0.95
)

func TestImportsOfAPackage(t *testing.T) {
	for _, rule := range mayImport {
		eachImport(t, func(pkg, imported, at string) {
			if matches(rule.who, pkg) && !isStandard(imported) && !matchesAny(rule.may, imported) {
				t.Errorf("%s: %s must not import %s: %s. Declare the interface it needs, or move the code.", at, pkg, imported, rule.reason)
			}
		})
	}
}

func TestImportersOfAPackage(t *testing.T) {
	for _, rule := range mayBeImportedBy {
		eachImport(t, func(pkg, imported, at string) {
			if matches(rule.what, imported) && !matchesAny(rule.who, pkg) {
				t.Errorf("%s: %s must not import %s: %s. It belongs to %s.", at, pkg, imported, rule.reason, strings.Join(rule.who, ", "))
			}
		})
	}
}

func TestStagesDoNotImportOneAnother(t *testing.T) {
	stageOf := func(pkg string) string {
		for _, stage := range stages {
			if matches(stage+"/...", pkg) {
				return stage
			}
		}
		return ""
	}
	eachImport(t, func(pkg, imported, at string) {
		from, to := stageOf(pkg), stageOf(imported)
		if from != "" && to != "" && from != to {
			t.Errorf("%s: stage %s imports stage %s. Declare a one-method interface in %s and let the engine join the two.", at, from, to, from)
		}
	})
}

func TestBinaryUsesWhatALibraryUserCould(t *testing.T) {
	allowed := slices.Collect(maps.Keys(binaryInternals))
	eachImport(t, func(pkg, imported, at string) {
		if matches("internal/cli/...", pkg) && strings.HasPrefix(imported, "internal/") && !matchesAny(allowed, imported) {
			t.Errorf("%s: the command line imports %s, which no library user could. Offer it through the engine.", at, imported)
		}
	})
}

func TestPureCodeIsTold(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	logging := []string{"Value", "LogValuer", "StringValue", "GroupValue", "String", "Attr", "Level"}
	for _, rule := range pure {
		for _, f := range load(t) {
			if f.test || !matches(rule.who, f.pkg) || slices.Contains(rule.exempt, path.Base(f.name)) {
				continue
			}
			for name := range maps.Values(f.imports()) {
				if name == "log" || name == "context" && !rule.passes {
					t.Errorf("%s imports %s: %s. Take the value as an argument.", f.name, name, rule.reason)
				}
			}
			ast.Inspect(f.tree, func(n ast.Node) bool {
				from, name, ok := f.selector(n)
				if ok && (from == "time" && slices.Contains(clock, name) || from == "log/slog" && !slices.Contains(logging, name)) {
					t.Errorf("%s: %s.%s in pure code: %s. Take the value as an argument.", f.at(n), from, name, rule.reason)
				}
				return true
			})
		}
	}
}

func TestPackagesAreDocumentedOnce(t *testing.T) {
	docs := map[string][]string{}
	for _, f := range load(t) {
		if f.test {
			continue
		}
		docs[f.pkg] = append(docs[f.pkg], nil...)
		if f.tree.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.name)
		}
		if slices.Contains(forbiddenNames, f.tree.Name.Name) {
			t.Errorf("%s: package %s: the name says nothing. Name it after what it does.", f.name, f.tree.Name.Name)
		}
	}
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, in %v. Write one that says what it is for and what it promises.", pkg, len(files), files)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	var all int
	var missing []string
	for _, f := range load(t) {
		if f.test || f.tree.Name.Name == "main" {
			continue
		}
		for name, documented := range exported(f.tree) {
			if all++; !documented {
				missing = append(missing, f.name+": "+name)
			}
		}
	}
	slices.Sort(missing)
	if share := 1 - float64(len(missing))/float64(max(all, 1)); share < minDocShare {
		t.Errorf("%.1f %% of %d exported names are documented, want %.0f %%. Say units, zero value, ownership and failure of:\n%s",
			100*share, all, 100*minDocShare, strings.Join(missing, "\n"))
	}
}

func TestSQLStaysInDrivers(t *testing.T) {
	sql := regexp.MustCompile(`(?is)^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|(CREATE|ALTER|DROP)\s+(TABLE|INDEX)\s|WITH\s+\w+\s+AS\s*\()`)
	homes := []string{"store/postgres/...", "outbox/...", "inbox/...", "internal/userdb", "internal/bench"} // the bench makes databases
	for _, f := range load(t) {
		if f.test || matchesAny(homes, f.pkg) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && sql.MatchString(text) {
					t.Errorf("%s: SQL outside of %v. Add a method to the seam.", f.at(n), homes)
				}
			}
			return true
		})
	}
}

func TestGoroutinesHaveOwners(t *testing.T) {
	for _, f := range load(t) {
		if f.test || goroutineOwners[f.pkg] != "" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if startsGoroutine(n) {
				t.Errorf("%s: %s starts a goroutine. Let the engine run it, or add the package to goroutineOwners with who waits for it.", f.at(n), f.pkg)
			}
			return true
		})
	}
}

func TestNoContextInStructs(t *testing.T) {
	for _, f := range load(t) {
		if f.test {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			st, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range st.Fields.List {
				if from, name, ok := f.selector(field.Type); ok && from == "context" && name == "Context" {
					t.Errorf("%s: a context in a struct outlives its call. Pass it as the first argument.", f.at(field))
				}
			}
			return true
		})
	}
}

func TestNoInit(t *testing.T) {
	eachFunc(t, func(f *file, fn *ast.FuncDecl) {
		if fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s: init runs for everybody who imports the package. Do it in a constructor.", f.at(fn))
		}
	})
}

func TestNoPackageLevelState(t *testing.T) {
	vars := map[string]map[string]bool{} // package -> names of its variables
	for _, f := range load(t) {
		for _, spec := range packageVars(f) {
			for _, name := range spec.Names {
				if vars[f.pkg] == nil {
					vars[f.pkg] = map[string]bool{}
				}
				vars[f.pkg][name.Name] = true
				from, kind, ok := f.selector(deref(spec.Type))
				if ok && (from == "sync" || from == "sync/atomic") && mutableState[f.pkg+"."+name.Name] == "" {
					t.Errorf("%s: %s is a package-level %s.%s. Put it into the value that needs it.", f.at(spec), name.Name, from, kind)
				}
			}
		}
	}
	for _, f := range load(t) {
		if f.test {
			continue
		}
		for _, written := range writes(f) {
			if vars[f.pkg][written.Name] && mutableState[f.pkg+"."+written.Name] == "" {
				t.Errorf("%s: package-level %s is changed. Put it into the value that needs it.", f.at(written), written.Name)
			}
		}
	}
}

func TestDependenciesHaveReasons(t *testing.T) {
	mod, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close()
	require := regexp.MustCompile(`^(?:require\s+)?([\w.-]+\.[\w.-]+/\S+)\s+v\S+$`)
	for lines := bufio.NewScanner(mod); lines.Scan(); {
		if m := require.FindStringSubmatch(strings.TrimSpace(lines.Text())); m != nil && dependencies[m[1]] == "" {
			t.Errorf("go.mod requires %s. Add it to dependencies with what it does better than thirty lines of ours, or drop it.", m[1])
		}
	}
}

func TestShape(t *testing.T) {
	for _, f := range load(t) {
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d. Split it by what it is about.", f.name, f.lines, maxFileLines)
		}
		if f.pkg == "cmd/postern" && f.lines >= maxMainLines {
			t.Errorf("%s has %d lines, under %d wanted. Move the work to internal/cli.", f.name, f.lines, maxMainLines)
		}
	}
	excused := regexp.MustCompile(`//nolint:\S*funlen\S* // \S+`)
	eachFunc(t, func(f *file, fn *ast.FuncDecl) {
		if fn.Body == nil {
			return
		}
		lines := f.set.Position(fn.Body.Rbrace).Line - f.set.Position(fn.Body.Lbrace).Line - 1
		if lines > maxFuncLines && !excused.MatchString(f.source(fn)) {
			t.Errorf("%s: %s has %d lines, at most %d. Split it, or write //nolint:funlen // and the reason.", f.at(fn), fn.Name.Name, lines, maxFuncLines)
		}
	})
}

// In a synctest bubble Sleep moves a clock that is not real; elsewhere it is a
// guess at how long something takes.
func TestTestsDoNotSleep(t *testing.T) {
	for _, f := range load(t) {
		imports := slices.Collect(maps.Values(f.imports()))
		if !f.test || slices.Contains(imports, "testing/synctest") {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if from, name, ok := f.selector(n); ok && from == "time" && name == "Sleep" {
				t.Errorf("%s: a test sleeps. Wait for a signal, or use testing/synctest.", f.at(n))
			}
			return true
		})
	}
}

// The test of the tests: broken code is found.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	f := parse(t, "internal/x/x.go", `package x

import (
	"context"
	clock "time"
)

var count, kept = 0, map[string]int{}

type job struct{ ctx context.Context }

func Loud(count int) { count++; kept["a"]++; go Loud(1); clock.Sleep(1) }
`)
	var selectors []string
	goroutines := 0
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if from, name, ok := f.selector(n); ok {
			selectors = append(selectors, from+"."+name)
		}
		if startsGoroutine(n) {
			goroutines++
		}
		return true
	})
	if want := []string{"context.Context", "time.Sleep"}; !slices.Equal(selectors, want) {
		t.Errorf("selectors %v, want %v", selectors, want)
	}
	if got := writes(f); len(got) != 1 || got[0].Name != "kept" {
		t.Errorf("writes %v, want kept: the argument count hides the variable", got)
	}
	if goroutines != 1 {
		t.Errorf("%d goroutines, want 1", goroutines)
	}
	if got := exported(f.tree); len(got) != 1 || got["Loud"] {
		t.Errorf("exported %v, want an undocumented Loud", got)
	}
	for pattern, pkg := range map[string]string{"a": "a", "a/...": "a/b"} {
		if !matches(pattern, pkg) || matches(pattern, "ab") {
			t.Errorf("%s does not match %s alone", pattern, pkg)
		}
	}
}

// file is one Go file of the module.
type file struct {
	name  string // from the module's root, with slashes
	pkg   string // its folder; "." for the root
	test  bool
	lines int
	text  []byte
	set   *token.FileSet
	tree  *ast.File
}

const module = "github.com/postern-dev/postern"

// readModule parses every file of the module once for all tests.
var readModule = sync.OnceValues(func() ([]*file, error) { return readTree(".") })

// readTree parses every file of a module, but for modules within it.
func readTree(root string) ([]*file, error) {
	var files []*file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
				return fs.SkipDir
			}
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parseFile(filepath.ToSlash(name), text)
		if err == nil && !ast.IsGenerated(f.tree) {
			files = append(files, f)
		}
		return err
	})
	return files, err
}

func load(t *testing.T) []*file {
	t.Helper()
	files, err := readModule()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d files: the rules would hold for nothing", len(files))
	}
	return files
}

func parse(t *testing.T, name, text string) *file {
	t.Helper()
	f, err := parseFile(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parseFile(name string, text []byte) (*file, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	lines := strings.Count(string(text), "\n")
	return &file{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), lines, text, set, tree}, nil
}

// at is where a node stands, for messages.
func (f *file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.set.Position(n.Pos()).Line)
}

// source is a function's text with its comment and the rest of its last line.
func (f *file) source(fn *ast.FuncDecl) string {
	from, to := fn.Pos(), fn.End()
	if fn.Doc != nil {
		from = fn.Doc.Pos()
	}
	return string(f.text[f.set.Position(from).Offset:f.set.Position(to).Offset])
}

// imports maps the local name of each import to its path; the module's own
// packages are named from its root.
func (f *file) imports() map[string]string {
	paths := map[string]string{}
	for _, spec := range f.tree.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		imported = relative(imported)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "_" || name == "." {
			name += imported // keeps them apart
		}
		paths[name] = imported
	}
	return paths
}

// selector is the import path and the name of a node such as time.Now.
func (f *file) selector(n ast.Node) (from, name string, ok bool) {
	sel, isSelector := n.(*ast.SelectorExpr)
	if !isSelector {
		return "", "", false
	}
	x, isIdent := sel.X.(*ast.Ident)
	if !isIdent || x.Obj != nil { // Obj: a local variable of that name
		return "", "", false
	}
	from, ok = f.imports()[x.Name]
	return from, sel.Sel.Name, ok
}

// eachImport calls check for every import of every file that is not a test.
func eachImport(t *testing.T, check func(pkg, imported, at string)) {
	t.Helper()
	for _, f := range load(t) {
		if f.test {
			continue
		}
		for imported := range maps.Values(f.imports()) {
			check(f.pkg, imported, f.name)
		}
	}
}

// eachFunc calls check for every function of every file that is not a test.
func eachFunc(t *testing.T, check func(*file, *ast.FuncDecl)) {
	t.Helper()
	for _, f := range load(t) {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && !f.test {
				check(f, fn)
			}
		}
	}
}

// exported are the exported names that a file declares, and whether each has a
// comment of its own or of its group.
func exported(tree *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, decl := range tree.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			receiver := ""
			if decl.Recv != nil {
				if receiver = receiverName(decl.Recv.List[0].Type); !ast.IsExported(receiver) {
					continue
				}
				receiver += "."
			}
			if decl.Name.IsExported() {
				names[receiver+decl.Name.Name] = decl.Doc != nil
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				exportedBySpec(names, spec, decl.Doc != nil)
			}
		}
	}
	return names
}

func exportedBySpec(names map[string]bool, spec ast.Spec, group bool) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			names[spec.Name.Name] = group || spec.Doc != nil
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() {
				names[name.Name] = group || spec.Doc != nil || spec.Comment != nil
			}
		}
	}
}

func receiverName(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return receiverName(expr.X)
	case *ast.IndexExpr:
		return receiverName(expr.X)
	case *ast.IndexListExpr:
		return receiverName(expr.X)
	case *ast.Ident:
		return expr.Name
	}
	return ""
}

// startsGoroutine finds go statements and the Go methods of wait groups.
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Go" && len(n.Args) == 1
	}
	return false
}

// packageVars are the variables that a file declares outside of functions.
func packageVars(f *file) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, decl := range f.tree.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR || f.test {
			continue
		}
		for _, spec := range group.Specs {
			if value, ok := spec.(*ast.ValueSpec); ok {
				specs = append(specs, value)
			}
		}
	}
	return specs
}

// writes are the identifiers that functions of a file assign to, count up, or
// assign into, and that are no local variables of theirs.
func writes(f *file) []*ast.Ident {
	var found []*ast.Ident
	note := func(target ast.Expr) {
		if id := rootIdent(target); id != nil && id.Name != "_" && !isLocal(f, id) {
			found = append(found, id)
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, target := range n.Lhs {
					note(target)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
				note(n.Args[0])
			}
		}
		return true
	})
	return found
}

// rootIdent is the variable that an assignment to a field or an element changes.
func rootIdent(expr ast.Expr) *ast.Ident {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr
	case *ast.IndexExpr:
		return rootIdent(expr.X)
	case *ast.SelectorExpr:
		return rootIdent(expr.X)
	case *ast.StarExpr:
		return rootIdent(expr.X)
	case *ast.ParenExpr:
		return rootIdent(expr.X)
	}
	return nil
}

// isLocal reports whether a name is declared in a function. The parser
// resolves names within a file; what it cannot resolve is declared in another
// file of the package.
func isLocal(f *file, id *ast.Ident) bool {
	return id.Obj != nil && f.tree.Scope.Lookup(id.Name) != id.Obj
}

func deref(expr ast.Expr) ast.Expr {
	if star, ok := expr.(*ast.StarExpr); ok {
		return star.X
	}
	return expr
}

// matches compares a package with a pattern of the tables.
func matches(pattern, pkg string) bool {
	tree, subtree := strings.CutSuffix(pattern, "/...")
	return pkg == tree || subtree && strings.HasPrefix(pkg, tree+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, pkg) })
}

// relative names a package of the module from its root.
func relative(imported string) string {
	if imported == module {
		return "."
	}
	return strings.TrimPrefix(imported, module+"/")
}

// isStandard reports whether an import is of the standard library: its first
// part has no dot, and it is no folder of the module.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if strings.Contains(first, ".") {
		return false
	}
	info, err := os.Stat(filepath.FromSlash(imported))
	return err != nil || !info.IsDir()
}
