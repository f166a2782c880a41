package postern_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

func TestPermanentIsFoundInAChain(t *testing.T) {
	err := fmt.Errorf("charging: %w", postern.Permanent(fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)))
	if !postern.IsPermanent(err) || !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "charging: reading: unexpected EOF" {
		t.Errorf("%v: permanent %t, is the cause %t", err, postern.IsPermanent(err), errors.Is(err, io.ErrUnexpectedEOF))
	}
	if err := postern.Permanent(nil); err != nil || postern.IsPermanent(nil) || postern.IsPermanent(io.EOF) {
		t.Errorf("nothing was marked, and yet %v", err)
	}
}

func TestRetryAfterIsFoundInAChain(t *testing.T) {
	err := fmt.Errorf("the ledger is closed: %w", postern.RetryAfter(time.Hour))
	if got := postern.RetryAfterOf(err); got != time.Hour || err.Error() != "the ledger is closed: try again after 1h0m0s" {
		t.Errorf("%v asks for %v", err, got)
	}
	for _, err := range []error{nil, io.EOF, postern.RetryAfter(-time.Second)} {
		if got := postern.RetryAfterOf(err); got != 0 {
			t.Errorf("%v asks for %v", err, got)
		}
	}
	if postern.IsPermanent(err) {
		t.Error("it is to be tried again, and counts as permanent")
	}
}
