package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// folderState is what lies in a folder, by name, with sizes.
func folderState(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]int64{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		state[entry.Name()] = info.Size()
	}
	return state
}

// TestReadOnlyLeavesTheFolder: what is only looked at is not changed, not even by
// what its log holds.
func TestReadOnlyLeavesTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openAt(t, "file:"+dir, nil)
	if err := s.Commit(t.Context(), &store.Batch{Head: store.Head{Batch: 1, Next: 1}, Changes: []store.Change{{Put: &postern.Application{Number: 1}}}}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	before := folderState(t, dir)
	s, err := Open(t.Context(), "file:"+dir, Options{Logger: quiet(), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	if err := s.Load(t.Context(), func(any) error { records++; return nil }); err != nil || records != 1 {
		t.Errorf("%d records, %v", records, err)
	}
	if err := s.Import(t.Context(), &store.Batch{}, store.Progress{}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("Import: %v, want a conflict", err)
	}
	closeStore(t, s)
	if after := folderState(t, dir); len(after) != len(before) {
		t.Errorf("the folder holds %v, before %v", after, before)
	}
	s = openAt(t, "file:"+dir, nil)
	if head, err := s.Head(t.Context()); err != nil || head.Batch != 1 {
		t.Errorf("head %+v, %v", head, err)
	}
}

func TestReadOnlyMakesNothing(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{filepath.Join(empty, "missing"), empty} {
		_, err := Open(t.Context(), "file:"+dir, Options{Logger: quiet(), ReadOnly: true})
		if !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("%s: %v, want not found", dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(empty, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

// TestExportRefusesAnothersCursor: nothing is left out silently.
func TestExportRefusesAnothersCursor(t *testing.T) {
	s := openAt(t, "memory:", nil)
	q := store.ExportQuery{After: store.Cursor("?"), Records: 1, Bytes: 1}
	err := s.Export(t.Context(), q, func(*store.Batch, store.Cursor) error { return nil })
	if postern.KindOf(err) != postern.Invalid {
		t.Errorf("%v, want an error of kind invalid", err)
	}
}
