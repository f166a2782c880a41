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
	if o.Store != "" {
		if o.database, err = openDatabase(ctx, o); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		runs = onDatabase(runs)
	}
	b := &bench{options: o, dir: dir}
	found, err := b.measure(ctx, besideBefore(onFilled(runs, o.fills(), o.unmoved()), o.Before))
	err = errors.Join(err, os.RemoveAll(dir))
	if o.database != nil {
		err = errors.Join(err, o.database.close(ctx))
	}
	if found.empty() {
		return err
	}
	return errors.Join(err, found.write(out, o.Format), found.loss())
}

// bench is one call of [Run].
type bench struct {
	options   Options
	dir       string
	templates map[string]*template // by the subject that starts on it; others start empty
	expired   *template            // of the runs about messages that are past retention
}

// measure makes the filled stores and the runs, and reports what it got to.
func (b *bench) measure(ctx context.Context, runs []run) (report, error) {
	var samples []Sample
	err := b.fillAll(ctx)
	if err == nil {
		samples, err = b.measureAll(ctx, runs)
	}
	return newReport(b.options, runs, samples), err
}

// measureAll goes round by round over all runs and subjects, so that what disturbs
// the machine for a while disturbs them all.
func (b *bench) measureAll(ctx context.Context, runs []run) ([]Sample, error) {
	var samples []Sample
	for round := range b.options.Rounds {
		for _, r := range runs {
			if r.once && round > 0 {
				continue
			}
			for _, subject := range r.subjects(round) {
				from, err := b.templateFor(ctx, r, subject)
				if err != nil {
					return samples, fmt.Errorf("round %d, run %s: %w", round+1, r.name, err)
				}
				began := time.Now()
				s := &session{run: r, options: b.options, template: from, as: subject, dir: filepath.Join(b.dir, "measured")}
				sample, err := measure(ctx, s, round+1)
				if err != nil {
					return samples, fmt.Errorf("round %d, run %s, %s: %w", round+1, r.name, subject, err)
				}
				sample.TookSeconds = time.Since(began).Seconds()
				samples = append(samples, sample)
				note(b.options.Progress, "%s  (%s)\n", sample.line(), time.Since(began).Round(time.Second))
			}
		}
	}
	return samples, nil
}

// line is the sample for somebody who waits.
func (s Sample) line() string {
	line := fmt.Sprintf("round %d  %-9s %-11s", s.Round, s.Run, s.Subject)
	for _, key := range []string{figureCPU, figureDeliveries, figureAckP99, figureE2EP99} {
		if value, ok := s.Figures[key]; ok {
			line += fmt.Sprintf("  %s %s", key, number(&value))
		}
	}
	for _, key := range furtherFigures() {
		if value, ok := s.Figures[key]; ok {
			line += fmt.Sprintf("  %s %s", key, number(&value))
		}
	}
	return line
}

// note is for somebody who waits; that it cannot be written stops nothing.
func note(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
