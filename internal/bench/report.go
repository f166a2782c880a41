package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is everything that a bench found out; its JSON form is the raw data.
type report struct {
	Environment environment `json:"environment"`
	Rounds      int         `json:"rounds"`
	Warmup      int         `json:"warmup"`
	Fills       []fill      `json:"fills,omitempty"` // of the stores beside the empty one
	Chart       bool        `json:"chart,omitempty"` // wanted
	Publishers  int         `json:"publishers"`
	ServerFlags []string    `json:"serverFlags,omitempty"`
	Results     []result    `json:"results"`
	Verdicts    []verdict   `json:"verdicts"`
	Samples     []Sample    `json:"samples"`
}

// result sums up one subject of one run over the rounds.
type result struct {
	Run     string          `json:"run"`
	Title   string          `json:"title"`
	Subject string          `json:"subject"`
	Figures map[string]Stat `json:"figures"`
	Quiet   bool            `json:"quiet"` // in every round
}

// verdict is one bar and whether the medians keep it.
type verdict struct {
	Run     string   `json:"run"`
	Subject string   `json:"subject"`
	Figure  string   `json:"figure"`
	Value   *float64 `json:"value"`             // nil: not measured
	Rounds  *Stat    `json:"rounds,omitempty"`  // that the value sums up
	Against string   `json:"against,omitempty"` // subject; empty: an absolute bar
	Other   *float64 `json:"other,omitempty"`   // what that one has; nil: not measured
	Limit   *float64 `json:"limit"`             // nil: what it compares with was not measured
	Least   bool     `json:"atLeast,omitempty"`
	OK      bool     `json:"ok"`
}

func newReport(o Options, runs []run, samples []Sample) report {
	r := report{
		Environment: newEnvironment(o),
		Rounds:      o.Rounds, Warmup: o.Warmup, Fills: o.fills(), Chart: len(o.Chart) > 0, Publishers: o.Publishers,
		ServerFlags: o.ServerFlags,
		Samples:     samples,
	}
	for _, run := range runs {
		for _, subject := range run.subjects(0) {
			if res, ok := resultOf(run, subject, samples); ok {
				r.Results = append(r.Results, res)
			}
		}
		bars := append(slices.Clip(run.bars), always(subjectServer)...)
		for _, f := range r.Fills {
			bars = append(bars, always(f.Subject)...)
		}
		for _, b := range bars {
			if v := r.judge(run, b); !b.ifMeasured || v.Value != nil || v.Other != nil {
				r.Verdicts = append(r.Verdicts, v)
			}
		}
	}
	return r
}

// resultOf sums up; false when the subject was not measured.
func resultOf(run run, subject string, samples []Sample) (result, bool) {
	values := map[string][]float64{}
	res := result{Run: run.name, Title: run.title, Subject: subject, Figures: map[string]Stat{}, Quiet: true}
	for _, s := range samples {
		if s.Run != run.name || s.Subject != subject {
			continue
		}
		res.Quiet = res.Quiet && s.Quiet
		for key, value := range s.Figures {
			values[key] = append(values[key], value)
		}
	}
	for key, list := range values {
		if stat, ok := summarise(list); ok {
			res.Figures[key] = stat
		}
	}
	return res, len(values) > 0
}

// judge holds a subject's figure against one bar. Loss and duplicates are judged
// by the worst round: a median would forgive them.
func (r report) judge(run run, b bar) verdict {
	v := verdict{Run: run.name, Subject: or(b.of, subjectServer), Figure: b.figure, Against: b.against, Least: b.atLeast}
	value, other := math.NaN(), math.NaN()
	if stat, ok := r.figure(run.name, v.Subject, b.figure); ok {
		value, v.Rounds = stat.Median, &stat
		if b.figure == figureLost || b.figure == figureDuplicates {
			value = stat.Max
		}
	}
	if stat, ok := r.figure(run.name, b.against, b.figure); ok {
		other = stat.Median
		v.Other = &other
	}
	limit := b.limit(other)
	v.Value, v.Limit, v.OK = optional(value), optional(limit), b.keeps(value, limit)
	return v
}

// figure looks up one figure of one subject; false when it was not measured.
func (r report) figure(run, subject, key string) (Stat, bool) {
	for _, res := range r.Results {
		if res.Run == run && res.Subject == subject {
			stat, ok := res.Figures[key]
			return stat, ok
		}
	}
	return Stat{}, false
}

// loss is [ErrLoss] when any sample of any subject lost or doubled a message.
func (r report) loss() error {
	for _, s := range r.Samples {
		if lost, twice := s.Figures[figureLost], s.Figures[figureDuplicates]; lost != 0 || twice != 0 {
			return fmt.Errorf("%w: run %s, %s, round %d: %.0f lost, %.0f duplicates",
				ErrLoss, s.Run, s.Subject, s.Round, lost, twice)
		}
	}
	return nil
}

// empty reports whether nothing was measured.
func (r report) empty() bool { return len(r.Samples) == 0 }

// write is the report in one of the formats, for a terminal, a README or a program.
func (r report) write(w io.Writer, format Format) error {
	switch format {
	case JSON:
		return json.NewEncoder(w).Encode(r)
	case Markdown:
		return r.writeTables(w, writeMarkdown)
	}
	return r.writeTables(w, writeAligned)
}

// writeTables writes the environment, the figures, the bars and the curves.
func (r report) writeTables(w io.Writer, table func(io.Writer, [][]string) error) error {
	if err := r.writeHead(w); err != nil {
		return err
	}
	if r.Chart {
		if err := r.writeChart(w, table); err != nil {
			return err
		}
	}
	tables := [][][]string{r.figureRows(), r.furtherRows(), r.verdictRows()}
	for _, s := range r.Samples {
		tables = append(tables, s.windowRows(), s.pageRows())
		tables = append(tables, s.curveRows()...)
	}
	gap := ""
	for _, rows := range tables {
		if len(rows) < 2 {
			continue // a heading alone
		}
		if _, err := io.WriteString(w, gap); err != nil {
			return err
		}
		if err := table(w, rows); err != nil {
			return err
		}
		gap = "\n"
	}
	return nil
}

// writeHead writes what a reader must know to compare.
func (r report) writeHead(w io.Writer) error {
	e := r.Environment
	_, err := fmt.Fprintf(w, "%s, %s, kernel %s, cores %v, %s\n%s%d rounds (median; spread = highest - lowest), warm-up %d, %d publishers%s\n\n",
		e.Go, e.Platform, e.Kernel, e.CPUs, e.FileSystem, e.Database.note(),
		r.Rounds, max(r.Warmup, 0), r.Publishers, flagNote(r.ServerFlags))
	return err
}

// flagNote tells what a reader cannot see from the figures: a server that was run
// with other settings than the published ones.
func flagNote(flags []string) string {
	if len(flags) == 0 {
		return ""
	}
	return ", server flags " + strings.Join(flags, " ")
}

// figureRows is one line per subject of each run, a heading first.
func (r report) figureRows() [][]string {
	rows := [][]string{{
		"run", "subject", "CPU us/delivery", "spread", "deliveries/s", "spread",
		"ack p50 / p99 ms", "e2e p50 / p99 ms", "after ack p50 / p99 ms",
		"lost / dup", "fsyncs/s", "batch", "behind", "GOMAXPROCS", "debt growth MiB", "peak MB", "foreign CPU %",
	}}
	for _, res := range r.Results {
		if _, ok := res.Figures[figureAckP99]; !ok {
			continue // a run without a load to tell of
		}
		cpu := res.median(figureCPU, "%.1f")
		if !res.Quiet {
			cpu += " (not quiet)"
		}
		rows = append(rows, []string{
			res.Title, res.Subject,
			cpu, res.spread(figureCPU),
			res.median(figureDeliveries, "%.0f"), res.spread(figureDeliveries),
			res.pair(figureAckP50, figureAckP99),
			res.pair(figureE2EP50, figureE2EP99),
			res.pair(figureAfterP50, figureAfterP99),
			res.worst(figureLost) + " / " + res.worst(figureDuplicates),
			res.median(figureFsyncs, "%.0f"), res.median(figureBatch, "%.1f"),
			res.percent(figureBehind), res.median(figureProcs, "%.0f"), res.median(figureDebt, "%.0f"), res.median(figurePeak, "%.0f"), res.worst(figureForeign),
		})
	}
	return rows
}

// furtherRows is one line per figure that has no column, a heading first.
func (r report) furtherRows() [][]string {
	rows := [][]string{{"run", "subject", "figure", "median", "lowest", "highest"}}
	for _, res := range r.Results {
		for _, key := range furtherFigures() {
			if stat, ok := res.Figures[key]; ok {
				rows = append(rows, []string{res.Run, res.Subject, key, number(&stat.Median), number(&stat.Min), number(&stat.Max)})
			}
		}
	}
	return rows
}

// verdictRows is one line per bar, a heading first.
func (r report) verdictRows() [][]string {
	rows := [][]string{{"run", "subject", "bar", "measured", "rounds", "beside", "limit", "verdict"}}
	for _, v := range r.Verdicts {
		relation, word := "<= ", "MISSED"
		if v.Least {
			relation = ">= "
		}
		switch {
		case v.OK:
			word = "ok"
		case v.Value == nil || v.Limit == nil:
			word = "not measured"
		}
		rounds, beside := "-", ""
		if v.Rounds != nil {
			rounds = v.Rounds.between()
		}
		if v.Against != "" {
			beside = v.Against + " " + number(v.Other) + v.ratio()
		}
		rows = append(rows, []string{
			v.Run, v.Subject, title(v.Figure), number(v.Value), rounds, beside, relation + number(v.Limit), word,
		})
	}
	return rows
}

// ratio is what the value is as a multiple of what it is compared with; "" for none.
func (v verdict) ratio() string {
	if v.Value == nil || v.Other == nil || !(*v.Other > 0) {
		return ""
	}
	return fmt.Sprintf(" (x %.2f)", *v.Value / *v.Other)
}

// The cells of the table: a figure that was not measured is a dash, never a zero.

func (res result) median(key, format string) string {
	stat, ok := res.Figures[key]
	if !ok {
		return "-"
	}
	return fmt.Sprintf(format, stat.Median)
}

// spread tells how far the rounds lie apart: a difference between two subjects that
// is smaller than this means nothing.
func (res result) spread(key string) string {
	stat, ok := res.Figures[key]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*stat.Spread())
}

func (res result) percent(key string) string {
	stat, ok := res.Figures[key]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*stat.Median)
}

// worst is for what must be zero, or small, where a median would hide a bad round.
func (res result) worst(key string) string {
	stat, ok := res.Figures[key]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.0f", stat.Max)
}

func (res result) pair(low, high string) string {
	if _, ok := res.Figures[high]; !ok {
		return "-"
	}
	return res.median(low, "%.2f") + " / " + res.median(high, "%.2f")
}

// number keeps two places where they say something.
func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v == math.Trunc(*v) || *v >= 1000:
		return fmt.Sprintf("%.0f", *v)
	}
	return fmt.Sprintf("%.2f", *v)
}

// optional is nil for what was not measured, as JSON has no NaN.
func optional(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// writeAligned is for a terminal; the first row is the heading.
func writeAligned(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// writeMarkdown assumes that no cell holds a pipe: all are numbers or our own words.
func writeMarkdown(w io.Writer, rows [][]string) error {
	for i, row := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
		if i == 0 {
			if _, err := fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(row))); err != nil {
				return err
			}
		}
	}
	return nil
}
