package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// unmoved is by how much history and pending retries may move a figure.
	unmoved = 1.2
	// unmovedDatabase is the same for a database, whose indexes grow with it.
	unmovedDatabase = 1.25
	// jitter, in milliseconds, is what two measurements of one latency on the same
	// store differ by for no reason of the store's: a fifth of a figure below a
	// millisecond is less than the wake-up of a thread takes.
	jitter = 0.2
)

// fill is what a store holds before a measurement starts on it.
type fill struct {
	Stored  int    `json:"stored,omitempty"`  // delivered messages
	Pending int    `json:"pending,omitempty"` // retries that are not due for hours
	Subject string `json:"subject"`           // how reports call the server on it
}

// newFill names a fill after its contents.
func newFill(stored, pending int) fill {
	f := fill{Stored: stored, Pending: pending}
	var parts []string
	if stored > 0 {
		parts = append(parts, shortly(stored)+" stored")
	}
	if pending > 0 {
		parts = append(parts, shortly(pending)+" pending")
	}
	f.Subject = strings.Join(parts, ", ")
	return f
}

// shortly writes a number with the largest unit that it is a multiple of, to a tenth.
func shortly(n int) string {
	for _, unit := range []struct {
		size int
		name string
	}{{1_000_000, "M"}, {1_000, "k"}} {
		if n >= unit.size && n*10%unit.size == 0 {
			return fmt.Sprint(float64(n)/float64(unit.size)) + unit.name
		}
	}
	return fmt.Sprint(n)
}

// fills are the stores that measurements start on beside the empty one, those of
// the chart included, with the fewest messages first.
func (o Options) fills() []fill {
	var list []fill
	for _, stored := range append(slices.Sorted(slices.Values(o.Chart)), o.Stored) {
		if f := newFill(stored, 0); stored > 0 && !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b fill) int { return a.Stored - b.Stored })
	if o.Pending > 0 {
		list = append(list, newFill(0, o.Pending))
	}
	return list
}

// unmoved is by how much history may move a figure of these stores.
func (o Options) unmoved() float64 {
	if o.Store != "" {
		return unmovedDatabase
	}
	return unmoved
}

// onFilled has every run measured on the filled stores as well, and holds each of its
// figures there against the same on the empty store, of which it may be the factor.
func onFilled(runs []run, fills []fill, factor float64) []run {
	out := slices.Clone(runs)
	for i, r := range out {
		for _, f := range fills {
			out[i].against = append(slices.Clip(out[i].against), f.Subject)
			out[i].bars = append(slices.Clip(out[i].bars), r.unmovedBy(f.Subject, factor)...)
		}
	}
	return out
}

// unmovedBy are the bars of a subject on a filled store. What the run does not
// measure is not judged. End to end a closed loop measures how far its publishers
// are ahead, which is judged as the rate.
func (r run) unmovedBy(subject string, factor float64) []bar {
	with := func(figure string, limit func(float64) float64) bar {
		return bar{of: subject, figure: figure, against: subjectServer, limit: limit, ifMeasured: true}
	}
	rate := func(figure string) bar {
		b := with(figure, times(2-factor))
		b.atLeast = true
		return b
	}
	latency := func(other float64) float64 { return max(factor*other, other+jitter) }
	bars := []bar{
		with(figureCPU, times(factor)), rate(figureDeliveries), with(figureAckP99, latency),
		with(figureOthersP99, latency), rate(figureDrain), with(figureCreateP99, latency),
	}
	if r.rate > 0 {
		bars = append(bars, with(figureE2EP99, latency), with(figureAfterP99, latency))
	}
	return bars
}

// fillAll makes the stores that measurements start on copies of. Each with messages
// grows from a copy of the one before it.
func (b *bench) fillAll(ctx context.Context) error {
	b.templates = map[string]*template{}
	var last *template // with the most messages so far
	for i, f := range b.options.fills() {
		began := time.Now()
		t := &template{dir: filepath.Join(b.dir, fmt.Sprintf("template-%d", i))}
		if err := b.make(ctx, t, last, f); err != nil {
			return fmt.Errorf("fill a store with %s: %w", f.Subject, err)
		}
		b.templates[f.Subject] = t
		if f.Pending == 0 {
			last = t
		}
		note(b.options.Progress, "filled   %s  (%s)\n", f.Subject, time.Since(began).Round(time.Second))
	}
	return nil
}

// make fills one store, on top of what from holds; nil is nothing. Retries are made
// on an empty one, so that either cost shows by itself.
func (b *bench) make(ctx context.Context, t, from *template, f fill) error {
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return err
	}
	if from != nil && f.Stored > 0 {
		if err := from.copyTo(ctx, b.options, t.dir); err != nil {
			return err
		}
		t.app, t.stored = from.app, from.stored
	}
	return t.grow(ctx, b.options, f.Stored, f.Pending)
}
