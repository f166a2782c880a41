package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrLoss is returned by [Run] when an acknowledged message did not arrive or one
// arrived twice. A bar that is missed is a result; this is a defect.
var ErrLoss = errors.New("bench: messages were lost or delivered twice")

// Run measures and writes the report to out. If a measurement fails, or ctx ends,
// it reports what was measured before it returns the error. All processes that it
// started are gone when it returns.
func Run(ctx context.Context, options Options, out io.Writer) error {
	o, err := options.withDefaults()
	if err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	runs, err := chooseRuns(o.Runs)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Dir, "postern-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	samples, err := measureAll(ctx, o, runs, dir)
	err = errors.Join(err, os.RemoveAll(dir))
	if len(samples) > 0 {
		r := newReport(o, runs, samples)
		err = errors.Join(err, r.write(out, o.Format), r.loss())
	}
	return err
}

// measureAll goes round by round over all runs and subjects, so that what disturbs
// the machine for a while disturbs them all.
func measureAll(ctx context.Context, o Options, runs []run, dir string) ([]Sample, error) {
	var samples []Sample
	for round := range o.Rounds {
		for _, r := range runs {
			for _, subject := range r.subjects(round) {
				began := time.Now()
				name := fmt.Sprintf("%d-%s-%s", round+1, r.name, subject)
				sample, err := measure(ctx, o, r, subject, round+1, filepath.Join(dir, name))
				if err != nil {
					return samples, fmt.Errorf("round %d, run %s, %s: %w", round+1, r.name, subject, err)
				}
				samples = append(samples, sample)
				progressLine(o.Progress, sample, time.Since(began))
			}
		}
	}
	return samples, nil
}

// progressLine is for somebody who waits; that it cannot be written stops nothing.
func progressLine(w io.Writer, s Sample, took time.Duration) {
	_, _ = fmt.Fprintf(w, "round %d  %-4s %-8s %9.1f us/delivery %9.0f deliveries/s  (%s)\n",
		s.Round, s.Run, s.Subject, s.Figures[figureCPU], s.Figures[figureDeliveries], took.Round(time.Second))
}
