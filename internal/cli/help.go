package cli

import "context"

// helpCmd is --help for those who type help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Run prints the help that `postern COMMAND --help` does.
func (c *helpCmd) Run(ctx context.Context, p *Program) error {
	return p.dispatch(ctx, append(c.Command, "--help"))
}
