package cli

import (
	"errors"
	"fmt"
	"syscall"
)

// The exit codes of the binary. Scripts and service managers rely on them: a
// code keeps its meaning.
const (
	// ExitOK is a command that did what it was asked, a drained server among
	// them.
	ExitOK = 0
	// ExitError is every failure without a code of its own.
	ExitError = 1
	// ExitUsage is a mistake in the command line or the settings. Starting
	// again without a change cannot help.
	ExitUsage = 2
	// ExitDisk is a server that stopped because its store could no longer
	// write, or did not start because the disk is full. What was acknowledged
	// is kept; it can start again once there is space.
	ExitDisk = 3
)

// codedError is an error that ends the program with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// withCode gives an error an exit code.
func withCode(code int, err error) error { return &codedError{code, err} }

// diskCode gives an error the code ExitDisk if a full disk is its cause.
func diskCode(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return withCode(ExitDisk, err)
	}
	return err
}

// usage is a mistake of the caller's.
func usage(format string, args ...any) error {
	return withCode(ExitUsage, fmt.Errorf(format, args...))
}

// exitCode is the code that a command's error ends the program with.
func exitCode(err error) int {
	var coded *codedError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &coded):
		return coded.code
	}
	return ExitError
}
