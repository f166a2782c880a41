package bench

import (
	"slices"
	"strings"
	"testing"
)

// TestBesideBefore: the other build is measured in every run, and only its server
// is the other's.
func TestBesideBefore(t *testing.T) {
	runs, err := chooseRuns(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range besideBefore(runs, "/old") {
		if got := r.subjects(0); !slices.Contains(got, subjectBefore) || slices.Contains(runs[i].against, subjectBefore) {
			t.Errorf("run %s: subjects %v", r.name, got)
		}
	}
	if got := besideBefore(runs, ""); len(got[0].against) != len(runs[0].against) {
		t.Errorf("without another build: %v", got[0].against)
	}
	for as, want := range map[string]string{subjectServer: "/new", subjectControl: "/new", subjectBefore: "/old"} {
		s := &session{as: as, options: Options{Exe: "/new", Before: "/old"}}
		if got := s.serverOptions().Exe; got != want {
			t.Errorf("%s is served by %s, want %s", as, got, want)
		}
	}
}

// TestLossAgainstBefore: what is dearer than before misses its bar.
func TestLossAgainstBefore(t *testing.T) {
	for _, c := range []struct {
		cpu, rate float64
		missed    []string
	}{{100, 1000, nil}, {104, 960, nil}, {106, 1000, []string{figureCPU}}, {100, 940, []string{figureDeliveries}}} {
		samples := []Sample{newSample(), newSample()}
		for i := range samples {
			samples[i].Run, samples[i].Round, samples[i].Subject = "ten", 1, []string{subjectServer, subjectBefore}[i]
			samples[i].Figures[figureCPU] = []float64{c.cpu, 100}[i] / 10
			samples[i].Figures[figureDeliveries] = []float64{c.rate, 1000}[i]
		}
		var missed []string
		for _, v := range newReport(Options{}, besideBefore([]run{rowOf(t, "ten")}, "/old"), samples).Verdicts {
			if v.Against == subjectBefore && !v.OK && v.Value != nil {
				missed = append(missed, v.Figure)
			}
		}
		if strings.Join(missed, " ") != strings.Join(c.missed, " ") {
			t.Errorf("%g us and %g/s after 100 and 1000: missed %v, want %v", c.cpu, c.rate, missed, c.missed)
		}
	}
}
