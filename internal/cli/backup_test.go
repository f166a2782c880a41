package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/cli"
)

// shop is a server with something of most kinds, and its folder.
func shop(t *testing.T, flags ...string) (server *running, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	server = serve(t, nil, append([]string{"--store", "file:" + dir, "--admin-key", "admin", "--egress-allow", "127.0.0.0/8"}, flags...)...)
	server.send(t, "/app", `{"name":"Shop","uid":"shop"}`)
	server.send(t, "/app/shop/endpoint", `{"url":"http://127.0.0.1:9/a","uid":"a"}`)
	server.send(t, "/app/shop/source", `{"name":"GitHub","provider":"github","uid":"gh","secrets":["s3cret"]}`)
	for _, id := range []string{"1", "2", "3"} {
		server.send(t, "/app/shop/msg", `{"eventType":"order.paid","eventId":"`+id+`","payload":{}}`)
	}
	return server, dir
}

// send posts what has to succeed.
func (r *running) send(t *testing.T, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		var text bytes.Buffer
		_, _ = text.ReadFrom(res.Body)
		t.Fatalf("POST %s: %d %s", path, res.StatusCode, text.String())
	}
}

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, code := run(t, nil, args...)
	if code != cli.ExitOK {
		t.Fatalf("%v: exit %d\n%s", args, code, stderr)
	}
	return stdout
}

// refused runs a command that has to fail and say why.
func refused(t *testing.T, code int, why string, args ...string) {
	t.Helper()
	if _, stderr, got := run(t, nil, args...); got != code || !strings.Contains(stderr, why) {
		t.Errorf("%v: exit %d, want %d with %q:\n%s", args, got, code, why, stderr)
	}
}

// TestBackupAndRestore: of a server and of a stopped one, in its own folder and
// elsewhere, and back into a store that goes on.
func TestBackupAndRestore(t *testing.T) {
	server, dir := shop(t)
	elsewhere := filepath.Join(t.TempDir(), "a", "b")
	place := []string{"--url", server.url, "--key", "admin"}
	out := must(t, append([]string{"backup", elsewhere}, place...)...)
	if !strings.Contains(out, "3  messages") || !strings.Contains(out, "The key ring that opens its secrets is in it") {
		t.Errorf("backup printed\n%s", out)
	}
	refused(t, cli.ExitError, "exists", append([]string{"backup", elsewhere}, place...)...)
	var made struct {
		Directory string
		KeyRing   bool
		Parts     []struct {
			Part     string
			Count    int
			Checksum string
		}
	}
	if err := json.Unmarshal([]byte(must(t, append([]string{"backup", "--json"}, place...)...)), &made); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(made.Directory) != filepath.Join(dir, "backups") || !made.KeyRing || len(made.Parts) != 16 || len(made.Parts[7].Checksum) != 32 {
		t.Errorf("backup printed %+v", made)
	}
	refused(t, cli.ExitError, "another process uses it", "backup", "--store", "file:"+dir)
	if code := server.stop(); code != cli.ExitOK {
		t.Fatalf("the server ended with code %d", code)
	}
	stopped := filepath.Join(t.TempDir(), "stopped")
	must(t, "backup", stopped, "--store", "file:"+dir)
	for _, backup := range []string{elsewhere, made.Directory, stopped} {
		private(t, backup)
		target := filepath.Join(t.TempDir(), "new")
		if out := must(t, "restore", backup, "--to", "file:"+target); !strings.Contains(out, "is whole") || !strings.Contains(out, "--store file:"+target) {
			t.Errorf("restore printed\n%s", out)
		}
		refused(t, cli.ExitError, "exists", "restore", backup, "--to", "file:"+target)
		private(t, target)
		again := serve(t, nil, "--store", "file:"+target, "--admin-key", "admin")
		again.send(t, "/app/shop/msg", `{"eventType":"order.paid","eventId":"4","payload":{}}`)
		if code := again.stop(); code != cli.ExitOK {
			t.Errorf("the restored server ended with code %d", code)
		}
	}
}

// private: nobody but the owner reads a folder or the files in it that hold
// something.
func private(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, info.Mode(), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&0o077 != 0 && info.Size() > 0 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}

// TestRestoreFindsDamage: whatever is missing or changed is named, and nothing is
// put in place.
func TestRestoreFindsDamage(t *testing.T) {
	server, dir := shop(t)
	server.stop()
	good := filepath.Join(t.TempDir(), "good")
	must(t, "backup", good, "--store", "file:"+dir)
	name := func(t *testing.T, in, suffix string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(in, "*"+suffix))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s in %s, %v", suffix, in, err)
		}
		return found[len(found)-1]
	}
	rewrite := func(t *testing.T, file, from, to string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte(from)) {
			t.Fatalf("no %q in %s, %v", from, file, err)
		}
		if err := os.WriteFile(file, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for why, spoil := range map[string]func(t *testing.T, dir string){
		"keyring is missing":      func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "keyring")) },
		".sst is missing":         func(t *testing.T, dir string) { remove(t, name(t, dir, ".sst")) },
		"there is no backup.json": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "backup.json")) },
		"bytes, and had":          func(t *testing.T, dir string) { rewrite(t, name(t, dir, ".sst"), "\x00", "") },
		"use a newer postern": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "backup.json"), `"format": 1`, `"format": 2`)
		},
		"messages: 3, and 4 before": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "backup.json"), `"count": 3`, `"count": 4`)
		},
		"is not what it was": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "backup.json"), `"part": "messages",
      "count": 3,
      "checksum": "`, `"part": "messages",
      "count": 3,
      "checksum": "00`)
		},
		"newest messages are missing": func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "backup.json"), `"batch": `, `"batch": 9`)
		},
	} {
		t.Run(why, func(t *testing.T) {
			backup, target := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "target")
			if err := os.CopyFS(backup, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			spoil(t, backup)
			refused(t, cli.ExitError, why, "restore", backup, "--to", "file:"+target)
			if _, err := os.Stat(target); err == nil {
				t.Error("something was put in place")
			}
		})
	}
}

// TestRestoreMissesTheRing: a backup of a server whose ring is kept elsewhere says
// so, and is told of secrets that cannot be opened unless it is given.
func TestRestoreMissesTheRing(t *testing.T) {
	const ring = "--secret-key=k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	server, _ := shop(t, ring)
	backup := filepath.Join(t.TempDir(), "backup")
	if out := must(t, "backup", backup, "--url", server.url, "--key", "admin"); !strings.Contains(out, "The key ring is not in it") {
		t.Errorf("backup printed\n%s", out)
	}
	if _, stderr, code := run(t, nil, "restore", backup); code != cli.ExitOK || !strings.Contains(stderr, "3 of 3 secrets cannot be opened") {
		t.Errorf("restore without it: exit %d, %s", code, stderr)
	}
	if _, stderr, code := run(t, nil, "restore", backup, ring); code != cli.ExitOK || strings.Contains(stderr, "secrets") {
		t.Errorf("restore with it: exit %d, %s", code, stderr)
	}
}

// TestBackupByTheAPI has no counts, and is checked all the same.
func TestBackupByTheAPI(t *testing.T) {
	server, dir := shop(t)
	server.send(t, "/backup", `{"directory":"nightly"}`)
	backup := filepath.Join(dir, "backups", "nightly")
	stdout, stderr, code := run(t, nil, "restore", backup)
	if code != cli.ExitOK || !strings.Contains(stderr, "nothing to compare with") || !strings.Contains(stdout, "3  messages") {
		t.Errorf("restore: exit %d\n%s%s", code, stdout, stderr)
	}
	// What a crash left half-way goes; what is whole stays, and there are not too many.
	half := filepath.Join(dir, "backups", "half.partial")
	for i := range 100 {
		if err := os.MkdirAll(filepath.Join(half, fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	server.send(t, "/backup", `{"directory":"other"}`)
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a backup is still there: %v", err)
	}
	for i := range 98 {
		if err := os.Mkdir(filepath.Join(dir, "backups", fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, cli.ExitError, "There are 100 backups", "backup", "--url", server.url, "--key", "admin")
	refused(t, cli.ExitError, "409", "backup", "--url", serve(t, nil, "--store", "memory:", "--admin-key", "admin").url, "--key", "admin")
	refused(t, cli.ExitUsage, "which key", "backup", "--url", server.url)
	refused(t, cli.ExitError, "is a server running", "backup", "--url", "http://127.0.0.1:1", "--key", "admin")
	refused(t, cli.ExitError, "401", "backup", "--url", server.url, "--key", "nobody's")
	refused(t, cli.ExitUsage, "leave out", "backup", "--store", "file:"+dir, "--key", "admin")
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
