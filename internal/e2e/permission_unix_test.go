//go:build unix

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without rights on most systems.
const nobody = 65534

// A folder that may not be written is named, with the reason. Root may write
// everything, so that for root the server runs as nobody.
func TestFolderWithoutPermission(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "postern-e2e-denied-") //nolint:usetesting // nobody may not enter the test's own folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	asNobody := func(c *exec.Cmd) {
		c.Dir = "/"
		if os.Geteuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
	}
	for name, store := range map[string]string{"a folder to be made": filepath.Join(closed, "store"), "a folder that is there": closed} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t, asNobody, serveArgs("file:"+store)...)
			if code != exitError || !strings.Contains(stderr, store) || !strings.Contains(stderr, "permission") {
				t.Errorf("exit code %d, standard error:\n%s", code, stderr)
			}
			if entries, err := os.ReadDir(closed); err != nil || len(entries) != 0 {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
		})
	}
}
