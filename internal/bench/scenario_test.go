package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildBinary makes the real one, once, in a folder that TestMain removes.
var buildBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "postern")
	build := exec.Command("go", "build", "-o", path, "github.com/postern-dev/postern/cmd/postern")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, output)
	}
	return path, nil
})

// small is a bench of the real server that takes seconds.
func small(t *testing.T, runs ...string) Options {
	t.Helper()
	o := tiny(t, runs...)
	exe, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	o.Exe, o.Size, o.Stall = exe, 200, 5*time.Second
	return o
}

// TestScenarios makes each run against the real server. Bars are not judged: this
// machine is busy with other tests, and the sizes say nothing.
func TestScenarios(t *testing.T) {
	loaded := []string{figureAckP99, figureE2EP99}
	for run, tc := range map[string]struct {
		subjects   string
		figures    []string // that must be positive
		deliveries int      // at least, of each subject
		stall      time.Duration
	}{
		"accept":    {"postern", loaded, 5000, 0},
		"hang":      {"postern control", loaded, 150, 0},
		"host":      {"postern control", loaded, 200, 0},
		"flood":     {"postern control alone", append(loaded, figureAfterP99), 100, 0},
		"idle":      {"postern", []string{figureCPU, figureResident}, 1000, 0},
		"pending":   {"postern", []string{figureWaiting, figureResident}, 0, 0},
		"endpoints": {"postern", []string{figureCreateP99, figureResident}, 0, 0},
		"fanout":    {"postern", []string{figureCreateP99, figureFanOut, figureAckShare, figureAckBeside}, 200 * (fanOuts + 1), 0},
		"backlog":   {"postern control", []string{figureOthersP99, figureDrainP99, figureWaiting, figurePeak}, 200, 0},
		// Probing begins after 30 s of failures, for which this test does not wait.
		"probe":   {"postern", []string{figureReturn, figureDrain, figureDrained}, 200, 500 * time.Millisecond},
		"pages":   {"postern", []string{figureSlowestPage, figureResident, figurePageWalk}, 200, 0},
		"restart": {"postern", []string{figureReady, figureReturn, figureDrain}, 300, 0},
	} {
		t.Run(run, func(t *testing.T) {
			o := small(t, run)
			o.Stall = or(tc.stall, o.Stall)
			got, err := runJSON(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Samples) != len(strings.Fields(tc.subjects)) {
				t.Fatalf("%d samples, want %s", len(got.Samples), tc.subjects)
			}
			for _, s := range got.Samples {
				if !strings.Contains(tc.subjects, s.Subject) || s.Deliveries < tc.deliveries || s.FirstError != "" {
					t.Errorf("%s: %d deliveries, %q; want %d", s.Subject, s.Deliveries, s.FirstError, tc.deliveries)
				}
			}
			checkFigures(t, got.Samples[0], tc.figures)
		})
	}
}

func checkFigures(t *testing.T, s Sample, positive []string) {
	t.Helper()
	for _, key := range positive {
		if runtime.GOOS != "linux" && (key == figureCPU || key == figurePeak || key == figureResident) {
			continue
		}
		if !(s.Figures[key] > 0) {
			t.Errorf("%s is %v, want a positive figure", key, s.Figures[key])
		}
	}
	for _, key := range []string{figureLost, figureDuplicates} {
		if n, ok := s.Figures[key]; !ok || n != 0 {
			t.Errorf("%s is %v (measured: %v), want 0", key, n, ok)
		}
	}
}

// TestRateLimitIsSeen: the run must tell a server that keeps a limit from one that
// does not.
func TestRateLimitIsSeen(t *testing.T) {
	o := small(t, "ratelimit")
	o.Seconds = 2
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests may fall behind; nothing gets ahead.
	if rate := got.Samples[0].Figures[figureRate]; rate <= 0 || rate > 60 {
		t.Errorf("%v/s under a limit of %d/s", rate, limitedRate)
	}
	if curve := got.Samples[0].Curves[curveLimited]; len(curve.Counts) < 3 || sum(curve.Counts) != 200 {
		t.Errorf("the curve is %v, want 200 over at least 3 s", curve)
	}
}

// TestCopiesShareOnlyWhatNeverChanges: a measurement must not write into the next
// one's store.
func TestCopiesShareOnlyWhatNeverChanges(t *testing.T) {
	from := &template{dir: t.TempDir()}
	store := filepath.Join(from.dir, storeName, "sub")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.sst", "2.log", ballastFile} {
		if err := os.WriteFile(filepath.Join(store, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to := t.TempDir()
	if err := from.copyTo(t.Context(), Options{}, to); err != nil {
		t.Fatal(err)
	}
	for name, shared := range map[string]bool{"1.sst": true, "2.log": false} {
		path := filepath.Join(to, storeName, "sub", name)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != name {
			t.Fatalf("%s holds %q, %v", name, text, err)
		}
		a, _ := os.Stat(path)
		b, _ := os.Stat(filepath.Join(store, name))
		if os.SameFile(a, b) != shared {
			t.Errorf("%s is shared: %v, want %v", name, !shared, shared)
		}
	}
	if _, err := os.Stat(filepath.Join(to, storeName, "sub", ballastFile)); err == nil {
		t.Error("the ballast is copied")
	}
}

// TestUnknownFatesAreNotLost: of what was never acknowledged, neither what arrived
// nor what did not is counted.
func TestUnknownFatesAreNotLost(t *testing.T) {
	s := newSample()
	sent := loadStats{Acked: 8, Unacked: []uint64{3, 5}, FirstError: "broken"}
	s.count(sent, pathStats{Unique: 8, Missing: 2, Listed: []uint64{3, 7}, Duplicates: 1}) // 5 arrived, 7 did not
	if s.Figures[figureLost] != 1 || s.Figures[figureDuplicates] != 1 || s.Messages != 8 || s.FirstError != "broken" {
		t.Errorf("lost %v, twice %v of %d", s.Figures[figureLost], s.Figures[figureDuplicates], s.Messages)
	}
}
