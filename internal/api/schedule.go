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

// retrySchedule is an event type's own schedule, by itself; null for none, and
// then the endpoint's or the general one holds.
type retrySchedule struct {
	RetrySchedule seconds `json:"retrySchedule"`
}

// retryScheduleIn is one to set.
type retryScheduleIn struct {
	RetrySchedule optional[seconds] `json:"retrySchedule"`
}

// getRetrySchedule shows what getEventType shows too.
func (h *handler) getRetrySchedule(c *call, _ none) (retrySchedule, error) {
	t, err := h.eventType(c)
	if err != nil {
		return retrySchedule{}, err
	}
	return retrySchedule{inSeconds(t.RetrySchedule)}, nil
}

// putRetrySchedule leaves all else of the type alone. It holds for what fails
// from now on, also of messages that are there.
func (h *handler) putRetrySchedule(c *call, in retryScheduleIn) (retrySchedule, error) {
	in.RetrySchedule.Set = true // what is left out is null, as in any PUT
	updated, err := h.EventTypes.UpdateEventType(c.r.Context(), c.param("name"), func(t *postern.EventType) error {
		takeSchedule(in.RetrySchedule, &t.RetrySchedule)
		return nil
	})
	if err != nil {
		return retrySchedule{}, err
	}
	return retrySchedule{inSeconds(updated.RetrySchedule)}, nil
}
