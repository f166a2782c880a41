package postern_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// Examples are modules of their own, within this one's path, so that the compiler
// would let them import what no user can.
func TestExamplesUseWhatALibraryUserCould(t *testing.T) {
	mods, err := filepath.Glob("examples/*/go.mod")
	if err != nil || len(mods) == 0 {
		t.Fatalf("%d examples found: %v", len(mods), err)
	}
	for _, mod := range mods {
		files, err := readTree(filepath.Dir(mod))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for imported := range maps.Values(f.imports()) {
				if !f.test && strings.HasPrefix(imported, "internal/") {
					t.Errorf("%s imports %s, which no library user could.", f.name, imported)
				}
			}
		}
	}
}
