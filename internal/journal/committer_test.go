package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a store.Journal that takes a while to commit and notes what it got.
type disk struct {
	store.Sole
	mu    sync.Mutex
	takes time.Duration
	heads []store.Head
	full  error
	fail  error
	// refusals are what the next batches are refused with; got is told of each.
	refusals []*store.Amend
	got      func(b *store.Batch)
}

func (d *disk) Head(context.Context) (store.Head, error) { return store.Head{}, nil }

func (d *disk) Admit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

func (d *disk) Commit(ctx context.Context, b *store.Batch) error {
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	if d.got != nil {
		d.got(b)
	}
	if len(d.refusals) > 0 {
		why := d.refusals[0]
		d.refusals = d.refusals[1:]
		return why
	}
	d.heads = append(d.heads, b.Head)
	return nil
}

func (d *disk) Dedupe(context.Context, store.Scope, store.Digest, time.Time) (store.DedupeRecord, bool, error) {
	return store.DedupeRecord{}, false, nil
}

// trace is a Cover, and the log of everything that is called.
type trace struct {
	mu      sync.Mutex
	calls   []string
	batches [][]string // the parts of each, in the order built
	at      []time.Duration
	begun   time.Time
	current []string
}

func (tr *trace) note(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.calls = append(tr.calls, fmt.Sprintf(format, args...))
}

func (tr *trace) Close(*store.Batch) {
	tr.note("close")
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.batches = append(tr.batches, tr.current)
	tr.at = append(tr.at, time.Since(tr.begun))
	tr.current = nil
}

func (tr *trace) Reopen(from uint64) { tr.note("reopen %d", from) }

func (tr *trace) Hold() { tr.note("hold") }

func (tr *trace) Release() { tr.note("release") }

func (tr *trace) Synced() { tr.note("synced") }

// part is one that notes what happens to it.
type part struct {
	trace *trace
	name  string
	build func(b *store.Batch)
	done  chan error
}

func (p *part) Build(b *store.Batch) {
	p.trace.note("build %s", p.name)
	p.trace.mu.Lock()
	p.trace.current = append(p.trace.current, p.name)
	p.trace.mu.Unlock()
	if p.build != nil {
		p.build(b)
	}
}

func (p *part) Done(err error) {
	p.trace.note("done %s %v", p.name, err != nil)
	p.done <- err
}

// world is a committer in a bubble.
type world struct {
	t     *testing.T
	c     *Committer
	disk  *disk
	trace *trace
	ran   chan error
}

// in runs a test on a committer that runs, and closes it.
func in(t *testing.T, cfg Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, disk: &disk{}, trace: &trace{begun: time.Now()}, ran: make(chan error, 1)}
		cfg.Store, cfg.Cover = w.disk, w.trace
		w.c = New(cfg, store.Head{})
		go func() { w.ran <- w.c.Run(t.Context()) }()
		synctest.Wait()
		test(w)
		w.c.Close()
		if err := <-w.ran; !errors.Is(err, w.disk.fail) {
			t.Errorf("Run: %v", err)
		}
	})
}

// put queues a part; a refusal is the part's answer.
func (w *world) put(class Class, name string, size int) *part {
	p := &part{trace: w.trace, name: name, done: make(chan error, 1)}
	if err := w.c.Enqueue(class, p, size); err != nil {
		p.done <- err
	}
	return p
}

// pass lets time go by, and all that it causes happen.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) batches() [][]string {
	synctest.Wait()
	w.trace.mu.Lock()
	defer w.trace.mu.Unlock()
	return slices.Clone(w.trace.batches)
}

func (w *world) want(batches ...[]string) {
	w.t.Helper()
	if diff := cmp.Diff(batches, w.batches()); diff != "" {
		w.t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// Promises 1 and 2: parts are built in order, told in the same order after the
// batch is durable, and the cover closes and hears of each batch.
func TestPartsAreBuiltAndToldInOrder(t *testing.T) {
	in(t, Config{}, func(w *world) {
		w.disk.takes = time.Millisecond
		w.put(Accept, "a", 1)
		synctest.Wait()
		w.put(Accept, "b", 1)
		w.put(Settle, "s", 1)
		w.put(Command, "c", 1)
		w.pass(10 * time.Millisecond)
		want := []string{
			"build a", "close", "done a false", "synced",
			"build c", "hold", "build s", "release", "build b", "close", "done c false", "hold", "done s false", "release", "done b false", "synced",
		}
		if diff := cmp.Diff(want, w.trace.calls); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A part sees what earlier ones built, and the head goes into every batch.
func TestHeadGoesOn(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("x", 3600))
	var clock sync.Mutex
	set := func(at time.Time) { clock.Lock(); now = at; clock.Unlock() }
	in(t, Config{Now: func() time.Time { clock.Lock(); defer clock.Unlock(); return now }}, func(w *world) {
		publish := func(count int) {
			p := &part{trace: w.trace, done: make(chan error, 1), build: func(b *store.Batch) { b.Head.Next += uint64(count) }}
			if err := w.c.Enqueue(Accept, p, 1); err != nil {
				t.Fatal(err)
			}
			<-p.done
		}
		first := now
		publish(2)
		set(first.Add(-time.Hour)) // the clock is set back
		publish(1)
		set(first.Add(time.Second))
		publish(0)
		day := first.UTC().Truncate(time.Millisecond)
		want := []store.Head{
			{Batch: 1, Next: 3, Low: 1, LastTime: day},
			{Batch: 2, Next: 4, Low: 1, LastTime: day},
			{Batch: 3, Next: 4, Low: 1, LastTime: day.Add(time.Second)},
		}
		if diff := cmp.Diff(want, w.disk.heads); diff != "" {
			t.Errorf("heads (-want +got):\n%s", diff)
		}
	})
}

func TestRowsAreCounted(t *testing.T) {
	in(t, Config{}, func(w *world) {
		row := &postern.Row{}
		for _, step := range []struct {
			change store.RowChange
			want   int64
		}{
			{store.RowChange{Put: row}, 1},
			{store.RowChange{Put: row}, 2},
			{store.RowChange{Delete: row, Put: row}, 2},
			{store.RowChange{Delete: row}, 1},
		} {
			p := &part{trace: w.trace, done: make(chan error, 1), build: func(b *store.Batch) { b.Rows = append(b.Rows, step.change) }}
			if err := w.c.Enqueue(Command, p, 0); err != nil {
				t.Fatal(err)
			}
			<-p.done
			if got := w.c.Rows(); got != step.want {
				t.Errorf("%+v leaves %d rows, want %d", step.change, got, step.want)
			}
		}
	})
}

// A lone request on a quiet system does not wait.
func TestALoneRequestIsCommittedAtOnce(t *testing.T) {
	in(t, Config{}, func(w *world) {
		for range 3 {
			<-w.put(Accept, "a", 1).done
		}
		if took := time.Since(w.trace.begun); took != 0 {
			t.Errorf("three requests, one after the other, took %v", took)
		}
	})
}

// After a batch of several a small one waits for company, but not for long.
func TestASmallBatchLingers(t *testing.T) {
	in(t, Config{}, func(w *world) {
		w.disk.takes = time.Millisecond
		w.put(Accept, "a", 1)
		synctest.Wait()
		for range 3 {
			w.put(Accept, "b", 1)
		}
		w.pass(2 * time.Millisecond) // a batch of one, then of three
		late := time.Now()
		<-w.put(Accept, "c", 1).done
		if took := time.Since(late); took != linger+w.disk.takes {
			t.Errorf("answered after %v, want %v", took, linger+w.disk.takes)
		}
		w.want([]string{"a"}, []string{"b", "b", "b"}, []string{"c"})
	})
}

// A batch that is large enough does not wait; what is enough, and how long the others
// wait, is more where batches are transactions.
func TestAFullBatchDoesNotLinger(t *testing.T) {
	for _, tc := range []struct {
		cfg    Config
		enough int
		waits  time.Duration
	}{
		{Config{AlwaysLinger: true}, smallBatch, linger},
		{Config{AlwaysLinger: true, Transactions: true}, smallTransaction, transactionLinger},
	} {
		in(t, tc.cfg, func(w *world) {
			for _, size := range []int{tc.enough, tc.enough - 1} {
				begun := time.Now()
				var last *part
				for range size {
					last = w.put(Accept, "a", 1)
				}
				<-last.done
				want := tc.waits
				if size == tc.enough {
					want = 0
				}
				if took := time.Since(begun); took != want {
					t.Errorf("%d requests waited %v, want %v", size, took, want)
				}
			}
		})
	}
}

// Where nobody else is on the way, a small batch waits for nobody.
func TestAHurriedBatchDoesNotLinger(t *testing.T) {
	in(t, Config{AlwaysLinger: true}, func(w *world) {
		w.c.Hurry() // nothing waits: it says nothing of what comes
		first := w.put(Accept, "a", 1)
		<-first.done
		if took := time.Since(w.trace.begun); took != linger {
			t.Errorf("a lone request waited %v, want %v", took, linger)
		}
		begun := time.Now()
		w.put(Accept, "b", 1)
		last := w.put(Accept, "b", 1)
		w.c.Hurry()
		<-last.done
		if took := time.Since(begun); took != 0 {
			t.Errorf("a hurried batch waited %v", took)
		}
		begun = time.Now()
		<-w.put(Accept, "c", 1).done
		if took := time.Since(begun); took != linger {
			t.Errorf("the batch after a hurried one waited %v, want %v", took, linger)
		}
	})
}

func TestAlwaysLinger(t *testing.T) {
	in(t, Config{AlwaysLinger: true}, func(w *world) {
		<-w.put(Accept, "a", 1).done
		if took := time.Since(w.trace.begun); took != linger {
			t.Errorf("a lone request waited %v, want %v", took, linger)
		}
	})
}

// Settles ride with the next accept, or wait a little for one.
func TestSettlesWait(t *testing.T) {
	in(t, Config{}, func(w *world) {
		w.put(Settle, "s", 1)
		w.pass(settleWait - 1)
		w.want()
		w.put(Settle, "s", 1) // the wait is the first one's
		w.pass(1)
		w.want([]string{"s", "s"})
		w.put(Settle, "t", 1)
		w.pass(time.Millisecond)
		w.put(Accept, "a", 1)
		w.want([]string{"s", "s"}, []string{"t", "a"})
	})
}

func TestManySettlesDoNotWait(t *testing.T) {
	in(t, Config{}, func(w *world) {
		for range settleBatch - 1 {
			w.put(Settle, "s", 1)
		}
		w.want()
		w.put(Settle, "s", 1)
		if got := w.batches(); len(got) != 1 || len(got[0]) != settleBatch {
			t.Errorf("%d batches", len(got))
		}
	})
}

// Nothing waits for a timer while nothing is queued.
func TestIdleIsIdle(t *testing.T) {
	in(t, Config{}, func(w *world) {
		<-w.put(Accept, "a", 1).done
		w.pass(24 * time.Hour)
		w.want([]string{"a"})
	})
}

func TestBatchesAreBoundedInCount(t *testing.T) {
	in(t, Config{MaxParts: 3}, func(w *world) {
		w.disk.takes = time.Millisecond
		for _, name := range []string{"0", "1", "2", "3", "4", "5"} {
			w.put(Command, name, 0)
			synctest.Wait()
		}
		w.pass(time.Second)
		w.want([]string{"0"}, []string{"1", "2", "3"}, []string{"4", "5"})
	})
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	in(t, Config{MaxBytes: 100}, func(w *world) {
		w.disk.takes = time.Millisecond
		w.put(Accept, "0", 1)
		synctest.Wait()
		for i, size := range []int{50, 50, 60, 300, 10, 20} {
			w.put(Accept, fmt.Sprint(i+1), size)
		}
		w.pass(time.Second)
		w.want([]string{"0"}, []string{"1", "2"}, []string{"3"}, []string{"4"}, []string{"5", "6"})
	})
}

// What is larger than a batch goes alone, and soon, however many settles come.
func TestALargeMessageIsNotPassedForEver(t *testing.T) {
	in(t, Config{MaxBytes: 100}, func(w *world) {
		w.disk.takes = time.Millisecond
		w.put(Settle, "s", 10)
		large := w.put(Accept, "large", 101)
		for range 40 { // a settle is always waiting
			w.put(Settle, "s", 10)
			w.pass(w.disk.takes / 2)
		}
		select {
		case <-large.done:
		default:
			t.Error("still waiting after 20 batches")
		}
		for _, b := range w.batches() {
			if slices.Contains(b, "large") && len(b) > 1 {
				t.Errorf("it went with %v", b)
			}
		}
	})
}

func TestAcceptsAreRefusedWhenTooManyWait(t *testing.T) {
	in(t, Config{MaxQueued: 100}, func(w *world) {
		w.disk.takes = time.Millisecond
		w.put(Accept, "0", 1)
		synctest.Wait()
		w.put(Accept, "1", 100)
		if err := w.c.Full(); err != nil {
			t.Errorf("Full with room left: %v", err)
		}
		w.put(Accept, "2", 1) // the last that fits: 100 of 100 were taken
		for _, err := range []error{w.c.Full(), <-w.put(Accept, "3", 1).done} {
			if postern.KindOf(err) != postern.Unavailable {
				t.Errorf("refused with %v", err)
			}
		}
		settle, command := w.put(Settle, "s", 1000), w.put(Command, "c", 1000)
		w.pass(time.Second)
		if err := errors.Join(<-settle.done, <-command.done, w.c.Full()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAStoreThatIsFullTakesSettles(t *testing.T) {
	in(t, Config{}, func(w *world) {
		full := &postern.Error{Kind: postern.Unavailable, Detail: "no space"}
		w.disk.mu.Lock()
		w.disk.full = full
		w.disk.mu.Unlock()
		if err := w.c.Full(); !errors.Is(err, full) {
			t.Errorf("Full: %v", err)
		}
		if err := <-w.put(Accept, "a", 1).done; !errors.Is(err, full) {
			t.Errorf("accept: %v", err)
		}
		if err := errors.Join(<-w.put(Settle, "s", 1).done, <-w.put(Command, "c", 1).done); err != nil {
			t.Errorf("settle, command: %v", err)
		}
	})
}

// A store that is away has no room for anything but outcomes, which are kept for it.
func TestAStoreThatIsAwayIsSpared(t *testing.T) {
	in(t, Config{}, func(w *world) {
		away := &postern.Error{Kind: postern.Unavailable, Code: store.CodeAway}
		w.disk.mu.Lock()
		w.disk.full = away
		w.disk.mu.Unlock()
		for _, class := range []Class{Accept, Command} {
			if err := <-w.put(class, "x", 1).done; !errors.Is(err, away) {
				t.Errorf("%d: %v", class, err)
			}
		}
		if err := <-w.put(Settle, "s", 1).done; err != nil {
			t.Errorf("settle: %v", err)
		}
	})
}

// Close stores what is queued, in as many batches as it takes, and refuses all
// but settles until then, and those after.
func TestCloseDrains(t *testing.T) {
	in(t, Config{MaxParts: 2}, func(w *world) {
		w.disk.takes = time.Millisecond
		var queued []*part
		for range 5 {
			queued = append(queued, w.put(Settle, "s", 1))
		}
		w.c.Close()
		w.c.Close()
		queued = append(queued, w.put(Settle, "late", 1))
		for _, class := range []Class{Accept, Command} {
			if err := <-w.put(class, "refused", 1).done; postern.KindOf(err) != postern.Unavailable {
				t.Errorf("class %d: %v", class, err)
			}
		}
		w.ran <- <-w.ran // ended; in waits for it again
		for _, p := range queued {
			if err := <-p.done; err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		if err := <-w.put(Settle, "too late", 1).done; postern.KindOf(err) != postern.Unavailable {
			t.Errorf("a settle after the end: %v", err)
		}
	})
}

// Promise 3 when the store fails: those taken, those queued, and those that
// come later are told.
func TestAFailedBatchTellsEverybody(t *testing.T) {
	in(t, Config{MaxParts: 2}, func(w *world) {
		w.disk.fail = errors.New("the disk is gone")
		w.disk.takes = time.Millisecond
		var parts []*part
		for _, class := range []Class{Accept, Settle, Command, Accept, Settle} {
			parts = append(parts, w.put(class, "p", 1))
		}
		w.ran <- <-w.ran
		for _, class := range []Class{Accept, Settle, Command} {
			parts = append(parts, w.put(class, "later", 1))
		}
		for i, p := range parts {
			if err := <-p.done; postern.KindOf(err) != postern.Unavailable || !errors.Is(err, w.disk.fail) {
				t.Errorf("part %d: %v", i, err)
			}
			if len(p.done) > 0 {
				t.Errorf("part %d was told twice", i)
			}
		}
		if !errors.Is(w.c.Failed(), w.disk.fail) || !errors.Is(w.c.Full(), w.disk.fail) {
			t.Errorf("Failed: %v; Full: %v", w.c.Failed(), w.c.Full())
		}
		if slices.Contains(w.trace.calls, "synced") {
			t.Error("a batch that failed was told as synced")
		}
	})
}

// A committer that is closed waits for a store that is away, until it is told not
// to: what was not stored is told so.
func TestAbandon(t *testing.T) {
	in(t, Config{}, func(w *world) {
		w.disk.takes = time.Hour
		first := w.put(Settle, "a", 1)
		w.pass(time.Second)
		second := w.put(Settle, "b", 1)
		w.c.Close()
		w.pass(time.Minute)
		if len(w.ran) > 0 {
			t.Fatal("it waits no longer")
		}
		w.c.Abandon()
		for _, p := range []*part{first, second} {
			if err := <-p.done; !errors.Is(err, postern.ErrUnavailable) {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		w.disk.fail = context.Canceled // is what Run returns
	})
}

// A canceled context does not stop the committer: what was taken must be told.
func TestACanceledContextStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, tr := &disk{}, &trace{begun: time.Now()}
		c := New(Config{Store: d, Cover: tr}, store.Head{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		p := &part{trace: tr, name: "a", done: make(chan error, 1)}
		if err := c.Enqueue(Accept, p, 1); err != nil {
			t.Fatal(err)
		}
		if err := <-p.done; err != nil {
			t.Error(err)
		}
		c.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func TestBatchesAreObserved(t *testing.T) {
	var seen []BatchStats
	in(t, Config{Observe: func(b BatchStats) { seen = append(seen, b) }}, func(w *world) {
		w.disk.takes = 3 * time.Millisecond
		w.put(Settle, "s", 1)
		w.put(Settle, "s", 1)
		w.put(Accept, "a", 1)
		w.pass(time.Second)
		<-w.put(Command, "c", 1).done
	})
	want := []BatchStats{{Accepts: 1, Settles: 2, Commit: 3 * time.Millisecond}, {Commands: 1, Commit: 3 * time.Millisecond}}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Many at once: everyone is told, once.
func TestManyPublishersAtOnce(t *testing.T) {
	d, tr := &disk{}, &trace{begun: time.Now()}
	c := New(Config{Store: d, Cover: tr, MaxParts: 7}, store.Head{})
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	var everyone sync.WaitGroup
	for i := range 32 {
		everyone.Go(func() {
			for range 50 {
				p := &part{trace: tr, name: "p", done: make(chan error, 1)}
				if err := c.Enqueue(Class(i%int(classes)), p, 1); err != nil {
					t.Error(err)
					return
				}
				if err := <-p.done; err != nil {
					t.Error(err)
				}
			}
		})
	}
	everyone.Wait()
	c.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if n := uint64(len(d.heads)); d.heads[n-1].Batch != n {
		t.Errorf("%d batches, the last has number %d", n, d.heads[n-1].Batch)
	}
}
