package cli

import (
	"context"
	"strings"

	"github.com/postern-dev/postern/internal/bench"
)

// benchCmd measures server, load, receiver and floor.
type benchCmd struct {
	JSON        bool     `help:"Print the raw figures as JSON."`
	Markdown    bool     `help:"Print the table as Markdown."`
	Quick       bool     `help:"A look rather than a measurement: one short round."`
	Runs        []string `help:"Runs or groups of runs to make; the group core by default. Groups: core, isolation, memory, nodes. Runs: one, ten, rate, accept, slow, hang, host, flood, idle, pending, endpoints, fanout, backlog, probe, ratelimit, restart, pages, retention, soak, nodes, join; the last two with --store only." placeholder:"RUN,..."`
	Rounds      int      `help:"How often each is measured; 3 by default." placeholder:"N"`
	Messages    int      `help:"Deliveries per closed-loop measurement; 300000 by default." placeholder:"N"`
	Warmup      int      `help:"Deliveries before measuring; 50000 by default, negative for none." placeholder:"N"`
	Stored      int      `help:"Measure every run again on a store with so many delivered messages, in the same rounds, and judge it against the empty store." placeholder:"N"`
	Pending     int      `help:"Measure every run again on a store with so many retries that are not due, likewise." placeholder:"N"`
	Size        int      `help:"How many messages wait, or endpoints exist, in the runs about such; by default as the run says." placeholder:"N"`
	Chart       bool     `help:"Chart CPU per delivery and accept p99 against 0.1, 0.5, 1 and 3 million stored messages; the runs are then one and accept by default."`
	Seconds     int      `help:"How long an open loop or a rest lasts; by default as its run says." placeholder:"N"`
	Seed        uint64   `help:"What a run does at random follows from it; printed." placeholder:"N"`
	CPUs        []int    `name:"cpus" help:"Cores that all processes share; the first two by default." placeholder:"N,..."`
	Dir         string   `help:"Folder for stores and logs: it decides which disk is measured." placeholder:"DIR"`
	Store       string   `help:"A PostgreSQL server on this machine, postgres://USER@HOST/DATABASE: each measurement has a database of its own there, whose CPU time counts; the one that is named is not touched. By default stores are folders." placeholder:"URL"`
	Before      string   `help:"Another build of postern, which is measured in the same rounds and which this one is held against." placeholder:"FILE"`
	ServerFlags string   `help:"Further flags of the measured server, separated by blanks." placeholder:"FLAGS"`
}

// Run runs the benchmark.
func (c *benchCmd) Run(ctx context.Context, p *Program) error {
	format := bench.Text
	switch {
	case c.JSON && c.Markdown:
		return usage("--json and --markdown exclude each other")
	case c.JSON:
		format = bench.JSON
	case c.Markdown:
		format = bench.Markdown
	}
	var chart []int
	if c.Chart {
		chart = bench.ChartPoints(c.Quick)
	}
	return bench.Run(ctx, bench.Options{
		Runs: c.Runs, Rounds: c.Rounds, Messages: c.Messages, Warmup: c.Warmup,
		Stored: c.Stored, Pending: c.Pending, Size: c.Size, Chart: chart, Seconds: c.Seconds, Seed: c.Seed, Quick: c.Quick, CPUs: c.CPUs, Dir: c.Dir, Store: c.Store, Before: c.Before,
		ServerFlags: strings.Fields(c.ServerFlags), Format: format, Progress: p.Stderr,
	}, p.Stdout)
}

// benchRoleCmd is a process that the benchmark starts; it is not for people.
type benchRoleCmd struct {
	Args []string `arg:""`
}

// Run plays the role until its input ends.
func (c *benchRoleCmd) Run(ctx context.Context, p *Program) error {
	return bench.RunRole(ctx, c.Args[0], c.Args[1:], p.Stdin, p.Stdout)
}
