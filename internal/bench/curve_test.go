package bench

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCurvesAreJoined(t *testing.T) {
	c := newCurve([]int{1, 2, 3, 4, 5})
	if diff := cmp.Diff(Curve{StepSeconds: 1, Counts: []int{3, 7, 5}}, c.seconds()); diff != "" {
		t.Errorf("by the second (-want +got):\n%s", diff)
	}
	long := newCurve(make([]int, 3*curveLines))
	if got := long.fitting(); got.StepSeconds != 2 || len(got.Counts) != (3*curveLines+3)/4 {
		t.Errorf("%d lines of %v s", len(got.Counts), got.StepSeconds)
	}
	if got := newCurve(make([]int, maxCurve)).fitting(); len(got.Counts) > curveLines {
		t.Errorf("%d lines for the longest curve", len(got.Counts))
	}
}

// TestDrainRate: a delivery that waits for its retry does not make a drain slow.
func TestDrainRate(t *testing.T) {
	for _, tc := range []struct {
		counts []int
		want   float64
	}{
		{nil, 0},
		{[]int{0, 0, 100}, 200},
		{[]int{0, 600, 400}, 1000},
		{[]int{500, 500, 0, 0, 0, 10}, 1000}, // the stragglers are a hundredth
	} {
		if got := newCurve(tc.counts).perSecond(); got != tc.want {
			t.Errorf("%v drains at %v/s, want %v", tc.counts, got, tc.want)
		}
	}
}

func TestCurvesBeginAtAnInstant(t *testing.T) {
	const second = int64(time.Second)
	c := newCurve([]int{1, 2, 3})
	if got := c.since(10*second, 10*second+6e8).Counts; len(got) != 2 || got[0] != 2 {
		t.Errorf("since the second step: %v", got)
	}
	if got := c.since(10*second, 9*second).Counts; len(got) != 3 {
		t.Errorf("since before the beginning: %v", got)
	}
	if got := c.since(0, 9*second).Counts; len(got) != 0 {
		t.Errorf("since after the end: %v", got)
	}
}

func TestCurvesAndFurtherFiguresAreShown(t *testing.T) {
	s := Sample{Run: "probe", Subject: subjectServer, Round: 1, Quiet: true,
		Figures: map[string]float64{figureProbes: 6, figureDrain: 1234.5},
		Curves: map[string]Curve{
			curveDrain: newCurve(make([]int, 300)), // too many lines for steps of 2 s
			curveDown:  {StepSeconds: 10, Counts: []int{100, 1}},
		}}
	s.Curves[curveDrain].Counts[3] = 30
	var out bytes.Buffer
	if err := reportOf(t, []string{"probe"}, []Sample{s}).write(&out, Markdown); err != nil {
		t.Fatal(err)
	}
	bar := strings.Repeat("#", plotWidth)
	for _, want := range []string{
		"| drainPerSecond | 1234", "| requests/min while down | 6 |", "| <= 12 | ok |",
		"| second | in each 10 s | probe, postern, round 1: " + curveDown + " |", "| 0 | 100 | " + bar + " |", "| 10 | 1 | # |",
		"| second | in each 5 s | probe, postern, round 1: " + curveDrain + " |", "| 0 | 30 | " + bar + " |", "| 145 | 0 |  |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, out.String())
		}
	}
}
