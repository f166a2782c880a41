package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Format is how a report is written.
type Format string

// The formats of a report.
const (
	Text     Format = "text"     // aligned columns, the default
	Markdown Format = "markdown" // tables for a README
	JSON     Format = "json"     // every sample with its histograms
)

// Options says what to measure. The zero value is the full bench as published:
// the core runs, three rounds, 300,000 messages after a warm-up of 50,000.
type Options struct {
	// Runs names runs or groups of runs. Empty means the group core.
	Runs []string
	// Rounds is how often each is measured; 0 means 3.
	Rounds int
	// Messages is what a closed loop delivers per measurement; 0 means 300,000.
	Messages int
	// Warmup is what is delivered before; 0 means 50,000, negative none.
	Warmup int
	// Stored and Pending have every run measured again on a store with so many
	// delivered messages, and on one with so many retries that are not due, in the same
	// rounds as on the empty store and judged against it; 0 means not. Each store is
	// made once, and a measurement starts on a copy.
	Stored, Pending int
	// Size is how many messages wait, or endpoints exist, in the runs that are about
	// such; 0 means as many as each says.
	Size int
	// Chart does what Stored does at each of these numbers, and reports cost and
	// latency as a chart of them; Runs is then by default what the chart shows. Empty
	// means no chart.
	Chart []int
	// Seconds is how long an open loop or a rest lasts; 0 means as long as its run says.
	Seconds int
	// Stall is how long no delivery may arrive before the missing ones are given up;
	// 0 means 30 s.
	Stall time.Duration
	// Publishers is the number of connections of the load; 0 means 64.
	Publishers int
	// Seed decides what a run does at random; 0 means another one each time.
	Seed uint64
	// Quick lowers the defaults above to a look rather than a measurement: one
	// round, 20,000 messages, a warm-up of 2,000, open loops of 5 seconds, a hundredth
	// of each size.
	Quick bool
	// CPUs are the cores that all processes share; empty means the first two that
	// this process may use. Ignored except on Linux.
	CPUs []int
	// Dir is where logs and stores go; it decides which disk is measured. Empty
	// means the working directory. A folder is made in it and removed afterwards.
	Dir string
	// Store is a PostgreSQL server on this machine, postgres://USER@HOST/DATABASE, that
	// stores are made on in place of folders: each measurement has a database of its
	// own there, and the one that is named is not touched. Its CPU time counts, its
	// processes run on CPUs meanwhile. Empty means folders in Dir.
	Store string
	// ServerFlags are passed to `postern serve` after the bench's own.
	ServerFlags []string
	// Exe is the binary that has the roles; empty means the running one.
	Exe string
	// Before is another build of it, whose server is measured in the same rounds and
	// which this one's is held against; empty means none.
	Before string
	// Format of the report; empty means [Text].
	Format   Format
	database *database // of Store, while it is measured on; nil: folders
	// Progress gets a line per measurement, for somebody who waits; nil means none.
	Progress io.Writer
}

// withDefaults fills what is zero.
func (o Options) withDefaults() (Options, error) {
	full := Options{Rounds: 3, Messages: 300_000, Warmup: 50_000}
	if o.Quick {
		full = Options{Rounds: 1, Messages: 20_000, Warmup: 2_000, Seconds: 5}
	}
	o.Rounds = or(o.Rounds, full.Rounds)
	o.Messages = or(o.Messages, full.Messages)
	o.Warmup = or(o.Warmup, full.Warmup)
	o.Seconds = or(o.Seconds, full.Seconds)
	o.Publishers = or(o.Publishers, 64)
	o.Stall = or(o.Stall, stallTimeout)
	o.Format = or(o.Format, Text)
	if len(o.Chart) > 0 && len(o.Runs) == 0 {
		o.Runs = chartRuns()
	}
	// One that a program reading JSON keeps exactly.
	o.Seed = or(o.Seed, 1+uint64(time.Now().UnixNano())%(1<<32))
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o.withMachine()
}

// withMachine fills what the machine decides.
func (o Options) withMachine() (Options, error) {
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find own binary: %w", err)
		}
		o.Exe = exe
	}
	dir, err := filepath.Abs(or(o.Dir, "."))
	if err != nil {
		return o, fmt.Errorf("find folder: %w", err)
	}
	o.Dir = dir
	if len(o.CPUs) == 0 {
		allowed, err := allowedCPUs()
		if err != nil {
			return o, err
		}
		o.CPUs = allowed[:min(2, len(allowed))]
	}
	return o, nil
}

// validate reports everything that is wrong with complete options.
func (o Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Rounds >= 1 && o.Rounds <= 100, "rounds: %d is not between 1 and 100", o.Rounds)
	check(o.Messages >= 1 && o.Messages <= maxExpected, "messages: %d is not between 1 and %d", o.Messages, maxExpected)
	check(o.Warmup <= maxExpected, "warmup: %d is over %d", o.Warmup, maxExpected)
	check(o.Stored >= 0 && o.Stored <= maxExpected, "stored: %d is not between 0 and %d", o.Stored, maxExpected)
	check(o.Pending >= 0 && o.Pending <= maxExpected/2, "pending: %d is not between 0 and %d", o.Pending, maxExpected/2)
	check(o.Size >= 0 && o.Size <= maxExpected/2, "size: %d is not between 0 and %d", o.Size, maxExpected/2)
	for _, stored := range o.Chart {
		check(stored >= 0 && stored <= maxExpected, "chart: %d is not between 0 and %d", stored, maxExpected)
	}
	check(o.Seconds >= 0 && o.Seconds <= 7200, "seconds: %d is not between 0 and 7200", o.Seconds)
	check(o.Stall > 0 && o.Stall <= time.Hour, "stall: %s is not between 0 and 1h", o.Stall)
	check(o.Publishers >= 1 && o.Publishers <= maxPublishers, "publishers: %d is not between 1 and %d", o.Publishers, maxPublishers)
	check(o.Format == Text || o.Format == Markdown || o.Format == JSON, "format: %q is not text, markdown or json", o.Format)
	for _, cpu := range o.CPUs {
		check(cpu >= 0 && cpu < 1024, "cpus: no core %d", cpu)
	}
	if o.Before != "" {
		info, err := os.Stat(o.Before)
		check(err == nil && info.Mode().IsRegular(), "before: %q is no file", o.Before)
	}
	check(o.Store == "" || isDatabase(o.Store), "store: want postgres://USER@HOST/DATABASE; the folder of other stores is made in --dir")
	runs, err := chooseRuns(o.Runs)
	for _, r := range runs {
		check(o.Store != "" || r.nodes == 0, "run %s: nodes share a database, so it needs --store postgres://...", r.name)
		check(o.Store == "" || !r.expired, "run %s: messages that are past retention are made in a folder only, so it cannot be measured on a database", r.name)
	}
	return errors.Join(append(errs, err)...)
}

// isDatabase reports whether an address is one of a PostgreSQL server.
func isDatabase(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// or is value, or fallback when that is zero.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
