package testkit_test

import (
	"testing"

	"github.com/postern-dev/postern/internal/testkit"
)

func TestCountFollowsTheVariable(t *testing.T) {
	for value, want := range map[string]int{"": 3, "0": 3, "1": 500} {
		t.Setenv("POSTERN_SOAK", value)
		if got := testkit.Count(3, 500); got != want {
			t.Errorf("POSTERN_SOAK=%q: Count = %d, want %d", value, got, want)
		}
	}
}

func TestSeedRepeats(t *testing.T) {
	t.Setenv("POSTERN_SEED", "0x2a")
	if got := testkit.Seed(t); got != 42 {
		t.Fatalf("Seed = %d, want 42", got)
	}
	if a, b := testkit.Rand(t).Uint64(), testkit.Rand(t).Uint64(); a != b {
		t.Errorf("one seed gave %d and %d", a, b)
	}
}

func TestSeedIsNewWhenUnset(t *testing.T) {
	t.Setenv("POSTERN_SEED", "")
	if first := testkit.Seed(t); first == 0 {
		t.Error("the seed is zero")
	}
}
