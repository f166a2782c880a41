package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/cli"
)

const (
	oneRing   = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	otherRing = "two:HxECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// secretOf is an endpoint's signing secret, as the API tells it.
func secretOf(t *testing.T, r *running) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/api/v1/app/shop/endpoint/a/secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text := make([]byte, 200)
	n, _ := res.Body.Read(text)
	if res.StatusCode != 200 || !strings.Contains(string(text[:n]), "whsec_") {
		t.Fatalf("the secret: %d %s", res.StatusCode, text[:n])
	}
	return string(text[:n])
}

// TestCopyAcrossRings: whatever ring the two are served with, the copy's secrets
// are the source's, and the source stays as it was.
func TestCopyAcrossRings(t *testing.T) {
	for name, test := range map[string]struct{ from, to, copy []string }{
		"folders' own":   {},
		"into a setting": {to: []string{"--secret-key", oneRing}, copy: []string{"--secret-key", oneRing}},
		"out of one":     {from: []string{"--secret-key", oneRing}, copy: []string{"--from-secret-key", oneRing}},
		"between two": {
			from: []string{"--secret-key", oneRing}, to: []string{"--secret-key", otherRing},
			copy: []string{"--from-secret-key", oneRing, "--secret-key", otherRing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, dir := shop(t, test.from...)
			secret := secretOf(t, server)
			target := filepath.Join(t.TempDir(), "target")
			command := append([]string{"copy", "--from", "file:" + dir, "--to", "file:" + target}, test.copy...)
			refused(t, cli.ExitError, "stop it first", command...)
			server.stop()
			if out := must(t, command...); !strings.Contains(out, "3  messages") || !strings.Contains(out, "Downtime so far") ||
				strings.Contains(out, "the --secret-key") != (test.to != nil) {
				t.Errorf("copy printed\n%s", out)
			}
			if out := must(t, command...); !strings.Contains(out, "held it all already") {
				t.Errorf("the second copy printed\n%s", out)
			}
			copied := serve(t, nil, append([]string{"--store", "file:" + target, "--admin-key", "admin"}, test.to...)...)
			if got := secretOf(t, copied); got != secret {
				t.Errorf("the copy's secret is %s, was %s", got, secret)
			}
			copied.send(t, "/app/shop/msg", `{"eventType":"order.paid","eventId":"4","payload":{}}`)
			copied.stop()
			refused(t, cli.ExitError, "holds something already", command...)
			if got := secretOf(t, serve(t, nil, append([]string{"--store", "file:" + dir, "--admin-key", "admin"}, test.from...)...)); got != secret {
				t.Error("the source's secret is another one")
			}
		})
	}
}

// TestCopyRefuses what cannot be, and makes nothing.
func TestCopyRefuses(t *testing.T) {
	server, dir := shop(t, "--secret-key", oneRing)
	server.stop()
	folder := t.TempDir()
	target := filepath.Join(folder, "target")
	from, to := "--from=file:"+dir, "--to=file:"+target
	refused(t, cli.ExitUsage, "the same folder", "copy", from, "--to=file:"+dir+"/")
	refused(t, cli.ExitUsage, "use file:DIR", "copy", "--from=memory:", to)
	refused(t, cli.ExitError, "does not answer", "copy", "--from=postgres://u:secret@127.0.0.1:1/d", to)
	refused(t, cli.ExitError, "there is no store", "copy", "--from=file:"+filepath.Join(folder, "nothing"), to)
	refused(t, cli.ExitUsage, "keyring", "copy", from, to, "--from-secret-key=x")
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("%v was made, %v", entries, err)
	}
	refused(t, cli.ExitError, "no key ring that could open it", "copy", from, to)
	refused(t, cli.ExitError, `sealed under a key that is not in the ring: key "one"`, "copy", from, to, "--from-secret-key", otherRing)
}
