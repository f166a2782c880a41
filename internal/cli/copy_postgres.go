package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store/postgres"
)

// openDatabase opens a database to copy from, and changes nothing in it: neither
// its journal is taken nor its tables are brought up to date.
func (c *copyCmd) openDatabase(ctx context.Context, settings *config.Config, p *Program) (*copyEnd, error) {
	if err := unheld(ctx, "--from", c.From); err != nil {
		return nil, err
	}
	address, _, err := splitAddress(c.From)
	if err != nil {
		return nil, err
	}
	secrets, err := givenRings(c.FromSecretKey, settings)
	if err != nil {
		return nil, err
	}
	st, err := postgres.Open(ctx, address, postgres.Options{Logger: p.newLogger(settings), ReadOnly: true})
	if err != nil {
		return nil, err
	}
	kept, err := st.Kept(ctx, databaseRing)
	if err == nil && kept != nil {
		var own engine.Secrets
		own, err = engine.ParseSecrets(string(kept))
		secrets = append(secrets, own)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close()) //nolint:contextcheck // closing is bounded by itself
	}
	return &copyEnd{Side: move.Side{Store: st, Secrets: secrets}, close: st.Close}, nil
}

// unheld refuses a database that a server is on. There is no lock as on a folder:
// a server that starts after the question takes the journal from a copy, which
// fails, and what it writes to a source shows when the two are compared.
func unheld(ctx context.Context, flag, location string) error {
	address, _, err := splitAddress(location)
	if err != nil {
		return err
	}
	node, err := postgres.Held(ctx, address)
	if err == nil && node != "" {
		err = fmt.Errorf("%s: a server holds the database: stop %s first; if it was killed, its lease ends within 10 seconds", flag, node)
	}
	return err
}
