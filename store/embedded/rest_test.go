package embedded

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Whoever writes a table sleeps after every piece; a log is never held up.
func TestTablesAreWrittenWithRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guard{FS: vfs.NewMem(), onFault: func(err error) { t.Error(err) }, rest: tableRest}
		for name, want := range map[string]time.Duration{"000001.sst": 2 * tableRest, "000002.log": 0} {
			f, err := g.Create(name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			for range 4 {
				if _, err := f.Write(make([]byte, restEvery/2)); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begun); took != want {
				t.Errorf("%s: rested for %s, want %s", name, took, want)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
