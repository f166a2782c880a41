package cli_test

import (
	"context"
	"io/fs"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/telemetry"
)

const operationsFile = "../../docs/operations.md"

// The page about operations does what it says: to a server's folder, and to
// databases in place of those at db.internal.
func TestOperationsPage(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "psql", "pg_dump", "pg_restore"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "" {
			t.Skipf("%v; it is what the page is tried with", err)
		}
	}
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir, store := t.TempDir(), cluster.Database(t)
	demo := start(t, t.TempDir(), "--demo")
	demo.stdout.await(t, `Ctrl-C (stops) it`)
	served := start(t, dir, "--store", store, "--admin-key", "demo")
	if _, problem, code := run(t, nil, "key", "create", "--name", "kept", "--url", served.url, "--key", "demo"); code != 0 {
		t.Fatalf("a key: %d, %s", code, problem)
	}

	replace := []string{"http://127.0.0.1:8080", demo.url, "bin/postern", binary}
	databases := map[string]string{"postern": store}
	for _, name := range []string{"restored", "empty", "moved"} {
		databases[name] = cluster.Database(t)
	}
	for name, address := range databases {
		replace = append(replace, "postgres://postern@db.internal/"+name, "'"+address+"'") // it has an &
	}
	blocks := blocksOf(t, operationsFile, "sh")
	if len(blocks) < 7 {
		t.Fatalf("%d blocks of command lines", len(blocks))
	}
	for _, block := range blocks {
		script := strings.NewReplacer(replace...).Replace(block)
		if script == block {
			t.Errorf("it speaks to nobody:\n%s", script)
		}
		tryBlock(t, dir, script)
	}
	// What was restored can be served, and has what there was.
	restored := start(t, dir, "--store", databases["restored"], "--admin-key", "demo")
	if keys, problem, code := run(t, nil, "key", "list", "--url", restored.url, "--key", "demo"); code != 0 || !strings.Contains(keys, "kept") {
		t.Errorf("restored: %d, %s%s", code, keys, problem)
	}
}

// Every metric on the page is one of a server's, and every rule reads as one.
func TestOperationsMetrics(t *testing.T) {
	observer, metrics := telemetry.NewPrometheus(func(context.Context) (engine.Stats, error) { return engine.Stats{}, nil })
	observer.Answered("message.create", 503, time.Millisecond) // a series is made by its first request
	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	known := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(answer.Body.String(), -1) {
		known[found[1]] = true
		if found[2] == "histogram" {
			known[found[1]+"_bucket"], known[found[1]+"_sum"], known[found[1]+"_count"] = true, true, true
		}
	}
	page, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\bpostern_[a-z_]+`).FindAllString(string(page), -1) {
		if !known[name] {
			t.Errorf("no server has the metric %s", name)
		}
	}
	for _, series := range regexp.MustCompile(`\b(postern_\w+)\{(\w+="\w+")\}`).FindAllStringSubmatch(string(page), -1) {
		if !regexp.MustCompile(`(?m)^` + series[1] + `\{.*` + series[2] + `.*\}`).MatchString(answer.Body.String()) {
			t.Errorf("no server has the series %s", series[0])
		}
	}
	type rule struct {
		Alert string `yaml:"alert"`
		Expr  string `yaml:"expr"`
		For   string `yaml:"for"`
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	rules := 0
	for _, block := range blocksOf(t, operationsFile, "yaml") {
		if !strings.HasPrefix(block, "groups:") {
			continue
		}
		if err := yaml.UnmarshalWithOptions([]byte(block), &file, yaml.Strict()); err != nil {
			t.Fatal(err)
		}
		for _, r := range file.Groups[0].Rules {
			rules++
			if r.Alert == "" || r.Expr == "" || strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
				t.Errorf("%+v is no rule", r)
			}
		}
		checkRules(t, block)
	}
	if rules < 10 {
		t.Errorf("%d rules", rules)
	}
}

// checkRules has Prometheus' own tool look at a file of rules, where it is there.
func checkRules(t *testing.T, rules string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		return
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What the page quotes of the log is in the code.
func TestOperationsFaults(t *testing.T) {
	page, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## When something is wrong")
	section, _, _ = strings.Cut(section, "\n## ")
	var code strings.Builder
	for _, dir := range []string{"store", "engine", "internal"} {
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	quoted := regexp.MustCompile("`(\\w+(?: \\w+){2,})`").FindAllStringSubmatch(section, -1)
	if len(quoted) < 5 {
		t.Errorf("only %q are quoted", quoted)
	}
	for _, words := range quoted {
		if !strings.Contains(code.String(), words[1]) {
			t.Errorf("nothing says %q", words[1])
		}
	}
}

// The way round a pooler is an address that serve takes.
func TestOperationsPooler(t *testing.T) {
	var settings struct {
		Store string `yaml:"store"`
	}
	for _, block := range blocksOf(t, operationsFile, "yaml") {
		if strings.HasPrefix(block, "store:") {
			if err := yaml.Unmarshal([]byte(block), &settings); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := url.Parse(settings.Store)
	if err != nil || page.Query().Get("listen_url") == "" {
		t.Fatalf("%q, %v", settings.Store, err)
	}
	direct, err := url.Parse(page.Query().Get("listen_url"))
	if err != nil || direct.Host != "db.internal" || direct.Path != page.Path {
		t.Errorf("listen_url is %v, %v", direct, err)
	}
	// The same for a database that is there.
	address := cluster.Database(t)
	query := page.Query()
	query.Set("listen_url", address)
	s := start(t, t.TempDir(), "--store", address+"&"+query.Encode(), "--admin-key", "demo")
	if keys, problem, code := run(t, nil, "key", "list", "--url", s.url, "--key", "demo"); code != 0 {
		t.Errorf("%d, %s%s", code, keys, problem)
	}
}

// blocksOf are the blocks of a page in one language.
func blocksOf(t *testing.T, page, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}
