package bench

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samplesOf makes samples of one run, a value per round.
func samplesOf(run, subject string, figures map[string][]float64) []Sample {
	var out []Sample
	for key, values := range figures {
		for i, v := range values {
			if len(out) <= i {
				out = append(out, Sample{Run: run, Subject: subject, Round: i + 1, Quiet: true, Figures: map[string]float64{}})
			}
			out[i].Figures[key] = v
		}
	}
	return out
}

func reportOf(t *testing.T, names []string, samples []Sample) report {
	t.Helper()
	runs, err := chooseRuns(names)
	if err != nil {
		t.Fatal(err)
	}
	return newReport(Options{Rounds: 3, Warmup: 50_000, Publishers: 64, CPUs: []int{0, 1}}, runs, samples)
}

// TestBarsAreTheDesigns holds each bar at both sides of its limit.
func TestBarsAreTheDesigns(t *testing.T) {
	for _, tc := range []struct {
		run, figure, against string
		other, ok, missed    float64
	}{
		{"one", figureCPU, subjectFloor, 50, 80, 80.1},
		{"one", figureCPU, subjectFloor, 100, 135, 135.1},
		{"one", figureDeliveries, subjectFloor, 10_000, 6000, 5999},
		{"one", figureAckP99, subjectFloor, 5, 10, 10.1},
		{"ten", figureCPU, "", 0, 45, 45.1},
		{"rate", figureAfterP99, "", 0, 5, 5.1},
		{"slow", figureE2EP99, subjectControl, 10, 12, 12.1},
		{"slow", figureLost, "", 0, 0, 1},
		{"accept", figureAckP99, "", 0, 10, 10.1},
		{"hang", figureE2EP99, subjectControl, 10, 12, 12.1},
		{"host", figureE2EP99, subjectControl, 10, 12, 12.1},
		{"flood", figureE2EP99, subjectControl, 10, 12, 12.1},
		{"flood", figureFlood, subjectControl, 20_000, 10_000, 9999},
		{"ratelimit", figureSlowest, "", 0, 45, 44},
		{"ratelimit", figureFastest, "", 0, 55, 56},
		{"idle", figureResident, "", 0, 64, 64.1},
		{"idle", figureIdleCPU, "", 0, 0.5, 0.6},
		{"pending", figureResident, "", 0, 256, 256.1},
		{"endpoints", figureResident, "", 0, 256, 256.1},
		{"fanout", figureCreateP99, "", 0, 5, 5.1},
		{"fanout", figureAckShare, "", 0, 0.1, 0.11},
		{"fanout", figureAckBeside, "", 0, 0.1, 0.11},
		{"backlog", figurePeak, "", 0, 256, 256.1},
		{"backlog", figureOthersP99, subjectControl, 10, 12, 12.1},
		{"backlog", figureDrainP99, subjectControl, 10, 12, 12.1},
		{"pages", figureSlowestPage, "", 0, 20, 20.1},
		{"pages", figureGrown, "", 0, 8, 8.1},
		{"restart", figureReady, "", 0, 2, 2.1},
		{"restart", figureFirst, "", 0, 1, 1.1},
		{"one", figureDuplicates, "", 0, 0, 1},
	} {
		for value, want := range map[float64]bool{tc.ok: true, tc.missed: false} {
			samples := samplesOf(tc.run, subjectServer, map[string][]float64{tc.figure: {value}})
			if tc.against != "" {
				samples = append(samples, samplesOf(tc.run, tc.against, map[string][]float64{tc.figure: {tc.other}})...)
			}
			v := find(t, reportOf(t, []string{tc.run}, samples), tc.run, tc.figure)
			if v.OK != want {
				t.Errorf("%s: %s of %v against %v is ok: %v, want %v", tc.run, tc.figure, value, tc.other, v.OK, want)
			}
		}
	}
}

func find(t *testing.T, r report, run, figure string) verdict {
	t.Helper()
	for _, v := range r.Verdicts {
		if v.Run == run && v.Figure == figure {
			return v
		}
	}
	t.Fatalf("no bar for %s of run %s", figure, run)
	return verdict{}
}

// TestOneBadRoundOfThree: a median forgives a slow round, never a lost message.
func TestOneBadRoundOfThree(t *testing.T) {
	samples := samplesOf("ten", subjectServer, map[string][]float64{
		figureCPU: {40, 90, 41}, figureLost: {0, 1, 0}, figureDuplicates: {0, 0, 0},
	})
	r := reportOf(t, []string{"ten"}, samples)
	if v := find(t, r, "ten", figureCPU); !v.OK || *v.Value != 41 {
		t.Errorf("CPU: %v, ok %v; want the median 41, ok", *v.Value, v.OK)
	}
	if v := find(t, r, "ten", figureLost); v.OK || *v.Value != 1 {
		t.Errorf("lost: %v, ok %v; want 1, missed", *v.Value, v.OK)
	}
	if err := r.loss(); !errors.Is(err, ErrLoss) || !strings.Contains(err.Error(), "round 2: 1 lost") {
		t.Errorf("loss is %v", err)
	}
}

func TestUnmeasuredIsNotOK(t *testing.T) {
	samples := samplesOf("one", subjectServer, map[string][]float64{figureDeliveries: {9000}, figureLost: {0}})
	r := reportOf(t, []string{"one"}, samples)
	if v := find(t, r, "one", figureCPU); v.OK || v.Value != nil {
		t.Errorf("CPU without a figure: %+v", v)
	}
	if v := find(t, r, "one", figureDeliveries); v.OK || v.Limit != nil {
		t.Errorf("deliveries without a floor: %+v", v)
	}
	if (bar{limit: fixed(1)}).keeps(math.NaN(), 1) {
		t.Error("NaN keeps a bar")
	}
}

func TestReportReadsAsATable(t *testing.T) {
	samples := samplesOf("ten", subjectServer, map[string][]float64{
		figureCPU: {40, 44, 42}, figureDeliveries: {20_000, 21_000, 19_000}, figureAckP50: {1}, figureAckP99: {2.5},
		figureLost: {0}, figureDuplicates: {0}, figureBehind: {0.015}, figureBatch: {31.4}, figureProcs: {2}, figureForeign: {3, 12, 4},
	})
	samples[0].Quiet = false
	r := reportOf(t, []string{"ten"}, samples)
	r.Environment = environment{Go: "go1", Platform: "p", Kernel: "k", CPUs: []int{0, 1}, FileSystem: "ext4"}
	r.ServerFlags = []string{"--x", "1"}

	var got bytes.Buffer
	if err := r.write(&got, Markdown); err != nil {
		t.Fatal(err)
	}
	want := `go1, p, kernel k, cores [0 1], ext4
3 rounds (median; spread = highest - lowest), warm-up 50000, 64 publishers, server flags --x 1

| run | subject | CPU us/delivery | spread | deliveries/s | spread | ack p50 / p99 ms | e2e p50 / p99 ms | after ack p50 / p99 ms | lost / dup | fsyncs/s | batch | behind | GOMAXPROCS | debt growth MiB | peak MB | foreign CPU % |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| 10 endpoints, full speed | postern | 42.0 (not quiet) | 10 % | 20000 | 10 % | 1.00 / 2.50 | - | - | 0 / 0 | - | 31.4 | 1.50 % | 2 | - | - | 12 |

| run | subject | bar | measured | rounds | beside | limit | verdict |
|---|---|---|---|---|---|---|---|
| ten | postern | CPU us per delivery | 42 | 40 - 44 |  | <= 45 | ok |
| ten | postern | lost | 0 | 0 - 0 |  | <= 0 | ok |
| ten | postern | duplicates | 0 | 0 - 0 |  | <= 0 | ok |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("markdown (-want +got):\n%s", diff)
	}
	got.Reset()
	if err := r.write(&got, Text); err != nil || !strings.Contains(got.String(), "run  subject  bar                  measured  rounds   beside  limit  verdict") {
		t.Errorf("text, %v:\n%s", err, got.String())
	}
}

// TestLossLeavesOutTheUnknown: what was never acknowledged need not arrive, and a
// neighbour that is behind has lost nothing yet.
func TestLossLeavesOutTheUnknown(t *testing.T) {
	s := &session{run: run{endpoints: 1, neighbours: 1}}
	sent := loadStats{Acked: 8, Unacked: []uint64{3, 5}, Latency: &Histogram{}, EndNs: 1e9, Acks: make([]int64, 10)}
	sent.Acks[0], sent.Acks[1] = 100, 100
	got := receiverStats{Paths: []pathStats{
		{Unique: 8, Missing: 2, Listed: []uint64{3, 7}, LastNs: 2e9, Latency: &Histogram{}, Arrivals: []int64{250, 50, 70}},
		{Unique: 4, Missing: 6, Listed: []uint64{3, 5, 6, 7, 8, 9}, Duplicates: 1, Latency: &Histogram{}},
	}}
	sample := s.evaluate(sent, got, snapshot{}, snapshot{})
	for key, want := range map[string]float64{
		figureLost: 1, figureUnfinished: 4, figureDuplicates: 1, figureDeliveries: 4, figureAcks: 8,
	} {
		if sample.Figures[key] != want {
			t.Errorf("%s = %v, want %v", key, sample.Figures[key], want)
		}
	}
	// The second arrived before its ack was read, the third was never acknowledged.
	if h := sample.AfterAck; h.Count() != 2 || h.Max() != 150 || h.Quantile(0.5) != 0 {
		t.Errorf("after the ack: %d values, median %d, max %d; want 2, 0, 150", h.Count(), h.Quantile(0.5), h.Max())
	}
	if _, ok := sample.Figures[figureBatch]; ok {
		t.Error("a mean batch of 0/0 is reported")
	}
}

func TestSubjectsTakeTurns(t *testing.T) {
	one := allRuns()[0]
	if diff := cmp.Diff([]string{subjectServer, subjectFloor}, one.subjects(0)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{subjectFloor, subjectServer}, one.subjects(1)); diff != "" {
		t.Error(diff)
	}
}
