package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

const (
	// manifestName is the file of a backup that says what is in it.
	manifestName = "backup.json"
	// manifestFormat is raised when an older binary would misread a backup.
	manifestFormat = 1
	// maxManifest bounds what is read of it.
	maxManifest = 16 << 20
	// lockName is what looking into a folder leaves there.
	lockName = "LOCK"
	// backupsName is where a server keeps its backups, in its store's folder: on
	// the same file system, where a backup is links and no copies, and where nobody
	// can name another place from afar.
	backupsName = "backups"
)

// manifest says what a backup has to hold.
type manifest struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"createdAt"`
	// Batch is the last batch that was durable before: the backup has it and may
	// have later ones.
	Batch uint64 `json:"batch"`
	// KeyRing: the ring is among the files.
	KeyRing bool         `json:"keyRing"`
	Files   []backupFile `json:"files"`
	// Parts are counts and checksums of what is stored. A server leaves them out:
	// to read everything would take time from deliveries.
	Parts []move.Part `json:"parts,omitempty"`
}

type backupFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// bytes is what the files come to.
func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

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
	partial := path + ".partial"
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
	if name != filepath.Base(name) || !filepath.IsLocal(name) {
		return postern.Backup{}, postern.InvalidField("is not a name", "body", "directory")
	}
	path := filepath.Join(b.folder, backupsName, name)
	m, err := b.create(ctx, path)
	if err != nil {
		return postern.Backup{}, err
	}
	return postern.Backup{Directory: path, Bytes: m.bytes(), Files: len(m.Files), KeyRing: m.KeyRing, CreatedAt: m.CreatedAt}, nil
}

// fill makes the files of a backup and syncs them.
func (b *backups) fill(ctx context.Context, dir string) (*manifest, error) {
	head, err := b.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.store.Checkpoint(ctx, dir); err != nil {
		return nil, err
	}
	m := &manifest{Format: manifestFormat, Version: b.version, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Batch: head.Batch}
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

// filesOf lists what a backup consists of, by name.
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

// count reads a backup whole and notes what is in it. told hears how far it is;
// probe sees every secret. Both may be nil.
func (m *manifest) count(ctx context.Context, dir string, told func(*move.Tally), probe func(postern.Sealed)) error {
	st, err := embedded.Open(ctx, "file:"+dir, embedded.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	head, err := st.Head(ctx)
	if err == nil && head.Batch < m.Batch {
		err = fmt.Errorf("the backup ends with batch %d, and %d was durable before it was made: its newest messages are missing", head.Batch, m.Batch)
	}
	var tally move.Tally
	if err == nil {
		tally, err = move.Take(ctx, st, move.TakeOptions{Told: told, Probe: probe})
	}
	m.Parts = tally.Parts()
	return errors.Join(err, st.Close())
}

// write puts the manifest into a folder, in the place of an earlier one.
func (m *manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	if err := writeFile(path+".new", append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// readManifest reads what a backup says of itself.
func readManifest(dir string) (*manifest, error) {
	file, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a backup, or not a whole one: there is no %s", dir, manifestName)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read from
	m := new(manifest)
	if err := json.NewDecoder(io.LimitReader(file, maxManifest)).Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%s has format %d, and this binary knows %d: use a newer postern", dir, m.Format, manifestFormat)
	}
	return m, nil
}

// missing says what of the files is not as the manifest has it.
func (m *manifest) missing(dir string) (faults []string, err error) {
	found, err := filesOf(dir)
	if err != nil {
		return nil, err
	}
	for _, want := range m.Files {
		at := slices.IndexFunc(found, func(f backupFile) bool { return f.Name == want.Name })
		switch {
		case at < 0:
			faults = append(faults, want.Name+" is missing")
		case found[at].Bytes != want.Bytes:
			faults = append(faults, fmt.Sprintf("%s has %d bytes, and had %d", want.Name, found[at].Bytes, want.Bytes))
		}
	}
	return faults, nil
}

// mustBeFree is nil for a path that nothing is at.
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
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}

func writeFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// place gives a folder its name for good.
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
