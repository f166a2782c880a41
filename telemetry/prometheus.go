package telemetry

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
)

// NewPrometheus returns an observer for an engine's configuration, and the
// handler that shows what was observed in Prometheus' formats, together with
// the figures of stats and those of the Go runtime and the process.
//
// stats is asked once for each scrape, with the request's context, and not
// before the first: it may close over an engine that is still to be made. When
// it fails, its metrics are left out of the answer and the failure is counted
// as promhttp_metric_handler_errors_total; the others are shown.
func NewPrometheus(stats func(context.Context) (engine.Stats, error)) (engine.Observer, http.Handler) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m := newMeters(registry)
	return engine.Observer{
		Accepted:  m.messageAccepted,
		Duplicate: m.duplicates.Inc,
		Refused:   m.requestRefused,
		Handshake: m.handshakeAnswered,
		Attempted: m.attempted,
		OwnFault:  m.ownFault,
		Ended:     m.deliveryEnded,
		Committed: m.batchCommitted,
		Answered:  m.apiAnswered,
	}, scrapes(registry, stats)
}

// scrapes answers with the meters of registry and the stats of the moment.
func scrapes(registry *prometheus.Registry, stats func(context.Context) (engine.Stats, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A collector is not given the request's context, so the stats are read
		// here and shown by a registry that lives for one request.
		now, err := stats(r.Context())
		moment := prometheus.NewRegistry()
		moment.MustRegister(statsCollector{now, err})
		promhttp.HandlerFor(prometheus.Gatherers{registry, moment}, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError,
			Registry:      registry,
		}).ServeHTTP(w, r)
	})
}

// meters are counted as things happen. Series whose labels are known
// beforehand are resolved at the start, so that counting is an addition.
type meters struct {
	accepted, duplicates prometheus.Counter
	refused              labelled
	handshakes           labelled

	succeeded, failed prometheus.Counter
	attemptSeconds    prometheus.Histogram
	ended             [len(endStates)]prometheus.Counter
	withoutAttempt    labelled
	ownFaults         labelled

	batches, operations      prometheus.Counter
	batchSize, commitSeconds prometheus.Histogram

	requests       *requests
	requestSeconds prometheus.Histogram
}

func newMeters(r prometheus.Registerer) *meters {
	attempts := counters(r, "postern_attempts_total", "Attempts that are stored, by outcome.", "outcome")
	ended := counters(r, "postern_deliveries_ended_total",
		"Deliveries that ended, by the state that they ended in; one that is resent may end again.", "state")
	m := &meters{
		accepted:   counter(r, "postern_messages_accepted_total", "Messages that were stored durably."),
		duplicates: counter(r, "postern_messages_duplicate_total", "Second copies of messages that were recognised and not stored."),
		refused: newLabelled(counters(r, "postern_requests_refused_total",
			"Inbound requests that did not verify, by reason.", "reason"), refusalReasons()),
		handshakes: newLabelled(counters(r, "postern_handshakes_answered_total",
			"Handshakes with providers that were answered, by kind.", "kind"), handshakeKinds()),
		succeeded: attempts.WithLabelValues("succeeded"),
		failed:    attempts.WithLabelValues("failed"),
		attemptSeconds: histogram(r, "postern_attempt_duration_seconds", "Duration of attempts, connecting included.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}), // 15 s is an attempt's deadline
		withoutAttempt: newLabelled(counters(r, "postern_deliveries_without_attempt_total",
			"Deliveries that ended otherwise than by an attempt, by reason.", "reason"), endReasons()),
		ownFaults: newLabelled(counters(r, "postern_own_faults_total",
			"Tries that do not count as attempts because of a fault on this side, by fault.", "fault"), ownFaults()),
		batches:    counter(r, "postern_batches_total", "Batches that were committed."),
		operations: counter(r, "postern_batch_operations_total", "Accepts, settles and commands in committed batches."),
		batchSize: histogram(r, "postern_batch_size", "Operations of a batch.",
			prometheus.ExponentialBuckets(1, 2, 13)), // to 4096
		commitSeconds: histogram(r, "postern_commit_duration_seconds", "Time to commit a batch, the fsync included.",
			prometheus.ExponentialBuckets(.0001, 2, 15)), // to 1.6 s
		requests: newRequests(counters(r, "postern_api_requests_total", "API requests that were answered, by operation and HTTP status.", "operation", "code")),
		requestSeconds: histogram(r, "postern_api_request_duration_seconds", "Time to answer an API request.",
			prometheus.ExponentialBuckets(.0005, 2, 15)), // to 8 s
	}
	for i, state := range endStates {
		m.ended[i] = ended.WithLabelValues(state.String())
	}
	return m
}

// messageAccepted does not look at the message: what a tenant publishes is no
// label.
func (m *meters) messageAccepted(*postern.Message) { m.accepted.Inc() }

func (m *meters) requestRefused(reason string) { m.refused.of(reason).Inc() }

func (m *meters) handshakeAnswered(kind string) { m.handshakes.of(kind).Inc() }

// attempted counts an attempt by its own outcome, and by what became of its
// delivery: the two differ when the delivery was ended meanwhile.
func (m *meters) attempted(a *postern.Attempt) {
	if a.Succeeded {
		m.succeeded.Inc()
	} else {
		m.failed.Inc()
	}
	m.attemptSeconds.Observe(a.Timings.Total.Seconds())
	if endedBy(a) {
		m.end(a.State)
	}
}

func (m *meters) ownFault(fault string) { m.ownFaults.of(fault).Inc() }

// endedBy tells an attempt that ended its delivery from one that only outlived
// it: then the end has been told already.
func endedBy(a *postern.Attempt) bool {
	switch a.Reason {
	case postern.ReasonNone, postern.ReasonExhausted, postern.ReasonGone, postern.ReasonPermanent:
		return a.State.Final()
	}
	return false
}

// deliveryEnded counts an end without an attempt. Only what retention drops is
// dead; the other ends are somebody's wish.
func (m *meters) deliveryEnded(reason postern.Reason) {
	m.withoutAttempt.of(string(reason)).Inc()
	if reason == postern.ReasonExpired {
		m.end(postern.Dead)
	} else {
		m.end(postern.Canceled)
	}
}

func (m *meters) end(state postern.State) {
	for i, s := range endStates {
		if s == state {
			m.ended[i].Inc()
		}
	}
}

// batchCommitted is called by the committer between two batches, for a thousand
// messages as for one.
func (m *meters) batchCommitted(b engine.Batch) {
	size := float64(b.Accepts + b.Settles + b.Commands)
	m.batches.Inc()
	m.operations.Add(size)
	m.batchSize.Observe(size)
	m.commitSeconds.Observe(b.Commit.Seconds())
}

func (m *meters) apiAnswered(operation string, status int, took time.Duration) {
	m.requests.of(operation, status).Inc()
	m.requestSeconds.Observe(took.Seconds())
}

// The constructors below register what they make. They panic for a name that is
// taken, which is a mistake in this file.

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

func counters(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.MustRegister(c)
	return c
}

func histogram(r prometheus.Registerer, name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	r.MustRegister(h)
	return h
}
