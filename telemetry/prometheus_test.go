package telemetry_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/telemetry"
	"github.com/postern-dev/postern/verify"
)

func noStats(context.Context) (engine.Stats, error) { return engine.Stats{}, nil }

// scrape is what the handler shows, by series as it is written.
func scrape(t *testing.T, h http.Handler) map[string]float64 {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	series := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := cutLast(line, " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[name] = value
	}
	return series
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// moved are the series that differ, by how much. Those of the runtime and the
// process, which move by themselves, are left out.
func moved(before, after map[string]float64) map[string]float64 {
	diff := map[string]float64{}
	for name, value := range after {
		old, there := before[name]
		if strings.HasPrefix(name, "postern_") && !strings.Contains(name, "_bucket{") && (!there || value != old) {
			diff[name] = value - old
		}
	}
	return diff
}

// Each observation moves its metrics, by the right amount and no others.
func TestObservationsMoveTheirMetrics(t *testing.T) {
	attempt := func(a postern.Attempt) func(engine.Observer) {
		a.Timings.Total = 250 * time.Millisecond
		return func(o engine.Observer) { o.Attempted(&a) }
	}
	attempted := func(outcome, state string) map[string]float64 {
		want := map[string]float64{
			`postern_attempts_total{outcome="` + outcome + `"}`: 1,
			"postern_attempt_duration_seconds_count":            1,
			"postern_attempt_duration_seconds_sum":              0.25,
		}
		if state != "" {
			want[`postern_deliveries_ended_total{state="`+state+`"}`] = 1
		}
		return want
	}
	endedFor := func(reason, state string) map[string]float64 {
		return map[string]float64{
			`postern_deliveries_without_attempt_total{reason="` + reason + `"}`: 1,
			`postern_deliveries_ended_total{state="` + state + `"}`:             1,
		}
	}
	for name, tc := range map[string]struct {
		observe func(engine.Observer)
		want    map[string]float64
	}{
		"accepted":  {func(o engine.Observer) { o.Accepted(&postern.Message{}) }, map[string]float64{"postern_messages_accepted_total": 1}},
		"duplicate": {func(o engine.Observer) { o.Duplicate() }, map[string]float64{"postern_messages_duplicate_total": 1}},
		"refused": {func(o engine.Observer) { o.Refused("signature_mismatch") },
			map[string]float64{`postern_requests_refused_total{reason="signature_mismatch"}`: 1}},
		"refused for an unknown reason": {func(o engine.Observer) { o.Refused("the user's own words") },
			map[string]float64{`postern_requests_refused_total{reason="other"}`: 1}},
		"handshake": {func(o engine.Observer) { o.Handshake("store") },
			map[string]float64{`postern_handshakes_answered_total{kind="store"}`: 1}},
		"an unknown handshake": {func(o engine.Observer) { o.Handshake("bow") },
			map[string]float64{`postern_handshakes_answered_total{kind="other"}`: 1}},

		"delivered": {attempt(postern.Attempt{Succeeded: true, Code: 204, State: postern.Delivered}), attempted("succeeded", "delivered")},
		"to be retried": {attempt(postern.Attempt{Code: 500, State: postern.Retrying}),
			attempted("failed", "")},
		"exhausted": {attempt(postern.Attempt{Code: 500, State: postern.Dead, Reason: postern.ReasonExhausted}), attempted("failed", "dead")},
		"gone":      {attempt(postern.Attempt{Code: 410, State: postern.Dead, Reason: postern.ReasonGone}), attempted("failed", "dead")},
		"permanent": {attempt(postern.Attempt{State: postern.Dead, Reason: postern.ReasonPermanent}), attempted("failed", "dead")},
		"canceled while it was tried": {attempt(postern.Attempt{Succeeded: true, State: postern.Canceled, Reason: postern.ReasonCanceled}),
			attempted("succeeded", "")},
		"expired while it was tried": {attempt(postern.Attempt{State: postern.Dead, Reason: postern.ReasonExpired}), attempted("failed", "")},

		"expired":  {func(o engine.Observer) { o.Ended(postern.ReasonExpired) }, endedFor("expired", "dead")},
		"canceled": {func(o engine.Observer) { o.Ended(postern.ReasonCanceled) }, endedFor("canceled", "canceled")},
		"deleted":  {func(o engine.Observer) { o.Ended(postern.ReasonDeleted) }, endedFor("deleted", "canceled")},
		"expunged": {func(o engine.Observer) { o.Ended(postern.ReasonExpunged) }, endedFor("expunged", "canceled")},
		"unknown":  {func(o engine.Observer) { o.Ended("lost") }, endedFor("other", "canceled")},

		"no descriptors": {func(o engine.Observer) { o.OwnFault("descriptors") },
			map[string]float64{`postern_own_faults_total{fault="descriptors"}`: 1}},
		"an unknown fault": {func(o engine.Observer) { o.OwnFault("") }, map[string]float64{`postern_own_faults_total{fault="other"}`: 1}},

		"batch": {func(o engine.Observer) {
			o.Committed(engine.Batch{Accepts: 20, Settles: 19, Commands: 1, Commit: 500 * time.Millisecond})
		}, map[string]float64{
			"postern_batches_total": 1, "postern_batch_operations_total": 40,
			"postern_batch_size_count": 1, "postern_batch_size_sum": 40,
			"postern_commit_duration_seconds_count": 1, "postern_commit_duration_seconds_sum": 0.5,
		}},
		"answered": {func(o engine.Observer) { o.Answered("message.create", 202, 125*time.Millisecond) }, map[string]float64{
			`postern_api_requests_total{code="202",operation="message.create"}`: 1,
			"postern_api_request_duration_seconds_count":                        1,
			"postern_api_request_duration_seconds_sum":                          0.125,
		}},
	} {
		observer, handler := telemetry.NewPrometheus(noStats)
		before := scrape(t, handler)
		tc.observe(observer)
		if diff := cmp.Diff(tc.want, moved(before, scrape(t, handler))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What an observation falls into is shown by the buckets that it counts in.
func TestBuckets(t *testing.T) {
	observer, handler := telemetry.NewPrometheus(noStats)
	observer.Attempted(&postern.Attempt{Timings: postern.Timings{Total: 15 * time.Second}})
	observer.Committed(engine.Batch{Accepts: 64, Commit: 300 * time.Microsecond})
	got := scrape(t, handler)
	for series, want := range map[string]float64{
		`postern_attempt_duration_seconds_bucket{le="10"}`:       0,
		`postern_attempt_duration_seconds_bucket{le="15"}`:       1,
		`postern_batch_size_bucket{le="32"}`:                     0,
		`postern_batch_size_bucket{le="64"}`:                     1,
		`postern_commit_duration_seconds_bucket{le="0.0002"}`:    0,
		`postern_commit_duration_seconds_bucket{le="0.0004"}`:    1,
		`postern_api_request_duration_seconds_bucket{le="+Inf"}`: 0,
	} {
		if value, ok := got[series]; !ok || value != want {
			t.Errorf("%s is %v, %t; want %v", series, value, ok, want)
		}
	}
}

// Every figure of the stats is shown, at its own place.
func TestStatsAreShown(t *testing.T) {
	stats := engine.Stats{
		Lanes: 1, LanesBehind: 2, WentBehind: 3, LanesFailing: 4, LanesProbing: 5, InFlight: 6, Queued: 7, QueuedBytes: 8, Rows: 9,
		OldestWaiting: 10500 * time.Millisecond, Leased: 19,
		Store: engine.Usage{Bytes: 11, FreeBytes: 12, ReserveBytes: 13, MemtableBytes: 14, CompactionDebtBytes: 15,
			FlushesUnderWay: 16, CompactionsUnderWay: 17, Syncs: 18, Full: true},
	}
	asked := 0
	_, handler := telemetry.NewPrometheus(func(context.Context) (engine.Stats, error) { asked++; return stats, nil })
	got := scrape(t, handler)
	if asked != 1 {
		t.Errorf("stats were read %d times for one scrape", asked)
	}
	want := map[string]float64{
		"postern_lanes": 1, "postern_lanes_behind": 2, "postern_deliveries_behind_total": 3, "postern_lanes_failing": 4,
		"postern_lanes_probing": 5, "postern_attempts_in_flight": 6, "postern_deliveries_queued": 7, "postern_deliveries_queued_bytes": 8,
		"postern_rows": 9, "postern_oldest_undelivered_seconds": 10.5, "postern_store_bytes": 11, "postern_store_free_bytes": 12,
		"postern_store_reserve_bytes": 13, "postern_store_memtable_bytes": 14, "postern_store_compaction_debt_bytes": 15,
		"postern_store_flushes": 16, "postern_store_compactions": 17, "postern_fsyncs_total": 18, "postern_store_full": 1,
		"postern_leases": 19,
	}
	shown := map[string]float64{}
	for name := range want {
		if value, ok := got[name]; ok {
			shown[name] = value
		}
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	stats = engine.Stats{}
	after := scrape(t, handler)
	for name := range want {
		if after[name] != 0 {
			t.Errorf("%s stays at %v", name, after[name])
		}
	}
}

// Failing stats take nothing else away, do not read as zeros, and are counted.
func TestFailingStats(t *testing.T) {
	fail := true
	observer, handler := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) {
		if fail {
			return engine.Stats{}, errors.New("the store is closed")
		}
		return engine.Stats{Rows: 3}, ctx.Err()
	})
	observer.Duplicate()
	got := scrape(t, handler)
	if _, shown := got["postern_rows"]; shown || got["postern_messages_duplicate_total"] != 1 {
		t.Errorf("rows shown: %t; duplicates %v, want 1", shown, got["postern_messages_duplicate_total"])
	}
	fail = false
	got = scrape(t, handler)
	if errs := got[`promhttp_metric_handler_errors_total{cause="gathering"}`]; errs != 1 || got["postern_rows"] != 3 {
		t.Errorf("%v errors, want 1; rows %v, want 3", errs, got["postern_rows"])
	}
}

// The stats are asked with the request's context.
func TestStatsEndWithTheRequest(t *testing.T) {
	var cause error
	_, handler := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) {
		cause = context.Cause(ctx)
		return engine.Stats{}, nil
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the scraper has gone")
	cancel(gone)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	if !errors.Is(cause, gone) {
		t.Errorf("cause %v, want %v", cause, gone)
	}
}

// The runtime's and the process' figures are there, and those of what the
// benchmark reads that are no observation.
func TestRuntimeAndProcess(t *testing.T) {
	_, handler := telemetry.NewPrometheus(noStats)
	got := scrape(t, handler)
	for _, name := range []string{"go_goroutines", "go_sched_gomaxprocs_threads", "go_memstats_heap_alloc_bytes"} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if _, ok := got["process_cpu_seconds_total"]; !ok {
		t.Error("no CPU time of the process")
	}
}

// What is told by a program or a sender does not become series without bound.
func TestLabelsAreBounded(t *testing.T) {
	observer, handler := telemetry.NewPrometheus(noStats)
	for i := range 1000 {
		word := fmt.Sprint("word-", i)
		observer.Refused(word)
		observer.Ended(postern.Reason(word))
		observer.Answered(word, i, time.Millisecond)
	}
	for _, odd := range []string{"", "GET /in/token", "é", "\xff", "new\nline", strings.Repeat("a", 65), `quote"`} {
		observer.Answered(odd, 200, 0)
	}
	counts, values := map[string]int{}, map[string]float64{}
	for series, value := range scrape(t, handler) {
		name, _, _ := strings.Cut(series, "{")
		counts[name]++
		values[name] += value
	}
	for name, most := range map[string]int{
		"postern_requests_refused_total":           22,
		"postern_deliveries_without_attempt_total": 5,
		"postern_deliveries_ended_total":           3,
		"postern_api_requests_total":               129 + 64, // each operation once, and the rest by status
	} {
		if counts[name] == 0 || counts[name] > most {
			t.Errorf("%s has %d series, at most %d", name, counts[name], most)
		}
	}
	if values["postern_requests_refused_total"] != 1000 || values["postern_api_requests_total"] != 1007 {
		t.Errorf("refused %v, answered %v: something was not counted", values["postern_requests_refused_total"], values["postern_api_requests_total"])
	}
}

// The closed set of the verifier is known, every word of it.
func TestRefusalReasonsAreKnown(t *testing.T) {
	observer, handler := telemetry.NewPrometheus(noStats)
	for _, reason := range verify.Reasons() {
		observer.Refused(string(reason))
	}
	got := scrape(t, handler)
	for _, reason := range verify.Reasons() {
		if got[fmt.Sprintf("postern_requests_refused_total{reason=%q}", reason)] != 1 {
			t.Errorf("%s counts as another", reason)
		}
	}
}

// Two engines do not share metrics.
func TestTwoEngines(t *testing.T) {
	first, _ := telemetry.NewPrometheus(noStats)
	_, second := telemetry.NewPrometheus(noStats)
	first.Duplicate()
	if got := scrape(t, second)["postern_messages_duplicate_total"]; got != 0 {
		t.Errorf("the second engine counts %v of the first", got)
	}
}

// Nothing is lost when everybody observes while metrics are read.
func TestConcurrently(t *testing.T) {
	const callers, each = 8, 200
	observer, handler := telemetry.NewPrometheus(noStats)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range each {
				observer.Accepted(nil)
				observer.Refused("signature_missing")
				observer.Attempted(&postern.Attempt{Succeeded: true, State: postern.Delivered})
				observer.Committed(engine.Batch{Accepts: 2})
				observer.Answered(fmt.Sprint("operation.", i%20), 200+i%7, time.Millisecond)
				if i%100 == c {
					scrape(t, handler)
				}
			}
		})
	}
	all.Wait()
	got := scrape(t, handler)
	var answered float64
	for series, value := range got {
		if strings.HasPrefix(series, "postern_api_requests_total{") {
			answered += value
		}
	}
	const total = callers * each
	for name, value := range map[string]float64{
		"accepted":   got["postern_messages_accepted_total"],
		"refused":    got[`postern_requests_refused_total{reason="signature_missing"}`],
		"attempted":  got["postern_attempt_duration_seconds_count"],
		"delivered":  got[`postern_deliveries_ended_total{state="delivered"}`],
		"operations": got["postern_batch_operations_total"] / 2,
		"answered":   answered,
	} {
		if value != total {
			t.Errorf("%s: %v, want %d", name, value, total)
		}
	}
}

// Names and help texts follow the conventions of Prometheus.
func TestNamesFollowTheConventions(t *testing.T) {
	observer, handler := telemetry.NewPrometheus(noStats)
	observer.Answered("health", 200, 0)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	problems, err := promlint.New(answer.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "postern_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// hot are the observations of a message's way.
func hot(observer engine.Observer) map[string]func() {
	message := &postern.Message{}
	delivered := &postern.Attempt{Succeeded: true, State: postern.Delivered, Timings: postern.Timings{Total: 3 * time.Millisecond}}
	return map[string]func(){
		"Accepted":  func() { observer.Accepted(message) },
		"Duplicate": func() { observer.Duplicate() },
		"Refused":   func() { observer.Refused("signature_mismatch") },
		"Attempted": func() { observer.Attempted(delivered) },
		"Ended":     func() { observer.Ended(postern.ReasonCanceled) },
		"Committed": func() { observer.Committed(engine.Batch{Accepts: 30, Settles: 30, Commit: time.Millisecond}) },
		"Answered":  func() { observer.Answered("message.create", 202, time.Millisecond) },
		"unknown":   func() { observer.Answered("GET /nowhere", 999, time.Millisecond) },
	}
}

func TestObservingDoesNotAllocate(t *testing.T) {
	observer, _ := telemetry.NewPrometheus(noStats)
	for name, observe := range hot(observer) {
		observe() // the first makes its series
		if n := testing.AllocsPerRun(100, observe); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	observer, _ := telemetry.NewPrometheus(noStats)
	for name, observe := range hot(observer) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				observe()
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					observe()
				}
			})
		})
	}
}
