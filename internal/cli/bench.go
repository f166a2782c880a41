package cli

import (
	"context"
	"fmt"
)

// benchCmd measures server, load, receiver and floor.
type benchCmd struct {
	JSON bool `help:"Print the raw figures as JSON."`
}

// Run runs the command.
func (*benchCmd) Run(_ context.Context, _ *Program) error {
	return fmt.Errorf("bench: %w", errNotBuilt)
}
