package outbox

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	p := pace{least: 10 * ms, most: 50 * ms}
	var got []time.Duration
	for _, round := range []struct {
		moved int
		full  bool
	}{
		{}, {}, {}, {}, // idle
		{moved: 1}, {moved: 3}, {}, // some
		{moved: 100, full: true}, {moved: 100, full: true}, {}, // many
		{full: true}, {}, // that all failed, and no others
	} {
		got = append(got, p.next(round.moved, round.full))
	}
	want := []time.Duration{10 * ms, 20 * ms, 40 * ms, 50 * ms, 10 * ms, 10 * ms, 20 * ms, 0, 0, 10 * ms, 0, 10 * ms}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if p.reset(); p.next(0, false) != 10*ms {
		t.Error("a relay that was woken does not start from the beginning")
	}
}

// An application is left alone for longer and longer while it fails, and not for
// what others do.
func TestStalls(t *testing.T) {
	const ms = time.Millisecond
	now := time.Unix(1_800_000_000, 0)
	s := stalls{least: 10 * ms, most: 30 * ms, of: map[postern.ApplicationNumber]stall{}}
	round := func(outcomes map[postern.ApplicationNumber][]outcome) {
		var rows []*row
		for app, list := range outcomes {
			for _, o := range list {
				rows = append(rows, &row{publish: postern.Publish{Application: app}, outcome: o})
			}
		}
		if all := s.note(rows, now); all != (len(s.of) < maxStalls) {
			t.Errorf("all are left alone: %t, with %d", all, len(s.of))
		}
	}
	var got []string
	for range 4 {
		round(map[postern.ApplicationNumber][]outcome{7: {published, failed, left}, 8: {published, parked}})
		for s.now(now) != nil {
			got = append(got, s.now(now)...)
			now = now.Add(10 * ms)
		}
		got = append(got, "-")
	}
	if diff := cmp.Diff("7 - 7 7 - 7 7 7 - 7 7 7 -", strings.Join(got, " ")); diff != "" {
		t.Errorf("left alone (-want +got):\n%s", diff)
	}
	if round(map[postern.ApplicationNumber][]outcome{7: {published}}); len(s.of) != 0 {
		t.Errorf("what goes on is left alone: %v", s.of)
	}
	for app := range postern.ApplicationNumber(maxStalls - 1) {
		round(map[postern.ApplicationNumber][]outcome{app: {failed}})
	}
	for range 2 {
		if s.note([]*row{{outcome: failed, publish: postern.Publish{Application: maxStalls}}}, now); len(s.of) != maxStalls {
			t.Errorf("%d applications are known", len(s.of))
		}
	}
	if s.note([]*row{{outcome: failed, publish: postern.Publish{Application: maxStalls + 1}}}, now) || len(s.of) != maxStalls {
		t.Errorf("one too many is left alone, too, of %d", len(s.of))
	}
}

// A channel's name is one that PostgreSQL takes, and a table's own where it can be.
func TestChannels(t *testing.T) {
	long := strings.Repeat("s", 60) + ".outbox"
	if short, cut := channel("a.outbox"), channel(long); short != "a.outbox" || len(cut) > 63 || cut == channel("x"+long) {
		t.Errorf("%q, %q", short, cut)
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
