package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func rowOf(t *testing.T, name string) run {
	t.Helper()
	rows, err := chooseRuns([]string{name})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows are called %q, %v", len(rows), name, err)
	}
	return rows[0]
}

func TestRunsAreChosenByNameOrGroup(t *testing.T) {
	for names, want := range map[string]string{
		"":                 "one ten rate accept slow",
		"core":             "one ten rate accept slow",
		"isolation":        "slow hang host flood",
		"memory":           "idle pending endpoints fanout",
		"restart one":      "one restart",
		"nodes":            "nodes join",
		"memory endpoints": "idle pending endpoints fanout",
	} {
		rows, err := chooseRuns(strings.Fields(names))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.name)
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q chooses (-want +got):\n%s", names, diff)
		}
	}
}

// TestRowsAreConsistent: what a row leaves out fails at the end of a long bench.
func TestRowsAreConsistent(t *testing.T) {
	var names []string
	for _, r := range allRuns() {
		if r.title == "" || slices.Contains(names, r.name) {
			t.Errorf("run %q has no title, or its name twice", r.name)
		}
		names = append(names, r.name)
		if r.scenario == nil && r.endpoints == 0 {
			t.Errorf("%s: nobody is measured", r.name)
		}
		if r.neighbours > 0 && (r.neighbour == "" || r.control == "" || !slices.Contains(r.against, subjectControl)) {
			t.Errorf("%s: neighbours without a control", r.name)
		}
		for _, b := range r.bars {
			measured := r.against
			if b.of != "" {
				measured = r.subjects(0) // another one than the server, which it may be held against
			}
			if b.against != "" && !slices.Contains(measured, b.against) {
				t.Errorf("%s: a bar against %s, which is not measured", r.name, b.against)
			}
		}
	}
}

func TestSizesAndTimes(t *testing.T) {
	r := rowOf(t, "restart")
	for want, o := range map[int]Options{1_000_000: {}, 10_000: {Quick: true}, 77: {Quick: true, Size: 77}} {
		if got := r.sized(o); got != want || r.messages(o) != want {
			t.Errorf("%+v: size %d, want %d", o, got, want)
		}
	}
	accept := rowOf(t, "accept")
	if n := accept.messages(Options{}); n != 150_000 || accept.lasts(Options{Seconds: 2}) != 2*time.Second {
		t.Errorf("%d messages, want 150000", n)
	}
	if n := rowOf(t, "ten").messages(Options{Messages: 300}); n != 30 {
		t.Errorf("%d messages for 300 deliveries to ten, want 30", n)
	}
}

// TestNeighboursInTurn: each has a channel of its own, of the load's alphabet; the
// fast endpoint has none.
func TestNeighboursInTurn(t *testing.T) {
	hang := rowOf(t, "hang")
	addrs := []string{"a:1", "a:2"}
	got := hang.beside(addrs, subjectServer)
	if e := hang.fast(addrs)[0]; e.Channels != nil {
		t.Errorf("the fast endpoint has the channels %v", e.Channels)
	}
	if len(got) != 500 || got[17].Channels[0] != "n0017" || got[17].URL != "http://a:1/slow/18?ms=30000" {
		t.Errorf("%d neighbours, the 18th is %+v", len(got), got[17])
	}
	m := newMessage(target{Envelope: true, Channels: len(got)}, newCorpus(), 1)
	m.set(517, 1)
	if want := `{"eventType":"bench.event","channels":["n0017"],"payload":{"seq":1000000517,`; !strings.HasPrefix(string(m.body), want) {
		t.Errorf("message 517 is %.90s", m.body)
	}
	if r := rowOf(t, "host"); r.listeners() != 1 || hang.listeners() != maxListeners {
		t.Errorf("%d and %d ports", r.listeners(), hang.listeners())
	}
}
