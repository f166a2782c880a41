package api

import (
	"testing"
	"time"

	"github.com/postern-dev/postern/store"
)

// TestCountsOfMuch: the newest attempts are counted, and the answer says since when.
func TestCountsOfMuch(t *testing.T) {
	newest := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	out := statsOut{Complete: true}
	for i := range statsExamine {
		o := store.Outcome{At: newest.Add(-time.Duration(i) * time.Second), Succeeded: i%5 != 0}
		if !out.count(o) {
			t.Fatalf("attempt %d is too many", i)
		}
	}
	if !out.Complete {
		t.Error("as many as are looked at are not all")
	}
	if out.count(store.Outcome{At: newest.AddDate(-1, 0, 0)}) || out.Complete {
		t.Error("one more is counted")
	}
	oldest := newest.Add(-(statsExamine - 1) * time.Second)
	if out.Success != statsExamine*4/5 || out.Fail != statsExamine/5 || !out.Since.Equal(oldest) {
		t.Errorf("%d and %d since %v, want %d and %d since %v", out.Success, out.Fail, out.Since, statsExamine*4/5, statsExamine/5, oldest)
	}
}
