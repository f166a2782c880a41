package telemetry

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-dev/postern"
)

// other stands for every value of a label that is not expected.
const other = "other"

// endStates are the states that a delivery ends in.
var endStates = [...]postern.State{postern.Delivered, postern.Dead, postern.Canceled}

// endReasons are why a delivery ends without an attempt.
func endReasons() []string {
	return []string{
		string(postern.ReasonExpired), string(postern.ReasonCanceled),
		string(postern.ReasonDeleted), string(postern.ReasonExpunged),
	}
}

// ownFaults are the faults of our own side.
func ownFaults() []string {
	return []string{"descriptors", "memory", "ports", "route", "resolver", "proxy"}
}

// refusalReasons are the words that the verifier refuses with; a test compares
// them with its own.
func refusalReasons() []string {
	return []string{
		"secret_missing", "scheme_unmet", "signature_missing", "url_missing", "header_missing", "value_missing",
		"timestamp_missing", "body_malformed", "duplicate_header", "duplicate_value", "timestamp_malformed",
		"signature_malformed", "algorithm_forbidden", "key_forbidden", "key_unavailable", "signature_mismatch",
		"digest_mismatch", "value_mismatch", "timestamp_outside_window", "event_malformed", "handshake_refused",
	}
}

// handshakeKinds are what providers may want before they send events.
func handshakeKinds() []string {
	return []string{"echo", "compute", "fixed", "consent", "confirm", "store"}
}

// labelled is a counter for each value of a closed set, and one for the rest.
// It is not changed once it is made.
type labelled struct {
	known map[string]prometheus.Counter
	rest  prometheus.Counter
}

func newLabelled(vec *prometheus.CounterVec, values []string) labelled {
	l := labelled{known: make(map[string]prometheus.Counter, len(values)), rest: vec.WithLabelValues(other)}
	for _, value := range values {
		l.known[value] = vec.WithLabelValues(value)
	}
	return l
}

// of finds the counter of a value that the caller takes from outside.
func (l labelled) of(value string) prometheus.Counter {
	if c, ok := l.known[value]; ok {
		return c
	}
	return l.rest
}

// maxOperations bounds how many operations are told apart, besides the rest. The API names its
// own, and has fewer; the bound is for a program that calls the observer with
// something else.
const maxOperations = 128

// requests counts by operation and status. A series is made when it is first
// needed, because most operations never meet most statuses; from then on
// finding it takes no lock.
type requests struct {
	vec   *prometheus.CounterVec
	known atomic.Pointer[knownRequests]
	mu    sync.Mutex // held while known is replaced
}

// knownRequests are the series so far. They are replaced, never changed.
type knownRequests struct {
	operations map[string]struct{}
	series     map[request]prometheus.Counter
}

// request is a pair of labels; a status that HTTP does not name is 0.
type request struct {
	operation string
	status    int
}

func newRequests(vec *prometheus.CounterVec) *requests {
	r := &requests{vec: vec}
	r.known.Store(&knownRequests{map[string]struct{}{}, map[request]prometheus.Counter{}})
	return r
}

func (r *requests) of(operation string, status int) prometheus.Counter {
	known := r.known.Load()
	if c, ok := known.series[request{operation, status}]; ok {
		return c
	}
	if c, ok := known.series[known.bounded(operation, status)]; ok {
		return c
	}
	return r.first(operation, status)
}

// first makes the series of a pair of labels that was not seen before.
func (r *requests) first(operation string, status int) prometheus.Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known.Load()
	key := known.bounded(operation, status)
	if c, ok := known.series[key]; ok { // somebody else was first
		return c
	}
	code := other
	if key.status != 0 {
		code = strconv.Itoa(key.status)
	}
	next := &knownRequests{maps.Clone(known.operations), maps.Clone(known.series)}
	next.operations[key.operation] = struct{}{}
	next.series[key] = r.vec.WithLabelValues(key.operation, code)
	r.known.Store(next)
	return next.series[key]
}

// bounded is the pair of labels that a request counts under.
func (k *knownRequests) bounded(operation string, status int) request {
	if _, ok := k.operations[operation]; !ok && (len(k.operations) >= maxOperations || !plain(operation)) {
		operation = other
	}
	if http.StatusText(status) == "" {
		status = 0
	}
	return request{operation, status}
}

// plain reports whether a name is written as the API writes those of its
// operations: lower-case words with dots and dashes, such as
// "endpoint.secret.rotate".
func plain(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
