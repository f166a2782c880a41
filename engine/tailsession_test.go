package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
)

// followed is a node that others follow, in a bubble.
type followed struct {
	t     *testing.T
	tails *tails
	hub   *tail.Hub
	next  uint64
}

func inFollowed(t *testing.T, test func(f *followed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{tail: tail.New()}
		e.shards.main = &shard{journal: 1}
		f := &followed{t: t, tails: newTails(e), hub: e.tail} // the bubble's t
		defer f.tails.stop()
		test(f)
	})
}

// does has the node accept messages of an application, with tags of some length.
func (f *followed) does(app postern.ApplicationNumber, n, length int) {
	for range n {
		f.next++
		f.hub.Accepted(&postern.Message{ID: postern.NewMessageID(time.Now(), 1, f.next, 7), Application: app, Tags: []string{strings.Repeat("t", length)}})
	}
}

// ask returns the positions of the messages that it is told of, and how long the
// answer took.
func (f *followed) ask(o tailOrder) (r *tailResult, positions []int, took time.Duration) {
	f.t.Helper()
	began := time.Now()
	r, err := f.tails.answer(f.t.Context(), 1, &o)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, text := range r.Events {
		var e tail.Event
		if err := json.Unmarshal(text, &e); err != nil {
			f.t.Fatal(err)
		}
		positions = append(positions, int(e.Message.ID.Position()))
	}
	return r, positions, time.Since(began)
}

func (f *followed) sessions() int {
	f.tails.mu.Lock()
	defer f.tails.mu.Unlock()
	return len(f.tails.sessions)
}

func (f *followed) refused(o tailOrder, want error) {
	f.t.Helper()
	if _, err := f.tails.answer(f.t.Context(), 1, &o); err != want {
		f.t.Errorf("%+v: %v, want %v", o, err, want)
	}
}

// A node is told what it asked for since it began to, soon after it happens, and
// waits where there is nothing.
func TestTailSession(t *testing.T) {
	inFollowed(t, func(f *followed) {
		o := tailOrder{From: 2, Session: 5, Begins: true, Applications: tail.Applications{1}}
		f.does(1, 1, 0)
		if _, got, took := f.ask(o); len(got) != 0 || took != 0 {
			t.Errorf("at first %v, after %v", got, took)
		}
		o.Begins = false
		if _, got, took := f.ask(o); len(got) != 0 || took != tailWait {
			t.Errorf("of nothing %v, after %v", got, took)
		}
		f.does(1, 1, 0)
		f.does(2, 1, 0)
		f.does(1, 1, 0)
		r, got, took := f.ask(o)
		last, err := tail.Parse(r.Last)
		if diff := cmp.Diff([]int{2, 4}, got); diff != "" || took != tailLinger || r.Missed || err != nil {
			t.Errorf("%s after %v, missed %t, %v", diff, took, r.Missed, err)
		}
		of := func(position uint64) tail.Event {
			return tail.Event{Message: &postern.Message{ID: postern.NewMessageID(time.Now(), 1, position, 7)}}
		}
		if last.Before(of(4)) || !last.Before(of(5)) {
			t.Errorf("it has come to %s", r.Last)
		}
		f.does(1, tail.RelayBuffer+1, 0)
		for told := 0; ; {
			r, got, _ := f.ask(o)
			if told += len(got); told == tail.RelayBuffer {
				if !r.Missed {
					t.Error("nothing is said to be missed")
				}
				break
			}
			if r.Missed || r.Last != "" {
				t.Fatalf("%d are told, missed %t, up to %q", told, r.Missed, r.Last)
			}
		}
	})
}

// An answer is bounded, however much there is to tell.
func TestTailSessionIsBounded(t *testing.T) {
	inFollowed(t, func(f *followed) {
		o := tailOrder{From: 2, Session: 5, Begins: true}
		f.ask(o)
		o.Begins = false
		f.does(1, 1, tailBytes)
		f.does(1, 3, tailBytes/2-1000)
		f.does(1, 1, tailBytes)
		for i, want := range []struct {
			events []int
			missed bool
		}{{[]int{2, 3}, true}, {[]int{4}, true}, {nil, false}} {
			r, got, _ := f.ask(o)
			if diff := cmp.Diff(want.events, got); diff != "" || r.Missed != want.missed {
				t.Errorf("answer %d: %s, missed %t", i, diff, r.Missed)
			}
			if text, err := json.Marshal(r); err != nil || len(text) > 1<<20 {
				t.Errorf("answer %d has %d bytes: %v", i, len(text), err)
			}
		}
	})
}

// Sessions end when another one begins, when nobody asks, and with the node. Those
// that are over are not gone on with, and there are not too many.
func TestTailSessionsEnd(t *testing.T) {
	inFollowed(t, func(f *followed) {
		ask := func(from uint16, session int64, begins bool) tailOrder {
			return tailOrder{From: from, Session: session, Begins: begins}
		}
		f.refused(ask(2, 5, false), errTailGone)
		if _, err := f.tails.answer(f.t.Context(), 2, &tailOrder{From: 2, Session: 5, Begins: true}); err != errTailGone {
			t.Errorf("of an adopted journal: %v", err)
		}
		f.ask(ask(2, 5, true))
		f.ask(ask(3, 5, true))
		f.refused(ask(2, 5, true), errTailGone)
		f.ask(ask(2, 6, true))
		f.refused(ask(2, 5, false), errTailGone)
		f.ask(ask(2, 6, false))
		for range 2 {
			<-time.After(tailIdle - 3*time.Second)
			f.ask(ask(2, 6, false))
		}
		f.refused(ask(3, 5, false), errTailGone)
		<-time.After(tailIdle + time.Second)
		if n := f.sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		for from := range uint16(mostFollowers) {
			f.ask(ask(from, 7, true))
		}
		f.refused(ask(mostFollowers, 7, true), errTailFull)
		f.ask(ask(0, 8, true))

		waits := make(chan error)
		go func() {
			_, err := f.tails.answer(f.t.Context(), 1, &tailOrder{From: 1, Session: 7})
			waits <- err
		}()
		synctest.Wait()
		f.ask(ask(1, 8, true))
		if err := <-waits; err != errTailGone {
			t.Errorf("who waits in an old session: %v", err)
		}
		go func() {
			_, err := f.tails.answer(f.t.Context(), 1, &tailOrder{From: 1, Session: 8})
			waits <- err
		}()
		synctest.Wait()
		f.hub.Close()
		if err := <-waits; err != errStopping {
			t.Errorf("who waits while the node stops: %v", err)
		}
	})
}
