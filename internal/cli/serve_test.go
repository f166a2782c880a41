package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/cli"
)

// binaryDir is where buildBinary builds; it is gone with the tests.
var binaryDir string

// buildBinary builds postern once, for the first test that asks.
var buildBinary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(binaryDir, "postern.exe") // a name that every system runs
	out, err := exec.Command("go", "build", "-o", file, "../../cmd/postern").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return file, err
})

func TestMain(m *testing.M) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "postern-cli-test-*"); err != nil {
		panic(err)
	}
	code := cluster.Main(m)
	os.RemoveAll(binaryDir)
	os.Exit(code)
}

// output collects what a server prints and lets a test wait for a part of it.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed and renewed with every write
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns the first match of the pattern's group.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern)
	deadline := time.After(time.Minute)
	for {
		o.mu.Lock()
		found, grown := match.FindStringSubmatch(o.text.String()), o.grown
		o.mu.Unlock()
		if found != nil {
			return found[len(found)-1]
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("%q did not appear in:\n%s", pattern, o)
		}
	}
}

// running is a server in this process or in one of its own.
type running struct {
	stdout, stderr *output
	url            string
	// stop ends it and returns the exit code; safe to call twice.
	stop func() int
}

// serve starts `postern serve` with args in this process.
func serve(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	r := &running{stdout: newOutput(), stderr: newOutput()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		p := cli.Program{Stdout: r.stdout, Stderr: r.stderr, Environ: environ}
		done <- p.Run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...))
	}()
	r.stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { r.stop() })
	r.url = r.stderr.await(t, `"msg":"serving","url":"([^"]*)"`)
	return r
}

// start starts `postern serve` with args as a process of its own, in dir.
func start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	file, err := buildBinary()
	if err != nil {
		t.Fatalf("building postern: %v", err)
	}
	r := &running{stdout: newOutput(), stderr: newOutput()}
	cmd := exec.Command(file, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, r.stdout, r.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.stop = sync.OnceValue(func() int {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
		_ = cmd.Wait() // the code says it
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() { r.stop() })
	r.url = r.stderr.await(t, `"msg":"serving","url":"([^"]*)"`)
	return r
}

// A demo that is started again finds what it made: the address and the secret
// that were given to GitHub still hold.
func TestDemoServerStartsTwice(t *testing.T) {
	dir := t.TempDir()
	address := func() (string, string) {
		r := start(t, dir, "--demo")
		r.stdout.await(t, `Ctrl-C (stops) it`)
		token := r.stdout.await(t, `address  http://\S*/in/(\S+)`)
		secret := r.stdout.await(t, `secret   (\S+)`)
		signed := r.stdout.await(t, `(?s)\n    (body=.*?)\n\n`)
		if out, err := exec.Command("sh", "-c", signed).Output(); err != nil || !strings.HasPrefix(string(out), `{"id":"msg_`) {
			t.Errorf("%s\n%v: %s", signed, err, out)
		}
		if code := r.stop(); code != cli.ExitOK {
			t.Fatalf("exit %d after SIGTERM\n%s", code, r.stderr)
		}
		return token, secret
	}
	token, secret := address()
	again, secretAgain := address()
	if token != again || secret != secretAgain {
		t.Errorf("the second start says %s and %s, the first %s and %s", again, secretAgain, token, secret)
	}
	if _, err := os.Stat(filepath.Join(dir, "postern-demo")); err != nil {
		t.Error(err)
	}
}

func TestDemoServerMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	held := "file:" + t.TempDir()
	serve(t, nil, "--store", held, "--admin-key", "k")
	tests := map[string]struct {
		environ, args []string
		code          int
		want          string
	}{
		"all addresses":   {args: []string{"--listen", ":0"}, code: cli.ExitUsage, want: "listens on this machine only"},
		"a wide variable": {environ: []string{"POSTERN_LISTEN=0.0.0.0:0"}, code: cli.ExitUsage, want: "and not on 0.0.0.0:0"},
		"a name":          {args: []string{"--listen", "example.com:0"}, code: cli.ExitUsage, want: "--listen 127.0.0.1:8080"},
		"not an address":  {args: []string{"--listen", "8080"}, code: cli.ExitUsage, want: "listen"},
		"a taken port":    {args: []string{"--store", "memory:", "--listen", taken.Addr().String()}, code: cli.ExitError, want: "choose another address with --listen HOST:PORT"},
		"a taken folder":  {args: []string{"--store", held, "--listen", "127.0.0.1:0"}, code: cli.ExitError, want: "--store file:DIR --listen 127.0.0.1:0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.environ, append([]string{"serve", "--demo"}, tt.args...)...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit %d, want %d; stdout %q, stderr %q, want %q", code, tt.code, stdout, stderr, tt.want)
			}
		})
	}
}

// A setting beats what the demo would choose, but the receiver stays reachable.
func TestDemoServerTakesSettings(t *testing.T) {
	r := serve(t, []string{"POSTERN_ADMIN_KEY=it's", "POSTERN_EGRESS_ALLOW=10.0.0.0/8"}, "--demo", "--store", "memory:")
	r.stdout.await(t, `API key: (it's)`)
	r.stdout.await(t, `Ctrl-C (stops) it`)
	publish := r.stdout.await(t, `(?s)\n    (curl \S*/msg .*?)\n\n`)
	out, err := exec.Command("sh", "-c", publish).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"eventType":"invoice.paid"`) {
		t.Fatalf("%s\n%v: %s", publish, err, out)
	}
	r.stdout.await(t, `arrived: msg_\S+, 28 bytes, (signature verified), answered 200: \{"invoice":17,"amount":1200\}`)
	if code := r.stop(); code != cli.ExitOK {
		t.Errorf("exit %d\n%s", code, r.stderr)
	}
	if strings.Contains(r.stderr.String(), "invoice") {
		t.Errorf("a payload is in the log:\n%s", r.stderr)
	}
}

// The first start without an admin key prints one, which opens the server; the
// second prints none.
func TestServeMakesTheFirstKey(t *testing.T) {
	store := "file:" + t.TempDir()
	r := serve(t, nil, "--store", store)
	key := r.stdout.await(t, `only this once:\n\n    (pk_\S+)\n`)
	if _, stderr, code := run(t, nil, "key", "list", "--url", r.url, "--key", key); code != cli.ExitOK {
		t.Errorf("the key does not open the server: exit %d, %s", code, stderr)
	}
	r.stop()
	again := serve(t, nil, "--store", store)
	if code := again.stop(); code != cli.ExitOK || again.stdout.String() != "" {
		t.Errorf("exit %d, the second start prints %q", code, again.stdout)
	}
}

var _ io.Writer = (*output)(nil)
