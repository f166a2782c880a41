package postern

import (
	"errors"
	"time"
)

// permanent and retryAfter carry a handler's wish in the chain of its error.
type (
	permanent  struct{ err error }
	retryAfter struct{ wait time.Duration }
)

// Permanent marks a handler's error as one that no retry will mend: its
// delivery is dead at once. It is nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

// IsPermanent reports whether an error of err's chain was made by Permanent.
func IsPermanent(err error) bool {
	_, found := errors.AsType[*permanent](err)
	return found
}

// RetryAfter is the error of a handler that wants to be tried again, and not
// within the next d: it lengthens the wait of the retry schedule, never shortens
// it, up to MaxRetryAfter. To tell why, join it with the reason:
//
//	return fmt.Errorf("the ledger is closed: %w", postern.RetryAfter(time.Hour))
func RetryAfter(d time.Duration) error { return &retryAfter{max(d, 0)} }

// RetryAfterOf is what the first RetryAfter of err's chain asks for; 0 for none.
func RetryAfterOf(err error) time.Duration {
	if wish, found := errors.AsType[*retryAfter](err); found {
		return wish.wait
	}
	return 0
}

// Error is the marked error's text.
func (e *permanent) Error() string { return e.err.Error() }

// Unwrap returns the marked error.
func (e *permanent) Unwrap() error { return e.err }

// Error says how long the wait is to be.
func (e *retryAfter) Error() string { return "try again after " + e.wait.String() }
