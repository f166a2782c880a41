package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// TestBackupNames: whoever has an admin key chooses a name, and no place.
func TestBackupNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{
		"", ".", "..", "/etc/cron.d/x", "a/b", `a\\b`, "../a", ".hidden", "-rf", "a b", "a\\u0000b", "c:x", "ä", "a.partial", strings.Repeat("a", 101),
	} {
		w.refused(422, "directory", "POST", "/backup", `{"directory":"`+name+`"}`)
	}
	if len(w.backups) > 0 {
		t.Fatalf("asked for %q", w.backups)
	}
	w.want(201, "POST", "/backup", `{"directory":"`+strings.Repeat("a", 100)+`"}`)
	got := w.want(201, "POST", "/backup", `{"directory":"2026-11-23.full"}`)
	want := map[string]any{
		"directory": "/var/postern/backups/2026-11-23.full", "bytes": 4096.0, "files": 3.0, "keyRing": true, "createdAt": w.now.Format("2006-01-02T15:04:05Z"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.want(201, "POST", "/backup", `{}`)
	if name := w.backups[2]; name != w.now.Format("backup-20060102T150405Z") {
		t.Errorf("by default %q", name)
	}
	w.backupFails = &postern.Error{Kind: postern.Conflict, Detail: "there is one of this name"}
	w.refused(409, "of this name", "POST", "/backup", `{"directory":"again"}`)
}
