package dispatch

import (
	"slices"
	"testing"
	"time"
)

// Trouble that lasts is told once a minute, and each kind for itself.
func TestTroubleIsToldOnce(t *testing.T) {
	var all troubles
	told := map[string][]int{}
	start := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	for second := range 150 {
		for _, kind := range []string{"one", "other"} {
			if all.due(start.Add(time.Duration(second)*time.Second), kind) {
				told[kind] = append(told[kind], second)
			}
		}
	}
	for kind, seconds := range told {
		if !slices.Equal(seconds, []int{0, 60, 120}) {
			t.Errorf("%s is told after %v seconds", kind, seconds)
		}
	}
	if len(told) != 2 {
		t.Errorf("told: %v", told)
	}
}
