package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxExpected = 20_000_000 // messages of one phase
	maxPaths    = 1000       // endpoints
	// maxStamped bounds a phase whose single times are kept and sent.
	maxStamped = 200_000
	// maxListed bounds the missing sequence numbers that are named.
	maxListed = 1000
)

// ledger knows which sequence numbers reached which endpoint in the present phase.
// It is safe for concurrent use; the zero value expects nothing.
type ledger struct {
	mu       sync.RWMutex // guards the slice; each path has a lock of its own
	paths    []*pathLedger
	rejected atomic.Int64
	sunk     atomic.Int64 // requests that are only counted
}

// pathLedger is one endpoint's part.
type pathLedger struct {
	begin int64 // when the phase began, on the machine's clock
	first uint64
	count int

	mu         sync.Mutex
	seen       []uint64 // bitmap over the phase's numbers
	unique     int
	duplicates int
	latency    Histogram // send time to first arrival
	earliest   int64     // when the first of the first arrivals was
	last       int64     // when the last first arrival was
	arrivals   []int64   // first arrival of each number, 0 = none; nil unless asked for
	curve      []int     // first arrivals by step of the phase
	turned     []int     // requests that were turned away, likewise
}

// expectCommand starts a phase of some endpoints: count numbers from first, at each
// of paths from the index from on. Others go on with the phase that they are in.
type expectCommand struct {
	From   int    `json:"from"`
	Paths  int    `json:"paths"`
	First  uint64 `json:"first"`
	Count  int    `json:"count"`
	Stamps bool   `json:"stamps"` // keep every arrival time
}

// progress is the cheap answer while one waits.
type progress struct {
	Unique []int `json:"unique"` // arrivals by path, duplicates left out
	Sunk   int64 `json:"sunk"`   // since the receiver's start
}

// receiverStats is what the receiver knows of a phase.
type receiverStats struct {
	Paths []pathStats `json:"paths"`
	// Rejected counts requests that were no message of the load.
	Rejected int64 `json:"rejected"`
}

type pathStats struct {
	Unique     int        `json:"unique"`
	Duplicates int        `json:"duplicates"`
	Missing    int        `json:"missing"`
	Listed     []uint64   `json:"listed,omitempty"` // the first missing numbers
	BeginNs    int64      `json:"beginNs"`          // of the phase
	FirstNs    int64      `json:"firstNs"`          // of the first arrival; 0 before it
	LastNs     int64      `json:"lastNs"`
	Latency    *Histogram `json:"latency"`
	Arrivals   []int64    `json:"arrivals,omitempty"`
	Curve      []int      `json:"curve,omitempty"`  // arrivals by [curveStep] of the phase
	Turned     []int      `json:"turned,omitempty"` // turned away, likewise
}

// expect forgets the phase that these endpoints were in; a phase that starts with
// the first of them forgets what was rejected, too.
func (l *ledger) expect(with expectCommand, now int64) error {
	if with.Count < 1 || with.Count > maxExpected || with.From < 0 || with.Paths < 1 || with.From+with.Paths > maxPaths {
		return fmt.Errorf("expect: %d messages at %d endpoints is out of bounds", with.Count, with.Paths)
	}
	if with.Stamps && with.Count > maxStamped {
		return fmt.Errorf("expect: at most %d messages with their times", maxStamped)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.paths) < with.From+with.Paths {
		l.paths = append(l.paths, &pathLedger{})
	}
	for i := with.From; i < with.From+with.Paths; i++ {
		p := &pathLedger{begin: now, first: with.First, count: with.Count, seen: make([]uint64, (with.Count+63)/64)}
		if with.Stamps {
			p.arrivals = make([]int64, with.Count)
		}
		l.paths[i] = p
	}
	if with.From == 0 {
		l.rejected.Store(0)
	}
	return nil
}

// arrive notes one delivery. A number of an earlier phase is a duplicate too, as a
// phase ends only when all of it has arrived.
func (l *ledger) arrive(path int, seq uint64, sent, at int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if path >= len(l.paths) || seq >= l.paths[path].first+uint64(l.paths[path].count) {
		l.rejected.Add(1)
		return
	}
	p := l.paths[path]
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq < p.first {
		p.duplicates++
		return
	}
	p.arrived(int(seq-p.first), sent, at)
}

// turn notes a request that was not served.
func (l *ledger) turn(path int, at int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if path >= len(l.paths) {
		l.rejected.Add(1)
		return
	}
	p := l.paths[path]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turned = p.plot(p.turned, at)
}

// arrived notes number n of the phase; the caller holds mu.
func (p *pathLedger) arrived(n int, sent, at int64) {
	word, bit := &p.seen[n/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		p.duplicates++
		return
	}
	*word |= bit
	if p.unique++; p.unique == 1 {
		p.earliest = at
	}
	p.latency.Add(time.Duration(at - sent))
	p.last = max(p.last, at)
	if p.arrivals != nil {
		p.arrivals[n] = at
	}
	p.curve = p.plot(p.curve, at)
}

// plot adds one to the step of at.
func (p *pathLedger) plot(curve []int, at int64) []int {
	step := int(max(0, at-p.begin) / int64(curveStep))
	if step >= maxCurve {
		return curve
	}
	for len(curve) <= step {
		curve = append(curve, 0)
	}
	curve[step]++
	return curve
}

func (l *ledger) progress() progress {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := progress{Unique: make([]int, len(l.paths)), Sunk: l.sunk.Load()}
	for i, p := range l.paths {
		p.mu.Lock()
		out.Unique[i] = p.unique
		p.mu.Unlock()
	}
	return out
}

func (l *ledger) stats() receiverStats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := receiverStats{Rejected: l.rejected.Load()}
	for _, p := range l.paths {
		out.Paths = append(out.Paths, p.stats())
	}
	return out
}

// stats copies, as deliveries may still arrive while the answer is written.
func (p *pathLedger) stats() pathStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := pathStats{
		Unique:     p.unique,
		Duplicates: p.duplicates,
		Missing:    p.count - p.unique,
		BeginNs:    p.begin,
		FirstNs:    p.earliest,
		LastNs:     p.last,
		Latency:    &Histogram{},
		Arrivals:   append([]int64(nil), p.arrivals...),
		Curve:      append([]int(nil), p.curve...),
		Turned:     append([]int(nil), p.turned...),
	}
	out.Latency.Merge(&p.latency)
	for n := 0; n < p.count && len(out.Listed) < min(out.Missing, maxListed); n++ {
		if p.seen[n/64]&(1<<(n%64)) == 0 {
			out.Listed = append(out.Listed, p.first+uint64(n))
		}
	}
	return out
}
