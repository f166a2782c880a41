package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	adminKey = "e2e-admin-key"
	// patience bounds every wait for something that should happen at once; it
	// is long because the machine may be busy.
	patience = time.Minute
	// poll is how often a condition is looked at again.
	poll = 5 * time.Millisecond
	// exitDisk is the code of a server whose store can no longer write.
	exitDisk = 3
)

// process is a run of the binary.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	// exited is closed once the process has ended and its output is complete.
	exited chan struct{}
}

// launch starts the binary. It is killed at the test's end if it still runs.
func launch(t *testing.T, edit func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), stdout: newOutput(), stderr: newOutput(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Env = environment()
	if edit != nil {
		edit(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the state is read by those who wait for exited
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // most have ended
		<-p.exited
		if t.Failed() {
			t.Logf("standard error of %s:\n%s", strings.Join(args, " "), tail(p.stderr.String(), 4000))
		}
	})
	return p
}

// environment is this process' without settings for the binary.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "POSTERN_") })
}

// code waits for the end and returns the exit code; -1 for a signal.
func (p *process) code(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("still running after %v", within)
		return -1
	}
}

// kill ends the process as a power cut of the process would, and returns the
// moment before.
func (p *process) kill() time.Time {
	at := time.Now()
	_ = p.cmd.Process.Kill() // fails only for one that has ended, which code tells
	<-p.exited
	return at
}

// terminate asks the process to stop and returns its exit code.
func (p *process) terminate(within time.Duration) int {
	p.t.Helper()
	p.stop()
	return p.code(within)
}

// stop asks the process to stop.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// url waits until the server says where it listens; "" if it ended before.
func (p *process) url() string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		changed := p.stderr.changed()
		if url := servingURL(p.stderr.String()); url != "" {
			return url
		}
		select {
		case <-changed:
		case <-p.exited:
			return servingURL(p.stderr.String())
		case <-deadline:
			p.t.Fatalf("not serving after %v", patience)
		}
	}
}

// servingURL finds the address in the log.
func servingURL(log string) string {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			return entry.URL
		}
	}
	return ""
}

// server is a process that serves.
type server struct {
	*process
	*client
}

// serve starts a server on a store and waits until it answers.
func serve(t *testing.T, store string, flags ...string) *server {
	t.Helper()
	p := launch(t, nil, serveArgs(store, flags...)...)
	base := p.url()
	if base == "" {
		t.Fatalf("serve ended with code %d:\n%s", p.code(patience), p.stderr)
	}
	return &server{p, newClient(t, base)}
}

// serveArgs is a command line of serve; later flags win. A server that is started
// again goes on with its journal at once, however the last one ended.
func serveArgs(store string, flags ...string) []string {
	return append([]string{
		"serve", "--listen=127.0.0.1:0", "--store=" + store, "--node=alone", "--admin-key=" + adminKey, "--egress-allow=127.0.0.0/8", "--log-format=json",
	}, flags...)
}

// run runs the binary to its end.
func run(t *testing.T, edit func(*exec.Cmd), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := launch(t, edit, args...)
	code = p.code(patience)
	return code, p.stdout.String(), p.stderr.String()
}

// output collects what a process writes, and tells when there is more.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	fresh chan struct{} // closed and replaced by each write
}

var _ io.Writer = (*output)(nil)

func newOutput() *output { return &output{fresh: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.fresh)
	o.fresh = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// changed is closed by the next write.
func (o *output) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fresh
}

// tail is the end of a text.
func tail(text string, most int) string {
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// await polls until condition holds, and fails the test when it does not in
// time. what says what was waited for.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !holds(patience, condition) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// holds polls until condition holds or the time is over.
func holds(within time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(within)
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			return false
		}
		<-ticker.C
	}
	return true
}
