package cli

import (
	"context"
	"fmt"

	"github.com/postern-dev/postern/internal/config"
)

// serveCmd receives and delivers until its context ends.
type serveCmd struct {
	Demo     bool         `help:"A server to try things on: this machine only, a folder of its own, the API key demo, and a receiver that shows what arrives."`
	Settings config.Flags `embed:""`
}

// Run starts the server.
func (c *serveCmd) Run(_ context.Context, p *Program) error {
	if _, err := p.load(&c.Settings); err != nil {
		return err
	}
	return fmt.Errorf("serve: %w", errNotBuilt)
}
