package bench

import (
	"bytes"
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
		"fanout":    {"postern", []string{figureCreateP99, figureFanOut, figureAckShare}, 200 * (fanOuts + 1), 0},
		"backlog":   {"postern control", []string{figureOthersP99, figureDrainP99, figureWaiting, figurePeak}, 200, 0},
		// Probing begins after 30 s of failures, for which this test does not wait.
		"probe":   {"postern", []string{figureReturn, figureDrain, figureDrained}, 200, 500 * time.Millisecond},
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
	if rate := got.Samples[0].Figures[figureRate]; rate < 40 || rate > 60 {
		t.Errorf("%v/s under a limit of %d/s", rate, limitedRate)
	}
	if curve := got.Samples[0].Curves["delivered by second"]; len(curve) < 3 || sum(curve) != 200 {
		t.Errorf("the curve is %v, want 200 over at least 3 s", curve)
	}
}

// TestMeasuresOnAFilledStore: each measurement starts with what was stored and what
// is pending, and stores into its own copy.
func TestMeasuresOnAFilledStore(t *testing.T) {
	o := small(t, "pending")
	o.Stored, o.Pending, o.Rounds, o.Size = 300, 40, 2, 10
	var progress bytes.Buffer
	o.Progress = &progress
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Samples {
		if n := s.Figures[figureWaiting]; n < 50 || n > 70 {
			t.Errorf("round %d: %v retries are pending, want 40 and 10, and a few", s.Round, n)
		}
	}
	if !strings.Contains(progress.String(), "filled   300 stored, 40 pending") {
		t.Errorf("progress is %q", progress.String())
	}
}

func TestChartGrowsTheStore(t *testing.T) {
	o := small(t)
	o.Chart, o.Format = []int{400, 200}, Markdown
	var out, progress bytes.Buffer
	o.Progress = &progress
	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if n := len(lines); n != 7 || !strings.HasPrefix(lines[5], "| 200 | ") || !strings.HasPrefix(lines[6], "| 400 | ") {
		t.Errorf("the chart is:\n%s", out.String())
	}
	if strings.Contains(lines[len(lines)-1], "| - |") {
		t.Errorf("not all was measured: %s", lines[len(lines)-1])
	}
	for _, want := range []string{"filled   200 stored", "filled   400 stored"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, progress.String())
		}
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
	if err := from.copyTo(to); err != nil {
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

func TestDrainRate(t *testing.T) {
	for _, tc := range []struct {
		curve []int
		want  float64
	}{
		{nil, 0},
		{[]int{0, 0, 100}, 100},
		{[]int{0, 600, 400}, 500},
		{[]int{500, 500, 0, 0, 0, 10}, 500}, // the stragglers are a hundredth
	} {
		if got := drainRate(tc.curve); got != tc.want {
			t.Errorf("%v drains at %v/s, want %v", tc.curve, got, tc.want)
		}
	}
	const second = int64(time.Second)
	if got := since([]int{1, 2, 3}, 10*second, 11*second+5); len(got) != 2 || got[0] != 2 {
		t.Errorf("since the second second: %v", got)
	}
	if got := since([]int{1}, 0, 9*second); len(got) != 0 {
		t.Errorf("since after the end: %v", got)
	}
}

func TestCurvesAndFurtherFiguresAreShown(t *testing.T) {
	s := Sample{Run: "probe", Subject: subjectServer, Round: 1, Quiet: true,
		Figures: map[string]float64{figureProbes: 6, figureDrain: 1234.5},
		Curves:  map[string][]int{curveDrain: make([]int, 90)}}
	s.Curves[curveDrain][3] = 30
	var out bytes.Buffer
	if err := reportOf(t, []string{"probe"}, []Sample{s}).write(&out, Text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"drainPerSecond", "1234", "requests/min while down", "<= 12", "\n3 ", "10", strings.Repeat("#", 40)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, out.String())
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines > curveSteps+20 {
		t.Errorf("%d lines for a curve of 90 s", lines)
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
