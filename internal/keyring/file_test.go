package keyring_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/postern-dev/postern/internal/keyring"
)

func TestLoadMakesTheFileOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	first, err := keyring.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keyring.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.Reveal() != second.Reveal() {
		t.Error("the second start has another ring")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "keyring" {
		t.Errorf("the folder holds %v, want the key ring alone", entries)
	}
	info, err := os.Stat(filepath.Join(dir, "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, want %v", info.Mode(), fs.FileMode(0o600))
	}
}

// TestFirstStartsAtOnce: whoever comes first, all go on with the same ring.
func TestFirstStartsAtOnce(t *testing.T) {
	dir := t.TempDir()
	rings := make([]string, 8)
	var group sync.WaitGroup
	for i := range rings {
		group.Go(func() {
			ring, err := keyring.Load(dir)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = ring.Reveal()
		})
	}
	group.Wait()
	for _, ring := range rings {
		if ring != rings[0] {
			t.Fatal("two first starts have different rings")
		}
	}
}

func TestLoadKeepsWhatItCannotRead(t *testing.T) {
	for name, content := range map[string]string{
		"empty":   "",
		"cut off": "a:" + encodedA[:20],
		"huge":    strings.Repeat("x", 1<<16),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "keyring")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyring.Load(dir)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), encodedA[:20]) {
			t.Errorf("%s: %v, want an error that names the file and shows no key", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
}

func TestLoadNeedsAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Load(path); err == nil {
		t.Error("a ring in something that is no folder")
	}
}
