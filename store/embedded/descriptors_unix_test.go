//go:build unix

package embedded

import (
	"syscall"
	"testing"
)

// Where descriptors are few, tables have an eighth of them.
func TestTablesLeaveDescriptors(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	few := before
	few.Cur = 1024
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	if got := (Options{}).withDefaults().database(nil, nil).MaxOpenFiles; got != 128 {
		t.Errorf("%d tables are kept open of 1024 descriptors, want 128", got)
	}
}
