package replay

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// expungeAll begins to expunge the rig's messages.
func (r *rig) expungeAll() *postern.Replay {
	r.t.Helper()
	record, err := r.ExpungeAll(r.t.Context(), app)
	if err != nil {
		r.t.Fatal(err)
	}
	return record
}

// task is an expunging as it stands.
func (r *rig) task(of *postern.Replay) *postern.Replay {
	r.t.Helper()
	record, err := r.Task(app, of.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return record
}

// readable counts the messages whose content is there.
func (r *rig) readable(messages []*postern.Message) (n int) {
	r.t.Helper()
	for _, m := range messages {
		_, err := r.st.Content(r.t.Context(), m.Application, m.ID)
		switch {
		case err == nil:
			n++
		case !errors.Is(err, postern.ErrNotFound):
			r.t.Fatal(err)
		}
	}
	return n
}

// TestExpungeAll expunges over restarts what there was when it was asked for,
// and nothing else.
func TestExpungeAll(t *testing.T) {
	r := newRig(t)
	var messages []*postern.Message
	for range 2*sliceSize + 5 {
		messages = append(messages, r.publish(nil, 1))
	}
	foreign := r.publish(func(m *postern.Message) { m.Application = app + 1 })
	record := r.expungeAll()
	r.now = r.now.Add(time.Second)
	later := r.publish(nil, 1)
	if record.Total != int64(len(messages)) {
		t.Errorf("it is to expunge %d of %d", record.Total, len(messages))
	}
	for turns := 0; !r.task(record).State.Final(); turns++ {
		if turns > 10 {
			t.Fatalf("it does not end: %+v", r.task(record))
		}
		r.turn(t.Context())
		r.begin()
	}
	if end := r.task(record); end.State != postern.ReplayFinished || end.Replayed != int64(len(messages)) || end.FinishedAt.IsZero() {
		t.Errorf("%+v", end)
	}
	if n := r.readable(messages); n != 0 {
		t.Errorf("%d of %d are still there", n, len(messages))
	}
	if n := r.readable([]*postern.Message{foreign, later}); n != 2 {
		t.Error("another application's or a later message is gone")
	}
}

// TestExpungeAllGoesFurther: who asks while it is under way has it expunge what
// came since as well, also from its last slice on.
func TestExpungeAllGoesFurther(t *testing.T) {
	r := newRig(t)
	messages := []*postern.Message{r.publish(nil, 1)}
	record := r.expungeAll()
	r.expunging = func() {
		r.expunging = nil
		r.now = r.now.Add(time.Second)
		messages = append(messages, r.publish(nil, 1))
		if again := r.expungeAll(); again.ID != record.ID {
			t.Errorf("another one begins: %+v", again)
		}
	}
	for range 10 {
		if r.turn(t.Context()); r.task(record).State.Final() {
			break
		}
		r.begin()
	}
	if end := r.task(record); end.State != postern.ReplayFinished || end.Replayed != 2 || r.readable(messages) != 0 {
		t.Errorf("%+v, %d are there", end, r.readable(messages))
	}
	if again := r.expungeAll(); again.ID == record.ID {
		t.Error("it goes on after its end")
	}
}

// TestExpungeAllWithinAMoment: the time of ids may stand still, as after a clock
// was set back; who asks again has what came since expunged all the same.
func TestExpungeAllWithinAMoment(t *testing.T) {
	r := newRig(t)
	messages := []*postern.Message{r.publish(nil, 1)}
	record := r.expungeAll()
	r.expunging = func() {
		r.expunging = nil
		r.now = r.now.Add(-time.Second) // where publish begins
		messages = append(messages, r.publish(nil, 1))
		r.expungeAll()
	}
	for range 3 {
		r.turn(t.Context())
		r.begin()
	}
	if end := r.task(record); end.State != postern.ReplayFinished || r.readable(messages) != 0 {
		t.Errorf("%+v, %d are there", end, r.readable(messages))
	}
}

// yielding lets others go on before it tells of messages.
type yielding struct{ Store }

func (y yielding) Messages(ctx context.Context, app postern.ApplicationNumber, f store.MessageFilter, p store.Page) (store.MessagePage, error) {
	for range 1000 {
		runtime.Gosched()
	}
	return y.Store.Messages(ctx, app, f, p)
}

// TestExpungeAllAtOnce: many that ask at the same time have it done once.
func TestExpungeAllAtOnce(t *testing.T) {
	r := newRig(t)
	for range 50 {
		r.publish(nil, 1)
	}
	r.cfg.Store = yielding{r.st}
	var asked sync.WaitGroup
	begin := make(chan struct{})
	for range 20 {
		asked.Go(func() {
			<-begin
			if _, err := r.ExpungeAll(t.Context(), app); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	asked.Wait()
	if all, _ := r.Tasks(0, postern.ListPage{Limit: 100}, nil); len(all) != 1 {
		t.Errorf("%d are under way", len(all))
	}
}

// TestExpungeAllIsNoReplay: it is a task of its application alone, which cannot
// stop it, and has it even where there is no room for a replay.
func TestExpungeAllIsNoReplay(t *testing.T) {
	r := newRig(t)
	r.publish(nil, 1)
	for range maxActive {
		r.create(nil)
	}
	record := r.expungeAll()
	if _, err := r.Replay(app, record.ID); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("the application finds it: %v", err)
	}
	if _, err := r.SetReplayState(t.Context(), app, record.ID, postern.ReplayCanceled); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("the application cancels it: %v", err)
	}
	page := postern.ListPage{Limit: 100}
	if own, _ := r.Replays(app, page, nil); len(own) != maxActive {
		t.Errorf("%d replays of the application", len(own))
	}
	for of, want := range map[postern.ApplicationNumber]int{app: maxActive + 1, app + 1: 0, 0: maxActive + 1} {
		list, _ := r.Tasks(of, page, nil)
		_, err := r.Task(of, record.ID)
		if found := err == nil; len(list) != want || found != (want > 0) {
			t.Errorf("application %d: %d tasks, want %d; this one: %v", of, len(list), want, err)
		}
	}
}

// TestExpungeAllTriesAgain: what fails is told of once more.
func TestExpungeAllTriesAgain(t *testing.T) {
	r := newRig(t)
	m := r.publish(nil, 1)
	record := r.expungeAll()
	r.startErr = errors.New("the disk")
	if wait := r.turn(t.Context()); wait < retryAfter/2 || r.task(record).Replayed != 0 {
		t.Errorf("after a failure: %+v, again in %v", r.task(record), wait)
	}
	r.startErr = nil
	r.begin()
	r.turn(t.Context())
	if r.task(record).State != postern.ReplayFinished || r.readable([]*postern.Message{m}) != 0 {
		t.Errorf("%+v", r.task(record))
	}
}
