package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// liveRole is a role running in this process, driven as the coordinator does it.
type liveRole struct {
	*child
	addrs []string
}

// startLive runs a role over pipes; it ends with the test and must end cleanly.
func startLive(t *testing.T, role string, args ...string) *liveRole {
	t.Helper()
	commands, stdin := io.Pipe()
	stdout, answers := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := RunRole(context.WithoutCancel(t.Context()), role, args, commands, answers)
		answers.CloseWithError(io.EOF)
		done <- err
	}()
	c := &child{name: role, stderr: &tail{}, stdin: stdin, out: bufio.NewScanner(stdout)}
	c.out.Buffer(nil, maxLine)
	var where listening
	if err := c.read(context.WithoutCancel(t.Context()), &where); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := <-done; err != nil {
			t.Errorf("%s ended with %v", role, err)
		}
	})
	return &liveRole{child: c, addrs: where.Addrs}
}

func (l *liveRole) must(t *testing.T, do string, with, result any) {
	t.Helper()
	if err := l.do(t.Context(), do, with, result); err != nil {
		t.Fatal(err)
	}
}

// deliver posts one message as a server would, and returns the status.
func deliver(t *testing.T, addr, path string, seq uint64, sent int64) int {
	t.Helper()
	m := newMessage(target{}, newCorpus(), 1)
	m.set(seq, sent)
	return post(t, "http://"+addr+path, string(m.body))
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode
}

// TestReceiverTellsLossAndDuplicates is the proof that the counters count: a gap,
// a repeat, a straggler of an earlier phase, and two endpoints kept apart.
func TestReceiverTellsLossAndDuplicates(t *testing.T) {
	r := startLive(t, roleReceiver, "--listeners", "2")
	if len(r.addrs) != 2 {
		t.Fatalf("listens on %v, want two ports", r.addrs)
	}
	r.must(t, "expect", expectCommand{First: 100, Count: 5, Paths: 2, Stamps: true}, nil)
	sent := newClock().now()
	for _, seq := range []uint64{100, 101, 103, 103, 104, 99} { // 102 never comes
		if code := deliver(t, r.addrs[0], "/fast/0", seq, sent); code != 200 {
			t.Fatalf("answered %d, want 200", code)
		}
	}
	deliver(t, r.addrs[1], "/fast/1", 102, sent)

	var got receiverStats
	r.must(t, "stats", nil, &got)
	type counts struct {
		Unique, Duplicates, Missing int
		Listed                      []uint64
	}
	var have []counts
	for _, p := range got.Paths {
		have = append(have, counts{p.Unique, p.Duplicates, p.Missing, p.Listed})
	}
	want := []counts{{4, 2, 1, []uint64{102}}, {1, 0, 4, []uint64{100, 101, 103, 104}}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the ledger is wrong (-want +got):\n%s", diff)
	}
	first := got.Paths[0]
	if first.Latency.Count() != 4 || first.Arrivals[2] != 0 || first.Arrivals[3] <= sent {
		t.Errorf("%d latencies, arrivals %v after %d; want 4 and none for the third", first.Latency.Count(), first.Arrivals, sent)
	}
	var p progress
	r.must(t, "progress", nil, &p)
	if diff := cmp.Diff([]int{4, 1}, p.Unique); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestReceiverForgetsThePhaseBefore(t *testing.T) {
	r := startLive(t, roleReceiver)
	for first := uint64(0); first < 20; first += 10 {
		r.must(t, "expect", expectCommand{First: first, Count: 10, Paths: 1}, nil)
		deliver(t, r.addrs[0], "/fast/0", first, 0)
	}
	var got receiverStats
	r.must(t, "stats", nil, &got)
	if p := got.Paths[0]; p.Unique != 1 || p.Missing != 9 || p.Listed[0] != 11 {
		t.Errorf("second phase has %d arrivals, %d missing from %v; want 1, 9 from 11", p.Unique, p.Missing, p.Listed)
	}
}

func TestReceiverCountsWhatItCannotRead(t *testing.T) {
	r := startLive(t, roleReceiver)
	r.must(t, "expect", expectCommand{Count: 10, Paths: 1}, nil)
	post(t, "http://"+r.addrs[0]+"/fast/0", `{"no":"number"}`)
	deliver(t, r.addrs[0], "/fast/1", 1, 0)  // no such endpoint
	deliver(t, r.addrs[0], "/fast/0", 10, 0) // beyond the phase
	if code := deliver(t, r.addrs[0], "/else/0", 1, 0); code != 400 {
		t.Errorf("an unknown behaviour is answered %d, want 400", code)
	}
	var got receiverStats
	r.must(t, "stats", nil, &got)
	if got.Rejected != 4 || got.Paths[0].Unique != 0 {
		t.Errorf("%d rejected, %d arrived; want 4, 0", got.Rejected, got.Paths[0].Unique)
	}
}

func TestReceiverBehavesAsThePathSays(t *testing.T) {
	r := startLive(t, roleReceiver)
	r.must(t, "expect", expectCommand{Count: 10, Paths: 3}, nil)
	began := time.Now()
	if code := deliver(t, r.addrs[0], "/slow/1?ms=60", 1, 0); code != 200 || time.Since(began) < 60*time.Millisecond {
		t.Errorf("slow endpoint: %d after %s, want 200 after 60ms", code, time.Since(began))
	}
	client := http.Client{Timeout: 50 * time.Millisecond}
	_, err := client.Post("http://"+r.addrs[0]+"/hang/2", "", strings.NewReader(`{"seq":1000000002,"sent":"1"}`))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("hanging endpoint: %v, want a timeout", err)
	}
	var p progress
	r.must(t, "progress", nil, &p)
	if diff := cmp.Diff([]int{0, 1, 1}, p.Unique); diff != "" {
		t.Errorf("both count as arrived (-want +got):\n%s", diff)
	}
}

func TestParseTarget(t *testing.T) {
	for line, want := range map[string]endpointPath{
		"POST /fast/0 HTTP/1.1":         {kind: kindFast},
		"POST /hang/12 HTTP/1.1":        {kind: kindHang, index: 12},
		"POST /slow/3?ms=2000 HTTP/1.1": {kind: kindSlow, index: 3, delay: 2 * time.Second},
		"POST /switch/4 HTTP/1.1":       {kind: kindSwitch, index: 4},
		"POST /flaky/5 HTTP/1.1":        {kind: kindFlaky, index: 5},
		"POST /sink/99999 HTTP/1.1":     {kind: kindSink, index: 99999},
	} {
		if got, err := parseTarget([]byte(line)); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", "GET /fast/0 HTTP/1.1", "POST /fast HTTP/1.1", "POST /fast/x HTTP/1.1", "POST /fast/-1 HTTP/1.1",
		"POST /slow/1 HTTP/1.1", "POST /slow/1?ms=-1 HTTP/1.1", "POST /slow/1?ms=%zz HTTP/1.1", "POST /slow/1?ms=900000 HTTP/1.1",
	} {
		if got, err := parseTarget([]byte(line)); !errors.Is(err, errMalformed) {
			t.Errorf("%q is %+v, %v; want it refused", line, got, err)
		}
	}
}

// TestSwitchDoesWhatItIsTold: what it turns away has not arrived, and whoever hung
// when it changed is cut off, as by a program that was started again.
func TestSwitchDoesWhatItIsTold(t *testing.T) {
	r := startLive(t, roleReceiver)
	r.must(t, "expect", expectCommand{Count: 10, Paths: 1}, nil)
	behave := func(mode string) { r.must(t, "behave", behaveCommand{Mode: mode}, nil) }
	post := func(seq uint64) int { return deliver(t, r.addrs[0], "/switch/0", seq, 0) }
	if code := post(0); code != 200 {
		t.Errorf("a switch that was told nothing answers %d, want 200", code)
	}
	behave(modeFail)
	if code := post(1); code != 503 {
		t.Errorf("one that fails answers %d, want 503", code)
	}
	behave(modeHang)
	cut := make(chan error)
	go func() {
		_, err := http.Post("http://"+r.addrs[0]+"/switch/0", "", strings.NewReader(`{"seq":1000000001,"sent":"1"}`))
		cut <- err
	}()
	for turned := 0; turned < 2; {
		var got receiverStats
		r.must(t, "stats", nil, &got)
		turned = sum(got.Paths[0].Turned)
	}
	behave(modeAnswer)
	if err := <-cut; err == nil {
		t.Error("a request that hung is answered")
	}
	if code := post(1); code != 200 {
		t.Errorf("back again it answers %d, want 200", code)
	}
	var got receiverStats
	r.must(t, "stats", nil, &got)
	p := got.Paths[0]
	if p.Unique != 2 || p.Duplicates != 0 || sum(p.Turned) != 2 || sum(p.Curve) != 2 || p.FirstNs == 0 {
		t.Errorf("%d arrived, %d twice, %d turned away, %d plotted; want 2, 0, 2, 2", p.Unique, p.Duplicates, sum(p.Turned), sum(p.Curve))
	}
	if err := r.do(t.Context(), "behave", behaveCommand{Mode: "dance"}, nil); err == nil {
		t.Error("a mode that does not exist is accepted")
	}
}

// TestCountedOnly: sinks and flaky endpoints keep no ledger, so that any number of
// endpoints may share it.
func TestCountedOnly(t *testing.T) {
	r := startLive(t, roleReceiver)
	succeeded := 0
	for range 2 * flakyEvery {
		deliver(t, r.addrs[0], "/sink/123456", 1, 0)
		if deliver(t, r.addrs[0], "/flaky/0", 1, 0) == 200 {
			succeeded++
		}
	}
	var p progress
	r.must(t, "progress", nil, &p)
	if p.Sunk != 2*flakyEvery || succeeded != 2 {
		t.Errorf("%d sunk, %d answers of the flaky one; want %d, 2", p.Sunk, succeeded, 2*flakyEvery)
	}
}

// TestPhasesOfEndpointsAreTheirOwn: a new one for some leaves the others' alone.
func TestPhasesOfEndpointsAreTheirOwn(t *testing.T) {
	l := &ledger{}
	const second = int64(time.Second)
	for _, with := range []expectCommand{{Paths: 2, Count: 10}, {From: 1, Paths: 1, First: 10, Count: 5}} {
		if err := l.expect(with, 0); err != nil {
			t.Fatal(err)
		}
	}
	l.arrive(0, 3, 0, second)
	l.arrive(0, 4, 0, 3*second)
	l.arrive(1, 12, 0, second)
	l.arrive(1, 3, 0, second)           // of the phase before
	l.arrive(0, 10, 0, second)          // not for this one
	l.turn(1, 2*int64(maxCurve)*second) // beyond the curve
	got := l.stats()
	if diff := cmp.Diff([]int{0, 0, 1, 0, 0, 0, 1}, got.Paths[0].Curve); diff != "" {
		t.Errorf("curve (-want +got):\n%s", diff)
	}
	if a, b := got.Paths[0], got.Paths[1]; a.Unique != 2 || b.Unique != 1 || b.Duplicates != 1 || got.Rejected != 1 || b.Turned != nil {
		t.Errorf("%d and %d arrived, %d twice, %d rejected; want 2, 1, 1, 1", a.Unique, b.Unique, b.Duplicates, got.Rejected)
	}
}

func TestExpectHasBounds(t *testing.T) {
	for _, with := range []expectCommand{
		{Count: 0, Paths: 1}, {Count: maxExpected + 1, Paths: 1}, {Count: 1, Paths: 0},
		{Count: 1, Paths: maxPaths + 1}, {Count: maxStamped + 1, Paths: 1, Stamps: true},
		{Count: 1, Paths: 1, From: maxPaths}, {Count: 1, Paths: 1, From: -1},
	} {
		if err := (&ledger{}).expect(with, 0); err == nil {
			t.Errorf("%+v is accepted", with)
		}
	}
}

func TestRolesRefuseNonsense(t *testing.T) {
	if err := RunRole(t.Context(), "judge", nil, strings.NewReader(""), io.Discard); !errors.Is(err, ErrRole) {
		t.Errorf("unknown role: %v", err)
	}
	for _, role := range []string{roleFloor, roleLoad, roleReceiver} {
		l := startLive(t, role, dirFlag(t, role)...)
		if err := l.do(t.Context(), "dance", nil, nil); err == nil || !strings.Contains(err.Error(), `unknown command "dance"`) {
			t.Errorf("%s, unknown command: %v", role, err)
		}
		if role == roleFloor {
			continue
		}
		do := map[string]string{roleLoad: "publish", roleReceiver: "expect"}[role]
		if err := l.do(t.Context(), do, map[string]any{"count": "many"}, nil); err == nil {
			t.Errorf("%s: a count that is no number is accepted", role)
		}
	}
}

func dirFlag(t *testing.T, role string) []string {
	if role != roleFloor {
		return nil
	}
	return []string{"--dir", t.TempDir()}
}

// TestURLsSpreadOverPorts keeps the addresses that subjects see in step with what
// the receiver reads.
func TestURLsSpreadOverPorts(t *testing.T) {
	slow := rowOf(t, "slow")
	addrs := []string{"127.0.0.1:1", "127.0.0.1:2"}
	var all []string
	for _, e := range slices.Concat(slow.fast(addrs), slow.beside(addrs, subjectServer), slow.beside(addrs, subjectControl)) {
		all = append(all, e.URL)
	}
	want := []string{"http://127.0.0.1:1/fast/0", "http://127.0.0.1:2/slow/1?ms=2000", "http://127.0.0.1:2/fast/1"}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("URLs (-want +got):\n%s", diff)
	}
	for _, raw := range all {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseTarget(fmt.Appendf(nil, "POST %s HTTP/1.1", u.RequestURI())); err != nil {
			t.Errorf("the receiver does not read %s: %v", raw, err)
		}
	}
}
