package api

import (
	"sync"
	"time"

	"github.com/postern-dev/postern/store"
)

const (
	// remembered is how long an answer is kept in memory at least, unless too
	// many come; twice that at most.
	remembered = 5 * time.Minute
	// maxRecent and maxRecentBytes bound each of two generations: by what SDKs
	// send with every request, some 10 MiB in all.
	maxRecent      = 32 << 10
	maxRecentBytes = 2 << 20
)

// answered are requests under way that have an idempotency key, and the answers
// of the last minutes. Answers are forgotten a generation at a time, which needs
// no clock of its own and no order. The zero value is ready for use.
type answered struct {
	mu sync.Mutex
	// underWay has a channel for each reserved digest, closed by release.
	underWay   map[store.Digest]chan struct{}
	young, old map[store.Digest]store.DedupeRecord
	since      time.Time // when the young ones began
	bytes      int       // of the young ones' answers
}

// reserve takes a digest, or returns what will be closed when its holder is
// done.
func (r *answered) reserve(digest store.Digest) (other <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if held := r.underWay[digest]; held != nil {
		return held
	}
	if r.underWay == nil {
		r.underWay = map[store.Digest]chan struct{}{}
	}
	r.underWay[digest] = make(chan struct{})
	return nil
}

// release lets those in who wait for a digest.
func (r *answered) release(digest store.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.underWay[digest])
	delete(r.underWay, digest)
}

// find looks for an answer.
func (r *answered) find(digest store.Digest, now time.Time) (store.DedupeRecord, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age(now)
	if record, ok := r.young[digest]; ok {
		return record, true
	}
	record, ok := r.old[digest]
	return record, ok
}

// keep adds an answer; one that is larger than all may be together is not kept.
func (r *answered) keep(record *store.DedupeRecord, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age(now)
	if len(record.Answer) > maxRecentBytes {
		return
	}
	if r.young == nil || len(r.young) >= maxRecent || r.bytes+len(record.Answer) > maxRecentBytes {
		r.turn(now)
	}
	r.young[record.Digest] = *record
	r.bytes += len(record.Answer)
}

// age forgets what is older than it is kept.
func (r *answered) age(now time.Time) {
	passed := now.Sub(r.since)
	if passed >= remembered && r.young != nil {
		r.turn(now)
	}
	if passed >= 2*remembered {
		r.old = nil
	}
}

// turn makes the young ones old, and forgets the old ones.
func (r *answered) turn(now time.Time) {
	r.old, r.young = r.young, map[store.Digest]store.DedupeRecord{}
	r.since, r.bytes = now, 0
}
