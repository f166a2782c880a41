package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// backupsName is where a server keeps its backups, in its store's folder: on
	// the same file system, where a backup is links and no copies, and where nobody
	// can name another place from afar.
	backupsName = "backups"
	// partialSuffix is on what is not a whole backup yet.
	partialSuffix = ".partial"
	// maxBackups is how many a server keeps there: each holds on to tables that the
	// store has dropped since.
	maxBackups = 100
)

// backups makes the backups of one store that is in a folder.
type backups struct {
	store   store.Store
	folder  string
	version string
	// one at a time: a second of the same name would meet the first half-way.
	one sync.Mutex
}

// backupOf is how a server backs its store up; nil for one in memory.
func backupOf(st store.Store, location, version string) func(ctx context.Context, name string) (postern.Backup, error) {
	if st.Capabilities().NoCheckpoint { // whose words say what to do instead
		return func(ctx context.Context, name string) (postern.Backup, error) {
			return postern.Backup{}, st.Checkpoint(ctx, name)
		}
	}
	folder, err := folderOf("store", location)
	if err != nil {
		return nil
	}
	return (&backups{store: st, folder: folder, version: version}).named
}

// create makes a backup at a path that must not exist. It appears there when it is
// complete.
func (b *backups) create(ctx context.Context, path string) (*manifest, error) {
	b.one.Lock()
	defer b.one.Unlock()
	if err := mustBeFree(path); err != nil {
		return nil, err
	}
	// Nobody else may look into it meanwhile, whatever rights the checkpoint's files
	// are made with.
	partial := path + partialSuffix
	err := errors.Join(os.RemoveAll(partial), os.MkdirAll(filepath.Dir(path), 0o700))
	if err == nil {
		err = os.Mkdir(partial, 0o700)
	}
	if err != nil {
		return nil, err
	}
	inside := filepath.Join(partial, "backup")
	m, err := b.fill(ctx, inside)
	if err == nil {
		err = place(inside, path)
	}
	return m, errors.Join(err, os.RemoveAll(partial))
}

// named is what the API calls: a folder of this name among the server's backups.
func (b *backups) named(ctx context.Context, name string) (postern.Backup, error) {
	// The API has checked more than this; it is asked again where a mistake would
	// write outside.
	if name != filepath.Base(name) || !filepath.IsLocal(name) {
		return postern.Backup{}, postern.InvalidField("is not a name", "body", "directory")
	}
	if err := b.store.Admit(); err != nil { // a backup would take what a full disk has left
		return postern.Backup{}, err
	}
	folder := filepath.Join(b.folder, backupsName)
	if err := b.tidy(folder); err != nil {
		return postern.Backup{}, err
	}
	path := filepath.Join(folder, name)
	m, err := b.create(ctx, path)
	if err != nil {
		return postern.Backup{}, err
	}
	return postern.Backup{Directory: path, Bytes: m.bytes(), Files: len(m.Files), KeyRing: m.KeyRing, CreatedAt: m.CreatedAt}, nil
}

// tidy removes what a crash left half-way, and refuses when there are too many.
// Nobody else makes any there: the store's lock is ours.
func (b *backups) tidy(folder string) error {
	b.one.Lock()
	defer b.one.Unlock()
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	whole := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), partialSuffix) {
			whole++
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
	}
	if err == nil && whole >= maxBackups {
		err = &postern.Error{Kind: postern.Conflict, Code: "too_many_backups", Detail: fmt.Sprintf("There are %d backups in %s: take some of them away", whole, folder)}
	}
	return err
}

// fill makes the files of a backup and syncs them, the manifest last: without it
// a folder is no backup.
func (b *backups) fill(ctx context.Context, dir string) (*manifest, error) {
	// Taken before the checkpoint, which then has at least this batch.
	head, err := b.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.store.Checkpoint(ctx, dir); err != nil {
		return nil, err
	}
	m := &manifest{Format: manifestFormat, Version: b.version, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Batch: head.Batch}
	// A server whose ring is kept elsewhere has no such file.
	ring := filepath.Join(b.folder, ringName)
	switch err := copyFile(ring, filepath.Join(dir, ringName)); {
	case err == nil:
		m.KeyRing = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if m.Files, err = filesOf(dir); err != nil {
		return nil, err
	}
	for _, f := range m.Files { // a table is the store's own as well, which loses nothing by it
		if err := os.Chmod(filepath.Join(dir, f.Name), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // it is a folder
		return nil, err
	}
	return m, m.write(dir)
}

// filesOf lists what a backup consists of, by name. It is flat: a folder or a link
// in it was put there by somebody else, and is refused.
func filesOf(dir string) ([]backupFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []backupFile
	for _, entry := range entries {
		if entry.Name() == manifestName || entry.Name() == lockName {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file of a backup", filepath.Join(dir, entry.Name()))
		}
		files = append(files, backupFile{entry.Name(), info.Size()})
	}
	return files, nil
}

// mustBeFree is nil for a path that nothing is at, not even a link that leads
// nowhere.
func mustBeFree(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return &postern.Error{Kind: postern.Conflict, Detail: path + " exists"}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// copyFolder copies a folder's files into a new one, each onto the disk.
func copyFolder(from, to string, files []backupFile) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := copyFile(filepath.Join(from, f.Name), filepath.Join(to, f.Name)); err != nil {
			return err
		}
	}
	return syncFolder(to)
}

// copyFile copies onto the disk, for its owner's eyes only.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() // only read from
	// Never through a link that somebody put there.
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}

// writeFile puts text onto the disk. It is not atomic: callers rename.
func writeFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// place gives a folder its name for good: it is there whole from then on, or not
// at all.
func place(from, to string) error {
	if err := mustBeFree(to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// syncFolder makes names in a folder durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // its folders cannot be synced, and need not be
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
