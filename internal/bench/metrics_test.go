package bench

import (
	"math"
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	const text = `# HELP postern_fsyncs_total Syncs of the journal.
# TYPE postern_fsyncs_total counter
postern_fsyncs_total 41
postern_attempts_total{outcome="delivered"} 10
postern_attempts_total{outcome="failed {odd} label"} 2.5e1
postern_store_compaction_debt_bytes 1.048576e+06 1700000000000
`
	got, err := parseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := got.counters()
	if c.fsyncs != 41 || c.attempts != 35 || c.debt != 1<<20 {
		t.Errorf("fsyncs %v, attempts %v, debt %v; want 41, 35, 1048576", c.fsyncs, c.attempts, c.debt)
	}
	if !math.IsNaN(c.behind) {
		t.Errorf("a metric that is absent reads %v, want NaN", c.behind)
	}
	for _, bad := range []string{"postern_fsyncs_total", "postern_fsyncs_total many", `a{b="c"}`} {
		if _, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestQuietIsNoBackgroundWork(t *testing.T) {
	for busy, want := range map[float64]bool{0: true, 1: false, 2: false} {
		if got := (counters{busy: busy}).quiet(); got != want {
			t.Errorf("%v under way: quiet is %v", busy, got)
		}
	}
	if !(counters{busy: math.NaN()}).quiet() {
		t.Error("what is not told is a reason to wait")
	}
}
