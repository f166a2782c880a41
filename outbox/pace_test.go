package outbox

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	p := pace{least: 10 * ms, most: 50 * ms}
	var got []time.Duration
	for _, round := range []struct {
		moved int
		full  bool
		err   error
	}{
		{}, {}, {}, {}, // idle
		{moved: 1}, {moved: 3}, {}, // some
		{moved: 100, full: true}, {moved: 100, full: true}, {}, // many
		{moved: 100, full: true, err: errors.New("x")}, {moved: 1, err: errors.New("x")},
	} {
		got = append(got, p.next(round.moved, round.full, round.err))
	}
	want := []time.Duration{10 * ms, 20 * ms, 40 * ms, 50 * ms, 10 * ms, 10 * ms, 20 * ms, 0, 0, 10 * ms, 20 * ms, 40 * ms}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if p.reset(); p.next(0, false, nil) != 10*ms {
		t.Error("a relay that was woken does not start from the beginning")
	}
}

// Notifications are ten a second at most.
func TestNotificationsAreCoalesced(t *testing.T) {
	var table Table
	start := time.Unix(1_800_000_000, 0)
	var got []int
	for n := range 300 {
		if table.mayNotify(start.Add(time.Duration(n) * time.Millisecond)) {
			got = append(got, n)
		}
	}
	if diff := cmp.Diff([]int{0, 100, 200}, got); diff != "" {
		t.Errorf("notified at ms (-want +got):\n%s", diff)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	long := make([]byte, 5000)
	for i := range long {
		long[i] = "\xffü\x00"[i%4]
	}
	if got := reason(errors.New(string(long))); len(got) > 1003 || got[:2] != "?ü"[:2] {
		t.Errorf("%d bytes: %q", len(got), got[:20])
	}
}
