//go:build unix

package embedded

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// BenchmarkCommit tells what storing a delivered message costs: 32 accepts of
// 1 KiB with one route, and the 32 attempts that settle them, in a batch, into
// a store that holds a number of messages already (POSTERN_BENCH_PRELOAD,
// 1,000,000). CPU time is the whole process's, flushes and compactions
// included, waited for at the end. "unsynced" leaves fsync out, to tell the
// database's cost from the disk's.
//
//	go test -run '^$' -bench Commit -benchtime 300000x ./store/embedded
func BenchmarkCommit(b *testing.B) {
	preload := 1_000_000
	if text := os.Getenv("POSTERN_BENCH_PRELOAD"); text != "" {
		preload, _ = strconv.Atoi(text)
	}
	apps := []int{1, 50}
	for _, n := range apps {
		b.Run(fmt.Sprintf("apps=%d/synced", n), func(b *testing.B) { benchmarkCommit(b, vfs.Default, n, preload) })
		b.Run(fmt.Sprintf("apps=%d/unsynced", n), func(b *testing.B) { benchmarkCommit(b, unsynced{vfs.Default}, n, preload) })
	}
}

func benchmarkCommit(b *testing.B, fs vfs.FS, apps, preload int) {
	if b.N == 1 {
		return // the framework's first guess
	}
	s, err := Open(b.Context(), "file:"+b.TempDir()+"/store", Options{FS: fs})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	load := newBenchLoad(s, apps)
	load.run(b, preload, 256)
	load.quiet(b)
	before, cpu := s.db.Metrics(), cpuTime()
	b.ResetTimer()
	load.run(b, b.N, 32)
	b.StopTimer()
	wall := b.Elapsed()
	load.quiet(b)
	used := cpuTime() - cpu
	after := s.db.Metrics()
	total, was := after.Total(), before.Total()
	perMessage := float64(used.Nanoseconds()) / 1e3 / float64(b.N)
	b.ReportMetric(perMessage, "CPU-us/msg")
	b.ReportMetric(float64(b.N)/wall.Seconds(), "msg/s")
	b.ReportMetric(float64(after.DiskSpaceUsage())/float64(load.sent), "B/msg")
	b.ReportMetric(float64(total.TableBytesFlushed-was.TableBytesFlushed)/float64(b.N), "flushB/msg")
	b.ReportMetric(float64(total.TableBytesCompacted-was.TableBytesCompacted)/float64(b.N), "compactB/msg")
	b.ReportMetric(float64(after.Compact.MoveCount-before.Compact.MoveCount), "moves")
	b.ReportMetric(float64(after.Compact.Count-before.Compact.Count), "compactions")
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(residentBytes())/(1<<20), "MiB")
	if os.Getenv("POSTERN_BENCH_VERBOSE") != "" {
		b.Logf("%s", after.String())
	}
}

// benchLoad builds the batches of a committer.
type benchLoad struct {
	s       *Store
	apps    int
	rnd     *rand.Rand
	payload []byte
	batch   store.Batch
	now     time.Time
	sent    int
	// accepted of the last batch are settled with the next.
	accepted []*postern.Message
	attempts [256]postern.Attempt
}

func newBenchLoad(s *Store, apps int) *benchLoad {
	l := &benchLoad{s: s, apps: apps, rnd: rand.New(rand.NewPCG(1, 2)), now: time.Now()}
	l.batch.Head = store.Head{Next: 1, Low: 1}
	l.payload = make([]byte, 0, 1024)
	return l
}

// body is JSON of 1 KiB of which about half is random.
func (l *benchLoad) body() []byte {
	p := append(make([]byte, 0, 1100), `{"type":"invoice.paid","data":{`...)
	for i := 0; len(p) < 980; i++ {
		p = fmt.Appendf(p, `"field_%d":"%016x","amount_%d":%d,`, i, l.rnd.Uint64(), i, l.rnd.IntN(100000))
	}
	return append(p, `"end":true}}`...)
}

func (l *benchLoad) run(b *testing.B, n, size int) {
	bodies := make([][]byte, 512)
	for i := range bodies {
		bodies[i] = l.body()
	}
	for done := 0; done < n; done += size {
		l.fill(size, bodies)
		if err := l.s.Commit(b.Context(), &l.batch); err != nil {
			b.Fatal(err)
		}
	}
}

func (l *benchLoad) fill(size int, bodies [][]byte) {
	b := &l.batch
	head := b.Head
	b.Reset()
	l.now = l.now.Add(time.Duration(size) * 50 * time.Microsecond)
	for i, m := range l.accepted {
		a := &l.attempts[i]
		*a = postern.Attempt{Message: m.ID, Application: m.Application, Endpoint: m.Routes[0], N: 1,
			URL: "https://hooks.example.com/postern/receive", Succeeded: true, Code: 200,
			Response: bodies[0][:2], Started: l.now, State: postern.Delivered,
			Timings: postern.Timings{FirstByte: 1234567, Total: 2345678}}
		a.ID = postern.AttemptID(postern.NewMessageID(l.now, uint16(l.rnd.Uint32()), l.rnd.Uint64()&postern.MaxPosition, l.rnd.Uint64()))
		b.Attempts = append(b.Attempts, a)
	}
	l.accepted = l.accepted[:0]
	for range size {
		app := 1 + l.rnd.IntN(l.apps)
		m := &postern.Message{
			ID:          postern.NewMessageID(l.now, 1, head.Next, l.rnd.Uint64()),
			Application: postern.ApplicationNumber(app), EventType: "invoice.paid", ContentType: "application/json",
			Routes: []postern.EndpointNumber{postern.EndpointNumber(app)}, Size: 1024,
		}
		head.Next++
		l.accepted = append(l.accepted, m)
		b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{Payload: bodies[l.rnd.IntN(len(bodies))]}})
	}
	head.Batch++
	head.Low, head.LastTime = head.Next-uint64(size), l.now
	b.Head = head
	l.sent += size
}

// quiet waits for flushes and compactions.
func (l *benchLoad) quiet(b *testing.B) {
	for calm := 0; calm < 5; {
		m := l.s.db.Metrics()
		if m.Flush.NumInProgress == 0 && m.Compact.NumInProgress == 0 {
			calm++
		} else {
			calm = 0
		}
		select {
		case <-b.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// unsynced is a disk that does not wait.
type unsynced struct{ vfs.FS }

func (u unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, c)
	return unsyncedFile{f}, err
}

func (u unsynced) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.ReuseForWrite(oldname, newname, c)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error                { return nil }
func (unsyncedFile) SyncData() error            { return nil }
func (unsyncedFile) SyncTo(int64) (bool, error) { return true, nil }
