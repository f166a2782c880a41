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
	mu       sync.RWMutex // guards the next three; each path has a lock of its own
	first    uint64
	count    int
	paths    []*pathLedger
	rejected atomic.Int64
}

// pathLedger is one endpoint's part.
type pathLedger struct {
	mu         sync.Mutex
	seen       []uint64 // bitmap over the phase's numbers
	unique     int
	duplicates int
	latency    Histogram // send time to first arrival
	last       int64     // when the last first arrival was, on the machine's clock
	arrivals   []int64   // first arrival of each number, 0 = none; nil unless asked for
}

// expectCommand starts a phase: count numbers from first, at each of paths.
type expectCommand struct {
	First  uint64 `json:"first"`
	Count  int    `json:"count"`
	Paths  int    `json:"paths"`
	Stamps bool   `json:"stamps"` // keep every arrival time
}

// progress is the cheap answer while one waits.
type progress struct {
	Unique []int `json:"unique"` // arrivals by path, duplicates left out
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
	LastNs     int64      `json:"lastNs"`
	Latency    *Histogram `json:"latency"`
	Arrivals   []int64    `json:"arrivals,omitempty"`
}

// expect forgets the phase before.
func (l *ledger) expect(with expectCommand) error {
	if with.Count < 1 || with.Count > maxExpected || with.Paths < 1 || with.Paths > maxPaths {
		return fmt.Errorf("expect: %d messages at %d endpoints is out of bounds", with.Count, with.Paths)
	}
	if with.Stamps && with.Count > maxStamped {
		return fmt.Errorf("expect: at most %d messages with their times", maxStamped)
	}
	paths := make([]*pathLedger, with.Paths)
	for i := range paths {
		paths[i] = &pathLedger{seen: make([]uint64, (with.Count+63)/64)}
		if with.Stamps {
			paths[i].arrivals = make([]int64, with.Count)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first, l.count, l.paths = with.First, with.Count, paths
	l.rejected.Store(0)
	return nil
}

// arrive notes one delivery. A number of an earlier phase is a duplicate too, as a
// phase ends only when all of it has arrived.
func (l *ledger) arrive(path int, seq uint64, sent, at int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if path >= len(l.paths) || seq >= l.first+uint64(l.count) {
		l.rejected.Add(1)
		return
	}
	p := l.paths[path]
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq < l.first {
		p.duplicates++
		return
	}
	p.first(int(seq-l.first), sent, at)
}

// first notes number n of the phase; the caller holds mu.
func (p *pathLedger) first(n int, sent, at int64) {
	word, bit := &p.seen[n/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		p.duplicates++
		return
	}
	*word |= bit
	p.unique++
	p.latency.Add(time.Duration(at - sent))
	p.last = max(p.last, at)
	if p.arrivals != nil {
		p.arrivals[n] = at
	}
}

func (l *ledger) progress() progress {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := progress{Unique: make([]int, len(l.paths))}
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
		out.Paths = append(out.Paths, p.stats(l.first, l.count))
	}
	return out
}

// stats copies, as deliveries may still arrive while the answer is written.
func (p *pathLedger) stats(first uint64, count int) pathStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := pathStats{
		Unique:     p.unique,
		Duplicates: p.duplicates,
		Missing:    count - p.unique,
		LastNs:     p.last,
		Latency:    &Histogram{},
		Arrivals:   append([]int64(nil), p.arrivals...),
	}
	out.Latency.Merge(&p.latency)
	for n := 0; n < count && len(out.Listed) < min(out.Missing, maxListed); n++ {
		if p.seen[n/64]&(1<<(n%64)) == 0 {
			out.Listed = append(out.Listed, first+uint64(n))
		}
	}
	return out
}
