package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/move"
)

// restoreCmd checks a backup and makes a store of it.
type restoreCmd struct {
	Dir       string `arg:"" help:"The backup."`
	To        string `help:"Where the store is to be, file:DIR; it must not exist. Without it the backup is only checked." placeholder:"file:DIR"`
	SecretKey string `name:"secret-key" help:"Key ring to try the secrets with; by default the one in the backup, and that of POSTERN_SECRET_KEY." placeholder:"RING"`
}

// Run looks for every file, reads every record and compares with what backup wrote
// down, before anything is put in place. The backup stays as it is.
func (c *restoreCmd) Run(ctx context.Context, p *Program) error {
	to := ""
	if c.To != "" {
		var err error
		if to, err = folderOf("--to", c.To); err != nil {
			return err
		}
		if err := mustBeFree(to); err != nil {
			return err
		}
	}
	// Everything is checked before the first byte is written.
	m, err := readManifest(c.Dir)
	if err != nil {
		return err
	}
	if err := c.check(ctx, p, m); err != nil {
		return err
	}
	if to == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	// Copies, never links: the store goes on writing to what it opens.
	partial := to + partialSuffix
	err = errors.Join(os.RemoveAll(partial), copyFolder(c.Dir, partial, m.Files))
	if err == nil {
		err = place(partial, to)
	}
	if err != nil {
		return diskCode(errors.Join(err, os.RemoveAll(partial)))
	}
	_, err = fmt.Fprintf(p.Stdout, "\nServe it with --store file:%s. It is as of %s: what was delivered since then is delivered again.\n", to, m.CreatedAt.Format(time.RFC3339))
	return err
}

// check returns an error that says all that is missing or differs. Secrets that do
// not open are told and no error: a backup without its ring is better than none.
func (c *restoreCmd) check(ctx context.Context, p *Program, m *manifest) error {
	faults, err := m.missing(c.Dir)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("the backup %s is not whole:\n%s", c.Dir, strings.Join(faults, "\n"))
	}
	secrets, err := c.secrets(p)
	if err != nil {
		return err
	}
	meter := &moveMeter{out: p.Stderr}
	now := *m // its parts are counted anew, and compared with those written down
	if err := now.count(ctx, c.Dir, func(t *move.Tally) { meter.told("checking", t) }, secrets.probe); err != nil {
		return fmt.Errorf("the backup %s cannot be read: %w", c.Dir, err)
	}
	if m.Parts == nil {
		fmt.Fprintln(p.Stderr, "nothing to compare with: the server that made the backup did not count what is in it, as postern backup does; all of it can be read")
	} else if differences := move.Differences(m.Parts, now.Parts); len(differences) > 0 {
		return fmt.Errorf("the backup %s is not what it was:\n%s", c.Dir, strings.Join(differences, "\n"))
	}
	if secrets.closed > 0 {
		fmt.Fprintf(p.Stderr, "%d of %d secrets cannot be opened with the key rings at hand: deliveries of their endpoints fail, and requests to their sources, unless the store is served with the right --secret-key\n", secrets.closed, secrets.all)
	}
	if err := printParts(p.Stdout, now.Parts); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "\n%s is whole: %d files, %d bytes, as of %s.\n", c.Dir, len(m.Files), m.bytes(), m.CreatedAt.Format(time.RFC3339))
	return err
}

// sealedSecrets counts secrets and those that no ring opens.
type sealedSecrets struct {
	rings       rings
	all, closed int
}

// secrets has the rings that the store may be served with later.
func (c *restoreCmd) secrets(p *Program) (*sealedSecrets, error) {
	settings, err := p.load(nil)
	if err != nil {
		return nil, err
	}
	all, err := storedRings(c.SecretKey, settings, c.Dir)
	return &sealedSecrets{rings: all}, err
}

// probe is called with every secret of the backup, and keeps none.
func (s *sealedSecrets) probe(sealed postern.Sealed) {
	s.all++
	if _, err := s.rings.Open(sealed); err != nil {
		s.closed++
	}
}
