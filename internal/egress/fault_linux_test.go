package egress_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/postern-dev/postern/internal/egress"
)

// TestNoDescriptorsIsLocal uses up the process's descriptors for one dial.
func TestNoDescriptorsIsLocal(t *testing.T) {
	at := listen(t, greet)
	d := dialer(t, egress.Config{Allow: prefixes("127.0.0.0/8")})
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	// The lowest free descriptor is the next one given out.
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	lowest := uint64(f.Fd())
	f.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: lowest, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, _, err = d.Dial(t.Context(), "127.0.0.1", at.Port())
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	wantKind(t, err, egress.Local)
}
