package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The conformance run. A driver is a program written with one SDK. It is run
// once, against a server behind a proxy of the test, and told by variables:
//
//	SVIX_TOKEN       an admin key
//	SVIX_SERVER_URL  the proxy's address, which the SDK is given as the server's
//	RECEIVER_URL     a receiver for endpoints: 200 at /ok..., 500 at /fail...
//
// It calls every method of its SDK whose operation is served, once for a
// success and once for a refusal that the operation's document names and that
// is its own (not merely a wrong key), and a handful that are not served (501).
// It ends with another code than 0 at any answer that it did not expect or that
// the SDK could not read. It uses applications and event types that begin with
// its language's name. Everything else is read off the proxy, which counts only
// requests with the SDK's User-Agent: which operation was called and what was
// answered. That must not differ from run to run, since it is written down.

// caller is what speaks to the server: an SDK, our own client, a program
// without either.
type caller struct {
	// name heads its column. agent is how its User-Agent begins; requests of
	// others count for nothing.
	name, agent string
	// has are the operations that it can call: each has to be seen.
	has map[*operation]bool
	// lacks are the calls of an SDK to what the server does not have.
	lacks []template
	drive func(t *testing.T, r *recorder, receiver string)
	// seen is what the run found; nil before.
	seen map[*operation]*outcome
}

// TestConformanceUpToDate has every SDK call what the server has, and holds
// docs/conformance.md to what was seen.
func TestConformanceUpToDate(t *testing.T) {
	t.Parallel()
	goFolder, nodeFolder := svixGoFolder(t), nodeFolder(t, "conformance.ts")
	for _, copied := range [][2]string{{goFolder, "testdata/svix-go/conformance"}, {nodeFolder, "testdata/node/conformance"}} {
		if err := os.CopyFS(filepath.Join(copied[0], "conformance"), os.DirFS(copied[1])); err != nil {
			t.Fatal(err)
		}
	}
	onEachStore(t, func(t *testing.T, store string) {
		runConformance(t, serve(t, store), goFolder, nodeFolder)
	})
}

// runConformance has every caller call a server, and compares the page.
func runConformance(t *testing.T, s *server, goFolder, nodeFolder string) {
	t.Helper()
	receiver := newReceiver(t, func(got *request, _ *http.Request) int {
		if strings.HasPrefix(got.path, "/fail") {
			return 500
		}
		return 200
	})
	api := readDocument(t, s.call("GET", "/openapi.json", nil).body)
	callers := callersOf(t, api, goFolder, nodeFolder)
	t.Run("drivers", func(t *testing.T) {
		for _, c := range callers {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := newRecorder(t, s.base)
				c.drive(t, r, receiver.URL)
				c.seen = api.judge(t, c, r.exchanges())
			})
		}
	})
	if slices.ContainsFunc(callers, func(c *caller) bool { return c.seen == nil }) {
		return // it failed, or only a part of the run was asked for
	}
	for _, c := range callers {
		c.complete(t, api)
		s.refusesUnserved(t, api, c)
	}
	if !t.Failed() {
		comparePage(t, conformancePage(api, callers, conventions()))
	}
}

// callersOf are all callers; the folders have the drivers and the SDKs.
func callersOf(t *testing.T, api *apiDocument, goFolder, nodeFolder string) []*caller {
	t.Helper()
	goSources, goVersion := goSDK(t, goFolder)
	js := filepath.Join(nodeFolder, "node_modules", "svix")
	jsVersion := nodeVersion(t, js)
	callers := []*caller{
		{name: "Go SDK " + goVersion, agent: "svix-libs/" + goVersion + "/go", drive: func(t *testing.T, r *recorder, receiver string) {
			runDriver(t, goFolder, r, receiver, "go", "run", "./conformance")
		}},
		{name: "JavaScript SDK " + jsVersion, agent: "svix-libs/" + jsVersion + "/javascript", drive: func(t *testing.T, r *recorder, receiver string) {
			runDriver(t, nodeFolder, r, receiver, tool(nodeFolder, "tsx"), "conformance.ts")
		}},
		{name: "Go `client`", agent: "postern-client", drive: driveClient},
		{name: "HTTP", agent: "Go-http-client", drive: driveHTTP, has: map[*operation]bool{}},
	}
	for i, calls := range [][]template{
		sdkTemplates(t, filepath.Join(goSources, "go", "*.go"), "internal.ExecuteRequest["),
		sdkTemplates(t, filepath.Join(js, "src", "api", "*.ts"), "new SvixRequest("),
		clientTemplates(t),
	} {
		callers[i].has, callers[i].lacks = api.operationsOf(calls)
	}
	if astray := callers[2].lacks; astray != nil {
		t.Errorf("package client calls what is not there: %v", astray)
	}
	for _, o := range api.operations {
		if !slices.ContainsFunc(callers, func(c *caller) bool { return c.has[o] }) {
			callers[3].has[o] = true
		}
	}
	return callers
}

// goSDK is where the module in a folder has the Go SDK's sources, and of which
// version.
func goSDK(t *testing.T, folder string) (sources, version string) {
	t.Helper()
	stdout, all, err := outside(folder, []string{"GOWORK=off"}, nil, "go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/svix/svix-webhooks")
	if err != nil {
		t.Fatalf("%v: %s", err, all)
	}
	version, sources, _ = strings.Cut(strings.TrimSpace(string(stdout)), " ")
	return sources, strings.TrimPrefix(version, "v")
}

// nodeVersion is that of an installed package.
func nodeVersion(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var described struct{ Version string }
	if err := json.Unmarshal(text, &described); err != nil || described.Version == "" {
		t.Fatalf("no version in %s: %v", text, err)
	}
	return described.Version
}

// svixGoFolder is a new folder with the module that pins the Svix Go SDK.
func svixGoFolder(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		missing(t, "go is missing", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join("testdata", "svix-go", name)); err != nil {
			t.Fatal(err)
		}
	}
	// Only what this downloads can be missing; what follows is ours to pass.
	if _, all, err := outside(dir, []string{"GOWORK=off"}, nil, "go", "mod", "download"); err != nil {
		missing(t, "the Svix Go SDK cannot be had", &outputError{err, all})
	}
	return dir
}

// runDriver runs a program to its end, which must be a good one.
func runDriver(t *testing.T, dir string, r *recorder, receiver, name string, args ...string) {
	t.Helper()
	_, all, err := outside(dir, []string{
		"SVIX_TOKEN=" + adminKey, "SVIX_SERVER_URL=" + r.URL, "RECEIVER_URL=" + receiver, "GOWORK=off",
	}, nil, name, args...)
	if err != nil {
		t.Fatalf("%v:\n%s", err, tail(string(all), 4000))
	}
}

// complete reports the operations of which a success or a refusal was not seen.
func (c *caller) complete(t *testing.T, api *apiDocument) {
	t.Helper()
	for _, o := range api.operations {
		if !c.has[o] {
			continue
		}
		got := c.seen[o]
		if got == nil {
			t.Errorf("%s: %s was not called", c.name, o.id)
			continue
		}
		if len(got.successes) == 0 {
			t.Errorf("%s: %s was not seen to succeed", c.name, o.id)
		}
		if len(got.refusals) == 0 && o.refuses() {
			t.Errorf("%s: %s was not seen to refuse anything", c.name, o.id)
		}
	}
}

// refusesUnserved asks for all that an SDK can call and the server has not.
func (s *server) refusesUnserved(t *testing.T, api *apiDocument, c *caller) {
	t.Helper()
	for _, call := range c.lacks {
		r, err := s.send(call.method, strings.ReplaceAll(call.path, "{}", "x"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.status != http.StatusNotImplemented {
			t.Errorf("%s: %s %s answers %d, want 501", c.name, call.method, call.path, r.status)
		}
		fits(t, api.unserved, exchange{method: call.method, path: call.path, status: r.status, media: r.header.Get("Content-Type"), body: r.body})
	}
}

// lackedPaths are the paths that some callers can call and the server has not,
// sorted.
func lackedPaths(callers []*caller) []string {
	paths := map[string]bool{}
	for _, c := range callers {
		for _, call := range c.lacks {
			paths[call.path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}
