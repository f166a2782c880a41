package bench

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// TestCommandsAreAnsweredInTurn: one line each, a mistake included, and the role
// goes on after it.
func TestCommandsAreAnsweredInTurn(t *testing.T) {
	var out strings.Builder
	in := strings.NewReader("{\"do\":\"echo\",\"with\":1}\nnonsense\n{\"do\":\"echo\",\"with\":2}\n{\"do\":\"fail\"}\n")
	// A reader that ends cancels the command under way, so that it ends only when all
	// is answered.
	hold, release := io.Pipe()
	answered := 0
	w := writerFunc(func(p []byte) (int, error) {
		if answered++; answered == 5 {
			release.Close()
		}
		return out.Write(p)
	})
	err := serveCommands(t.Context(), io.MultiReader(in, hold), w, []string{"here:1"},
		func(_ context.Context, cmd command) (any, error) {
			if cmd.Do != "echo" {
				return nil, unknown(cmd)
			}
			return decode[int](cmd)
		})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"result":{"addrs":["here:1"]}}`, `{"result":1}`, `{"error":"read command: `,
		`{"result":2}`, `{"error":"unknown command \"fail\""}`,
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) || !json.Valid([]byte(line)) {
			t.Errorf("line %d is %s", i, line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, want %d", len(lines), len(want))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestEndOfStdinStopsTheCommandUnderWay: a role whose coordinator has died stops
// loading the machine at once.
func TestEndOfStdinStopsTheCommandUnderWay(t *testing.T) {
	in, stdin := io.Pipe()
	begun := make(chan struct{})
	go func() {
		io.WriteString(stdin, "{\"do\":\"work\"}\n")
		<-begun
		stdin.Close()
	}()
	stopped := false
	err := serveCommands(t.Context(), in, io.Discard, nil, func(ctx context.Context, _ command) (any, error) {
		close(begun)
		<-ctx.Done()
		stopped = true
		return nil, ctx.Err()
	})
	if err != nil || !stopped {
		t.Errorf("ended with %v, command stopped: %v", err, stopped)
	}
}

func TestCancelledRoleEnds(t *testing.T) {
	in, stdin := io.Pipe()
	defer stdin.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := RunRole(ctx, roleReceiver, nil, in, io.Discard); err != nil {
		t.Errorf("a cancelled receiver ends with %v", err)
	}
	if err := RunRole(ctx, roleFloor, []string{"--dir", t.TempDir()}, in, io.Discard); err != nil {
		t.Errorf("a cancelled floor ends with %v", err)
	}
	if err := RunRole(ctx, roleReceiver, []string{"--nonsense"}, in, io.Discard); err == nil {
		t.Error("an unknown flag is accepted")
	}
}
