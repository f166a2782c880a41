package postern_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// embedder is a program of somebody who uses a part of Postern, and what it
// compiles besides the standard library: all of it matches brings, and each line
// of brings is there, so that the list says what one gets.
type embedder struct {
	name, program string
	brings        []string
	prints        string
}

// Imported packages bring what they import and no more. PostgreSQL, the command
// line, the reader of settings and metrics are where somebody asked for them.
var embedders = []embedder{
	{
		name:    "postern",
		program: `import ("fmt"; "github.com/postern-dev/postern"); func main() { fmt.Println(postern.DefaultRetrySchedule()) }`,
		brings:  []string{"."},
		prints:  "5s,5m0s,30m0s,2h0m0s,5h0m0s,10h0m0s,10h0m0s\n",
	}, {
		name:    "sign",
		program: `import ("fmt"; "github.com/postern-dev/postern/sign"); func main() { fmt.Println(sign.GenerateSymmetric()) }`,
		brings:  []string{"sign"},
		prints:  "whsec_***\n",
	}, {
		name:    "verify",
		program: `import ("fmt"; "github.com/postern-dev/postern/verify"); func main() { v, err := verify.For("github", "secret"); fmt.Println(v.Methods(), err) }`,
		brings:  []string{"verify", "golang.org/x/text/unicode/norm", "golang.org/x/text/transform"},
		prints:  "[POST] <nil>\n",
	}, {
		name:    "client",
		program: `import ("fmt"; "github.com/postern-dev/postern/client"); func main() { fmt.Println(client.New(client.Options{URL: "https://hooks.example.com", Key: "key"})) }`,
		brings:  []string{".", "client"},
		prints:  "client of https://hooks.example.com <nil>\n",
	}, {
		// pgx is in the signatures. Its pool and the drivers of database/sql are for
		// the program to import.
		name:    "outbox",
		program: `import ("fmt"; "github.com/postern-dev/postern/outbox"); func main() { _, err := outbox.NewRelay(outbox.RelayConfig{}); fmt.Println(err != nil) }`,
		brings:  slices.Concat([]string{".", "outbox", "internal/event", "internal/route", "internal/userdb"}, pgxBrings),
		prints:  "true\n",
	}, {
		name:    "inbox",
		program: `import ("fmt"; "github.com/postern-dev/postern/inbox"); func main() { _, err := inbox.Table{}.Schema(); fmt.Println(err) }`,
		brings:  slices.Concat([]string{".", "inbox", "internal/userdb"}, pgxBrings),
		prints:  "<nil>\n",
	}, {
		name:    "engine",
		program: `import ("context"; "fmt"; "github.com/postern-dev/postern/engine"); func main() { _, err := engine.New(context.Background(), engine.Config{}); fmt.Println(err != nil) }`,
		brings:  engineBrings,
		prints:  "true\n",
	}, {
		name: "embedded",
		program: `import ("context"; "fmt"; "github.com/postern-dev/postern/engine"; "github.com/postern-dev/postern/store/embedded")
			func main() {
				ctx := context.Background()
				st, err := embedded.Open(ctx, "memory:", embedded.Options{})
				if err != nil { panic(err) }
				defer st.Close()
				eng, err := engine.New(ctx, engine.Config{Store: st})
				fmt.Println(eng != nil, err)
			}`,
		brings: slices.Concat(engineBrings, []string{"store/embedded"}, pebbleBrings),
		prints: "true <nil>\n",
	},
}

var engineBrings = []string{
	".", "engine", "sign", "store", "verify", "internal/...",
	"code.dny.dev/ssrf", "github.com/golang-jwt/jwt/v5", "github.com/santhosh-tekuri/jsonschema/v6/...",
	"github.com/tidwall/...", "golang.org/x/text/...", "golang.org/x/time/rate",
}

// pgxBrings is pgx, and how it prepares passwords.
var pgxBrings = []string{
	"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/internal/...", "github.com/jackc/pgx/v5/pgconn/...", "github.com/jackc/pgx/v5/pgproto3",
	"github.com/jackc/pgx/v5/pgtype", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "golang.org/x/text/...",
}

// pebbleBrings is what Pebble compiles. It has metrics of Prometheus' among its
// own, and errors that know how to be reported; neither does anything by itself.
var pebbleBrings = []string{
	"github.com/cockroachdb/...", "github.com/RaduBerinde/...", "github.com/cespare/xxhash/v2", "github.com/getsentry/sentry-go/...",
	"github.com/gogo/protobuf/...", "github.com/golang/snappy", "github.com/klauspost/compress/...", "github.com/kr/...",
	"github.com/minio/minlz/...", "github.com/pkg/errors", "github.com/rogpeppe/go-internal/...", "golang.org/x/exp/...", "golang.org/x/sys/...",
	"github.com/beorn7/perks/...", "github.com/munnerz/goautoneg", "github.com/prometheus/...", "google.golang.org/protobuf/...",
}

// notEmbedded are the internal packages, and parts of the standard library, that
// no engine brings. Modules are told by the lists above.
var notEmbedded = []string{
	"database/sql", "testing",
	"internal/cli/...", "internal/config", "internal/bench/...", "internal/demo/...", "internal/dashboard/...",
	"internal/userdb", "internal/pgtest", "internal/testkit",
}

// A program that imports a part of Postern compiles nothing that it did not ask
// for. Each is built in a module of its own, as its author would.
func TestWhatAnEmbedderCompiles(t *testing.T) {
	dir := embeddersModule(t)
	goIn(t, dir, "build", "-o", filepath.Join(dir, "bin")+string(filepath.Separator), "./...")
	for _, e := range embedders {
		t.Run(e.name, func(t *testing.T) {
			found := map[string]bool{}
			for _, p := range compiledBy(t, dir, e.name) {
				at := slices.IndexFunc(e.brings, func(pattern string) bool { return matches(pattern, p.ImportPath) })
				switch {
				case at < 0 && !p.Standard, slices.Contains(e.brings, "engine") && matchesAny(notEmbedded, p.ImportPath):
					t.Errorf("a program with %s alone compiles %s. Let the one that wants it import it.", e.name, p.ImportPath)
				case at >= 0:
					found[e.brings[at]] = true
				}
			}
			for _, pattern := range e.brings {
				if !found[pattern] {
					t.Errorf("a program with %s alone does not compile %s: take it off the list", e.name, pattern)
				}
			}
			out, err := exec.Command(filepath.Join(dir, "bin", e.name)).CombinedOutput()
			if err != nil || string(out) != e.prints {
				t.Errorf("it printed %q, %v, want %q", out, err, e.prints)
			}
		})
	}
}

// Prometheus is there because Pebble counts in its types. None of our packages
// needs it, so that it goes when Pebble lets it.
func TestPebbleAloneBringsMetrics(t *testing.T) {
	metrics, importers := "github.com/prometheus/...", 0
	for _, p := range compiledBy(t, embeddersModule(t), "embedded") {
		if matches(metrics, p.ImportPath) || !slices.ContainsFunc(p.Imports, func(imported string) bool { return matches(metrics, imported) }) {
			continue
		}
		if importers++; !matches("github.com/cockroachdb/pebble/v2/...", p.ImportPath) {
			t.Errorf("%s imports Prometheus. Leave metrics to telemetry.", p.ImportPath)
		}
	}
	if importers == 0 {
		t.Error("nothing brings Prometheus any more: take it off pebbleBrings")
	}
}

// embeddersModule writes the programs into a module that requires what ours does,
// a folder for each.
func embeddersModule(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(string(ours), "module "+module, "module example.com/embedders", 1) +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + strconv.Quote(here) + "\n"
	files := map[string]string{"go.mod": mod, "go.sum": string(sums)}
	for _, e := range embedders {
		files[filepath.Join(e.name, "main.go")] = "package main\n\n" + e.program + "\n"
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listedPackage is what `go list` says of a package, as far as it was asked for.
type listedPackage struct {
	ImportPath, Name, Dir string
	GoFiles, Imports      []string
	Standard              bool
}

// compiledBy lists the packages that a program of the module compiles, but for
// itself. Those of ours are named from the root.
func compiledBy(t *testing.T, dir, program string) (packages []listedPackage) {
	t.Helper()
	out := goIn(t, dir, "list", "-deps", "-json=ImportPath,Standard,Imports", "./"+program)
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listedPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.ImportPath = relative(p.ImportPath); p.ImportPath != "example.com/embedders/"+program {
			packages = append(packages, p)
		}
	}
	return packages
}

// goIn runs the go command in a folder, without C, and returns what it prints. Nothing is downloaded but what our go.sum has.
func goIn(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}
