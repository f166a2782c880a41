package embedded

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestPurge looks for what was expunged in the tables on the disk: it is there
// while it may be, and then no more, while the neighbours stay.
func TestPurge(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir() + "/store"
	s, err := Open(t.Context(), "file:"+dir, Options{Logger: quiet(), ReserveBytes: -1, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	payloads := [][]byte{make([]byte, 4096), make([]byte, 4096), make([]byte, 4096)}
	var head store.Head
	commit := func(b store.Batch) {
		t.Helper()
		head.Batch++
		head.LastTime = now
		b.Head = head
		if err := s.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	var ids []postern.MessageID
	for i, p := range payloads {
		_, _ = rand.Read(p) // it never fails, and random bytes do not compress
		ids = append(ids, postern.NewMessageID(now, 1, uint64(i+1), 0))
		head.Next = uint64(i + 2)
		m := &postern.Message{ID: ids[i], Application: 1, EventType: "a", Size: len(p)}
		commit(store.Batch{Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: p}}}})
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	want := func(when string, there ...bool) {
		t.Helper()
		for i, p := range payloads {
			if got := inTables(t, dir, p[:64]); got != there[i] {
				t.Errorf("%s, payload %d is in the tables: %t, want %t", when, i, got, there[i])
			}
		}
	}
	want("at first", true, true, true)
	commit(store.Batch{Expunged: []store.ContentKey{{Application: 1, Message: ids[1]}}})
	purge := func() {
		t.Helper()
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	purge()
	want("before its time", true, true, true)
	now = now.Add(purgeAfter)
	purge()
	if spans, due, err := s.expunged(); err != nil || due || len(spans) > 0 {
		t.Errorf("still to do: %v %t %v", spans, due, err)
	}
	if _, err := s.Content(t.Context(), 1, ids[2]); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
	closeStore(t, s) // tables that nothing refers to are deleted by the way, and by its end
	want("purged", true, false, true)
}

// inTables reports whether any table of the folder holds the bytes.
func inTables(t *testing.T, dir string, what []byte) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".sst") {
			return err
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // dropped meanwhile
		}
		found = found || bytes.Contains(text, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
