package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// curveStep is what one count of the receiver's curves covers.
	curveStep = 500 * time.Millisecond
	// maxCurve bounds the steps that are counted: two hours of them.
	maxCurve = int(2 * time.Hour / curveStep)
	// curveLines is how many lines a plot has at most, and plotWidth its longest bar.
	curveLines = 70
	plotWidth  = 40
)

// Curve is how many of something there were in each step of time.
type Curve struct {
	StepSeconds float64 `json:"stepSeconds"`
	Counts      []int   `json:"counts"`
}

// newCurve is one of the receiver's counts.
func newCurve(counts []int) Curve { return Curve{StepSeconds: curveStep.Seconds(), Counts: counts} }

// by is the same curve in steps that are so many times as long; the last one may be
// cut off by the end of what was counted.
func (c Curve) by(factor int) Curve {
	out := Curve{StepSeconds: c.StepSeconds * float64(factor)}
	for from := 0; from < len(c.Counts); from += factor {
		out.Counts = append(out.Counts, sum(c.Counts[from:min(from+factor, len(c.Counts))]))
	}
	return out
}

// seconds is the curve by the second.
func (c Curve) seconds() Curve { return c.by(max(1, int(1/c.StepSeconds))) }

// since cuts off the whole steps before an instant; begin is when the first began,
// on the same clock.
func (c Curve) since(begin, instant int64) Curve {
	gone := int(float64(max(0, instant-begin)) / 1e9 / c.StepSeconds)
	c.Counts = c.Counts[min(len(c.Counts), gone):]
	return c
}

// perSecond is the mean rate over the steps in which all but a hundredth came: the
// last few of a drain wait for their retries. What comes before the first is no part
// of it.
func (c Curve) perSecond() float64 {
	first := slices.IndexFunc(c.Counts, func(n int) bool { return n > 0 })
	total, most := 0, sum(c.Counts)-sum(c.Counts)/100
	for i := max(0, first); i < len(c.Counts); i++ {
		if total += c.Counts[i]; total >= most {
			return float64(total) / (float64(i-first+1) * c.StepSeconds)
		}
	}
	return 0
}

// fitting joins steps until the plot has no more lines than a reader looks at.
func (c Curve) fitting() Curve {
	for _, factor := range []int{1, 2, 4, 10, 20, 40, 120} {
		if len(c.Counts) <= curveLines*factor {
			return c.by(factor)
		}
	}
	return c.by((len(c.Counts) + curveLines - 1) / curveLines)
}

// curveRows is a plot for each of the sample's curves, a heading first.
func (s Sample) curveRows() [][][]string {
	var tables [][][]string
	for _, name := range slices.Sorted(maps.Keys(s.Curves)) {
		c := s.Curves[name].fitting()
		rows := [][]string{{
			"second", fmt.Sprintf("in each %g s", c.StepSeconds),
			fmt.Sprintf("%s, %s, round %d: %s", s.Run, s.Subject, s.Round, name),
		}}
		for i, n := range c.Counts {
			at := fmt.Sprintf("%g", float64(i)*c.StepSeconds)
			rows = append(rows, []string{at, fmt.Sprint(n), plotBar(float64(n), float64(slices.Max(c.Counts)))})
		}
		tables = append(tables, rows)
	}
	return tables
}

// plotBar is as long as value is a part of most; one that is not 0 is seen.
func plotBar(value, most float64) string {
	if value <= 0 || most <= 0 {
		return ""
	}
	return strings.Repeat("#", max(1, int(plotWidth*value/most+0.5)))
}

func sum(list []int) int {
	total := 0
	for _, n := range list {
		total += n
	}
	return total
}
