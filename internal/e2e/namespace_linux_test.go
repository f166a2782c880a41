package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable holds, in a namespace, the name of the test that made it.
const insideVariable = "POSTERN_E2E_INSIDE"

// inNamespace runs the calling test once more as a process in namespaces of its
// own, unix.CLONE_NEWNS, CLONE_NEWNET or both, and body there: as their root,
// free to mount and to configure the network, of which nothing reaches the
// machine. Servers that body launches live there as well. A mount namespace's
// mounts are private, a network's loopback interface is up, and there is no
// other. The test has to call inNamespace first of all but t.Parallel.
//
// Where namespaces are refused the test is skipped, and fails under CI=true.
func inNamespace(t *testing.T, flags uintptr, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		furnish(t, flags)
		body(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.v", "-test.count=1", "-test.run="+exactly(t.Name()))
	child.Env = append(os.Environ(), insideVariable+"="+t.Name(), binaryVariable+"="+binary)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if os.Getuid() != 0 {
		child.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var output bytes.Buffer
	child.Stdout, child.Stderr = &output, &output
	err := child.Run()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		refused(t, err)
	case err != nil:
		t.Errorf("in the namespace: %v\n%s", err, &output)
	case strings.Contains(output.String(), "--- SKIP: "+t.Name()):
		t.Skip(output.String())
	case !strings.Contains(output.String(), "--- PASS: "+t.Name()):
		t.Errorf("did not run in the namespace:\n%s", &output)
	default:
		t.Log(output.String())
	}
}

// furnish makes the namespaces that the process was started in usable.
func furnish(t *testing.T, flags uintptr) {
	t.Helper()
	if flags&unix.CLONE_NEWNS != 0 {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			refused(t, fmt.Errorf("making mounts private: %w", err))
		}
	}
	if flags&unix.CLONE_NEWNET != 0 {
		if err := raise("lo"); err != nil {
			refused(t, fmt.Errorf("raising the loopback interface: %w", err))
		}
	}
}

// refused ends a test that is not let have its namespaces.
func refused(t *testing.T, err error) {
	t.Helper()
	const hint = "this test needs namespaces (root, or kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0)"
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", hint, err)
	}
	t.Skipf("%s: %v", hint, err)
}

// raise sets a network interface up.
func raise(name string) error {
	return onInterface(name, func(socket int, r *unix.Ifreq) error {
		if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, r); err != nil {
			return err
		}
		r.SetUint16(r.Uint16() | unix.IFF_UP)
		return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, r)
	})
}

// onInterface has a socket to configure an interface by.
func onInterface(name string, do func(socket int, r *unix.Ifreq) error) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	return do(socket, r)
}

// exactly is the pattern of -test.run for one test or subtest.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// TestNamespaceIsApart: what is done inside is not seen outside, and a failure
// inside is one outside.
func TestNamespaceIsApart(t *testing.T) {
	t.Parallel()
	inNamespace(t, unix.CLONE_NEWNS|unix.CLONE_NEWNET, func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/full", make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("writing 2 MiB on 1 MiB: %v", err)
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
		s := serve(t, "memory:")
		s.want(200, "GET", "/health", nil, nil)
	})
}
