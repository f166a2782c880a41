package postern_test

import (
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// TestLimits compares what is told with what is done.
func TestLimits(t *testing.T) {
	told := map[string]postern.Limit{}
	for _, l := range postern.Limits() {
		if _, twice := told[l.Name]; twice || l.Value <= 0 || l.Doc == "" || l.Unit == "" {
			t.Errorf("%+v", l)
		}
		told[l.Name] = l
	}
	schedule := make(postern.RetrySchedule, told["retry.tries"].Value-1)
	for i := range schedule {
		schedule[i] = time.Duration(told["retry.wait"].Value) * time.Second
	}
	if err := schedule.Validate(); err != nil {
		t.Error(err)
	}
	if slices.Concat(schedule, postern.RetrySchedule{time.Second}).Validate() == nil {
		t.Error("one more try is allowed")
	}
	schedule[0] += time.Second
	if schedule.Validate() == nil {
		t.Error("a longer wait is allowed")
	}
}

func TestTimeLimitRoundsUp(t *testing.T) {
	if got := postern.TimeLimit("x", 1500*time.Millisecond, "").Value; got != 2 {
		t.Errorf("1.5 s are told as %d", got)
	}
}
