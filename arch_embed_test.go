package postern_test

import (
	"os/exec"
	"strings"
	"testing"
)

// notEmbedded is what nobody compiles who imports the engine and its own store.
// Metrics libraries are missing here: Pebble brings one along.
var notEmbedded = []string{
	"github.com/jackc/...", "database/sql", "modernc.org/...",
	"outbox/...", "inbox/...", "telemetry/...", "ui/...", "internal/dashboard/...",
	"internal/cli/...", "internal/config", "github.com/alecthomas/kong", "github.com/goccy/go-yaml/...",
}

// A program that embeds the engine pays for nothing that it did not import.
func TestWhatAnEmbedderCompiles(t *testing.T) {
	list := func(packages ...string) map[string]bool {
		out, err := exec.Command("go", append([]string{"list", "-deps"}, packages...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := map[string]bool{}
		for dep := range strings.Lines(string(out)) {
			deps[relative(strings.TrimSpace(dep))] = true
		}
		return deps
	}
	embedder := list("./engine", "./store/embedded")
	if !embedder["engine"] || !embedder["github.com/cockroachdb/pebble/v2"] {
		t.Fatalf("%d packages, and not the engine's: the rule would hold for nothing", len(embedder))
	}
	for dep := range embedder {
		if matchesAny(notEmbedded, dep) {
			t.Errorf("engine and store/embedded compile %s. Let the program that wants it import it.", dep)
		}
	}
	for dep := range list("./outbox", "./inbox") {
		if matches("modernc.org/...", dep) || dep == "engine" {
			t.Errorf("outbox and inbox compile %s. They work with what they are given.", dep)
		}
	}
}
