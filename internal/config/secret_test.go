package config_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/config"
)

// No verb, log handler or encoder shows what is hidden, on its own or inside
// a Config.
func TestSecretsAreNeverShown(t *testing.T) {
	const hidden = "hunter2"
	ring := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(hidden, 5)[:32]))
	c, err := config.Load(config.Input{Environ: []string{
		"POSTERN_ADMIN_KEY=" + hidden, "POSTERN_SECRET_KEY=k1:" + ring,
		"POSTERN_STORE=postgres://me:" + hidden + "@db/postern?sslpassword=" + hidden,
		"POSTERN_EGRESS_PROXY=http://me:" + hidden + "@proxy:3128",
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c.AdminKey)
		fmt.Fprintf(&out, verb+"\n", c.Store)
		fmt.Fprintf(&out, verb+"\n", *c)
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("settings", "key", c.AdminKey, "store", c.Store, "all", c)
	for _, v := range []any{c, c.Entries(), c.AdminKey} {
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, leak := range []string{hidden, ring, fmt.Sprintf("%x", hidden), "104 117 110"} {
		if i := strings.Index(out.String(), leak); i >= 0 {
			t.Errorf("%q is shown: ...%s", leak, out.String()[max(0, i-80):i+len(leak)])
		}
	}
	for _, shown := range []string{"postgres://me:********@db/postern", `"Store":"postgres://me:********`, `"AdminKey":"********"`} {
		if !strings.Contains(out.String(), shown) {
			t.Errorf("%s is not shown at all", shown)
		}
	}
	if c.AdminKey.Reveal() != hidden || !strings.Contains(c.Store.Reveal(), hidden) {
		t.Error("Reveal does not give the secret back")
	}
}

// A mistake in a secret is told without the secret.
func TestMistakesDoNotQuoteSecrets(t *testing.T) {
	for _, environ := range []string{
		"POSTERN_SECRET_KEY=hunter2", "POSTERN_SECRET_KEY=k:hunter2", "POSTERN_ADMIN_KEY=hunter2.x",
		"POSTERN_STORE=postgres//me:hunter2@x", "POSTERN_STORE=postgres://me:hunter2%@x", "POSTERN_EGRESS_PROXY=ftp://a:hunter2@b",
	} {
		_, err := config.Load(config.Input{Environ: []string{environ}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", environ, err)
		}
	}
	_, err := load(t, nil, nil, "admin-key: [hunter2\n\tstore: {")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestLocation(t *testing.T) {
	for text, want := range map[string]string{
		"file:postern-data":                      "file:postern-data",
		"memory:":                                "memory:",
		"postgres://db/postern":                  "postgres://db/postern",
		"postgres://me@db/postern":               "postgres://me@db/postern",
		"postgres://me:pw@db/p?sslmode=disable":  "postgres://me:********@db/p?sslmode=disable",
		"postgres://db/p?password=pw&user=me":    "postgres://db/p?password=********&user=me",
		"postgres://me:p%zz@db/p":                "postgres://********",
		"http://proxy.example:3128":              "http://proxy.example:3128",
		"http://me:a%20b@proxy.example:3128/x%2": "http://********",
	} {
		if got := config.NewLocation(text).String(); got != want {
			t.Errorf("Location(%q) = %q, want %q", text, got, want)
		}
	}
}

// The ring is read by the package that uses it, and its complaint comes with
// the way to make a key.
func TestSecretKey(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for text, good := range map[string]bool{"": true, "k1:" + key: true, "new:" + key + ",old:" + key: true, key: false, "k1:AAAA": false, "k:" + key + ",k:" + key: false} {
		_, err := config.Load(config.Input{Environ: []string{"POSTERN_SECRET_KEY=" + text}})
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "POSTERN_SECRET_KEY: ") || !strings.Contains(err.Error(), "openssl rand")) {
			t.Errorf("no way out: %v", err)
		}
	}
}
