package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/cli"
)

// TestCopyThroughPostgreSQL: up into a database and back into a folder, whatever
// rings the three are served with, secrets are those from before, and nobody copies
// beside a server.
func TestCopyThroughPostgreSQL(t *testing.T) {
	for name, test := range map[string]struct{ served, copied, back []string }{
		"stores' own": {},
		"a setting": {
			served: []string{"--secret-key", oneRing}, copied: []string{"--secret-key", oneRing}, back: []string{"--from-secret-key", oneRing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			database := cluster.Database(t)
			server, dir := shop(t)
			secret := secretOf(t, server)
			server.stop()
			up := append([]string{"copy", "--from", "file:" + dir, "--to", database}, test.copied...)
			if out := must(t, up...); !strings.Contains(out, "3  messages") || !strings.Contains(out, "Downtime so far") {
				t.Errorf("copy printed\n%s", out)
			}
			if out := must(t, up...); !strings.Contains(out, "held it all already") {
				t.Errorf("the second copy printed\n%s", out)
			}

			copied := serve(t, nil, append([]string{"--store", database, "--admin-key", "admin"}, test.served...)...)
			if got := secretOf(t, copied); got != secret {
				t.Errorf("the database's secret is %s, was %s", got, secret)
			}
			copied.send(t, "/app/shop/msg", `{"eventType":"order.paid","eventId":"4","payload":{}}`)
			target := filepath.Join(t.TempDir(), "target")
			down := append([]string{"copy", "--from", database, "--to", "file:" + target}, test.back...)
			refused(t, cli.ExitError, "a server holds the database", up...)
			refused(t, cli.ExitError, "a server holds the database", down...)
			copied.stop()
			refused(t, cli.ExitError, "holds something already", up...)

			if out := must(t, down...); !strings.Contains(out, "4  messages") {
				t.Errorf("copy printed\n%s", out)
			}
			back := serve(t, nil, "--store", "file:"+target, "--admin-key", "admin")
			if got := secretOf(t, back); got != secret {
				t.Errorf("the folder's secret is %s, was %s", got, secret)
			}
		})
	}
}

// TestCopyMakesNoDatabase: a source is read and not made.
func TestCopyMakesNoDatabase(t *testing.T) {
	database, target := cluster.Database(t), "--to=file:"+filepath.Join(t.TempDir(), "target")
	refused(t, cli.ExitError, "lacks", "copy", "--from", database, target)
	refused(t, cli.ExitError, "lacks", "copy", "--from", database, target)
	refused(t, cli.ExitUsage, "the same store", "copy", "--from", database, "--to", database)
}
