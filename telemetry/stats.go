package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-dev/postern/engine"
)

// figure is one number of the engine's stats.
type figure struct {
	name, help string
	kind       prometheus.ValueType
	of         func(*engine.Stats) float64
}

// figures are the stats that are shown. Those of kind counter count since the
// start of the process.
func figures() []figure {
	const gauge, total = prometheus.GaugeValue, prometheus.CounterValue
	return []figure{
		{"postern_oldest_undelivered_seconds", "Age of the oldest delivery that waits for its first try; 0 when none waits.", gauge,
			func(s *engine.Stats) float64 { return s.OldestWaiting.Seconds() }},
		{"postern_lanes", "Endpoints with recent work.", gauge, func(s *engine.Stats) float64 { return float64(s.Lanes) }},
		{"postern_lanes_behind", "Lanes whose deliveries are read back from the store.", gauge, func(s *engine.Stats) float64 { return float64(s.LanesBehind) }},
		{"postern_lanes_failing", "Lanes whose endpoint fails again and again.", gauge, func(s *engine.Stats) float64 { return float64(s.LanesFailing) }},
		{"postern_lanes_probing", "Lanes that are sent probes only.", gauge, func(s *engine.Stats) float64 { return float64(s.LanesProbing) }},
		{"postern_deliveries_behind_total", "How often a lane went behind.", total, func(s *engine.Stats) float64 { return float64(s.WentBehind) }},
		{"postern_attempts_in_flight", "Attempts under way.", gauge, func(s *engine.Stats) float64 { return float64(s.InFlight) }},
		{"postern_leases", "Deliveries that consumers of pull endpoints hold.", gauge, func(s *engine.Stats) float64 { return float64(s.Leased) }},
		{"postern_deliveries_queued", "Deliveries that wait in memory.", gauge, func(s *engine.Stats) float64 { return float64(s.Queued) }},
		{"postern_deliveries_queued_bytes", "Payloads of the deliveries that wait in memory.", gauge, func(s *engine.Stats) float64 { return float64(s.QueuedBytes) }},
		{"postern_rows", "Deliveries that wait for a retry or were resent.", gauge, func(s *engine.Stats) float64 { return float64(s.Rows) }},

		{"postern_fsyncs_total", "Fsyncs of the store's log.", total, func(s *engine.Stats) float64 { return float64(s.Store.Syncs) }},
		{"postern_store_bytes", "Size of the store on disk.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.Bytes) }},
		{"postern_store_free_bytes", "Free space on the store's file system.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.FreeBytes) }},
		{"postern_store_reserve_bytes", "Free space below which nothing is accepted.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.ReserveBytes) }},
		{"postern_store_memtable_bytes", "What the store holds in memory and has yet to flush.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.MemtableBytes) }},
		{"postern_store_compaction_debt_bytes", "What the store has yet to compact.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.CompactionDebtBytes) }},
		{"postern_store_flushes", "Flushes under way.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.FlushesUnderWay) }},
		{"postern_store_compactions", "Compactions under way.", gauge, func(s *engine.Stats) float64 { return float64(s.Store.CompactionsUnderWay) }},
		{"postern_store_full", "1 while free space is below the reserve and nothing is accepted, else 0.", gauge,
			func(s *engine.Stats) float64 { return oneIf(s.Store.Full) }},
	}
}

// statsCollector shows the stats of one moment, read together, so that the
// figures of a scrape agree with one another. err is why there are none.
type statsCollector struct {
	stats engine.Stats
	err   error
}

// Describe implements prometheus.Collector.
func (c statsCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range figures() {
		descs <- f.desc()
	}
}

// Collect implements prometheus.Collector. Without stats there are no figures:
// zeros would look like an engine at rest.
func (c statsCollector) Collect(metrics chan<- prometheus.Metric) {
	for i, f := range figures() {
		if c.err == nil {
			metrics <- prometheus.MustNewConstMetric(f.desc(), f.kind, f.of(&c.stats))
		} else if i == 0 { // one failure, one error
			metrics <- prometheus.NewInvalidMetric(f.desc(), c.err)
		}
	}
}

func (f figure) desc() *prometheus.Desc { return prometheus.NewDesc(f.name, f.help, nil, nil) }

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
