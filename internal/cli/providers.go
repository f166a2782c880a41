package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/verify"
)

// providersCmd shows the catalogue of providers.
type providersCmd struct {
	Provider string         `arg:"" optional:"" help:"The provider to tell all about."`
	JSON     bool           `help:"Print JSON."`
	Own      ownDefinitions `embed:""`
}

// ownDefinitions adds the user's own definitions to a command.
type ownDefinitions struct {
	Providers []string `name:"providers" sep:"," placeholder:"FILE" help:"Files with provider definitions of your own, YAML or JSON; by default those of POSTERN_PROVIDERS."`
}

// catalogue is what the command knows.
func (o *ownDefinitions) catalogue(p *Program) (*verify.Catalogue, error) {
	if len(o.Providers) > 0 {
		catalogue, faults := config.ReadProviders(o.Providers, nil)
		if err := errors.Join(faults...); err != nil {
			return nil, withCode(ExitUsage, err)
		}
		return catalogue, nil
	}
	settings, err := p.load(nil)
	if err != nil {
		return nil, err
	}
	return settings.Catalogue, nil
}

// Run prints the table, or the sheet of one provider.
func (c *providersCmd) Run(p *Program) error {
	catalogue, err := c.Own.catalogue(p)
	if err != nil {
		return err
	}
	if c.Provider == "" {
		return c.list(p, catalogue)
	}
	def, err := find(catalogue, c.Provider)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.Stdout, def)
	}
	fmt.Fprintf(p.Stdout, "%s (%s)\n\n", def.Name, strings.Join(append([]string{def.ID}, def.Aliases...), ", "))
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range sheetOf(def) {
		fmt.Fprintf(table, "%s\t%s\n", f.Label, f.Text)
	}
	return table.Flush()
}

// listed is a row of the table.
type listed struct {
	ID       string        `json:"id"`
	Aliases  []string      `json:"aliases"`
	Name     string        `json:"name"`
	Scheme   string        `json:"scheme"`
	Status   verify.Status `json:"status"`
	Settings []string      `json:"settings"`
}

func (c *providersCmd) list(p *Program, catalogue *verify.Catalogue) error {
	rows := []listed{}
	for _, id := range catalogue.Providers() {
		def, _ := catalogue.Lookup(id)
		row := listed{ID: def.ID, Aliases: def.Aliases, Name: def.Name, Scheme: schemesShort(def), Status: def.Status, Settings: []string{}}
		if row.Aliases == nil {
			row.Aliases = []string{}
		}
		for _, s := range def.AllSettings() {
			if s.Name != "tolerance" { // which nearly all have
				row.Settings = append(row.Settings, s.Name)
			}
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return printJSON(p.Stdout, map[string]any{"providers": rows})
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSCHEME\tSTATUS\tSETTINGS")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, r.Scheme, r.Status, strings.Join(r.Settings, ", "))
	}
	return table.Flush()
}

// find looks a provider up; the error names the nearest one.
func find(catalogue *verify.Catalogue, provider string) (verify.Definition, error) {
	def, ok := catalogue.Lookup(provider)
	if !ok {
		return def, usage("there is no provider %s; the nearest is %s, and postern providers lists them all",
			provider, config.Nearest(provider, catalogue.Providers()))
	}
	return def, nil
}
