package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/cli"
	"github.com/postern-dev/postern/verify"
)

// acme is a definition of one's own, in a file.
func acme(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "acme.yaml")
	text := `id: acme
aliases: [acme_inc]
name: Acme
status: documented
setup: {url: "Settings, Hooks", secret: "beside it"}
schemes:
  - kind: hmac
    hash: sha1
    key: {form: utf8}
    signature: {from: ["header:Acme-Signature"], separator: ",", prefix: "v1=", encoding: hex}
    timestamp: {from: "element:t", unit: s}
    template: "{timestamp}.{body}"
    require: [{value: "json:account", equals: "${account}"}]
eventType: ["json:type"]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProvidersTable(t *testing.T) {
	stdout, stderr, code := run(t, []string{"POSTERN_PROVIDERS=" + acme(t)}, "providers")
	if code != cli.ExitOK || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != len(verify.Providers())+2 {
		t.Errorf("%d lines for %d providers, a head and our own", len(lines), len(verify.Providers()))
	}
	if row := strings.Fields(lines[1]); row[0] != "acme" || !strings.Contains(lines[1], "HMAC-SHA1, timestamp") || !strings.HasSuffix(strings.TrimSpace(lines[1]), "account") {
		t.Errorf("the first row is %q", lines[1])
	}
}

func TestProvidersJSON(t *testing.T) {
	stdout, _, code := run(t, nil, "providers", "--json")
	var printed struct {
		Providers []struct {
			ID, Name, Scheme, Status string
			Aliases, Settings        []string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil || code != cli.ExitOK {
		t.Fatal(err, code)
	}
	var ids []string
	for _, p := range printed.Providers {
		ids = append(ids, p.ID)
		if p.Name == "" || p.Scheme == "" || p.Status == "" || p.Aliases == nil || p.Settings == nil {
			t.Errorf("something is missing of %+v", p)
		}
	}
	if !slices.Equal(ids, verify.Providers()) {
		t.Errorf("providers %v", ids)
	}
	stdout, _, _ = run(t, nil, "providers", "github", "--json")
	def, err := verify.ParseDefinition([]byte(stdout))
	if err != nil || def.ID != "github" {
		t.Errorf("%v: the definition of github reads back as %+v", err, def)
	}
}

func TestProviderSheet(t *testing.T) {
	stdout, stderr, code := run(t, nil, "providers", "--providers", acme(t), "acme-inc")
	if code != cli.ExitOK {
		t.Fatal(stderr)
	}
	for _, want := range []string{
		"Acme (acme, acme_inc)\n",
		"HMAC-SHA1 of `{timestamp}.{body}`; in header `Acme-Signature` as hex after `v1=`, several split at `,`",
		"timestamp in the element `t` of it (s), within `5m` of now",
		"json `account` must be `${account}`",
		"Event type    json `type`\n",
		"Setting       `tolerance`: ",
		"Setting       `account`: What json:account must be",
		"URL goes to   Settings, Hooks\n",
		"Secret is in  beside it\n",
		"Status        follows the vendor's own page\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, stdout)
		}
	}
}

func TestProvidersMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("id: github\nname: Mine\nschemes: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	faults := "bad.yaml: id \"github\" is taken by GitHub; choose another\npostern: "
	for name, tt := range map[string]struct {
		environ, args []string
		want          string
	}{
		"unknown": {nil, []string{"providers", "githb"}, "postern: there is no provider githb; the nearest is github, "},
		"flag":    {nil, []string{"providers", "--providers", bad}, "postern: " + faults + "bad.yaml: schemes must not be empty\n"},
		"setting": {[]string{"POSTERN_PROVIDERS=" + bad}, []string{"providers"}, "postern: POSTERN_PROVIDERS: " + faults + "POSTERN_PROVIDERS: bad.yaml: schemes must not be empty\n"},
		"serve":   {nil, []string{"serve", "--store=memory:", "--providers=" + bad}, "postern: --providers: " + faults},
	} {
		if stdout, stderr, code := run(t, tt.environ, tt.args...); code != cli.ExitUsage || !strings.HasPrefix(stderr, tt.want) || stdout != "" {
			t.Errorf("%s: exit %d, %q, want %q", name, code, stderr, tt.want)
		}
	}
}
