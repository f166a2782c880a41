package bench

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The metrics of the server that a measurement reads; one that is absent reads as
// unknown and the figure that needs it is left out.
const (
	metricFsyncs     = "postern_fsyncs_total"
	metricBatches    = "postern_batches_total"
	metricOperations = "postern_batch_operations_total"
	metricEnded      = "postern_deliveries_without_attempt_total"
	metricAttempts   = "postern_attempts_total"
	metricBehind     = "postern_deliveries_behind_total"
	metricDebt       = "postern_store_compaction_debt_bytes"
	metricFlushes    = "postern_store_flushes"
	metricCompacts   = "postern_store_compactions"
	metricRows       = "postern_rows"
	metricProbing    = "postern_lanes_probing"
	metricProcs      = "go_sched_gomaxprocs_threads"
	metricHeap       = "go_memstats_heap_inuse_bytes"
	metricHeapHeld   = "go_memstats_heap_sys_bytes"
	metricHeapGiven  = "go_memstats_heap_released_bytes"
	metricCollected  = "go_gc_duration_seconds_count"
)

// maxMetrics bounds a scrape in bytes.
const maxMetrics = 8 << 20

// scrape is Prometheus text by name, label sets of one name added up.
type scrape map[string]float64

// parseMetrics reads the text format as far as it is needed: comments, samples with
// or without labels and time stamps.
func parseMetrics(r io.Reader) (scrape, error) {
	out := scrape{}
	in := bufio.NewScanner(io.LimitReader(r, maxMetrics))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, err := parseSample(line)
		if err != nil {
			return nil, err
		}
		out[name] += value
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return out, nil
}

// parseSample reads one line: name, labels, value and perhaps a time stamp.
func parseSample(line string) (string, float64, error) {
	name, rest := line, ""
	if i := strings.IndexAny(line, "{ \t"); i >= 0 {
		name, rest = line[:i], line[i:]
	}
	if strings.HasPrefix(rest, "{") {
		// A label's value may hold a brace, a sample's value may not.
		rest = rest[strings.LastIndexByte(rest, '}')+1:]
	}
	fields := strings.Fields(rest)
	if name == "" || len(fields) == 0 {
		return "", 0, fmt.Errorf("read metrics: no value in %.80q", line)
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return "", 0, fmt.Errorf("read metrics: %w", err)
	}
	return name, value, nil
}

// get is the value, or NaN when the server does not export it.
func (s scrape) get(name string) float64 {
	if value, ok := s[name]; ok {
		return value
	}
	return math.NaN()
}

// counters is what a subject tells about itself, in one shape for all; NaN where it
// does not say.
type counters struct {
	fsyncs, batches, operations float64
	attempts, behind            float64
	ended                       float64 // deliveries that ended without an attempt
	debt                        float64 // bytes that the store still wants to move
	busy                        float64 // flushes and compactions under way
	rows                        float64 // deliveries that wait for a retry
	probing                     float64 // endpoints that are sent probes only
	gomaxprocs                  float64
	collected                   float64 // garbage collections
	heap                        float64 // bytes of the heap that are in use
	unreturned                  float64 // bytes that the heap does not use, and keeps
}

// counters picks out what a measurement needs.
func (s scrape) counters() counters {
	return counters{
		fsyncs:     s.get(metricFsyncs),
		batches:    s.get(metricBatches),
		operations: s.get(metricOperations),
		attempts:   s.get(metricAttempts),
		ended:      s.get(metricEnded),
		behind:     s.get(metricBehind),
		debt:       s.get(metricDebt),
		busy:       s.get(metricFlushes) + s.get(metricCompacts),
		rows:       s.get(metricRows),
		probing:    s.get(metricProbing),
		gomaxprocs: s.get(metricProcs),
		collected:  s.get(metricCollected),
		heap:       s.get(metricHeap),
		unreturned: s.get(metricHeapHeld) - s.get(metricHeapGiven) - s.get(metricHeap),
	}
}

// quiet reports whether no flush and no compaction is under way. What the subject
// does not export is no reason to wait.
func (c counters) quiet() bool { return !(c.busy > 0) }
