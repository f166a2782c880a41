package cli

import (
	"context"
	"fmt"
)

// demoCmd runs the whole story once.
type demoCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run runs the command.
func (*demoCmd) Run(_ context.Context, _ *Program) error {
	return fmt.Errorf("demo: %w", errNotBuilt)
}
