package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/verify"
)

// Whatever stands in the file and in the environment, Load ends with a valid
// Config or with an error of one line for each mistake.
func FuzzLoad(f *testing.F) {
	f.Add("listen: :8080\nretention: 14d\n", "POSTERN_MAX_BODY=2MiB")
	f.Add("egress-allow: [10.0.0.0/8, ::1]\nretry-schedule:\n- 1s\n", "POSTERN_RETRY_SCHEDULE=none")
	f.Add("a: &x [*x]\n<<: {b: !!binary c}\n", "POSTERN_=\x00POSTERN_PORT=tcp")
	f.Add("? |\n  k\n: >-\n  v\n---\n...", "POSTERN_SECRET_KEY=a:AAAA")
	f.Add("\"\\x00\": 'a", "POSTERN_STORE=postgres://%zz")
	f.Fuzz(func(t *testing.T, file, environ string) {
		c, err := config.Load(config.Input{
			Environ:  append(strings.Split(environ, "\x00"), "POSTERN_CONFIG=postern.yaml"),
			ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
		})
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		for _, e := range c.Entries() {
			if e.Default != "" && e.Value == "" {
				t.Fatalf("%s lost its value", e.Name)
			}
		}
	})
}

// Whatever a file of definitions holds, there is a catalogue or a fault, and
// what is taken reads back.
func FuzzReadProviders(f *testing.F) {
	f.Add(acmeYAML)
	f.Add(acmeJSON)
	f.Add("- id: a\n- {id: b, schemes: [{kind: none}]}\n")
	f.Add("? [a, b]\n: &x {y: *x}\n")
	builtIn := verify.Providers()
	f.Fuzz(func(t *testing.T, text string) {
		catalogue, faults := config.ReadProviders([]string{"a.yaml"}, func(string) ([]byte, error) { return []byte(text), nil })
		if (catalogue == nil) != (len(faults) > 0) {
			t.Fatalf("a catalogue %v with faults %v", catalogue != nil, faults)
		}
		if catalogue == nil {
			return
		}
		for _, id := range catalogue.Providers() {
			if slices.Contains(builtIn, id) {
				continue
			}
			if def, ok := catalogue.Lookup(id); !ok || def.ID != id {
				t.Fatalf("%q is listed and not found", id)
			}
		}
	})
}
