package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func startPinnedNowhere(t *testing.T) error {
	t.Helper()
	return startPinned(exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^$"), []int{1023})
}

// TestChildEndsWithItsContext: a command that takes too long costs its process, so
// that it cannot hold up the measurement.
func TestChildEndsWithItsContext(t *testing.T) {
	c, addrs, err := startRole(t.Context(), roleReceiver, os.Args[0], nil)
	if err != nil || len(addrs) != 1 {
		t.Fatalf("listens on %v, %v", addrs, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := c.read(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("reading an answer that does not come: %v", err)
	}
	c.stop()
	if c.cmd.ProcessState == nil {
		t.Error("the process was not waited for")
	}
}

func TestRoleEndsWithItsStdin(t *testing.T) {
	c, _, err := startRole(t.Context(), roleReceiver, os.Args[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	if c.err != nil {
		t.Errorf("ended with %v, want a clean exit", c.err)
	}
}

func TestRoleThatFailsSaysWhy(t *testing.T) {
	_, _, err := startRole(t.Context(), roleFloor, os.Args[0], nil, "--dir", "/nowhere/at/all")
	if err == nil || !strings.Contains(err.Error(), "open log") {
		t.Errorf("error is %v, want what the role wrote on stderr", err)
	}
	if _, err := startFloor(t.Context(), "/nowhere/postern", nil, t.TempDir()); err == nil {
		t.Error("a binary that is not there starts")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var kept tail
	if kept.String() != "" {
		t.Errorf("empty tail is %q", kept.String())
	}
	for range 3 {
		kept.Write([]byte(strings.Repeat("x", stderrKept)))
	}
	kept.Write([]byte("the end\n"))
	if got := kept.String(); !strings.HasSuffix(got, "the end") || len(got) > stderrKept+50 {
		t.Errorf("kept %d bytes, ending %q", len(got), got[len(got)-10:])
	}
}

func TestChildrenDoNotInheritSettings(t *testing.T) {
	got := childEnviron([]string{"HOME=/h", "POSTERN_STORE=memory:", "GOMAXPROCS=3"})
	if !slices.Equal(got, []string{"HOME=/h", "GOMAXPROCS=3"}) {
		t.Errorf("environment is %v", got)
	}
}
