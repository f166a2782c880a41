package bench

import (
	"fmt"
	"io"
)

// ChartPoints are the numbers of stored messages that a chart is made of, unless
// others are asked for.
func ChartPoints(quick bool) []int {
	if quick {
		return []int{1_000, 5_000, 10_000, 30_000}
	}
	return []int{100_000, 500_000, 1_000_000, 3_000_000}
}

// chartRuns are made when a chart is asked for and no run is named.
func chartRuns() []string { return []string{"one", "accept"} }

// chartLine is one curve of the chart: a figure of a run against what is stored.
type chartLine struct{ run, figure string }

func chartLines() []chartLine {
	return []chartLine{
		{"one", figureCPU}, {"one", figureDeliveries}, {"one", figureAckP99}, {"accept", figureAckP99}, {"one", figurePeak},
	}
}

// writeChart writes a table with a line for each number of stored messages, the empty
// store first, then a plot for each of its columns.
func (r report) writeChart(w io.Writer, table func(io.Writer, [][]string) error) error {
	tables := [][][]string{r.chartTable()}
	for _, line := range chartLines() {
		tables = append(tables, r.chartPlot(line))
	}
	for _, rows := range tables {
		if len(rows) < 2 {
			continue // a run that was not made
		}
		if err := table(w, rows); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
	}
	return nil
}

// chartPoints are the subjects of the chart, with what each has stored.
func (r report) chartPoints() []fill {
	points := []fill{{Subject: subjectServer}}
	for _, f := range r.Fills {
		if f.Pending == 0 {
			points = append(points, f)
		}
	}
	return points
}

// chartTable is one line for each number of stored messages, a heading first.
func (r report) chartTable() [][]string {
	heading := []string{"stored"}
	for _, line := range chartLines() {
		heading = append(heading, line.run+": "+title(line.figure))
	}
	rows := [][]string{heading}
	for _, point := range r.chartPoints() {
		row := []string{shortly(point.Stored)}
		for _, line := range chartLines() {
			stat, ok := r.figure(line.run, point.Subject, line.figure)
			row = append(row, stat.cell(ok))
		}
		rows = append(rows, row)
	}
	return rows
}

// chartPlot is one figure as bars from zero, a heading first, and that alone if it was
// not measured.
func (r report) chartPlot(line chartLine) [][]string {
	rows := [][]string{{"stored", "median", line.run + ": " + title(line.figure)}}
	most := 0.0
	for _, point := range r.chartPoints() {
		if stat, ok := r.figure(line.run, point.Subject, line.figure); ok {
			most = max(most, stat.Median)
		}
	}
	for _, point := range r.chartPoints() {
		if stat, ok := r.figure(line.run, point.Subject, line.figure); ok {
			rows = append(rows, []string{shortly(point.Stored), number(&stat.Median), plotBar(stat.Median, most)})
		}
	}
	return rows
}

// cell is the median with how far the rounds lie apart, if there were several.
func (s Stat) cell(ok bool) string {
	if !ok {
		return "-"
	}
	if s.Min == s.Max {
		return number(&s.Median)
	}
	return fmt.Sprintf("%s (%s)", number(&s.Median), s.between())
}

// between is the lowest and the highest round.
func (s Stat) between() string { return number(&s.Min) + " - " + number(&s.Max) }
