package embedded

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern/store"
)

// digests tells of nearly every new digest that no record has it. Digests have
// no order, and nearly all that are asked for are new: to learn that from the
// database is to read a block of its last level, at 16 us with 3 million records
// beside nothing else and a third of a message's CPU beside a full load. This
// costs 0.1 us and 12 bits of memory for each record.
//
// It is a Bloom filter in layers: a new layer begins when one is full, so that
// it grows with what there is, and the oldest go when all their records are too
// old to count. The zero value is ready. It is safe for concurrent use.
type digests struct {
	mu     sync.Mutex // held to add and to drop
	layers atomic.Pointer[[]*layer]
	bytes  int
	// over is set for good when there are too many: all are then looked for in
	// the database.
	over atomic.Bool
}

// layer holds up to a number of digests. A digest has all its bits in one block
// of the size of a cache line.
type layer struct {
	blocks [][8]atomic.Uint64
	free   int   // digests that it still takes
	newest int64 // of its records' times, in Unix milliseconds
}

const (
	digestBits = 12 // of memory for each: 6 of 1,000 others look like one of them
	digestHits = 6  // bits set for each
	// A layer takes twice as many as the one before, within these bounds.
	firstLayer, largestLayer = 1 << 16, 1 << 22
	// maxDigestBytes is for 16 million.
	maxDigestBytes = 24 << 20
	// learnAtOnce is how many records are read from the database between two looks
	// at whether there is still a use for them.
	learnAtOnce = 1024
)

// digestOf is a record's digest and its time in Unix milliseconds.
type digestOf struct {
	digest store.Digest
	millis int64
}

// add notes records. It comes before they can be read.
func (d *digests) add(records ...digestOf) {
	if d.over.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range records {
		l := d.roomy()
		if l == nil {
			return
		}
		l.free--
		l.newest = max(l.newest, r.millis)
		block, word := l.place(r.digest)
		for range digestHits {
			block[word>>6&7].Or(1 << (word & 63))
			word >>= 9
		}
	}
}

// roomy is a layer that takes another digest; nil when there are too many.
func (d *digests) roomy() *layer {
	var layers []*layer
	if now := d.layers.Load(); now != nil {
		layers = *now
	}
	size := firstLayer
	if n := len(layers); n > 0 {
		last := layers[n-1]
		if last.free > 0 {
			return last
		}
		size = min(2*len(last.blocks)*512/digestBits, largestLayer)
	}
	l := &layer{blocks: make([][8]atomic.Uint64, size*digestBits/512), free: size}
	if d.bytes += 64 * len(l.blocks); d.bytes > maxDigestBytes {
		d.over.Store(true)
		d.layers.Store(nil)
		return nil
	}
	layers = append(slices.Clone(layers), l)
	d.layers.Store(&layers)
	return l
}

// lacks reports that no record has the digest. When it does not, there may be
// one. It knows only what was added.
func (d *digests) lacks(x store.Digest) bool {
	layers := d.layers.Load()
	if layers == nil {
		return !d.over.Load()
	}
	for _, l := range *layers {
		if l.has(x) {
			return false
		}
	}
	return true
}

// drop forgets layers whose records are all older than a time.
func (d *digests) drop(millis int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.layers.Load()
	if now == nil {
		return
	}
	layers := slices.DeleteFunc(slices.Clone(*now), func(l *layer) bool {
		gone := l.newest < millis && l.free == 0
		if gone {
			d.bytes -= 64 * len(l.blocks)
		}
		return gone
	})
	d.layers.Store(&layers)
}

func (l *layer) has(x store.Digest) bool {
	block, word := l.place(x)
	for range digestHits {
		if block[word>>6&7].Load()&(1<<(word&63)) == 0 {
			return false
		}
		word >>= 9
	}
	return true
}

// place is a digest's block, and what its bits there follow from. Digests are
// random: they need no further hash. The block follows from the end, since those
// that are read from the database come in the order of their beginnings.
func (l *layer) place(x store.Digest) (*[8]atomic.Uint64, uint64) {
	at, _ := bits.Mul64(binary.BigEndian.Uint64(x[8:]), uint64(len(l.blocks)))
	return &l.blocks[at], binary.BigEndian.Uint64(x[:8])
}

// known are the digests of the store's records: of events, which live as long
// as their message, and of those in half days.
type known struct {
	events, requests digests
	// complete is set once the records are read that were there at the start. They
	// are read when a digest is first asked for.
	complete atomic.Bool
	begin    sync.Once
}

func (k *known) of(scope store.Scope) *digests {
	if scope == store.ScopeEvent {
		return &k.events
	}
	return &k.requests
}

// lacks reports that no record of the scope has the digest; false when that is
// not known.
func (s *Store) lacks(scope store.Scope, x store.Digest) bool {
	s.known.begin.Do(s.learn)
	return s.known.complete.Load() && s.known.of(scope).lacks(x)
}

// learn reads all digests, on a goroutine that Close cuts short and waits for.
// Its caller is inside the gate.
func (s *Store) learn() {
	s.gate.again()
	s.ending.Add(1)
	go func() {
		defer s.ending.Done()
		defer s.gate.leave()
		for _, kind := range [...]byte{kindEvent, kindIdempotency, kindSource} {
			done, err := s.learnKind(kind)
			if err != nil && s.failed() == nil {
				s.opts.Logger.Warn("the records of earlier messages could not be read: duplicates are looked for one by one", slog.Any("error", err))
			}
			if err != nil || !done {
				return
			}
		}
		s.known.complete.Store(true)
	}()
}

// learnKind adds one kind's digests; done is false when the store is closed
// meanwhile.
func (s *Store) learnKind(kind byte) (done bool, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	into := &s.known.requests
	if kind == kindEvent {
		into = &s.known.events
	}
	var read []digestOf
	for ok := it.First(); ok; ok = it.Next() {
		d := digestOf{}
		key := it.Key()
		copy(d.digest[:], key[len(key)-len(d.digest):])
		if kind == kindEvent {
			v, err := decodeDedupe(it.Value())
			if err != nil {
				return false, err
			}
			d.millis = idMillis(v.message)
		} else {
			d.millis = int64(binary.BigEndian.Uint32(key[1:5])+1) * halfDayMillis
		}
		if read = append(read, d); len(read) < learnAtOnce {
			continue
		}
		if s.gate.closing() {
			return false, nil
		}
		into.add(read...)
		read = read[:0]
	}
	into.add(read...)
	return true, it.Error()
}
