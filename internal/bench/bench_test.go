package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// tiny is a bench that takes seconds, with this test binary as every process. The
// tests that use it mostly wait, and so run side by side.
func tiny(t *testing.T, runs ...string) Options {
	t.Helper()
	t.Parallel()
	return Options{
		Runs: runs, Rounds: 1, Messages: 1000, Warmup: 200, Seconds: 1,
		Dir: t.TempDir(), Exe: os.Args[0], Format: JSON,
	}
}

func runJSON(t *testing.T, o Options) (report, error) {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), o, &out)
	var got report
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("the report is not JSON: %v", err)
		}
	}
	return got, err
}

func TestRunMeasuresEverySubject(t *testing.T) {
	for run, want := range map[string][]string{
		"one":  {subjectServer, subjectFloor},
		"ten":  {subjectServer, subjectFloor},
		"rate": {subjectServer},
		"slow": {subjectServer, subjectControl},
	} {
		t.Run(run, func(t *testing.T) {
			o := tiny(t, run)
			var progress bytes.Buffer
			o.Progress = &progress
			got, err := runJSON(t, o)
			if err != nil {
				t.Fatal(err)
			}
			var subjects []string
			for _, res := range got.Results {
				subjects = append(subjects, res.Subject)
				checkResult(t, res)
			}
			if !slices.Equal(subjects, want) {
				t.Errorf("measured %v, want %v", subjects, want)
			}
			if lines := strings.Count(progress.String(), "\n"); lines != len(want) {
				t.Errorf("%d lines of progress, want %d", lines, len(want))
			}
			if left, err := os.ReadDir(o.Dir); err != nil || len(left) != 0 {
				t.Errorf("left behind in the folder: %v, %v", left, err)
			}
		})
	}
}

// checkResult looks at what must hold for a subject that loses nothing.
func checkResult(t *testing.T, res result) {
	t.Helper()
	name := res.Run + "/" + res.Subject
	positive := []string{figureDeliveries, figureAttempts, figureAcks, figureAckP50, figureAckP99, figureE2EP99, figureFsyncs, figureBatch}
	if runtime.GOOS == "linux" {
		positive = append(positive, figureCPU, figurePeak)
	}
	if res.Run == "rate" || res.Run == "slow" {
		positive = append(positive, figureAfterP99)
	}
	for _, key := range positive {
		if !(res.Figures[key].Median > 0) {
			t.Errorf("%s: %s is %v, want a positive figure", name, key, res.Figures[key].Median)
		}
	}
	for _, key := range []string{figureLost, figureDuplicates, figureUnfinished, figureRejected} {
		if stat, ok := res.Figures[key]; !ok || stat.Max != 0 {
			t.Errorf("%s: %s is %v (measured: %v), want 0", name, key, stat.Max, ok)
		}
	}
}

func TestRunDeliversWhatItCounts(t *testing.T) {
	o := tiny(t, "ten")
	o.Stored = 100
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Samples {
		if s.Messages != 100 || s.Deliveries != 1000 || s.EndToEnd.Count() != 1000 || s.Ack.Count() != 100 {
			t.Errorf("%s: %d messages, %d deliveries, %d arrivals, %d acks; want 100, 1000, 1000, 100",
				s.Subject, s.Messages, s.Deliveries, s.EndToEnd.Count(), s.Ack.Count())
		}
	}
}

func TestRunFindsFaults(t *testing.T) {
	for _, tc := range []struct {
		fault  string
		figure string
		want   float64 // of 200 messages every 50th is at fault
		loss   bool
	}{
		{"drop", figureLost, 4, true},
		{"double", figureDuplicates, 4, true},
		{"refuse", figureRefused, 4, false},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			o := tiny(t, "rate")
			o.Warmup, o.Stall = -1, 500*time.Millisecond
			o.ServerFlags = []string{"--fault", tc.fault}
			got, err := runJSON(t, o)
			if errors.Is(err, ErrLoss) != tc.loss {
				t.Errorf("error is %v; want a loss: %v", err, tc.loss)
			}
			if len(got.Samples) == 0 {
				t.Fatalf("no sample: %v", err)
			}
			if n := got.Samples[0].Figures[tc.figure]; n != tc.want {
				t.Errorf("%s = %v, want %v", tc.figure, n, tc.want)
			}
		})
	}
}

func TestRunSaysWhyTheServerDoesNotStart(t *testing.T) {
	o := tiny(t, "one")
	o.ServerFlags = []string{"--fault", "start"}
	_, err := runJSON(t, o)
	if err == nil || !strings.Contains(err.Error(), "the store is in use") {
		t.Errorf("error is %v, want what the server wrote on stderr", err)
	}
}

func TestRunEndsItsProcessesWhenCancelled(t *testing.T) {
	o := tiny(t, "rate")
	o.Seconds = 600
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() {
		<-started
		cancel()
	}()
	watch := &firstStart{dir: o.Dir, seen: started}
	go watch.run(ctx)
	if err := Run(ctx, o, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want the cancellation", err)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind in the folder: %v, %v", left, err)
	}
}

// firstStart signals when the bench has made its folder, so that the cancellation
// meets processes that are starting or running.
type firstStart struct {
	dir  string
	seen chan struct{}
}

func (f *firstStart) run(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if found, err := os.ReadDir(f.dir); err == nil && len(found) > 0 {
				close(f.seen)
				return
			}
		}
	}
}

func TestRunRefusesBadOptions(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"run", Options{Runs: []string{"two"}}, `no run "two": there are one, ten, rate, accept, slow, hang`},
		{"rounds", Options{Rounds: -1}, "rounds: -1"},
		{"messages", Options{Messages: maxExpected + 1}, "messages: 20000001"},
		{"stored", Options{Stored: -1}, "stored: -1"},
		{"pending", Options{Pending: -1}, "pending: -1"},
		{"size", Options{Size: maxExpected}, "size: 20000000"},
		{"chart", Options{Chart: []int{-1}}, "chart: -1"},
		{"publishers", Options{Publishers: 5000}, "publishers: 5000"},
		{"format", Options{Format: "xml"}, `format: "xml"`},
		{"cpus", Options{CPUs: []int{-1}}, "no core -1"},
		{"folder", Options{Dir: "/nowhere/at/all"}, "make folder"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Run(t.Context(), tc.o, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestDefaultsAreThePublishedWorkload(t *testing.T) {
	full, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if full.Rounds != 3 || full.Messages != 300_000 || full.Warmup != 50_000 || full.Publishers != 64 {
		t.Errorf("defaults are %+v", full)
	}
	quick, err := Options{Quick: true, Rounds: 2}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if quick.Rounds != 2 || quick.Messages >= full.Messages || quick.Seconds == 0 {
		t.Errorf("quick options are %+v", quick)
	}
	if runtime.GOOS == "linux" && (len(full.CPUs) == 0 || len(full.CPUs) > 2) {
		t.Errorf("pinned to %v, want at most two cores", full.CPUs)
	}
}
