package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store/embedded"
)

// copyCmd copies a whole store into another one.
type copyCmd struct {
	From string `required:"" help:"The store to copy, file:DIR or postgres://... It is read and left as it is." placeholder:"STORE"`
	To   string `required:"" help:"Where to, file:DIR or postgres://...: a store that is empty or not there, or what an earlier run left." placeholder:"STORE"`
	// The rings are as serve would have them.
	SecretKey     string `name:"secret-key" help:"Key ring that secrets are sealed under in the target; by default that of POSTERN_SECRET_KEY, else the target's own." placeholder:"RING"`
	FromSecretKey string `name:"from-secret-key" help:"Key ring that they are sealed under in the source; by default that of POSTERN_SECRET_KEY, else the source's own." placeholder:"RING"`
	Chunk         int    `hidden:"" default:"0"`
}

// Run copies, compares the two and says how long nobody could be served.
func (c *copyCmd) Run(ctx context.Context, p *Program) (err error) {
	settings, err := p.load(nil)
	if err != nil {
		return err
	}
	if err := c.apart(); err != nil {
		return err
	}
	source, err := c.openSource(ctx, settings, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	target, err := c.openTarget(ctx, settings, p)
	if err != nil {
		return diskCode(err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	meter := &moveMeter{out: p.Stderr} // what the command is for goes to Stdout, at the end
	report, err := move.Copy(ctx, move.Options{
		From: source.Side, To: target.Side, Records: c.Chunk, Told: meter.told,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w\nthe copy is not complete: run the command again, which goes on where this one stopped", err)
	case err != nil:
		return diskCode(err)
	}
	return c.print(p.Stdout, &report, target.own)
}

// copyEnd is an open store that is copied from or to.
type copyEnd struct {
	move.Side
	close func() error
	// own: secrets are sealed under the ring that is kept with the store.
	own bool
}

// openSource opens a folder without writing to it. The lock that it takes has a
// running server refuse, and keeps one from starting meanwhile.
func (c *copyCmd) openSource(ctx context.Context, settings *config.Config, p *Program) (*copyEnd, error) {
	if isPostgres(c.From) {
		return c.openDatabase(ctx, settings, p)
	}
	dir, err := folderOf("--from", c.From)
	if err != nil {
		return nil, err
	}
	secrets, err := storedRings(c.FromSecretKey, settings, dir)
	if err != nil {
		return nil, err
	}
	st, err := openStopped(ctx, dir, embedded.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return &copyEnd{Side: move.Side{Store: st, Secrets: secrets}, close: st.Close}, nil
}

// openTarget opens what --to names as serve does, with the key ring that serve
// would have, and makes both if need be.
func (c *copyCmd) openTarget(ctx context.Context, settings *config.Config, p *Program) (*copyEnd, error) {
	as := *settings
	as.Store = config.NewLocation(c.To)
	if c.SecretKey != "" {
		as.SecretKey = config.NewSecret(c.SecretKey)
	}
	if isPostgres(c.To) {
		if err := unheld(ctx, "--to", c.To); err != nil {
			return nil, err
		}
	}
	st, secrets, err := openStore(ctx, &as, identity{name: processName()}, p.newLogger(&as))
	if err != nil {
		return nil, err
	}
	whole, ok := st.(move.Store)
	if !ok { // what a driver can is asked of the driver
		return nil, errors.Join(usage("--to: a store of this kind cannot be copied into; use file:DIR or postgres://..."), st.Close())
	}
	return &copyEnd{Side: move.Side{Store: whole, Secrets: secrets}, close: st.Close, own: !as.SecretKey.IsSet()}, nil
}

// apart refuses a target that is the source, before either is opened.
func (c *copyCmd) apart() error {
	if c.From == c.To {
		return usage("--from and --to are the same store")
	}
	if isPostgres(c.To) {
		return nil
	}
	dir, err := folderOf("--to", c.To)
	if err != nil {
		return err
	}
	if from, err := folderOf("--from", c.From); err == nil && from == dir {
		return usage("--from and --to are the same folder")
	}
	return nil
}

// print ends with what to do next.
func (c *copyCmd) print(out io.Writer, r *move.Report, own bool) error {
	if err := printParts(out, r.Tally.Parts()); err != nil {
		return err
	}
	from, to := config.NewLocation(c.From), config.NewLocation(c.To) // which may hold passwords
	if r.Already {
		_, err := fmt.Fprintf(out, "\n%s held it all already; the two are the same.\n", to)
		return err
	}
	fmt.Fprintf(out, "\n%s is the same as %s.", to, from)
	if r.Resumed {
		fmt.Fprintf(out, " This run copied %d records, and went on with a copy that was begun before.", r.Copied)
	}
	fmt.Fprintf(out, "\nDowntime so far: %s, since the copy began. Serve it with --store %s", time.Since(r.Begun).Round(time.Millisecond), to)
	if !own {
		fmt.Fprint(out, " and the --secret-key that it was copied with")
	}
	_, err := fmt.Fprintln(out, ".")
	return err
}

// printParts lists what there is in a store.
func printParts(out io.Writer, parts []move.Part) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, part := range parts {
		if part.Count == 0 {
			continue
		}
		fmt.Fprintf(table, "%d\t  %s\n", part.Count, part.Name)
	}
	return table.Flush()
}

// moveMeter tells how far something is, at once and then every second: what was
// read in this run by kind, and how fast.
type moveMeter struct {
	out io.Writer
	// stage began at begun; last is when it was told of.
	stage       move.Stage
	begun, last time.Time
}

// told is move.Options.Told.
func (m *moveMeter) told(stage move.Stage, t *move.Tally) {
	now := time.Now()
	if stage != m.stage {
		m.stage, m.begun, m.last = stage, now, time.Time{}
	}
	if now.Sub(m.last) < time.Second {
		return
	}
	m.last = now
	line := string(stage) + ":"
	for _, part := range t.Parts() {
		if part.Count > 0 {
			line += fmt.Sprintf(" %d %s,", part.Count, part.Name)
		}
	}
	rate := float64(t.Records()) / max(now.Sub(m.begun).Seconds(), 0.001)
	if now.Equal(m.begun) { // too early for a rate
		fmt.Fprintf(m.out, "%s and more\n", line[:len(line)-1])
		return
	}
	fmt.Fprintf(m.out, "%s %.0f records/s\n", line, rate)
}
