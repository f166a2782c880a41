package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store/embedded"
)

// backupCmd makes a backup of a store.
type backupCmd struct {
	Dir   string `arg:"" optional:"" help:"Where the backup is to be; it must not exist. By default it stays in the folder backups of the store's own."`
	URL   string `name:"url" help:"Address of the server; by default the one of --listen or POSTERN_LISTEN." placeholder:"URL"`
	Key   string `name:"key" help:"An admin key of the server; by default that of POSTERN_ADMIN_KEY." placeholder:"KEY"`
	Store string `name:"store" help:"Back up the store at file:DIR instead, which no server may be using. Needs no key." placeholder:"file:DIR"`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run makes the backup, reads it whole, and writes down what is in it.
//
// A server makes backups in a folder of its own, whoever asks; it is this command
// that takes them elsewhere, with the rights of who runs it.
func (c *backupCmd) Run(ctx context.Context, p *Program) error {
	path := ""       // for one that stays where it is made
	if c.Dir != "" { // asked for first: a name that is taken is the commonest mistake
		var err error
		if path, err = filepath.Abs(c.Dir); err != nil {
			return err
		}
		if err := mustBeFree(path); err != nil {
			return err
		}
	}
	var err error
	if c.Store != "" {
		path, err = c.ofStopped(ctx, p, path)
	} else {
		path, err = c.ofServer(ctx, p, path)
	}
	if err != nil {
		return diskCode(err)
	}
	m, err := readManifest(path)
	if err != nil {
		return err
	}
	// In this process and not in the server's: reading everything costs as much CPU
	// as some seconds of deliveries, and may be run with a lower priority.
	meter := &moveMeter{out: p.Stderr}
	if err := m.count(ctx, path, func(t *move.Tally) { meter.told("reading the backup", t) }, nil); err != nil {
		return fmt.Errorf("the backup %s is there, but not good: %w", path, err)
	}
	if err := m.write(path); err != nil {
		return err
	}
	return c.print(p, path, m)
}

// ofStopped makes one of a store that no server holds, and returns its path. The
// store is opened as a server would, since what its log holds has to be synced.
func (c *backupCmd) ofStopped(ctx context.Context, p *Program, path string) (_ string, err error) {
	if c.URL != "" || c.Key != "" {
		return "", usage("--store works without a server: leave out --url and --key, or leave out --store")
	}
	dir, err := folderOf("--store", c.Store)
	if err != nil {
		return "", err
	}
	st, err := openStopped(ctx, dir, embedded.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if path == "" {
		path = filepath.Join(dir, backupsName, time.Now().UTC().Format("backup-20060102T150405Z"))
	}
	b := &backups{store: st, folder: dir, version: p.Version}
	_, err = b.create(ctx, path)
	return path, err
}

// ofServer has a server make one, and takes it to path unless that is "". Where this
// program may not read the server's folder, being on another machine or another
// user's, the backup stays, and the error says where.
func (c *backupCmd) ofServer(ctx context.Context, p *Program, path string) (string, error) {
	settings, err := p.load(nil)
	if err != nil {
		return "", err
	}
	key := cmp.Or(c.Key, settings.AdminKey.Reveal())
	if key == "" {
		return "", usage("which key opens the server? give --key or POSTERN_ADMIN_KEY; --store file:DIR backs up a stopped server's store without one")
	}
	url := cmp.Or(c.URL, localURL(settings.Listen))
	var made struct {
		Directory string `json:"directory"`
	}
	err = newCaller(url, key).call(ctx, "POST", "/backup", struct{}{}, &made)
	switch {
	case err != nil && statusOf(err) == 0:
		return "", fmt.Errorf("%w\nis a server running at %s? --url names another; --store file:DIR works without one", err, url)
	case err != nil:
		return "", err
	}
	if _, err := readManifest(made.Directory); err != nil {
		return "", fmt.Errorf("%w\nthe server has made the backup on its machine: %s; who may read it there takes it away, and checks it with postern restore", err, made.Directory)
	}
	if path == "" {
		return made.Directory, nil
	}
	if err := take(made.Directory, path); err != nil {
		return "", fmt.Errorf("%w\nthe backup stayed at %s", err, made.Directory)
	}
	return path, nil
}

// take moves a backup, or copies it to another file system. Its tables may be the
// store's own by links, which are never written again: to move them is safe.
func take(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if os.Rename(from, to) == nil { // else another file system, or the copy will say what
		return syncFolder(filepath.Dir(to))
	}
	files, err := filesOf(from)
	if err != nil {
		return err
	}
	partial := to + partialSuffix
	if err := errors.Join(os.RemoveAll(partial), copyFolder(from, partial, append(files, backupFile{Name: manifestName}))); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := place(partial, to); err != nil {
		return err
	}
	return os.RemoveAll(from)
}

// print tells of the ring in either case: whoever keeps a backup has to know.
func (c *backupCmd) print(p *Program, path string, m *manifest) error {
	if c.JSON {
		return printJSON(p.Stdout, struct {
			Directory string `json:"directory"`
			*manifest
		}{path, m})
	}
	if err := printParts(p.Stdout, m.Parts); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "\n%s: %d files, %d bytes, as of %s.\n", path, len(m.Files), m.bytes(), m.CreatedAt.Format(time.RFC3339))
	text := "The key ring that opens its secrets is in it: keep it as safe as the store's own folder."
	if !m.KeyRing {
		text = "The key ring is not in it: without the server's --secret-key its secrets are lost."
	}
	_, err := fmt.Fprintln(p.Stdout, text)
	return err
}
