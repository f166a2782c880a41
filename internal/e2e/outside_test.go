package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// Others' programs that the tests run: the official SDKs and verifiers, at the
// versions that testdata pins, unmodified. They are fetched once and kept.

// outsidePatience bounds one run of such a program, and fetching it.
const outsidePatience = 4 * time.Minute

// missing ends a test that needs what is not there. Where everything has to be
// there, as in CI, that is a failure.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

// outside runs a program in a folder and returns what it wrote.
func outside(dir string, env []string, stdin []byte, name string, args ...string) (stdout, all []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), outsidePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(environment(), env...), bytes.NewReader(stdin)
	// What it started may outlive it and hold its output.
	cmd.WaitDelay = 10 * time.Second
	out, both := newOutput(), newOutput()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(out, both), both
	if err = cmd.Run(); errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and what it wrote is here
	}
	return []byte(out.String()), []byte(both.String()), err
}

// svixEnvironment is where SDKs look for the server.
func svixEnvironment(s *server) []string {
	return []string{"SVIX_TOKEN=" + adminKey, "SVIX_SERVER_URL=" + s.base}
}

// modules is a folder whose node_modules hold what testdata/node pins. It
// is .tools/node in the repository, filled when the lock file changes.
type modules struct {
	dir  string
	once sync.Once
	err  error
}

// fill has npm install what is not there yet.
func (m *modules) fill() {
	m.once.Do(func() {
		if m.dir, m.err = filepath.Abs("../../.tools/node"); m.err != nil {
			return
		}
		pinned := filepath.Join("testdata", "node")
		lock, err := os.ReadFile(filepath.Join(pinned, "package-lock.json"))
		if err != nil {
			m.err = err
			return
		}
		mark := filepath.Join(m.dir, "installed-lock.json")
		if installed, err := os.ReadFile(mark); err == nil && bytes.Equal(installed, lock) {
			return
		}
		if m.err = os.MkdirAll(m.dir, 0o755); m.err != nil {
			return
		}
		for _, name := range []string{"package.json", "package-lock.json"} {
			if m.err = copyFile(filepath.Join(m.dir, name), filepath.Join(pinned, name)); m.err != nil {
				return
			}
		}
		if _, all, err := outside(m.dir, nil, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			m.err = &outputError{err, all}
			return
		}
		m.err = os.WriteFile(mark, lock, 0o644)
	})
}

// copyFile copies a small file.
func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// outputError is a program that failed, with the end of what it said.
type outputError struct {
	err    error
	output []byte
}

func (e *outputError) Error() string { return e.err.Error() + ": " + tail(string(e.output), 2000) }
func (e *outputError) Unwrap() error { return e.err }

// npmModules are shared by the tests of this process.
var npmModules modules

// nodeFolder is a new folder with testdata's scripts and the pinned packages.
func nodeFolder(t *testing.T, scripts ...string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool+" is missing; .ci/need-node installs it", err)
		}
	}
	if npmModules.fill(); npmModules.err != nil {
		missing(t, "npm cannot install the pinned packages", npmModules.err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(npmModules.dir, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat([]string{"package.json"}, scripts) {
		if err := copyFile(filepath.Join(dir, name), filepath.Join("testdata", "node", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tool is the path of a program that a package brings.
func tool(dir, name string) string { return filepath.Join(dir, "node_modules", ".bin", name) }
