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
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store/embedded"
)

const (
	// manifestName is the file of a backup that says what is in it.
	manifestName = "backup.json"
	// manifestFormat is raised when an older binary would misread a backup.
	manifestFormat = 1
	// maxManifest bounds what is read of it, in bytes.
	maxManifest = 16 << 20
	// lockName is what looking into a folder leaves there.
	lockName = "LOCK"
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

// backupFile is a file of a backup. Its size tells a copy that was cut short;
// whether its bytes are right, reading all records does.
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

// count reads a backup whole and notes what is in it. told hears how far it is;
// probe sees every secret. Both may be nil.
func (m *manifest) count(ctx context.Context, dir string, told func(*move.Tally), probe func(postern.Sealed)) error {
	st, err := embedded.Open(ctx, "file:"+dir, embedded.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	head, err := st.Head(ctx)
	// A log whose end is missing reads like one that ends earlier.
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

// readManifest reads what a backup says of itself. A folder without a manifest is
// refused: it is the last thing that backup writes.
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

// missing says what of the files is not as the manifest has it. What is there
// besides is not the backup's, and is not restored.
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
