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
	keys, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c.AdminKey)
		fmt.Fprintf(&out, verb+"\n", c.Store)
		fmt.Fprintf(&out, verb+"\n", *c)
		fmt.Fprintf(&out, verb+"\n", keys)
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
	if !strings.Contains(out.String(), "postgres://me:********@db/postern") {
		t.Error("the masked store is not shown at all")
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

func TestKeys(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	tests := map[string]struct {
		text string
		ids  string
		err  string
	}{
		"none":             {},
		"two":              {text: "new:" + key + ", old:" + key, ids: "new old"},
		"without padding":  {text: "k:" + strings.TrimRight(key, "="), ids: "k"},
		"no id":            {text: key, err: "key 1 does not begin with an id and a colon"},
		"an empty id":      {text: ":" + key, err: "key 1 does not begin with an id and a colon"},
		"not base64":       {text: "a:" + key + ",b:*", err: "key 2 is not base64"},
		"short":            {text: "a:AAAA", err: "key 1 has 3 bytes, not 32"},
		"one id two times": {text: "a:" + key + ",a:" + key, err: "key 2 has the id of an earlier one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keys, err := (&config.Config{SecretKey: config.NewSecret(tt.text)}).Keys()
			var ids []string
			for _, k := range keys {
				ids = append(ids, k.ID)
			}
			if got := strings.Join(ids, " "); got != tt.ids {
				t.Errorf("ids %q, want %q", got, tt.ids)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
