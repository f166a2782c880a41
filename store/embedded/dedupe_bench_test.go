package embedded

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// BenchmarkDedupe tells what it costs to learn that an event id is new, in a
// store that holds a number of event records already (POSTERN_BENCH_PRELOAD,
// 3,000,000). Each asked-for digest lies among the stored ones.
//
//	go test -run '^$' -bench Dedupe -benchtime 200000x ./store/embedded
func BenchmarkDedupe(b *testing.B) {
	preload := 3_000_000
	if text := os.Getenv("POSTERN_BENCH_PRELOAD"); text != "" {
		preload, _ = strconv.Atoi(text)
	}
	s, err := Open(b.Context(), "file:"+b.TempDir()+"/store", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	storeEvents(b, s, rnd, preload)
	for b.Loop() {
		if _, found, err := s.Dedupe(b.Context(), store.ScopeEvent, randomDigest(rnd), time.Time{}); found || err != nil {
			b.Fatal(found, err)
		}
	}
	m := s.db.Metrics()
	b.ReportMetric(float64(m.BlockCache.Misses)/float64(m.BlockCache.Misses+m.BlockCache.Hits), "misses")
	if os.Getenv("POSTERN_BENCH_VERBOSE") != "" {
		b.Logf("%s", m.String())
	}
}

// storeEvents puts so many event records, in the batches of a busy server.
func storeEvents(b *testing.B, s *Store, rnd *rand.Rand, count int) {
	b.Helper()
	record := appendDedupe(nil, 1, &store.DedupeRecord{Scope: store.ScopeEvent, Message: postern.NewMessageID(time.Now(), 1, 1, 1)})
	for done := 0; done < count; {
		batch := s.db.NewBatch()
		for range 1024 {
			if err := batch.Set(eventKey(nil, randomDigest(rnd)), record, nil); err != nil {
				b.Fatal(err)
			}
			done++
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
}

func randomDigest(rnd *rand.Rand) (d store.Digest) {
	binary.BigEndian.PutUint64(d[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(d[8:], rnd.Uint64())
	return d
}
