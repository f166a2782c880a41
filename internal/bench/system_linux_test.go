package bench

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a) b (c) S 7 42 42 0 -1 4194304 500 0 0 0 123 45 7 8 20 0 9 0 100 1 2"
	want := processStat{program: "a) b (c", parent: 7, used: 1680 * time.Millisecond, reaped: 150 * time.Millisecond}
	if got, err := parseStat([]byte(line)); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4194304 500 0 0 0 x 45 7 8 20 0", "42 )a( S 1 42 42 0 -1 4194304 500 0 0 0 1 45 7 8 20 0"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q read as %v", bad, got)
		}
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	before, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	corpus, after := newCorpus(), before
	for deadline := time.Now().Add(time.Minute); after <= before && time.Now().Before(deadline); {
		corpus = newCorpus() // work
		if after, err = processCPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if after <= before || len(corpus) == 0 {
		t.Errorf("cpu went from %v to %v", before, after)
	}
	if peak := processPeak(os.Getpid()); peak < 1<<20 {
		t.Errorf("peak of %d bytes", peak)
	}
	if _, err := processCPU(1 << 30); err == nil {
		t.Error("a process that is not there has a cpu time")
	}
}

// TestPinnedChildSeesItsCore: a floor on one core would have GOMAXPROCS=1, at which
// group commit collapses; it raises that to 2, and the parent stays as it was.
func TestPinnedChildSeesItsCore(t *testing.T) {
	before, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	f, err := startFloor(t.Context(), os.Args[0], before[:1], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	c, err := f.counters(t.Context())
	if err != nil || c.gomaxprocs != 2 {
		t.Errorf("GOMAXPROCS is %v, %v; want 2", c.gomaxprocs, err)
	}
	status, err := os.ReadFile("/proc/" + itoa(f.pid()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	want := "Cpus_allowed_list:\t" + itoa(before[0]) + "\n"
	if !strings.Contains(string(status), want) {
		t.Errorf("the child is not on core %d alone", before[0])
	}
	if after, err := allowedCPUs(); err != nil || len(after) != len(before) {
		t.Errorf("own cores were %v, are %v, %v", before, after, err)
	}
	if err := startPinnedNowhere(t); err == nil {
		t.Error("pinning to a core that does not exist succeeds")
	}
}

func TestCoresAreReadFromStat(t *testing.T) {
	stat := []byte("cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu2 100 10 20 5000 400 3 4 5 50 6\ncpu12 7 7 7 7 7 7 7 7 7 7\nintr 5\n")
	if got, err := parseCores(stat, []int{2, 3}); err != nil || got != 1420*time.Millisecond {
		t.Errorf("core 2 was busy for %s, %v; want 1.42s", got, err)
	}
	if _, err := parseCores([]byte("cpu2 1 x 1 1 1 1 1 1 1 1"), []int{2}); err == nil {
		t.Error("a line without numbers is read")
	}
	cpus, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := coresBusy(cpus); err != nil || busy <= 0 {
		t.Errorf("the cores of this test were busy for %s, %v", busy, err)
	}
}

func TestFileSystemIsNamed(t *testing.T) {
	if name := fileSystem(t.TempDir()); name == "unknown" || !strings.Contains(name, "(") {
		t.Errorf("file system is %q", name)
	}
	if got := fileSystem("/proc/self"); !strings.HasPrefix(got, "proc ") {
		t.Errorf("/proc is %q", got)
	}
}

func TestClocksOfProcessesAgree(t *testing.T) {
	one, two := newClock(), newClock()
	if a, b := one.now(), two.now(); b < a || b-a > int64(time.Second) {
		t.Errorf("two clocks say %d and %d", a, b)
	}
	if left := one.until(one.now() + int64(time.Hour)); left > time.Hour || left < 59*time.Minute {
		t.Errorf("an hour from now is in %s", left)
	}
}
