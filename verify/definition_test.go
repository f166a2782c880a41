package verify_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern/verify"
)

// TestCatalogue holds every file under providers/ to the schema of Definition:
// Lookup reads it strictly, New compiles it, and the words are in order.
func TestCatalogue(t *testing.T) {
	files, err := filepath.Glob("providers/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	ids := verify.Providers()
	if len(ids) != len(files) || !slices.IsSorted(ids) {
		t.Errorf("Providers() = %v for %d files", ids, len(files))
	}
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, id := range ids {
		def, ok := verify.Lookup(id)
		if !ok || def.ID != id || def.Name == "" || !snake.MatchString(id) {
			t.Errorf("%s: id %q, name %q", id, def.ID, def.Name)
		}
		if def.Docs != "" && !strings.HasPrefix(def.Docs, "https://") {
			t.Errorf("%s: docs %q", id, def.Docs)
		}
		cfg := verify.Config{Settings: map[string]string{}}
		for _, s := range def.Settings {
			if !snake.MatchString(s.Name) || !strings.HasSuffix(s.Description, ".") {
				t.Errorf("%s: setting %q: %q", id, s.Name, s.Description)
			}
			if s.Default != "" && (s.Required || len(s.Values) > 0 && !slices.Contains(s.Values, s.Default)) {
				t.Errorf("%s: setting %s cannot have the default %q", id, s.Name, s.Default)
			}
			if s.Required {
				cfg.Settings[s.Name] = "X-Sample"
			}
			raw, _ := os.ReadFile("providers/" + id + ".json")
			if !strings.Contains(string(raw), `${`+s.Name+`}`) && !strings.Contains(string(raw), `"for": {"`+s.Name+`":`) {
				t.Errorf("%s: setting %s is used nowhere", id, s.Name)
			}
		}
		if def.Schemes[0].Kind != verify.KindNone {
			cfg.Secrets = []string{base64.StdEncoding.EncodeToString([]byte("a secret that is base64"))}
		}
		if _, err := verify.New(def, cfg); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestLookup(t *testing.T) {
	if def, ok := verify.Lookup("standard-webhooks"); !ok || def.ID != "standard_webhooks" {
		t.Errorf("standard-webhooks: %v %v", def.ID, ok)
	}
	for _, id := range []string{"", "GitHub", "nobody", "../providers/github", "github.json", "./github"} {
		if _, ok := verify.Lookup(id); ok {
			t.Errorf("Lookup(%q) finds something", id)
		}
	}
	def, _ := verify.Lookup("github")
	def.Schemes[0].Template = ""
	if again, _ := verify.Lookup("github"); again.Schemes[0].Template == "" {
		t.Error("a caller can change the catalogue")
	}
}
