package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/postern-dev/postern/internal/config"
)

// configCmd shows what a server with these flags, variables and file would run
// with.
type configCmd struct {
	JSON     bool         `help:"Print JSON."`
	Settings config.Flags `embed:""`
}

// Run prints the settings. Mistakes in them are its error.
func (c *configCmd) Run(p *Program) error {
	settings, err := p.load(&c.Settings)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(p.Stdout)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{"settings": settings.Entries()})
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, entry := range settings.Entries() {
		value := entry.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", entry.Name, value, entry.From)
	}
	return table.Flush()
}
