package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ChartPoints are the numbers of stored messages that a chart is made of, unless
// others are asked for.
func ChartPoints(quick bool) []int {
	if quick {
		return []int{1_000, 5_000, 10_000, 30_000}
	}
	return []int{100_000, 500_000, 1_000_000, 3_000_000}
}

// chart is cost and latency against what is stored.
type chart struct {
	Points []chartPoint `json:"points"`
}

// chartPoint is one number of stored messages, with the runs one and accept.
type chartPoint struct {
	Stored int    `json:"stored"`
	Report report `json:"report"`
}

// chart measures at each of the numbers, lowest first: each store is the last one,
// grown.
func (b *bench) chart(ctx context.Context) (chart, error) {
	runs, err := chooseRuns([]string{"one", "accept"})
	if err != nil {
		return chart{}, err
	}
	for i := range runs {
		runs[i].against = nil
	}
	var c chart
	for _, stored := range slices.Sorted(slices.Values(b.options.Chart)) {
		if err := b.fill(ctx, stored, b.options.Pending); err != nil {
			return c, err
		}
		samples, err := b.measureAll(ctx, runs)
		o := b.options
		o.Stored = stored
		c.Points = append(c.Points, chartPoint{Stored: stored, Report: newReport(o, runs, samples)})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// empty reports whether nothing was measured.
func (c chart) empty() bool { return len(c.Points) == 0 }

func (c chart) loss() error {
	var errs []error
	for _, p := range c.Points {
		errs = append(errs, p.Report.loss())
	}
	return errors.Join(errs...)
}

func (c chart) write(w io.Writer, format Format) error {
	switch format {
	case JSON:
		return json.NewEncoder(w).Encode(c)
	case Markdown:
		return c.writeTable(w, writeMarkdown)
	}
	return c.writeTable(w, writeAligned)
}

// writeTable is one line per number of stored messages.
func (c chart) writeTable(w io.Writer, table func(io.Writer, [][]string) error) error {
	rows := [][]string{{
		"stored", "CPU us/delivery", "spread", "deliveries/s", "accept p99 ms, full speed", "accept p99 ms, 5000/s", "peak MiB",
	}}
	for _, p := range c.Points {
		var one, accept result
		for _, res := range p.Report.Results {
			switch res.Run {
			case "one":
				one = res
			case "accept":
				accept = res
			}
		}
		rows = append(rows, []string{
			fmt.Sprint(p.Stored),
			one.median(figureCPU, "%.1f"), one.spread(figureCPU), one.median(figureDeliveries, "%.0f"),
			one.median(figureAckP99, "%.2f"), accept.median(figureAckP99, "%.2f"), one.median(figurePeak, "%.0f"),
		})
	}
	if len(c.Points) > 0 {
		if err := c.Points[0].Report.writeHead(w, "as below"); err != nil {
			return err
		}
	}
	return table(w, rows)
}
