package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// accept is a part that can be amended. It goes where its digest is taken.
type accept struct {
	*part
	digest store.Digest
}

var errTaken = errors.New("taken")

func (p accept) Amend(b *store.Batch, why *store.Amend) error {
	p.trace.note("amend %s at %d", p.name, b.Version)
	if slices.ContainsFunc(why.Taken, func(r store.DedupeRecord) bool { return r.Digest == p.digest }) {
		b.Accepts = slices.DeleteFunc(b.Accepts, func(a store.Accept) bool { return a.Message.EventType == p.name })
		return errTaken
	}
	return nil
}

// cluster is a committer whose catalogue others change, and whose batches gather
// everything that is queued in one go.
type cluster struct {
	*world
	version uint64
	refresh func(ctx context.Context) error
	stats   BatchStats
	log     bytes.Buffer
	stored  []store.Batch // as the store got them, refused ones included
}

func inCluster(t *testing.T, test func(w *cluster)) {
	t.Helper()
	c := &cluster{version: 5}
	c.refresh = func(context.Context) error { c.trace.note("refresh"); c.version += 2; return nil }
	in(t, Config{
		AlwaysLinger: true,
		Version:      func() uint64 { return c.version },
		Refresh:      func(ctx context.Context) error { return c.refresh(ctx) },
		Observe:      func(s BatchStats) { c.stats = s },
		Log:          slog.New(slog.NewTextHandler(&c.log, nil)),
	}, func(w *world) {
		c.world = w
		w.disk.got = func(b *store.Batch) {
			seen := *b
			seen.Changes, seen.Health, seen.Accepts = slices.Clone(b.Changes), slices.Clone(b.Health), slices.Clone(b.Accepts)
			c.stored = append(c.stored, seen)
		}
		test(c)
	})
}

// queue hands a part over that adds to the batch as it is told.
func (c *cluster) queue(class Class, name string, build func(b *store.Batch)) *part {
	c.t.Helper()
	p := &part{trace: c.trace, name: name, build: build, done: make(chan error, 1)}
	if err := c.c.Enqueue(class, p, 1); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// accept queues a message with a digest.
func (c *cluster) accept(name string, digest byte) *part {
	c.t.Helper()
	p := accept{&part{trace: c.trace, name: name, done: make(chan error, 1), build: func(b *store.Batch) {
		b.Head.Next++
		b.Accepts = append(b.Accepts, store.Accept{Message: &postern.Message{EventType: name}})
	}}, store.Digest{digest}}
	if err := c.c.Enqueue(Accept, p, 1); err != nil {
		c.t.Fatal(err)
	}
	return p.part
}

func (c *cluster) calls(want ...string) {
	c.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, c.trace.calls); diff != "" {
		c.t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func change(record any) func(b *store.Batch) {
	return func(b *store.Batch) { b.Changes = append(b.Changes, store.Change{Put: record}) }
}

func moved(err error) bool {
	known, ok := errors.AsType[*postern.Error](err)
	return ok && known.Code == store.CodeMoved && known.Kind == postern.Unavailable
}

// A stale batch loses what was to become of the catalogue, whose callers are told
// before it is refreshed. The rest is made right and stored under the same number,
// and the cover closes once more.
func TestAStaleBatch(t *testing.T) {
	inCluster(t, func(w *cluster) {
		replay, row := &postern.Replay{}, &postern.Row{}
		w.disk.refusals = []*store.Amend{{Stale: true}}
		w.accept("a", 1)
		w.queue(Settle, "s", func(b *store.Batch) {
			b.Health = append(b.Health, store.HealthChange{Endpoint: 2})
			b.Rows = append(b.Rows, store.RowChange{Put: row})
		})
		w.queue(Command, "r", change(replay))
		first := w.queue(Change, "c", func(b *store.Batch) {
			b.Changes = append(b.Changes, store.Change{Put: &postern.Endpoint{}}, store.Change{Put: &postern.Endpoint{}})
			b.Health = append(b.Health, store.HealthChange{Endpoint: 1})
		})
		second := w.queue(Change, "k", change(&postern.Key{}))
		w.accept("b", 2)
		w.pass(time.Millisecond)
		w.calls(
			"build c", "build k", "build r", "hold", "build s", "release", "build a", "build b", "close",
			"reopen 1", "done c true", "done k true", "refresh", "amend a at 7", "amend b at 7", "close",
			"done r false", "hold", "done s false", "release", "done a false", "done b false", "synced",
		)
		for _, p := range []*part{first, second} {
			if err := <-p.done; !moved(err) {
				t.Errorf("%s was told %v", p.name, err)
			}
		}
		if n := len(w.stored[0].Changes); n != 4 || w.stored[0].Version != 5 {
			t.Errorf("%d changes at first, at %d", n, w.stored[0].Version)
		}
		got := w.stored[1]
		if len(got.Changes) != 1 || got.Changes[0].Put != replay || len(got.Health) != 1 || got.Health[0].Endpoint != 2 || got.Version != 7 {
			t.Errorf("stored at %d: %+v, %+v", got.Version, got.Changes, got.Health)
		}
		if h := w.disk.heads; len(h) != 1 || h[0].Batch != 1 || h[0].Next != 3 || h[0].Rows != 1 {
			t.Errorf("heads %+v", h)
		}
		if w.stats.Accepts != 2 || w.stats.Commands != 1 || w.stats.Settles != 1 {
			t.Errorf("observed %+v", w.stats)
		}
	})
}

// Refreshing waits for locks that callers of queued changes hold: these are told
// first, and none is queued until it has ended.
func TestNobodyWaitsForARefresh(t *testing.T) {
	inCluster(t, func(w *cluster) {
		handed, unlocked := make(chan *part, 1), make(chan error, 1)
		w.refresh = func(context.Context) error {
			unlocked <- <-(<-handed).done
			late := &part{trace: w.trace, name: "late", done: make(chan error, 1)}
			if err := w.c.Enqueue(Change, late, 1); !moved(err) {
				t.Errorf("a change during a refresh: %v", err)
			}
			w.version = 9
			return nil
		}
		w.disk.takes = time.Millisecond
		w.disk.refusals = []*store.Amend{{Stale: true}}
		built := w.queue(Change, "built", change(&postern.Key{}))
		w.pass(linger + time.Microsecond) // it is being committed
		handed <- w.queue(Change, "queued", change(&postern.Key{}))
		w.pass(10 * time.Millisecond)
		if err := <-built.done; !moved(err) {
			t.Errorf("the one in the batch: %v", err)
		}
		if err := <-unlocked; !moved(err) {
			t.Errorf("the one behind it: %v", err)
		}
		again := w.queue(Change, "again", change(&postern.Key{}))
		w.pass(10 * time.Millisecond)
		if err := <-again.done; err != nil || w.stored[len(w.stored)-1].Version != 9 {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// What another node has stored a copy of leaves the batch and is told at once;
// changes of the catalogue stay, and its version is not asked for.
func TestTakenDigests(t *testing.T) {
	inCluster(t, func(w *cluster) {
		w.disk.refusals = []*store.Amend{
			{Taken: []store.DedupeRecord{{Digest: store.Digest{2}}}},
			{Taken: []store.DedupeRecord{{Digest: store.Digest{1}}, {Digest: store.Digest{3}}}},
		}
		w.queue(Change, "c", change(&postern.Key{}))
		for i, name := range []string{"a", "b", "d", "e"} {
			w.accept(name, byte(i+1))
		}
		w.pass(time.Millisecond)
		w.calls(
			"build c", "build a", "build b", "build d", "build e", "close",
			"reopen 1", "amend a at 5", "amend b at 5", "done b true", "amend d at 5", "amend e at 5", "close",
			"reopen 1", "amend a at 5", "done a true", "amend d at 5", "done d true", "amend e at 5", "close",
			"done c false", "done e false", "synced",
		)
		last := w.stored[2]
		if len(last.Accepts) != 1 || last.Accepts[0].Message.EventType != "e" || len(last.Changes) != 1 {
			t.Errorf("stored %+v", last.Accepts)
		}
		if h := w.disk.heads; len(h) != 1 || h[0].Next != 5 || w.stats.Accepts != 1 {
			t.Errorf("heads %+v, observed %+v: positions stay used", h, w.stats)
		}
	})
}

// A catalogue that cannot be read is asked again; a committer that is told to end
// does, and nobody is left waiting.
func TestARefreshThatFails(t *testing.T) {
	inCluster(t, func(w *cluster) {
		tries := 0
		w.refresh = func(context.Context) error {
			if tries++; tries < 4 {
				return errors.New("away")
			}
			return nil
		}
		w.disk.refusals = []*store.Amend{{Stale: true}}
		a := w.accept("a", 1)
		if err := <-a.done; err != nil || tries != 4 {
			t.Errorf("%v after %d tries", err, tries)
		}
		w.refresh = func(context.Context) error { return errors.New("away") }
		w.disk.refusals = []*store.Amend{{Stale: true}}
		b := w.accept("b", 1)
		w.pass(time.Minute)
		w.c.Abandon()
		if err := <-b.done; !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("abandoned: %v", err)
		}
		w.disk.fail = context.Canceled // is what Run returns
	})
}

// A batch that is refused without end is committed again without end, at a pace
// that leaves room for others, and is told of once.
func TestRefusedAgainAndAgain(t *testing.T) {
	inCluster(t, func(w *cluster) {
		for range 30 {
			w.disk.refusals = append(w.disk.refusals, &store.Amend{Stale: true})
		}
		a := w.accept("a", 1)
		begun := time.Now()
		if err := <-a.done; err != nil || len(w.stored) != 31 {
			t.Errorf("%v after %d", err, len(w.stored))
		}
		if took := time.Since(begun); took < 15*time.Second || took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := strings.Count(w.log.String(), "refused again and again"); n != 1 {
			t.Errorf("told %d times: %s", n, w.log.String())
		}
		begun = time.Now()
		w.disk.refusals = []*store.Amend{{Stale: true}, {Taken: nil}, {Stale: true}}
		if err := <-w.accept("b", 1).done; err != nil || time.Since(begun) > time.Millisecond {
			t.Errorf("three refusals took %v: %v", time.Since(begun), err)
		}
	})
}
