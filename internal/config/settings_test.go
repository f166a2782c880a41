package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/config"
)

// samples has for each setting a value that is not its default, and how it is
// shown; it shows that no setting is forgotten.
func samples() map[string][2]string {
	const ring = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	return map[string][2]string{
		"listen":           {"0.0.0.0:80", "0.0.0.0:80"},
		"store":            {"postgres://me:pw@db/p", "postgres://me:********@db/p"},
		"node":             {"hooks/1", "hooks/1"},
		"admin-key":        {"k-1", "********"},
		"secret-key":       {ring, "********"},
		"public-url":       {"https://hooks.example.com", "https://hooks.example.com"},
		"egress-allow":     {"127.0.0.0/8, fd00::/8", "127.0.0.0/8,fd00::/8"},
		"egress-proxy":     {"http://me:pw@proxy:3128", "http://me:********@proxy:3128"},
		"egress-ca":        {"/etc/ca.pem", "/etc/ca.pem"},
		"retry-schedule":   {"1s, 1m,24h", "1s,1m,1d"},
		"retention":        {"720h1m", "720h1m"},
		"max-body":         {"2097152", "2MiB"},
		"inbound-max-body": {"1kB", "1000"},
		"drain-timeout":    {"90s", "1m30s"},
		"jwt-secret":       {"hunter.2 of old", "********"},
		"trusted-proxies":  {"10.1.2.3", "10.1.2.3/32"},
		"providers":        {"own.yaml, more.json", "own.yaml,more.json"},
		"log-level":        {"WARN", "warn"},
		"log-format":       {"Json", "json"},
	}
}

// Every setting is taken from a flag, from its variable and from the file, with
// the same effect.
func TestEverySettingFromEverywhere(t *testing.T) {
	given := samples()
	for _, e := range config.Default().Entries() {
		if e.Name == "config" {
			continue // names the file; TestPrecedence has it
		}
		sample, ok := given[e.Name]
		if !ok {
			t.Errorf("no sample of %s", e.Name)
			continue
		}
		ways := map[string]struct {
			args, environ []string
			file          string
		}{
			"--" + e.Name:    {args: []string{"--" + e.Name, sample[0]}},
			e.Variable:       {environ: []string{e.Variable + "=" + sample[0]}},
			"postern.yaml:2": {file: "\n" + e.Name + ": '" + sample[0] + "'\n"},
		}
		for from, way := range ways {
			c, err := load(t, way.args, way.environ, way.file)
			if err != nil {
				t.Errorf("%s: %v", from, err)
				continue
			}
			if got := values(c)[e.Name]; got != sample[1] || string(c.Origin(e.Name)) != from {
				t.Errorf("%s gives %q from %s, want %q", from, got, c.Origin(e.Name), sample[1])
			}
		}
	}
}

// What is given is what is changed: every other setting keeps its default.
func TestOneSettingChangesNoOther(t *testing.T) {
	before := values(config.Default())
	for name, sample := range samples() {
		c, err := load(t, []string{"--" + name, sample[0]}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		after := values(c)
		after[name] = before[name]
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("--%s (-before +after):\n%s", name, diff)
		}
	}
}

func TestFilesThatSetNothing(t *testing.T) {
	for _, file := range []string{"\n", "# only a comment\n", "---\n", "null\n", "listen:\n", "listen: ''\negress-allow: []\n", "---\n# nothing\n..."} {
		c, err := load(t, nil, nil, file)
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		for _, e := range c.Entries() {
			if e.Name != "config" && (e.From != config.OriginDefault || e.Value != e.Default) {
				t.Errorf("%q sets %s to %q", file, e.Name, e.Value)
			}
		}
	}
}

// YAML reads numbers and words of its own; settings take them as written.
func TestValuesAsWrittenInTheFile(t *testing.T) {
	c, err := load(t, nil, nil, "max-body: 65536 # bytes\nadmin-key: 0755\nstore: >-\n  file:data\negress-ca: true\nretry-schedule:\n  - 1s\n  # then\n  - 2s\n")
	if err != nil {
		t.Fatal(err)
	}
	got := values(c)
	want := map[string]string{"max-body": "64KiB", "store": "file:data", "egress-ca": "true", "retry-schedule": "1s,2s"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	if c.AdminKey.Reveal() != "0755" {
		t.Errorf("admin-key = %q, want it as written", c.AdminKey.Reveal())
	}
}

// The bounds, from both sides.
func TestBounds(t *testing.T) {
	longest := config.Default().RetrySchedule.Longest()
	for name, tt := range map[string]struct {
		change func(*config.Config)
		good   bool
	}{
		"nothing":               {func(*config.Config) {}, true},
		"retention just enough": {func(c *config.Config) { c.Retention = longest + time.Hour }, true},
		"retention too short":   {func(c *config.Config) { c.Retention = longest + time.Hour - 1 }, false},
		"retention zero":        {func(c *config.Config) { c.Retention, c.RetrySchedule = 0, nil }, false},
		"one try":               {func(c *config.Config) { c.RetrySchedule, c.Retention = nil, time.Hour }, true},
		"body of one byte":      {func(c *config.Config) { c.MaxBody = 1 }, true},
		"body of none":          {func(c *config.Config) { c.MaxBody = 0 }, false},
		"largest body":          {func(c *config.Config) { c.InboundMaxBody = 256 << 20 }, true},
		"body too large":        {func(c *config.Config) { c.InboundMaxBody = 256<<20 + 1 }, false},
		"no drain":              {func(c *config.Config) { c.DrainTimeout = 0 }, true},
		"longest drain":         {func(c *config.Config) { c.DrainTimeout = time.Hour }, true},
		"drain too long":        {func(c *config.Config) { c.DrainTimeout = time.Hour + 1 }, false},
		"drain negative":        {func(c *config.Config) { c.DrainTimeout = -1 }, false},
		"port zero":             {func(c *config.Config) { c.Listen = "[::1]:0" }, true},
		"no listen":             {func(c *config.Config) { c.Listen = "" }, false},
		"no store":              {func(c *config.Config) { c.Store = config.Location{} }, false},
		"store of no folder":    {func(c *config.Config) { c.Store = config.NewLocation("file:") }, false},
		"memory":                {func(c *config.Config) { c.Store = config.NewLocation("memory:") }, true},
		"postgres by a socket":  {func(c *config.Config) { c.Store = config.NewLocation("postgres:///p?host=/run/postgresql") }, true},
		"public URL with path":  {func(c *config.Config) { c.PublicURL = "https://example.com/hooks" }, true},
		"public URL with query": {func(c *config.Config) { c.PublicURL = "https://example.com?a=b" }, false},
		"no format":             {func(c *config.Config) { c.LogFormat = "" }, false},
	} {
		c := config.Default()
		tt.change(c)
		if err := c.Validate(); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A Config that nobody filled in is refused for exactly the fields whose
// comments say that their zero is.
func TestZeroConfigIsRefused(t *testing.T) {
	err := (&config.Config{}).Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	var refused []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "default: "), ":")
		refused = append(refused, name)
	}
	if diff := cmp.Diff([]string{"listen", "store", "retention", "max-body", "inbound-max-body", "log-format"}, refused); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The environment is the user's and other programs': only our names count.
func TestForeignVariablesAreLeftAlone(t *testing.T) {
	_, err := config.Load(config.Input{Environ: []string{
		"PATH=/bin", "POSTERN", "POSTERN=1", "postern_listen=x", "MY_POSTERN_LISTEN=x", "=C:=C:\\",
		"POSTERN_SERVICE_HOST=10.0.0.1", "POSTERN_SERVICE_PORT_HTTP=80", "POSTERN_PORT=tcp://10.0.0.1:80", "POSTERN_PORT_80_TCP_ADDR=10.0.0.1",
		"POSTERN_SOAK=1", "POSTERN_SEED=17",
	}})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"POSTERN_", "POSTERN_SOAKED", "POSTERN_LISTEN_", "POSTERN_listen"} {
		if _, err := config.Load(config.Input{Environ: []string{name + "=1"}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
