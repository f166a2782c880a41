package e2e_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// The exit codes that the documentation names.
const (
	exitError = 1
	exitUsage = 2
)

// A setting that does not exist is an error that names the nearest that does,
// wherever it was set, and nothing is started or made.
func TestUnknownSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
		env  string
		file string
		want []string
	}{
		{name: "flag", args: []string{"--egress-alow=127.0.0.0/8"}, want: []string{"--egress-alow", "--egress-allow"}},
		{name: "variable", env: "POSTERN_RETRY_SCHEDUL=1s", want: []string{"POSTERN_RETRY_SCHEDUL", "POSTERN_RETRY_SCHEDULE"}},
		{name: "key", file: "listen: 127.0.0.1:0\nretension: 30d\n", want: []string{"retension", "retention", ":2"}},
		{name: "command", args: []string{"--", "now"}, want: []string{"now"}},
		{name: "value of a flag", args: []string{"--retention=tomorrow"}, want: []string{"--retention"}},
		{name: "value of a variable", env: "POSTERN_MAX_BODY=lots", want: []string{"POSTERN_MAX_BODY"}},
		{name: "value of a key", file: "max-body: -3\n", want: []string{"max-body"}},
		{name: "values that do not go together", args: []string{"--retention=1h", "--retry-schedule=2h"}, want: []string{"--retention", "retry"}},
		{name: "store", args: []string{"--store=redis://localhost"}, want: []string{"--store", "file:DIR"}},
		{name: "two mistakes", args: []string{"--max-body=0", "--drain-timeout=2h"}, want: []string{"--max-body", "--drain-timeout"}},
		{name: "missing file", args: []string{"--config=/nowhere/postern.yaml"}, want: []string{"/nowhere/postern.yaml"}},
		{name: "bad file", file: "listen: [1\n", want: []string{"postern.yaml"}},
		{name: "missing CA", args: []string{"--egress-ca=/nowhere/ca.pem"}, want: []string{"egress-ca", "/nowhere/ca.pem"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"serve", "--listen=127.0.0.1:0", "--store=file:" + filepath.Join(dir, "store")}
			if tc.file != "" {
				file := filepath.Join(dir, "postern.yaml")
				if err := os.WriteFile(file, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config="+file)
			}
			code, stdout, stderr := run(t, func(c *exec.Cmd) {
				if tc.env != "" {
					c.Env = append(c.Env, tc.env)
				}
			}, append(args, tc.args...)...)
			wantCode := exitUsage
			if tc.name == "missing CA" {
				wantCode = exitError // the file may be there at the next start
			}
			if code != wantCode {
				t.Errorf("exit code %d, want %d", code, wantCode)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error lacks %q:\n%s", want, stderr)
				}
			}
			if stdout != "" {
				t.Errorf("standard output: %s", stdout)
			}
			if _, err := os.Stat(filepath.Join(dir, "store")); err == nil && tc.name != "missing CA" {
				t.Error("the store's folder was made")
			}
		})
	}
}

// Kubernetes sets variables that look like settings and are none.
func TestVariablesOfKubernetes(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, func(c *exec.Cmd) {
		c.Env = append(c.Env, "POSTERN_SERVICE_HOST=10.0.0.1", "POSTERN_PORT=tcp://10.0.0.1:80", "POSTERN_PORT_80_TCP_ADDR=10.0.0.1")
	}, "config")
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

// A folder has one server. The second says so and leaves the first alone.
func TestFolderInUse(t *testing.T) {
	t.Parallel()
	store := "file:" + t.TempDir() + "/store"
	first := serve(t, store)
	app := first.application("a")
	code, _, stderr := run(t, nil, serveArgs(store)...)
	if code != exitError || !strings.Contains(stderr, "another process uses it") {
		t.Errorf("exit code %d, standard error:\n%s", code, stderr)
	}
	first.want(200, "GET", "/app/"+app, nil, nil)
	first.kill()
	// A lock does not outlive its holder.
	serve(t, store).want(200, "GET", "/app/"+app, nil, nil)
}

// A port that is taken is told with the way out, and the folder is let go.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	store := "file:" + t.TempDir() + "/store"
	code, _, stderr := run(t, nil, serveArgs(store, "--listen="+taken.Addr().String())...)
	if code != exitError || !strings.Contains(stderr, "--listen") || !strings.Contains(stderr, taken.Addr().String()) {
		t.Errorf("exit code %d, standard error:\n%s", code, stderr)
	}
	serve(t, store)
}

// A file where the folder should be is left as it is.
func TestFileInPlaceOfTheFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store")
	content := []byte("somebody's data")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		code, _, stderr := run(t, nil, serveArgs("file:"+dir)...)
		if code != exitError || !strings.Contains(stderr, file) {
			t.Errorf("exit code %d, standard error:\n%s", code, stderr)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file holds %q now, %v", got, err)
	}
}

// A folder that a newer version wrote is refused, and opens again once its
// format is known.
func TestFolderOfANewerVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/store"
	first := serve(t, "file:"+dir)
	app := first.application("a")
	if code := first.terminate(patience); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	old := setFormat(t, dir, []byte{99})
	code, _, stderr := run(t, nil, serveArgs("file:"+dir)...)
	if code != exitError || !strings.Contains(stderr, "use a newer postern") || !strings.Contains(stderr, "99") {
		t.Errorf("exit code %d, standard error:\n%s", code, stderr)
	}
	setFormat(t, dir, old)
	serve(t, "file:"+dir).want(200, "GET", "/app/"+app, nil, nil)
}

// setFormat writes a store's format version and returns the one before. The
// key is part of the format, and so for ever.
func setFormat(t *testing.T, dir string, version []byte) (old []byte) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatTableFormatV6, Logger: silent{t}})
	if err != nil {
		t.Fatal(err)
	}
	value, closer, err := db.Get([]byte("mformat"))
	if err != nil {
		t.Fatal(err)
	}
	old = bytes.Clone(value)
	closer.Close()
	if err := db.Set([]byte("mformat"), version, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return old
}

// silent keeps the database's own log out of the test's, but for what ends it.
type silent struct{ t *testing.T }

func (silent) Infof(string, ...any)                {}
func (silent) Errorf(string, ...any)               {}
func (s silent) Fatalf(format string, args ...any) { s.t.Fatalf(format, args...) }
