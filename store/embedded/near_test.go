package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestNear: look-ups in any order find what is there, and those in the order of
// keys, or against it, do without a search.
func TestNear(t *testing.T) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var keys []string
	stored := map[string]string{}
	for i := range 300 {
		key := fmt.Sprintf("k%03d", i)
		if keys = append(keys, key); i%3 == 0 {
			stored[key] = "v" + key
			if err := db.Set([]byte(key), []byte("v"+key), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(keys []string) int {
		it, err := db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		n, w := near{it: it}, walk{}
		for _, key := range keys {
			if got := string(n.get(&w, []byte(key))); got != stored[key] {
				t.Errorf("%s is %q, want %q", key, got, stored[key])
			}
		}
		return w.examined - nearCost*len(keys)
	}
	few := 3 * seekCost // for the first, and for two that lie behind all there is
	if cost := look(keys); cost > few {
		t.Errorf("in their order they cost %d", cost)
	}
	slices.Reverse(keys)
	if cost := look(keys); cost > few {
		t.Errorf("against their order they cost %d", cost)
	}
	random := rand.New(rand.NewPCG(1, 2))
	keys = append(keys, "a", "z", "k299x", "k000a")
	random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	if cost := look(keys); cost < 100*seekCost {
		t.Errorf("at random they cost %d: searches are not charged", cost)
	}
}
