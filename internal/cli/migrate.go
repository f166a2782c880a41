package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/postern-dev/postern/store/postgres"
)

// migrateCmd brings the tables of a PostgreSQL database up to date. serve does so
// by itself at its start.
type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply what the database lacks, as serve does at its start."`
	Status migrateStatusCmd `cmd:"" help:"List all steps, and when the database took them."`
	Plan   migratePlanCmd   `cmd:"" help:"Print the SQL that up would run."`
}

type migrateUpCmd struct{ databasePlace }

// Run tells what it applied.
func (m *migrateUpCmd) Run(ctx context.Context, p *Program) error {
	address, err := m.address(p)
	if err != nil {
		return err
	}
	plan, err := postgres.Plan(ctx, address)
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, address); err != nil {
		return err
	}
	for i := range plan {
		fmt.Fprintf(p.Stdout, "applied %05d %s\n", plan[i].Version, plan[i].Name)
	}
	if len(plan) == 0 {
		fmt.Fprintln(p.Stdout, "up to date")
	}
	return nil
}

type migrateStatusCmd struct{ databasePlace }

// Run prints a table.
func (m *migrateStatusCmd) Run(ctx context.Context, p *Program) error {
	address, err := m.address(p)
	if err != nil {
		return err
	}
	steps, err := postgres.Status(ctx, address)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tAPPLIED\tSTEP")
	for i := range steps {
		applied := "not yet"
		if at := steps[i].Applied; !at.IsZero() {
			applied = at.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%05d\t%s\t%s\n", steps[i].Version, applied, steps[i].Name)
	}
	return table.Flush()
}

type migratePlanCmd struct{ databasePlace }

// Run prints SQL.
func (m *migratePlanCmd) Run(ctx context.Context, p *Program) error {
	address, err := m.address(p)
	if err != nil {
		return err
	}
	plan, err := postgres.Plan(ctx, address)
	if err != nil {
		return err
	}
	for i := range plan {
		fmt.Fprintf(p.Stdout, "-- %05d %s\n%s\n", plan[i].Version, plan[i].Name, plan[i].SQL)
	}
	return nil
}

// databasePlace says which database.
type databasePlace struct {
	Store string `name:"store" help:"The database's address; by default that of POSTERN_STORE." placeholder:"postgres://USER:PASSWORD@HOST/DATABASE"`
}

// address is the database's, which a store of another kind has not.
func (d *databasePlace) address(p *Program) (string, error) {
	location := d.Store
	if location == "" {
		settings, err := p.load(nil)
		if err != nil {
			return "", err
		}
		location = settings.Store.Reveal()
	}
	if !isPostgres(location) {
		return "", usage("store: only a database has migrations; name it with --store postgres://USER:PASSWORD@HOST/DATABASE")
	}
	address, _, err := splitAddress(location)
	return address, err
}
