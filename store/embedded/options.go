package embedded

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a store. The zero value is right for a server.
type Options struct {
	// Logger gets what the operator should know; nil for slog.Default.
	Logger *slog.Logger
	// FS replaces the file system under the folder, for tests; nil for the
	// machine's disk, and for a new one in memory with "memory:".
	FS vfs.FS
	// Now is the wall clock; nil for time.Now.
	Now func() time.Time
	// MemtableBytes is what is gathered in memory before it goes to a table;
	// 0 for 8 MiB. A batch may have a quarter of it. Up to twice as much is
	// held while a full one is written out.
	MemtableBytes int
	// CacheBytes bounds the cache of blocks read; 0 for 32 MiB. It has to hold the
	// filters that answer whether an event id is new while the digests are not
	// known (see digests): with 8 MiB each of them is read and dropped again for
	// every message, at 168 us a delivery against 104.
	CacheBytes int64
	// ReserveBytes is how much disk is left free: below it accepts are refused,
	// and a file of that size is given back so that settles can go on. 0 for a
	// thousandth of the disk, at least 64 MiB and at most 1 GiB, and never more
	// than an eighth of it; negative for no watch. A store in memory has none.
	ReserveBytes int64
	// DedupeWindow is how long idempotency and source records are kept at
	// least; 0 for 24 hours.
	DedupeWindow time.Duration
	// ReadOnly opens a store that exists and leaves its tables and log as they are:
	// every Commit fails. What the log holds is kept in memory.
	ReadOnly bool
	// OnFatal is called once, on a goroutine of its own, when the store has
	// failed for good: Commit returns only errors from then on, and all
	// acknowledged batches are found again when the folder is opened anew.
	OnFatal func(error)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MemtableBytes <= 0 {
		o.MemtableBytes = 8 << 20
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.DedupeWindow <= 0 {
		o.DedupeWindow = 24 * time.Hour
	}
	if o.OnFatal == nil {
		o.OnFatal = func(error) {}
	}
	return o
}

// database is the configuration of Pebble. BenchmarkCommit judges it; what a
// setting did there, in CPU time of a message stored and settled, stands beside
// it (at 400,000 stored, without fsync: 9 us for one application, 14 us for 50
// at once).
func (o Options) database(fs vfs.FS, cache *pebble.Cache) *pebble.Options {
	opts := &pebble.Options{
		FS:                 fs,
		Cache:              cache,
		ReadOnly:           o.ReadOnly,
		FormatMajorVersion: pebble.FormatTableFormatV6,
		MemTableSize:       uint64(o.MemtableBytes), // 16 and 32 MiB: no difference, but memory at rest
		// One is filled while two wait: a burst does not stall on one slow flush.
		MemTableStopWritesThreshold: 3,
		// 4, the default: 24 us for 50 applications; 2: 11 us for one. Tables of
		// one kind rarely overlap, so that reads meet few more of them.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		// 500, the default: each flush's tables reach a little into those before, and
		// make a layer of their own, up to 193 of which every read went through. Pages
		// took twice as long. 64 is no faster than this, and takes 12 % more CPU beside a
		// million retries.
		L0CompactionFileThreshold: 96,
		LBaseMaxBytes:             64 << 20,
		MaxOpenFiles:              openFiles(),
		BytesPerSync:              1 << 20,
		MaxManifestFileSize:       4 << 20,
		// A second compaction would take the second core from deliveries.
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
	}
	// The usual scheduler looks ten times a second whether more compactions may
	// run than before. With a fixed number there is nothing to see: the end of
	// one starts the next, and a store at rest wakes nobody.
	opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	opts.TargetFileSizes[0] = 8 << 20
	opts.Experimental.FileCacheShards = 2
	opts.Experimental.SpanPolicyFunc = kindSpan
	for i := range opts.Levels {
		opts.Levels[i] = pebble.LevelOptions{
			BlockSize:      16 << 10, // 32 KiB: no difference
			IndexBlockSize: 64 << 10,
			FilterPolicy:   pointReads{bloom.FilterPolicy(10)},
			// None would save 0.5 us and cost half as much disk again: tables are
			// moved down, not rewritten, and keep what they were flushed with.
			Compression: func() *sstable.CompressionProfile { return sstable.FastestCompression },
		}
	}
	return opts
}

// kindSpan ends every table at the end of a kind, so that one kind's tables
// can be moved down while another's are merged. Without it a table of contents
// reaches into its neighbour kind, overlaps the next flush's, and is rewritten:
// 20 us in place of 9.
func kindSpan(start []byte) (pebble.SpanPolicy, []byte, error) {
	if len(start) == 0 {
		return pebble.SpanPolicy{}, nil, nil
	}
	return pebble.SpanPolicy{}, []byte{start[0] + 1}, nil
}

// pointReads is a Bloom filter over the kinds that are looked up by key and
// are mostly absent: digests and rows. All others are found by seeking, and
// would only make the filter large.
type pointReads struct{ pebble.FilterPolicy }

func filtered(key []byte) bool {
	switch key[0] {
	case kindEvent, kindIdempotency, kindSource, kindRow:
		return true
	}
	return false
}

func (p pointReads) Name() string { return "postern.pointReads" }

func (p pointReads) MayContain(t pebble.FilterType, filter, key []byte) bool {
	return len(key) == 0 || !filtered(key) || p.FilterPolicy.MayContain(t, filter, key)
}

func (p pointReads) NewWriter(t pebble.FilterType) pebble.FilterWriter {
	return pointReadsWriter{p.FilterPolicy.NewWriter(t)}
}

type pointReadsWriter struct{ pebble.FilterWriter }

func (w pointReadsWriter) AddKey(key []byte) {
	if len(key) > 0 && filtered(key) {
		w.FilterWriter.AddKey(key)
	}
}
