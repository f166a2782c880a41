package bench

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFillsAreNamedAfterTheirContents(t *testing.T) {
	for want, f := range map[string]fill{
		"1M stored":               newFill(1_000_000, 0),
		"100k stored":             newFill(100_000, 0),
		"1.5M pending":            newFill(0, 1_500_000),
		"1234567 stored":          newFill(1_234_567, 0),
		"300 stored, 40 pending":  newFill(300, 40),
		"1k stored, 2.5k pending": newFill(1000, 2500),
	} {
		if f.Subject != want {
			t.Errorf("%d stored and %d pending are called %q, want %q", f.Stored, f.Pending, f.Subject, want)
		}
	}
}

// TestFillsGrow: each store is made from the one before it.
func TestFillsGrow(t *testing.T) {
	o := Options{Chart: []int{3000, 0, 1000}, Stored: 1000, Pending: 10}
	want := []fill{newFill(1000, 0), newFill(3000, 0), newFill(0, 10)}
	if diff := cmp.Diff(want, o.fills()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (Options{}).fills(); len(got) != 0 {
		t.Errorf("without a wish: %v", got)
	}
}

// TestFilledStoresHoldWhatTheySay: a store that grows from another one gets what it
// lacks, and the other one is left as it was.
func TestFilledStoresHoldWhatTheySay(t *testing.T) {
	o := small(t)
	o.Chart, o.Pending = []int{150, 50}, 20
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o, dir: o.Dir}
	if err := b.fillAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]int{"50 stored": 50, "150 stored": 150, "20 pending": 0} {
		from := b.templates[subject]
		server, err := startServer(t.Context(), o, from.dir, from.app)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Data []created `json:"data"`
		}
		err = server.call(t.Context(), http.MethodGet, "/api/v1/app/"+from.app+"/msg?limit=250", nil, &page)
		server.stop()
		if err != nil || len(page.Data) != want {
			t.Errorf("%s: the load's application has %d messages, %v; want %d", subject, len(page.Data), err, want)
		}
	}
}

// TestHistoryMovesNoFigure holds each bar of a filled store at both sides of its
// limit; what neither measured is not judged, what one of them lacks is a miss.
func TestHistoryMovesNoFigure(t *testing.T) {
	const filled = "1M stored"
	for _, tc := range []struct {
		run, figure       string
		empty, ok, missed float64
	}{
		{"one", figureCPU, 50, 60, 60.1},
		{"one", figureDeliveries, 10_000, 8000, 7999},
		{"one", figureAckP99, 10, 12, 12.1},
		{"rate", figureE2EP99, 2, 2.4, 2.41},
		{"rate", figureAfterP99, 0.3, 0.5, 0.51}, // below a millisecond the jitter
		{"backlog", figureOthersP99, 5, 6, 6.1},
		{"probe", figureDrain, 1000, 800, 790},
	} {
		for value, want := range map[float64]bool{tc.ok: true, tc.missed: false} {
			samples := append(samplesOf(tc.run, subjectServer, map[string][]float64{tc.figure: {tc.empty}}),
				samplesOf(tc.run, filled, map[string][]float64{tc.figure: {value}})...)
			judged := verdictsOf(t, tc.run, filled, samples)
			if len(judged) != 1 || judged[0].Figure != tc.figure || judged[0].OK != want || *judged[0].Other != tc.empty {
				t.Errorf("%s: %s of %v beside %v is %+v, want ok %v", tc.run, tc.figure, value, tc.empty, judged, want)
			}
		}
	}
	lacking := verdictsOf(t, "one", filled, samplesOf("one", subjectServer, map[string][]float64{figureCPU: {50}}))
	if len(lacking) != 1 || lacking[0].OK || lacking[0].Value != nil {
		t.Errorf("a figure that the filled store lacks: %+v", lacking)
	}
}

// verdictsOf are those of a subject with a million stored, but for loss.
func verdictsOf(t *testing.T, name, subject string, samples []Sample) []verdict {
	t.Helper()
	o := Options{Rounds: 1, Stored: 1_000_000}
	r := newReport(o, onFilled([]run{rowOf(t, name)}, o.fills(), o.unmoved()), samples)
	return slices.DeleteFunc(r.Verdicts, func(v verdict) bool {
		return v.Subject != subject || v.Figure == figureLost || v.Figure == figureDuplicates
	})
}

// TestMeasuresOnFilledStores: the rounds hold the empty store and the filled ones;
// each measurement starts with what is stored there, and stores into its own copy.
func TestMeasuresOnFilledStores(t *testing.T) {
	o := small(t, "pending")
	o.Stored, o.Pending, o.Rounds, o.Size = 300, 40, 2, 10
	var progress bytes.Buffer
	o.Progress = &progress
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range got.Samples {
		order = append(order, s.Subject)
		before := 0.0
		if s.Subject == "40 pending" {
			before = 40
		}
		if n := s.Figures[figureWaiting] - before; n < 10 || n > 30 {
			t.Errorf("round %d, %s: %v retries are pending beside those from before, want 10 and a few", s.Round, s.Subject, n)
		}
	}
	want := []string{subjectServer, "300 stored", "40 pending", "300 stored", "40 pending", subjectServer}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for _, line := range []string{"filled   300 stored  (", "filled   40 pending  ("} {
		if !strings.Contains(progress.String(), line) {
			t.Errorf("progress lacks %q: %q", line, progress.String())
		}
	}
}

// TestChart: from nothing to the report, every point has its figures, is judged
// beside the empty store, and is drawn.
func TestChart(t *testing.T) {
	o := small(t)
	o.Chart = []int{400, 200}
	var out bytes.Buffer
	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, row := range got.chartTable() {
		if slices.Contains(row, "-") {
			t.Errorf("not all was measured: %v", row)
		}
	}
	judged := 0
	for _, v := range got.Verdicts {
		if v.Against == subjectServer && v.Value != nil && v.Other != nil {
			judged++
		}
	}
	// Of one, CPU, rate and accept; of accept, latencies end to end and after the ack, too.
	if want := 2 * (3 + 5); judged != want {
		t.Errorf("%d figures are judged beside the empty store, want %d", judged, want)
	}
	out.Reset()
	if err := got.write(&out, Text); err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{"0", "200", "400"} {
		if lines := strings.Count(out.String(), "\n"+point+" "); lines != 1+len(chartLines()) {
			t.Errorf("%s stored has %d lines, want one in the table and one in each plot:\n%s", point, lines, out.String())
		}
	}
}

func TestChartIsDrawnFromZero(t *testing.T) {
	o := Options{Rounds: 3, Chart: []int{1_000_000, 3_000_000}, Runs: chartRuns()}
	runs, err := chooseRuns(o.Runs)
	if err != nil {
		t.Fatal(err)
	}
	samples := slices.Concat(
		samplesOf("one", subjectServer, map[string][]float64{figureCPU: {50, 51, 52}}),
		samplesOf("one", "1M stored", map[string][]float64{figureCPU: {25.5}}),
		samplesOf("one", "3M stored", map[string][]float64{figureCPU: {102}}),
	)
	r := newReport(o, onFilled(runs, o.fills(), o.unmoved()), samples)
	want := [][]string{
		{"stored", "median", "one: CPU us per delivery"},
		{"0", "51", strings.Repeat("#", plotWidth/2)},
		{"1M", "25.50", strings.Repeat("#", plotWidth/4)},
		{"3M", "102", strings.Repeat("#", plotWidth)},
	}
	if diff := cmp.Diff(want, r.chartPlot(chartLines()[0])); diff != "" {
		t.Errorf("plot (-want +got):\n%s", diff)
	}
	if got := r.chartTable()[1][:3]; got[1] != "51 (50 - 52)" || got[2] != "-" {
		t.Errorf("the table's first line begins %q", got)
	}
	if got := r.chartPlot(chartLines()[3]); len(got) != 1 {
		t.Errorf("a figure that nobody measured is drawn: %v", got)
	}
}
