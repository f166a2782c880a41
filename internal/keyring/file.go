package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// fileName is the ring's file in a store's folder.
	fileName = "keyring"
	// maxFile bounds what is read of it; a full ring is smaller.
	maxFile = 16 << 10
)

// Load reads DIR/keyring, and makes it, and the folder, at the first start. A
// new file is whole and on disk before Load returns, readable by its owner
// only, and never takes the place of one that another process made meanwhile.
// A file that is there but does not read as a ring is an error and stays as it
// is: without it the store's secrets are lost.
func Load(dir string) (*Ring, error) {
	path := filepath.Join(dir, fileName)
	ring, err := read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keyring: make the folder: %w", err)
	}
	if err := create(dir, New()); err != nil {
		return nil, err
	}
	return read(path)
}

func read(path string) (*Ring, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("keyring: read %s: %w", path, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("keyring: %s is larger than %d bytes", path, maxFile)
	}
	ring, err := Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

// create writes the ring beside its place and links it in: a crash leaves
// either nothing or the whole file, and an existing file wins.
func create(dir string, ring *Ring) error {
	temporary, err := os.CreateTemp(dir, fileName+"-*") // 0600 by contract
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer os.Remove(temporary.Name()) // what is left is only a second name
	_, err = temporary.WriteString(ring.Reveal() + "\n")
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("keyring: write %s: %w", temporary.Name(), err)
	}
	path := filepath.Join(dir, fileName)
	switch err := os.Link(temporary.Name(), path); {
	case err == nil, errors.Is(err, fs.ErrExist):
	default:
		// Some file systems have no links. Two first starts at the same moment
		// are then told apart by the store's lock alone.
		if err := os.Rename(temporary.Name(), path); err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
	}
	return syncFolder(dir)
}

// syncFolder makes the new name durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // its folders cannot be synced, and need not be
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
