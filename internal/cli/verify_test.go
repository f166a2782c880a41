package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/cli"
)

// doctor runs postern verify over a body on standard input.
func doctor(t *testing.T, body string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := cli.Program{Stdin: strings.NewReader(body), Stdout: &out, Stderr: &errs}
	code = p.Run(t.Context(), append([]string{"verify"}, args...))
	return out.String(), errs.String(), code
}

func TestVerify(t *testing.T) {
	const body, secret = `{"type":"charge.succeeded","id":"evt_1"}`, "whsec_secret-of-stripe"
	digest := hex.EncodeToString(mac(sha256.New, secret, "1750000000."+body))
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	right := []string{"stripe", "--header", "Stripe-Signature: t=1750000000,v1=" + digest, "--body-file", "-", "--now", "1750000100"}
	tests := map[string]struct {
		body string
		args []string
		code int
		want []string
	}{
		"accepted": {body, append(right, "--secret", secret), cli.ExitOK, []string{
			"definition ", "signed text      ok  {timestamp}.{body}: timestamp 10, literal 1, body 40; 51 bytes", "100 s before now", "charge.succeeded", "evt_1", "\naccepted\n"}},
		"by a file":       {body, append(right, "--secret-file", file), cli.ExitOK, []string{"\naccepted\n"}},
		"by the second":   {body, append(right, "--secret", "another", "--secret", secret), cli.ExitOK, []string{"2 keys", "signed with secret 2 of the 2 given"}},
		"a wide window":   {body, append(right[:6:6], "1750003500", "--secret", secret, "--config", "tolerance=3600"), cli.ExitOK, []string{"\naccepted\n"}},
		"another secret":  {body, append(right, "--secret", "another"), cli.ExitError, []string{"signature        differs", "window           not reached", "refused: signature_mismatch: "}},
		"another body":    {body + " ", append(right, "--secret", secret), cli.ExitError, []string{"signature        differs"}},
		"the old secret":  {body, append(right, "--secret", "another", "--previous", secret), cli.ExitError, []string{"hint: the signature matches the previous secret"}},
		"a line end":      {body + "\n", append(right, "--secret", secret), cli.ExitError, []string{"hint: "}},
		"too late":        {body, append(right[:6:6], "1750003500", "--secret", secret), cli.ExitError, []string{"signature        ok", "window           differs", "3500 s in the past"}},
		"no header":       {body, []string{"stripe", "--secret", secret}, cli.ExitError, []string{"headers          differs", "refused: signature_missing: "}},
		"a provider's id": {body, append([]string{"stripe"}, append(right[1:], "--secret", secret)...), cli.ExitOK, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := doctor(t, tt.body, tt.args...)
			if code != tt.code {
				t.Fatalf("exit %d, want %d: %s%s", code, tt.code, stdout, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, stdout)
				}
			}
			if all := stdout + stderr; strings.Contains(all, secret) || strings.Contains(all, digest) {
				t.Errorf("a secret or a digest is told:\n%s", all)
			}
		})
	}
}

func TestVerifyJSON(t *testing.T) {
	stdout, _, code := doctor(t, "", "github", "--secret", "s", "--json")
	var printed struct {
		Provider, Reason, Detail, Hint string
		Accepted                       bool
		Steps                          []struct{ Name, State, Detail string }
	}
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil || code != cli.ExitError {
		t.Fatal(err, code)
	}
	if printed.Provider != "github" || printed.Accepted || printed.Reason != "signature_missing" || len(printed.Steps) < 8 {
		t.Errorf("%+v", printed)
	}
}

func TestVerifyMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no provider":      {nil, "postern: which provider?"},
		"unknown provider": {[]string{"strip", "--secret", "s"}, "postern: there is no provider strip; the nearest is stripe"},
		"no secret":        {[]string{"stripe"}, "postern: secrets: must be"},
		"an empty secret":  {[]string{"stripe", "--secret", ""}, "postern: secrets[0]: is empty"},
		"no setting":       {[]string{"stripe", "--secret", "s", "--config", "tolerance"}, "postern: --config: "},
		"unknown setting":  {[]string{"stripe", "--secret", "s", "--config", "tolrance=5"}, "postern: config.tolrance: "},
		"no header":        {[]string{"stripe", "--secret", "s", "--header", "Stripe-Signature"}, "postern: --header: "},
		"no body file":     {[]string{"stripe", "--secret", "s", "--body-file", "absent"}, "postern: --body-file: "},
		"no secret file":   {[]string{"stripe", "--secret-file", "absent"}, "postern: --secret-file: "},
		"no batch file":    {[]string{"--batch", "absent"}, "postern: open absent"},
		"batch and more":   {[]string{"stripe", "--batch", "-"}, "postern: --batch: "},
	} {
		if stdout, stderr, code := doctor(t, "", tt.args...); code != cli.ExitUsage || stdout != "" || !strings.HasPrefix(stderr, tt.want) {
			t.Errorf("%s: exit %d, %q, want %q", name, code, stderr, tt.want)
		}
	}
}

// One's own definitions are verified like all others.
func TestVerifyOwn(t *testing.T) {
	stdout, stderr, code := doctor(t, "", "acme", "--providers", acme(t), "--secret", "s", "--header", "Acme-Signature: t=1,v1=00", "--now", "1")
	if code != cli.ExitError || !strings.Contains(stdout, "nothing in Acme-Signature is 20 bytes in hex") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}
