package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// stopGrace is how long a child has to end in good order before it is killed. A
	// server drains up to its delivery deadline; a bench need not wait for that.
	stopGrace = 5 * time.Second
	// stderrKept is how much of the end of a child's stderr is shown if it fails.
	stderrKept = 4 << 10
)

// child is a process of this measurement. It belongs to who started it, who calls
// stop exactly once; cancelling the context that started it ends it too.
type child struct {
	name   string
	cmd    *exec.Cmd
	stderr *tail
	stdin  io.WriteCloser // nil for the server
	out    *bufio.Scanner // nil for the server
	exited chan struct{}  // closed when the process is gone
	err    error          // how it ended; read after exited
}

// startChild starts exe with args on the given cores. A role gets its commands over
// pipes; anything else runs without stdin.
func startChild(ctx context.Context, name, exe string, cpus []int, role bool, args ...string) (*child, error) {
	c := &child{name: name, stderr: &tail{}, exited: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, exe, args...) //nolint:gosec // the bench starts the binary that it is told to
	c.cmd.Env = childEnviron(os.Environ())
	c.cmd.Stderr = c.stderr
	c.cmd.Cancel = func() error { return stopSignal(c.cmd.Process) }
	c.cmd.WaitDelay = stopGrace
	if role {
		if err := c.openPipes(); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	if err := startPinned(c.cmd, cpus); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if !role {
		go c.reap()
	}
	return c, nil
}

// openPipes must be called before the start. The child's stdin ends when this
// process does, however it ends, which is what ends the child.
func (c *child) openPipes() error {
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	c.stdin, c.out = stdin, bufio.NewScanner(stdout)
	c.out.Buffer(nil, maxLine)
	return nil
}

// reap waits for the process. A role's is waited for in stop, as Wait closes the
// pipe that answers are read from.
func (c *child) reap() {
	c.err = c.cmd.Wait()
	close(c.exited)
}

// pid identifies the process to the figures of the operating system.
func (c *child) pid() int { return c.cmd.Process.Pid }

// do sends one command and reads its answer into result, which may be nil. If ctx
// ends first the child is ended, so that a stuck one cannot hold the measurement.
func (c *child) do(ctx context.Context, do string, with, result any) error {
	params, err := json.Marshal(with)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, do, err)
	}
	line, err := json.Marshal(command{Do: do, With: params})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, do, err)
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %s: %w%s", c.name, do, err, c.stderr)
	}
	if err := c.read(ctx, result); err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, do, err)
	}
	return nil
}

// read takes one answer.
func (c *child) read(ctx context.Context, result any) error {
	stopWatch := context.AfterFunc(ctx, func() {
		_ = c.cmd.Process.Kill() // gone already: the read fails by itself
	})
	defer stopWatch()
	if !c.out.Scan() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errors.Join(fmt.Errorf("ended without an answer%s", c.stderr), c.out.Err())
	}
	var got struct {
		Error  string          `json:"error"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if got.Error != "" {
		return errors.New(got.Error)
	}
	if result == nil || got.Result == nil {
		return nil
	}
	return json.Unmarshal(got.Result, result)
}

// stop ends the child and waits until it is gone: a role by the end of its stdin, a
// server by signal, either by force after the grace. How it exits does not matter
// any more: its figures have been read.
func (c *child) stop() {
	if c.stdin != nil {
		_ = c.stdin.Close() // closed already if the child is gone
		go c.reap()
	} else {
		_ = stopSignal(c.cmd.Process) // gone already is what we want
	}
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-c.exited:
	case <-timer.C:
		_ = c.cmd.Process.Kill() // as above
		<-c.exited
	}
}

// childEnviron is env without the settings of a server, so that flags alone decide.
func childEnviron(env []string) []string {
	var kept []string
	for _, pair := range env {
		if !strings.HasPrefix(pair, "POSTERN_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// tail keeps the last bytes written to it. Safe for concurrent use.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - stderrKept; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(p), nil
}

// String is the kept text, introduced for the end of an error message; empty when
// there is none.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.bytes)
	if len(text) == 0 {
		return ""
	}
	return "; its stderr ends: " + string(text)
}
