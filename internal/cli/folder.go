package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/internal/move"
	"github.com/postern-dev/postern/store/embedded"
)

// ringName is the key ring's file in a store's folder; see engine.LoadSecrets.
const ringName = "keyring"

// folderOf is the folder of a store at file:DIR, as an absolute path. flag is whose
// value it is; the error of another kind of store says so.
func folderOf(flag, url string) (string, error) {
	dir, ok := strings.CutPrefix(url, "file:")
	if dir = strings.TrimPrefix(dir, "//"); !ok || dir == "" {
		return "", usage("%s: %q is not a store that can be kept; use file:DIR", flag, url)
	}
	return filepath.Abs(dir)
}

// openStopped opens a store that exists and that no server holds. A folder that is
// misspelt is not made.
func openStopped(ctx context.Context, dir string, o embedded.Options) (*embedded.Store, error) {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = errors.New("the folder is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("there is no store at file:%s: %w", dir, err)
	}
	st, err := embedded.Open(ctx, "file:"+dir, o)
	if errors.Is(err, postern.ErrUnavailable) {
		return nil, fmt.Errorf("%w\na server holds it: stop it first", err)
	}
	return st, err
}

// rings opens what any of some key rings sealed.
type rings []engine.Secrets

// Open implements move.Secrets. The error is that of the first ring, which is the
// likeliest to be meant.
func (r rings) Open(sealed postern.Sealed) ([]byte, error) {
	err := errors.New("there is no key ring that could open it: give the one that the server had with --secret-key")
	for i, ring := range r {
		plain, refused := ring.Open(sealed)
		if refused == nil {
			return plain, nil
		}
		if i == 0 {
			err = refused
		}
	}
	return nil, err
}

// Seal implements move.Secrets with the first ring.
func (r rings) Seal(plain []byte) (postern.Sealed, error) {
	if len(r) == 0 {
		return nil, errors.New("there is no key ring to seal with")
	}
	return r[0].Seal(plain)
}

var _ move.Secrets = rings(nil)

// givenRings are the one that was given and that of the settings.
func givenRings(given string, settings *config.Config) (rings, error) {
	var all rings
	for _, text := range []string{given, settings.SecretKey.Reveal()} {
		if text == "" {
			continue
		}
		ring, err := engine.ParseSecrets(text)
		if err != nil {
			return nil, withCode(ExitUsage, err)
		}
		all = append(all, ring)
	}
	return all, nil
}

// storedRings are all that may have sealed what is in a folder: those that were
// given, and the folder's own. Nothing is made.
func storedRings(given string, settings *config.Config, dir string) (rings, error) {
	all, err := givenRings(given, settings)
	if err != nil {
		return nil, err
	}
	// engine.LoadSecrets would make one.
	if _, err := os.Stat(filepath.Join(dir, ringName)); errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	ring, err := engine.LoadSecrets(dir)
	return append(all, ring), err
}
