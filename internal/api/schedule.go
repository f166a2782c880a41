package api

import (
	"time"

	"github.com/postern-dev/postern"
)

// seconds is a retry schedule on the wire: the waits in seconds, null for none
// of its own, empty for a single try.
type seconds []float64

// takeSchedule is take for retry schedules.
func takeSchedule(in optional[seconds], dst *postern.RetrySchedule) {
	if !in.Set {
		return
	}
	if in.Value == nil {
		*dst = nil
		return
	}
	const longest = 1e9 // far over what any schedule may have, and no overflow
	schedule := make(postern.RetrySchedule, 0, len(*in.Value))
	for _, wait := range *in.Value {
		schedule = append(schedule, time.Duration(min(max(wait, -1), longest)*float64(time.Second)))
	}
	*dst = schedule
}

// inSeconds is a schedule on the wire; null where there is none.
func inSeconds(schedule postern.RetrySchedule) seconds {
	if schedule == nil {
		return nil
	}
	waits := make(seconds, 0, len(schedule))
	for _, wait := range schedule {
		waits = append(waits, wait.Seconds())
	}
	return waits
}
