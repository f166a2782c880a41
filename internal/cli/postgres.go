package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store/postgres"
)

// databaseRing is what the key ring is kept under in a database.
const databaseRing = "keyring"

// openPostgres opens a database, and the key ring that is kept in it unless the
// settings have one.
func openPostgres(ctx context.Context, c *config.Config, as identity, log *slog.Logger) (*postgres.Store, engine.Secrets, error) {
	address, listen, err := splitAddress(c.Store.Reveal())
	if err != nil {
		return nil, nil, err
	}
	st, err := postgres.Open(ctx, address, postgres.Options{Logger: log, Node: as.name, Reclaim: as.reclaim, ListenURL: listen})
	if err != nil {
		return nil, nil, err
	}
	secrets, err := databaseSecrets(ctx, c, st, log)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close()) //nolint:contextcheck // closing is bounded by itself
	}
	return st, secrets, nil
}

// databaseSecrets is the ring of the settings, else the database's own.
func databaseSecrets(ctx context.Context, c *config.Config, st *postgres.Store, log *slog.Logger) (engine.Secrets, error) {
	if c.SecretKey.IsSet() {
		return engine.ParseSecrets(c.SecretKey.Reveal())
	}
	kept, made, err := st.Keep(ctx, databaseRing, []byte(keyring.New().Reveal()))
	if err != nil {
		return nil, err
	}
	if made {
		log.Warn("the key ring that secrets are sealed under lies in the same database: whoever reads all of it reads them; --secret-key keeps it apart")
	}
	return engine.ParseSecrets(string(kept))
}

// splitAddress takes listen_url out of a store's address: a direct connection to
// the same database, for what a pooler between takes away.
func splitAddress(location string) (address, listen string, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", "", usage("store: not a URL; write postgres://USER:PASSWORD@HOST/DATABASE, with special characters of the password percent-encoded")
	}
	query := u.Query()
	if listen = query.Get("listen_url"); listen != "" && !isPostgres(listen) {
		return "", "", usage("store: listen_url is not a postgres:// address")
	}
	query.Del("listen_url")
	if u.RawQuery = query.Encode(); listen == "" {
		return location, "", nil // byte for byte what was written
	}
	return u.String(), listen, nil
}

func isPostgres(location string) bool {
	return strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://")
}
