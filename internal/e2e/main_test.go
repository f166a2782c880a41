package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/store/postgres"
)

// binary is the path of the postern under test; set before any test runs.
var binary string

// binaryVariable holds that path for tests that run in a process of their own,
// which need not build it once more.
const binaryVariable = "POSTERN_E2E_BINARY"

// databases has a PostgreSQL for the tests that ask for one. It does not wait for
// the disk: processes are killed here, not machines.
var databases = pgtest.New(pgtest.Config{Prepare: postgres.Migrate})

// TestMain builds the binary into a folder that other users can enter: one
// test runs it as nobody.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if order := os.Getenv(consumerVariable); order != "" {
			return consume(order)
		}
		if binary = os.Getenv(binaryVariable); binary != "" {
			return databases.Main(m)
		}
		dir, err := os.MkdirTemp("", "postern-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binary = filepath.Join(dir, "postern")
		build := exec.Command("go", "build", "-o", binary, "github.com/postern-dev/postern/cmd/postern")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, output)
			return 1
		}
		return databases.Main(m)
	}())
}
