package cli

import (
	"context"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
)

// serveCmd receives and delivers until its context ends.
type serveCmd struct {
	Demo     bool         `help:"A server to try things on: this machine only, a folder of its own, the API key demo, and a receiver that shows what arrives."`
	Settings config.Flags `embed:""`
}

// Run starts the server, and returns when it has stopped: nil after a drain.
func (c *serveCmd) Run(ctx context.Context, p *Program) error {
	if c.Demo {
		return p.serveDemo(ctx, &c.Settings)
	}
	settings, err := p.load(&c.Settings)
	if err != nil {
		return err
	}
	log := p.newLogger(settings)
	s, err := openServer(ctx, settings, p.Version, log)
	if err != nil {
		return err
	}
	first := s.node.Load()
	return s.run(ctx, func(ctx context.Context) error { return p.greet(ctx, s, first.engine) })
}

// greet says where the server is, and makes the first key of a new store.
func (p *Program) greet(ctx context.Context, s *server, eng *engine.Engine) error {
	s.log.Info("serving", "url", s.url(), "store", s.settings.Store.String())
	if s.settings.AdminKey.IsSet() || eng.HasKeys() {
		return nil
	}
	token, err := eng.NewKey(ctx, postern.Key{Name: "first admin key", Scope: postern.ScopeAdmin})
	if err != nil {
		return fmt.Errorf("making the first API key: %w", err)
	}
	_, err = fmt.Fprintf(p.Stdout, "API key with all rights, shown only this once:\n\n    %s\n\n", token)
	return err
}
