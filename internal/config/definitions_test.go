package config_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/verify"
)

const acmeYAML = `# Ours.
id: acme
aliases: [acme_inc]
name: Acme
status: documented
schemes:
  - kind: hmac
    hash: sha256
    key: {form: utf8}
    signature:
      from: ["header:Acme-Signature"]
      prefix: v1=
      encoding: hex
    template: "{body}"
eventType:
  - json:type
`

const acmeJSON = `{"id": "acme_two", "name": "Acme Two", "status": "documented", "schemes": [
	{"kind": "token", "key": {"form": "utf8"}, "signature": {"from": ["header:X-Token"], "encoding": "raw"}, "unsignedBody": true}],
	"unsigned": "The body."}`

// read gives files their text.
func read(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func TestReadProviders(t *testing.T) {
	list := "- " + strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(acmeYAML, "# Ours.\n"), "\n", "\n  "), "  ")
	for name, files := range map[string]map[string]string{
		"one in each file":     {"a.yaml": acmeYAML, "b.json": acmeJSON},
		"lists":                {"a.yaml": list, "b.json": "[" + acmeJSON + "]"},
		"a document's own end": {"a.yaml": "---\n" + acmeYAML, "b.json": "\n\t" + acmeJSON + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			catalogue, faults := config.ReadProviders([]string{"a.yaml", "b.json"}, read(files))
			if faults != nil {
				t.Fatal(faults)
			}
			def, ok := catalogue.Lookup("acme-inc")
			if !ok || def.ID != "acme" {
				t.Fatalf("acme_inc: %v, %+v", ok, def)
			}
			want := verify.Signature{From: []verify.Selector{"header:Acme-Signature"}, Prefix: "v1=", Encoding: "hex"}
			if diff := cmp.Diff(want, def.Schemes[0].Signature); diff != "" {
				t.Error(diff)
			}
			if _, ok := catalogue.Lookup("acme_two"); !ok {
				t.Error("acme_two is not there")
			}
			if _, ok := catalogue.Lookup("github"); !ok {
				t.Error("github is no longer there")
			}
		})
	}
}

func TestReadProvidersFaults(t *testing.T) {
	acme := func(old, new string) string { return strings.Replace(acmeYAML, old, new, 1) }
	tests := map[string]struct{ text, want string }{
		"no file":           {"", "open a.yaml: file does not exist"},
		"no YAML":           {"id: [", "a.yaml: not YAML: "},
		"two documents":     {acmeYAML + "---\n" + acmeYAML, "a.yaml: must be one document"},
		"an alias of YAML":  {acme("json:type", "&a json:type\n  - *a"), "a.yaml: line 16: write plain values"},
		"a key twice":       {acme("name: Acme", "name: Acme\nname: B"), `a.yaml: not YAML: [5:1] mapping key "name" already defined`},
		"an unknown member": {acme("status:", "state:"), `a.yaml: json: unknown field "state"`},
		"a wrong type":      {acme("name: Acme", "name: 7"), "a.yaml: json: cannot unmarshal number into Go struct field Definition.name"},
		"a taken id":        {acme("id: acme", "id: github"), `a.yaml: id "github" is taken by GitHub; choose another`},
		"a taken alias":     {acme("acme_inc", "github"), `a.yaml: aliases[0] "github" is taken by GitHub`},
		"a wrong id":        {acme("id: acme", "id: Acme"), "a.yaml: id must be lower-case"},
		"no name":           {acme("name: Acme", ""), "a.yaml: name is required"},
		"a wrong template":  {acme("{body}", "{bodi}"), "a.yaml: schemes[0].template has {bodi}"},
		"no signed body":    {acme("{body}", "x"), "a.yaml: schemes[0].template must contain {body}"},
		"a wrong hash":      {acme("sha256", "sha3"), "a.yaml: schemes[0].hash must be"},
		"the same one twice": {
			"[" + acmeJSON + "," + acmeJSON + "]", `a.yaml: definition 2: id "acme_two" is taken by Acme Two`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			if tt.text != "" {
				files["a.yaml"] = tt.text
			}
			catalogue, faults := config.ReadProviders([]string{"a.yaml"}, read(files))
			if catalogue != nil || len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), tt.want) {
				t.Errorf("%v, want %s", faults, tt.want)
			}
		})
	}
}

// Definitions come with the settings, from wherever those do.
func TestProvidersSetting(t *testing.T) {
	files := map[string]string{"a.yaml": acmeYAML, "postern.yaml": "providers: [a.yaml]\n", "wrong.yaml": "id: acme\nschemes: 3\n"}
	for name, environ := range map[string][]string{
		"a variable": {"POSTERN_PROVIDERS=a.yaml"}, "the file": {"POSTERN_CONFIG=postern.yaml"},
	} {
		c, err := config.Load(config.Input{Environ: environ, ReadFile: read(files)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		def, _ := c.Catalogue.Lookup("acme")
		v, err := verify.New(def, verify.Config{Secrets: []string{"s"}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := v.Verify(t.Context(), verify.Request{Method: "POST"}, time.Now()); err == nil {
			t.Errorf("%s: a request without a signature verifies", name)
		}
	}
	_, err := config.Load(config.Input{Environ: []string{"POSTERN_PROVIDERS=wrong.yaml,a.yaml"}, ReadFile: read(files)})
	if want := "POSTERN_PROVIDERS: wrong.yaml: json: cannot unmarshal number into Go struct field Definition.schemes"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
