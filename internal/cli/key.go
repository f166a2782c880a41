package cli

import (
	"context"
	"fmt"
)

// keyCmd makes, lists and revokes API keys.
type keyCmd struct{}

// Run runs the command.
func (*keyCmd) Run(_ context.Context, _ *Program) error {
	return fmt.Errorf("key: %w", errNotBuilt)
}
