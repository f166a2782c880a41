package bench

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFamilyIsPinnedAndPutBack: parent, children and those to come run where the
// measurement does, and where they were afterwards; their time counts, also when
// they have ended.
func TestFamilyIsPinnedAndPutBack(t *testing.T) {
	o := Options{Store: cluster.Database(t), Quick: true}
	var err error
	if o.CPUs, err = allowedCPUs(); err != nil {
		t.Fatal(err)
	}
	all := len(o.CPUs)
	if o.CPUs = o.CPUs[:1]; all == 1 {
		t.Skip("there is one core")
	}
	d, err := openDatabase(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	before, err := d.cpu()
	if err != nil {
		t.Fatal(err)
	}
	// A session that is born now, works, and ends.
	backend := query[int](t, o.Store, "SELECT pg_backend_pid() FROM (SELECT count(*) FROM generate_series(1, 5000000)) AS work")
	allOnCores(t, d.postmaster, 1)
	for gone := false; !gone; {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", backend))
		gone = err != nil
	}
	// A tenth of what five million rows take at least; what else there is takes less.
	if after, err := d.cpu(); err != nil || after < before+100*time.Millisecond || after > before+time.Minute {
		t.Errorf("cpu went from %s to %s, %v", before, after, err)
	}
	if err := d.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	allOnCores(t, d.postmaster, all)
	if _, err := postmasterOf(os.Getpid()); err == nil {
		t.Error("the parent of a test is no postmaster")
	}
}

// allOnCores checks how many cores the parent and each child may use.
func allOnCores(t *testing.T, parent, want int) {
	t.Helper()
	children, err := childrenOf(parent)
	if err != nil || len(children) == 0 {
		t.Fatalf("%d children, %v", len(children), err)
	}
	for _, pid := range append(slices.Collect(maps.Keys(children)), parent) {
		var set unix.CPUSet
		err := unix.SchedGetaffinity(pid, &set)
		if errors.Is(err, unix.ESRCH) && pid != parent {
			continue // it has ended since
		}
		if err != nil || set.Count() != want {
			t.Errorf("process %d may use %d cores, %v; want %d", pid, set.Count(), err, want)
		}
	}
}
