package replay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestGoesOnAfterARestart stops at every slice, and begins again from what is
// stored.
func TestGoesOnAfterARestart(t *testing.T) {
	r := newRig(t)
	const messages = 3*sliceSize + 5
	for range messages {
		r.settle(r.publish(nil, 1), postern.Delivered)
	}
	record := r.create(nil)
	for turns := 0; !r.get(record).State.Final(); turns++ {
		if turns > 10 {
			t.Fatalf("it does not end: %+v", r.get(record))
		}
		r.turn(t.Context())
		r.begin() // which forgets its rest
	}
	if got := r.replayed(1, record); len(got) != messages {
		t.Errorf("%d of %d were replayed", len(got), messages)
	}
	if end := r.get(record); end.Replayed != messages || end.Skipped != 0 {
		t.Errorf("%+v", end)
	}
}

// TestRests: without a rate a replay rests for as long as its slice took.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 2 * sliceSize {
			r.settle(r.publish(nil, 1), postern.Delivered)
		}
		r.create(nil)
		const took = longestRest / 2
		start := r.cfg.Start
		r.cfg.Start = func(s Slice) (int, int, error) {
			<-time.After(took)
			return start(s)
		}
		if wait := r.turn(t.Context()); wait != took || len(r.slices) != 1 {
			t.Errorf("after a slice of %v it rests for %v", took, wait)
		}
		if r.turn(t.Context()); len(r.slices) != 1 {
			t.Error("it starts a slice while it rests")
		}
	})
}

func TestStates(t *testing.T) {
	r := newRig(t)
	for range 2*sliceSize + 1 {
		r.settle(r.publish(nil, 1), postern.Delivered)
	}
	record := r.create(nil)
	set := func(state postern.ReplayState, want error) {
		t.Helper()
		got, err := r.SetReplayState(t.Context(), app, record.ID, state)
		if !errors.Is(err, want) || err == nil && got.State != state {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
	}
	r.turn(t.Context())
	set(postern.ReplayPaused, nil)
	set(postern.ReplayPaused, nil)
	r.begin()
	if paused := r.walk(record); paused.State != postern.ReplayPaused || paused.Replayed != sliceSize {
		t.Errorf("a paused one goes on: %+v", paused)
	}
	set(postern.ReplayRunning, nil)
	r.turn(t.Context()) // for the first time since the start
	set(postern.ReplayCanceled, nil)
	if canceled := r.walk(record); canceled.Replayed != 2*sliceSize || canceled.FinishedAt.IsZero() {
		t.Errorf("a canceled one goes on: %+v", canceled)
	}
	set(postern.ReplayRunning, postern.ErrConflict)
	set(postern.ReplayCanceled, postern.ErrConflict)
	if _, err := r.SetReplayState(t.Context(), app+1, record.ID, postern.ReplayPaused); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("through another application: %v", err)
	}
}

// TestAPauseMeetsASlice: what was read before a pause is not started after it.
func TestAPauseMeetsASlice(t *testing.T) {
	r := newRig(t)
	r.settle(r.publish(nil, 1), postern.Delivered)
	record := r.create(nil)
	found, err := r.pick(t.Context(), record, record.Cursor, 10)
	if err != nil || len(found.messages) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := r.SetReplayState(t.Context(), app, record.ID, postern.ReplayPaused); err != nil {
		t.Fatal(err)
	}
	if err := r.advance(t.Context(), r.find(replaysOf(app), record.ID), record, found); err != nil || len(r.slices) != 0 {
		t.Errorf("%v, %d slices", err, len(r.slices))
	}
}

func TestEndpointsOfReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.settle(r.publish(nil, 1), postern.Delivered)
		record := r.create(nil)
		r.views[1].Paused = true
		if r.walk(record); len(r.slices) != 0 {
			t.Error("a slice goes to a paused endpoint")
		}
		r.views[1].Paused, r.views[1].Deleted = false, true
		<-time.After(retryAfter)
		if end := r.walk(record); end.State != postern.ReplayFailed || end.Reason == "" || len(r.slices) != 0 {
			t.Errorf("to a deleted endpoint: %+v", end)
		}
		_, err := r.CreateReplay(t.Context(), postern.Replay{Application: app, To: 1, Selection: postern.Selection{Since: r.now.Add(-time.Hour)}})
		if !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("creating one to it: %v", err)
		}
	})
}

// TestDeletedApplication: nothing of its replays stays, in memory or stored.
func TestDeletedApplication(t *testing.T) {
	r := newRig(t)
	record := r.create(nil)
	if _, err := r.SetReplayState(t.Context(), app, r.create(nil).ID, postern.ReplayCanceled); err != nil {
		t.Fatal(err)
	}
	r.dead[app] = true
	r.begin()
	_, err := r.Replay(app, record.ID)
	_, asTask := r.Task(0, record.ID)
	if !errors.Is(err, postern.ErrNotFound) || !errors.Is(asTask, postern.ErrNotFound) {
		t.Errorf("it is found: %v, %v", err, asTask)
	}
	if list, _ := r.Tasks(0, postern.ListPage{Limit: 9}, nil); len(list) != 0 {
		t.Errorf("it is listed: %v", list)
	}
	r.turn(t.Context())
	err = r.st.Load(t.Context(), func(record any) error { t.Errorf("%T is stored", record); return nil })
	if err != nil || len(r.all) != 0 {
		t.Errorf("%d in memory, %v", len(r.all), err)
	}
}

// TestForgettingFails: what cannot be dropped now is soon, and those that ended
// before their application went are dropped from memory by and by.
func TestForgettingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.walk(r.create(nil))
		r.create(nil)
		r.dead[app] = true
		r.commitErr = errors.New("write: input/output error")
		if wait := r.turn(t.Context()); wait != retryAfter || len(r.all) != 2 {
			t.Errorf("after a failure: %v, %d in memory", wait, len(r.all))
		}
		r.commitErr = nil
		<-time.After(retryAfter)
		if r.turn(t.Context()); len(r.all) != 1 || len(r.active) != 0 {
			t.Errorf("%d in memory, %d active", len(r.all), len(r.active))
		}
		r.views[2].Application = app + 1
		_, err := r.CreateReplay(t.Context(), postern.Replay{Application: app + 1, To: 2, Selection: postern.Selection{Since: r.now.Add(-time.Hour)}})
		if err != nil || len(r.all) != 1 || len(r.active) != 1 {
			t.Errorf("%d in memory, %d active, %v", len(r.all), len(r.active), err)
		}
	})
}

// TestManyAtOnce: those that are created side by side are no more than are
// allowed.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	commit, newest := r.cfg.Commit, r.now
	r.cfg.Newest = func(context.Context) (time.Time, error) { return newest, nil }
	r.cfg.Commit = func(ctx context.Context, changes ...store.Change) error {
		<-time.After(5 * time.Millisecond) // a sync takes its time
		mu.Lock()
		defer mu.Unlock()
		return commit(ctx, changes...)
	}
	in := postern.Replay{Application: app, To: 1, Selection: postern.Selection{Since: r.now.Add(-time.Hour)}}
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 2 * maxActive {
		all.Go(func() {
			if _, err := r.CreateReplay(t.Context(), in); errors.Is(err, postern.ErrInvalid) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if refused.Load() != maxActive || len(r.all) != maxActive {
		t.Errorf("%d were refused, %d are there", refused.Load(), len(r.all))
	}
}

// TestFailuresPass: what fails is tried again, and counted once.
func TestFailuresPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.settle(r.publish(nil, 1), postern.Delivered)
		record := r.create(nil)
		r.startErr = errors.New("read: input/output error")
		if got := r.walk(record); got.Replayed != 0 || got.State != postern.ReplayRunning {
			t.Errorf("after a failure: %+v", got)
		}
		r.startErr = nil
		if got := r.walk(record); got.Replayed != 0 {
			t.Error("it is tried again at once")
		}
		<-time.After(retryAfter)
		if got := r.walk(record); got.Replayed != 1 || got.State != postern.ReplayFinished {
			t.Errorf("in the end: %+v", got)
		}
		r.commitErr = errors.New("write: input/output error")
		in := postern.Replay{Application: app, To: 1, Selection: postern.Selection{Since: r.now.Add(-time.Hour)}}
		if _, err := r.CreateReplay(t.Context(), in); !errors.Is(err, r.commitErr) || len(r.all) != 1 {
			t.Errorf("%v, %d replays", err, len(r.all))
		}
	})
}

// TestBegunIsKept: what a slice had begun when it failed is not begun once more, and
// counted once.
func TestBegunIsKept(t *testing.T) {
	r := newRig(t)
	messages := r.publishAll(sliceSize + 3)
	fail, dealt := true, 0
	start := r.cfg.Start
	r.Runner = New(func() Config {
		cfg := r.cfg
		cfg.Start = func(s Slice) (int, int, error) {
			if fail { // a third is begun, the rest is with a node that has gone
				fail = false
				if !s.Begun.Again {
					t.Error("another node may have walked before")
				}
				s.Begun.Again = false
				s.Begun.Add(s.Messages[:20], 20)
				return 0, 0, postern.ErrUnavailable
			}
			if again := len(s.Messages) == sliceSize; s.Begun.Again != again {
				t.Errorf("of %d messages more can have been begun: %v", len(s.Messages), s.Begun.Again)
			}
			all, begun := s.Messages, s.Begun.Started
			s.Messages = s.Begun.Without(all)
			dealt += len(s.Messages)
			record := s.Record
			s.Record = func(_, started int) *postern.Replay { return record(len(all), started+begun) }
			_, started, err := start(s)
			return len(all), started + begun, err
		}
		return cfg
	}())
	record := r.create(func(in *postern.Replay) { in.To, in.Selection.From = 2, 0 })
	for range 10 {
		for _, e := range r.active {
			e.until = time.Time{}
		}
		r.turn(t.Context())
	}
	if end := r.get(record); end.State != postern.ReplayFinished || end.Replayed != int64(len(messages)) || end.Skipped != 0 {
		t.Errorf("%+v", end)
	}
	if want := len(messages) - 20; dealt != want {
		t.Errorf("%d were dealt with after the failure, want %d", dealt, want)
	}
}

// TestRunWakes: replays begin when they are created, and Run ends with its
// context.
func TestRunWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 10 {
			r.settle(r.publish(nil, 1), postern.Delivered)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		synctest.Wait()
		capped := r.create(func(in *postern.Replay) { in.Rate = 2 })
		free := r.create(func(in *postern.Replay) { in.To = 2; in.Selection.From = 0 })
		synctest.Wait()
		if got := r.get(free); got.State != postern.ReplayFinished || got.Replayed != 10 {
			t.Errorf("the one without a cap: %+v", got)
		}
		<-time.After(2100 * time.Millisecond)
		synctest.Wait()
		if got := r.get(capped); got.Replayed != 4 {
			t.Errorf("after 2 s at 2 per second: %+v", got)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if got := r.get(capped); got.State != postern.ReplayFinished || got.Replayed != 10 {
			t.Errorf("the capped one: %+v", got)
		}
		cancel()
		<-done
	})
}

// TestEndedOnesGo keeps the newest of an application's replays that have ended.
func TestEndedOnesGo(t *testing.T) {
	r := newRig(t)
	var first *postern.Replay
	for range maxEnded + 3 {
		r.now = r.now.Add(time.Millisecond)
		record := r.create(nil)
		if first == nil {
			first = record
		}
		r.walk(record)
	}
	stored := 0
	err := r.st.Load(t.Context(), func(any) error { stored++; return nil })
	if err != nil || stored != maxEnded || len(r.all) != maxEnded || len(r.active) > 1 {
		t.Errorf("%d are stored, %d in memory, %d active, %v", stored, len(r.all), len(r.active), err)
	}
	if _, err := r.Replay(app, first.ID); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("the first: %v", err)
	}
}

// TestLists pages in both directions.
func TestLists(t *testing.T) {
	r := newRig(t)
	var all []*postern.Replay
	for range 7 {
		r.now = r.now.Add(time.Millisecond)
		all = append(all, r.create(nil))
	}
	for _, descending := range []bool{false, true} {
		var got []*postern.Replay
		page := postern.ListPage{Limit: 3, Descending: descending}
		for more := true; more; {
			var part []*postern.Replay
			part, more = r.Replays(app, page, nil)
			got = append(got, part...)
			page.After = part[len(part)-1].ID.String()
		}
		for i := range all {
			want := all[i]
			if descending {
				want = all[len(all)-1-i]
			}
			if len(got) != len(all) || got[i].ID != want.ID {
				t.Fatalf("descending %t: %d of %d, or in another order", descending, len(got), len(all))
			}
		}
	}
	if list, _ := r.Replays(app, postern.ListPage{Limit: 3, After: "rpl_nonsense"}, nil); list != nil {
		t.Errorf("behind nonsense: %v", list)
	}
}

// TestLongScansAreSaved: a filter that chooses nothing leaves its place now and
// then, and at the end.
func TestLongScansAreSaved(t *testing.T) {
	r := newRig(t)
	r.publish(nil, 1)
	record := r.create(nil)
	e := r.find(replaysOf(app), record.ID)
	e.unsaved = saveEvery - 1
	before := r.head.Batch
	cursor := postern.NewMessageID(r.now, 0, 1, 0)
	for i, commits := range []uint64{1, 0} {
		now := r.get(record)
		cursor[19]++
		if err := r.advance(t.Context(), e, now, pick{cursor: cursor, examined: 1}); err != nil {
			t.Fatal(err)
		}
		if got := r.head.Batch - before; got != commits || r.get(record).Cursor != cursor {
			t.Errorf("step %d: %d commits, cursor %v", i, got, r.get(record).Cursor)
		}
		before = r.head.Batch
	}
}

// What a driver offers is what replays read.
var _ Store = store.Store(nil)

// A caller that leaves while its replay is stored, paused or extended leaves nothing
// behind that only the store knows of.
func TestCallersWhoLeave(t *testing.T) {
	r := newRig(t)
	r.settle(r.publish(nil, 1), postern.Delivered)
	commit := r.cfg.Commit
	leaving := func() context.Context {
		ctx, leave := context.WithCancel(t.Context())
		r.cfg.Commit = func(ctx context.Context, changes ...store.Change) error {
			leave()
			return errors.Join(commit(ctx, changes...), ctx.Err()) // it is stored, whoever waits
		}
		return ctx
	}
	in := postern.Replay{Application: app, To: 1, Selection: postern.Selection{From: 1, Since: time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)}}
	_, err := r.CreateReplay(leaving(), in)
	list, _ := r.Replays(app, postern.ListPage{Limit: 10}, nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d are known, %v", len(list), err)
	}
	if _, err := r.SetReplayState(leaving(), app, list[0].ID, postern.ReplayCanceled); err != nil || r.get(list[0]).State != postern.ReplayCanceled {
		t.Errorf("%+v, %v", r.get(list[0]), err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := r.CreateReplay(gone, in); err == nil {
		t.Error("one is made for somebody who is gone")
	}
}
