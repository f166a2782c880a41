//go:build !unix

package pgtest

import (
	"fmt"
	"os/exec"
)

// asOrdinaryUser says that there is no such test here: the guard is a script of
// Unix, and so is the socket.
func asOrdinaryUser(*exec.Cmd, string) error {
	return fmt.Errorf("tests with PostgreSQL run on Unix: %w", errMissing)
}
