package bench

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSoakOverCrashes is a short soak of the real server: everything arrives though
// it is killed, and what arrives twice is told apart. How its figures grow says
// nothing in seconds.
func TestSoakOverCrashes(t *testing.T) {
	o := small(t, "soak")
	o.Seconds, o.Publishers, o.Seed, o.Rounds = 8, 16, 7, 2
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Samples) != 1 {
		t.Fatalf("%d samples, want one in two rounds", len(got.Samples))
	}
	s := got.Samples[0]
	if s.FirstError != "" || s.Messages == 0 || s.Deliveries <= s.Messages {
		t.Errorf("%d messages, %d deliveries, %q", s.Messages, s.Deliveries, s.FirstError)
	}
	checkFigures(t, s, []string{figureFull, figureOffered, figureDeliveries, figureReady, figureStore, figureCPU, figurePeak, figureAckP99})
	if n := s.Figures[figureCrashes]; n < 2 {
		t.Errorf("%v crashes in 8 s, want at least 2", n)
	}
	if n, ok := s.Figures[figureRowsLeft]; !ok || n != 0 || s.Figures[figureSeed] != 7 || s.Figures[figureRejected] != 0 {
		t.Errorf("%v rows are left (measured: %v), %v rejected, seed %v", n, ok, s.Figures[figureRejected], s.Figures[figureSeed])
	}
	checkWindows(t, s)
}

func checkWindows(t *testing.T, s Sample) {
	t.Helper()
	if n := len(s.Windows); n < 10 || n > 12 {
		t.Fatalf("%d windows, want 12 or a few less", n)
	}
	crashes, disturbed := 0, 0
	for _, w := range s.Windows {
		crashes += w.Crashes
		if w.Disturbed {
			disturbed++
		}
		if !(w.StoreMB > 0) || w.Deliveries < 0 {
			t.Errorf("window at %.1f s: %+v", w.AtSeconds, w)
		}
	}
	if disturbed == 0 || float64(crashes) > s.Figures[figureCrashes] {
		t.Errorf("%d crashes in windows, %d windows disturbed, of %v crashes", crashes, disturbed, s.Figures[figureCrashes])
	}
}

// TestALoadThatInsists repeats under the same event id what broke, and takes a
// conflict for the acknowledgement that it is.
func TestALoadThatInsists(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct {
			EventID string          `json:"eventId"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(body, &in); err != nil || in.EventID == "" || len(in.Payload) != 300 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		seen[in.EventID]++
		times := seen[in.EventID]
		mu.Unlock()
		switch {
		case in.EventID == "load-1000000002" && times == 1:
			panic(http.ErrAbortHandler) // the connection breaks
		case in.EventID == "load-1000000002" && times == 2:
			w.WriteHeader(http.StatusInternalServerError)
		case times > 1:
			w.WriteHeader(http.StatusConflict)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	to.Repeat, to.Payload = true, 300
	got, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 1, Count: 5, Rate: 1000, Window: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	if got.Acked != 5 || got.Repeats != 2 || len(got.Unacked) != 0 || len(seen) != 5 || seen["load-1000000002"] != 3 {
		t.Errorf("acked %d with %d repeats, %v unknown; seen %v", got.Acked, got.Repeats, got.Unacked, seen)
	}
	var due uint64
	for _, w := range got.Windows {
		due += w.Count()
	}
	if due != 5 {
		t.Errorf("%d latencies in windows, want 5", due)
	}
}

// TestRoughEndpoints: what goes wrong has not arrived, and the rest has.
func TestRoughEndpoints(t *testing.T) {
	r := startLive(t, roleReceiver)
	r.must(t, "expect", expectCommand{Count: 10, Paths: 2}, nil)
	for path, want := range map[string]int{"/rough/0?every=2&how=error": 500, "/rough/1?every=2&how=busy": 429} {
		for seq, code := range []int{200, want} {
			if got := deliver(t, r.addrs[0], path, uint64(seq), 0); got != code {
				t.Errorf("%s answers %d, want %d", path, got, code)
			}
		}
	}
	var got receiverStats
	r.must(t, "stats", nil, &got)
	for i, p := range got.Paths {
		if p.Unique != 1 || sum(p.Turned) != 1 {
			t.Errorf("endpoint %d: %d arrived, %d turned away; want one of each", i, p.Unique, sum(p.Turned))
		}
	}
	for _, line := range []string{"POST /rough/0 HTTP/1.1", "POST /rough/0?every=0&how=busy HTTP/1.1", "POST /rough/0?every=2&how=so HTTP/1.1"} {
		if p, err := parseTarget([]byte(line)); err == nil {
			t.Errorf("%q is read as %+v", line, p)
		}
	}
}

// TestGrowth compares a soak's end with its beginning, without the warm-up and what
// lies between.
func TestGrowth(t *testing.T) {
	var windows []Window
	for i := range 40 {
		w := Window{AtSeconds: float64(i+1) * 10, CPU: 100, ResidentMB: 50}
		switch {
		case i < 4:
			w.CPU = 900 // warming up
		case i >= 30:
			w.CPU, w.ResidentMB = 130, 40
		case i >= 14:
			w.CPU = 500
		}
		windows = append(windows, w)
	}
	cpu := func(w Window) float64 { return w.CPU }
	if got := growth(windows, cpu); got != 1.3 {
		t.Errorf("grew to %v, want 1.3", got)
	}
	if got := growth(windows, func(w Window) float64 { return w.ResidentMB }); got != 0.8 {
		t.Errorf("shrank to %v, want 0.8", got)
	}
	for _, few := range [][]Window{nil, windows[:1]} {
		if got := growth(few, cpu); got == got {
			t.Errorf("%d windows grew to %v, want not a number", len(few), got)
		}
	}
	windows[7].Disturbed = true
	if n := len(calm(windows)); n != 39 {
		t.Errorf("%d calm windows, want 39", n)
	}
	if n := len(calm(windows[7:8])); n != 1 {
		t.Errorf("%d windows where all are disturbed, want that one", n)
	}
}

// TestSoakChart joins windows into lines that a note has room for.
func TestSoakChart(t *testing.T) {
	s := Sample{Run: "soak", Round: 1}
	for i := range 180 {
		w := Window{AtSeconds: float64(i+1) * 10, CPU: 60, PerSecond: 1000, AckP99Ms: 4, StoreMB: float64(i)}
		if i%6 == 2 {
			w.Crashes, w.Disturbed, w.CPU, w.AckP99Ms = 1, true, 300, 900
		}
		s.Windows = append(s.Windows, w)
	}
	rows := s.windowRows()
	if len(rows) != soakLines+1 {
		t.Fatalf("%d lines, want %d", len(rows)-1, soakLines)
	}
	want := []string{"1.0", "1", "1000", "60.0", "4.00", "0", "5", strings.Repeat("#", plotWidth)}
	if got := strings.Join(rows[1], "|"); got != strings.Join(want, "|") {
		t.Errorf("the first minute is %s, want %s", got, strings.Join(want, "|"))
	}
	if rows := (Sample{}).windowRows(); len(rows) != 1 {
		t.Errorf("%d lines without a soak", len(rows)-1)
	}
}

// TestSoakTimesShrink: a look of a minute has crashes and turns, too.
func TestSoakTimesShrink(t *testing.T) {
	if w := windowOf(30 * time.Minute); w != soakWindow {
		t.Errorf("windows of %s, want %s", w, soakWindow)
	}
	if w := windowOf(time.Minute); w != 5*time.Second {
		t.Errorf("windows of %s in a minute, want 5 s", w)
	}
}
