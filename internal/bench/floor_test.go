package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// runLog runs a log for the length of the test.
func runLog(t *testing.T) (*appendLog, func() error) {
	t.Helper()
	l, err := openLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return l, keepRunning(t, l)
}

func keepRunning(t *testing.T, l *appendLog) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	return stop
}

// readRecords reads the log from its start, checking every sum.
func readRecords(t *testing.T, l *appendLog) map[uint64]string {
	t.Helper()
	raw, err := os.ReadFile(l.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[uint64]string{}
	for raw[8] != 0 {
		n := recordHeader + int(binary.LittleEndian.Uint32(raw))
		if sum := crc32.Checksum(raw[8:n], l.table); sum != binary.LittleEndian.Uint32(raw[4:]) {
			t.Fatalf("record of %d bytes has sum %x, want %x", n, binary.LittleEndian.Uint32(raw[4:]), sum)
		}
		if raw[8] == recordAccept {
			bodies[binary.LittleEndian.Uint64(raw[9:])] = string(raw[recordHeader:n])
		}
		raw = raw[n:]
	}
	return bodies
}

// TestLogIsWrittenBeforeItAnswers: what accept has returned is in the file, and
// all who wait at once share a sync.
func TestLogIsWrittenBeforeItAnswers(t *testing.T) {
	l, err := openLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const producers, each = 64, 20
	var running sync.WaitGroup
	for p := range producers {
		running.Go(func() {
			for n := range each {
				if err := l.accept(uint64(p*each+n), []byte(strings.Repeat("b", p))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	waiting := func() uint64 { l.mu.Lock(); defer l.mu.Unlock(); return uint64(l.pending.operations) }
	for waiting() < producers {
		runtime.Gosched()
	}
	keepRunning(t, l)
	running.Wait()
	if got := readRecords(t, l); len(got) != producers*each || len(got[producers*each-1]) != producers-1 {
		t.Errorf("%d records, the last of %d bytes", len(got), len(got[producers*each-1]))
	}
	if syncs, ops := l.syncs.Load(), l.operations.Load(); ops != producers*each || syncs > ops-producers+1 {
		t.Errorf("%d operations in %d syncs: no group commit", ops, syncs)
	}
}

// TestLonelyCompletionIsSynced: nobody waits for a completion, yet it does not wait
// for ever. The log's file is real, so that time is real too.
func TestLonelyCompletionIsSynced(t *testing.T) {
	l, _ := runLog(t)
	l.complete(7)
	group := func() *group { l.mu.Lock(); defer l.mu.Unlock(); return l.pending }()
	select {
	case <-group.done:
	case <-time.After(time.Minute):
		t.Fatal("still pending after a minute")
	}
	if l.operations.Load() != 1 && group.operations != 1 {
		t.Errorf("%d operations", l.operations.Load())
	}
}

func TestCompletionRidesWithTheNextAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := runLog(t)
		for id := range uint64(5) {
			l.complete(id)
		}
		synctest.Wait()
		if n := l.syncs.Load(); n != 0 {
			t.Fatalf("%d syncs for completions alone, before their delay", n)
		}
		if err := l.accept(9, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if syncs, ops := l.syncs.Load(), l.operations.Load(); syncs != 1 || ops != 6 {
			t.Errorf("%d operations in %d syncs, want 6 in 1", ops, syncs)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLogGoesRoundAndFailsForGood(t *testing.T) {
	l, stop := runLog(t)
	g := newGroup()
	g.records = make([]byte, 100)
	if end, err := l.write(g, logSize-50); err != nil || end != 100 {
		t.Errorf("a group that does not fit at the end goes to %d, %v; want 0..100", end-100, err)
	}
	g.records = make([]byte, logSize+1)
	if _, err := l.write(g, 0); err == nil {
		t.Error("a group larger than the log is accepted")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.accept(1, nil); !errors.Is(err, errLogClosed) {
		t.Errorf("accept on a closed log: %v", err)
	}
	l.complete(1) // is ignored
}

// TestFloorForwards runs the role as the coordinator does.
func TestFloorForwards(t *testing.T) {
	var c collector
	one, two := httptest.NewServer(&c), httptest.NewServer(&c)
	defer one.Close()
	defer two.Close()
	f := startLive(t, roleFloor, "--dir", t.TempDir())
	f.must(t, "connect", connectCommand{URLs: []string{one.URL}}, nil)
	f.must(t, "connect", connectCommand{URLs: []string{two.URL}}, nil)

	to := target{Addr: f.addrs[0], Path: "/"}
	got, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 4, Count: 50})
	if err != nil || got.Acked != 50 {
		t.Fatalf("acked %d, %v", got.Acked, err)
	}
	stats := awaitFloor(t, f, func(s floorStats) bool { return s.Delivered == 100 && s.Operations == 150 })
	if stats.Failed != 0 || stats.Syncs == 0 || stats.GOMAXPROCS < 2 {
		t.Errorf("stats are %+v", stats)
	}
	if len(c.seqs) != 100 || len(c.bodies[0]) != payloadSize {
		t.Errorf("%d deliveries of %d bytes", len(c.seqs), len(c.bodies[0]))
	}
}

func TestFloorRefusesAndCountsFailures(t *testing.T) {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer down.Close()
	f := startLive(t, roleFloor, "--dir", t.TempDir())
	f.must(t, "connect", connectCommand{URLs: []string{down.URL}}, nil)
	if err := f.do(t.Context(), "connect", connectCommand{URLs: []string{":"}}, nil); err == nil {
		t.Error("a broken URL is accepted")
	}
	if code := post(t, "http://"+f.addrs[0]+"/", "{}"); code != 202 {
		t.Errorf("answered %d, want 202", code)
	}
	unbounded := io.MultiReader(strings.NewReader("{}")) // sent without a length
	response, err := http.Post("http://"+f.addrs[0]+"/", "", unbounded)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body without a length is answered %d, want 413", response.StatusCode)
	}
	awaitFloor(t, f, func(s floorStats) bool { return s.Failed == 1 && s.Delivered == 0 })
}

// awaitFloor asks for the counts until they are as wanted.
func awaitFloor(t *testing.T, f *liveRole, wanted func(floorStats) bool) floorStats {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		var s floorStats
		f.must(t, "stats", nil, &s)
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("stats stay at %+v", s)
		}
	}
}
