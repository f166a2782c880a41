package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The roles of [RunRole].
const (
	roleFloor    = "floor"
	roleLoad     = "load"
	rolePast     = "past"
	roleReceiver = "receiver"
)

// maxLine bounds one command or answer; the longest carries a time per message of
// an open-loop run.
const maxLine = 16 << 20

// ErrRole is returned by [RunRole] for a role that does not exist.
var ErrRole = errors.New("bench: no such role")

// RunRole is the hidden `postern bench-role ROLE ARGS...`: one process of a
// measurement, driven over stdin and stdout until stdin ends or ctx is cancelled.
func RunRole(ctx context.Context, role string, args []string, stdin io.Reader, stdout io.Writer) error {
	switch role {
	case roleFloor:
		return runFloor(ctx, args, stdin, stdout)
	case roleLoad:
		return runLoad(ctx, args, stdin, stdout)
	case rolePast:
		return runPast(ctx, args, stdin, stdout)
	case roleReceiver:
		return runReceiver(ctx, args, stdin, stdout)
	}
	return fmt.Errorf("%w: %q (floor, load, past or receiver)", ErrRole, role)
}

// command is one line from the coordinator: what to do and its parameters.
type command struct {
	Do   string          `json:"do"`
	With json.RawMessage `json:"with,omitempty"`
}

// answer is the one line that each command gets. The first line of a role, before
// any command, is an answer too and says where it listens.
type answer struct {
	Error  string `json:"error,omitempty"`
	Result any    `json:"result,omitempty"`
}

// listening is the result in a role's first line.
type listening struct {
	Addrs []string `json:"addrs"` // host:port each; empty for a role that only calls
}

// handler carries out one command. Its context ends with stdin, so that a command
// under way stops when the coordinator is gone.
type handler func(ctx context.Context, cmd command) (any, error)

// serveCommands announces the role and answers commands until stdin ends (nil) or
// ctx is cancelled. The goroutine that reads outlives a cancelled call if stdin
// never ends: a read cannot be interrupted, and the process ends next.
func serveCommands(ctx context.Context, stdin io.Reader, stdout io.Writer, addrs []string, handle handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan []byte) // closed by the reader when stdin ends
	go func() {
		defer cancel()
		defer close(lines)
		in := bufio.NewScanner(stdin)
		in.Buffer(nil, maxLine)
		for in.Scan() {
			select {
			case lines <- append([]byte(nil), in.Bytes()...):
			case <-ctx.Done():
				return
			}
		}
	}()

	out := json.NewEncoder(stdout)
	if err := out.Encode(answer{Result: listening{Addrs: addrs}}); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := out.Encode(respond(ctx, line, handle)); err != nil {
				return fmt.Errorf("answer: %w", err)
			}
		}
	}
}

// respond carries out one line; whatever goes wrong is the answer, and the role goes
// on.
func respond(ctx context.Context, line []byte, handle handler) answer {
	var cmd command
	if err := json.Unmarshal(line, &cmd); err != nil {
		return answer{Error: fmt.Sprintf("read command: %v", err)}
	}
	result, err := handle(ctx, cmd)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Result: result}
}

// decode reads a command's parameters.
func decode[T any](cmd command) (T, error) {
	var with T
	if err := json.Unmarshal(cmd.With, &with); err != nil {
		return with, fmt.Errorf("%s: %w", cmd.Do, err)
	}
	return with, nil
}

// unknown is the error for a command that a role does not have.
func unknown(cmd command) error { return fmt.Errorf("unknown command %q", cmd.Do) }
