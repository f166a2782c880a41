package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/storetest"
)

// replayed is what a slice came to.
type replayed struct {
	Taken, Started int
	Err            error
}

// replay has a slice wait for the next batch; the channel tells its end.
func (r *rig) replay(n postern.EndpointNumber, wants func(store.Standing) bool, messages ...*postern.Message) chan replayed {
	s := Slice{Replay: postern.ReplayID{7}, Application: app, Endpoint: n, Wants: wants}
	for _, m := range messages {
		s.Messages = append(s.Messages, m.ID)
	}
	s.Record = func(taken, started int) *postern.Replay {
		return &postern.Replay{ID: s.Replay, Application: app, Cursor: s.Messages[taken-1], Replayed: int64(started), Skipped: int64(taken - started)}
	}
	result := make(chan replayed, 1)
	go func() {
		taken, started, err := r.d.Replay(s)
		result <- replayed{taken, started, err}
	}()
	synctest.Wait()
	return result
}

// record is the replay as it is stored; nil for none.
func (r *rig) record() (found *postern.Replay) {
	r.t.Helper()
	err := r.st.Load(r.t.Context(), func(record any) error {
		if replay, ok := record.(*postern.Replay); ok {
			found = replay
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func anything(store.Standing) bool { return true }

func failed(s store.Standing) bool {
	return s.State == postern.Dead || s.State == postern.Retrying
}

// A slice of a replay that another node walks starts deliveries, and no record.
func TestReplayOfAnotherNode(t *testing.T) {
	bubble(t, Config{Places: 1}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := phases()["dead"](r, n)
		result := make(chan replayed, 1)
		go func() {
			taken, started, err := r.d.Replay(Slice{Replay: postern.ReplayID{7}, Application: app, Endpoint: n, Wants: failed, Messages: []postern.MessageID{m.ID}})
			result <- replayed{taken, started, err}
		}()
		synctest.Wait()
		r.commit()
		if diff := cmp.Diff(replayed{Taken: 1, Started: 1}, <-result); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if record := r.record(); record != nil {
			t.Errorf("stored: %+v", record)
		}
	})
}

// A slice that a replay has stored without being told so leaves what it started as
// it is.
func TestReplayTwice(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		from, to := r.endpoint(app, nil), r.endpoint(app, paused)
		m := r.publish(from)
		r.drain(answer{code: 200}, 3)
		first := r.replay(to, anything, m)
		r.commit()
		row := r.standing(m, to).Row
		again := r.replay(to, anything, m)
		r.commit()
		if a, b := <-first, <-again; a != (replayed{Taken: 1, Started: 1}) || b != a {
			t.Errorf("%+v, then %+v", a, b)
		}
		if diff := cmp.Diff(row, r.standing(m, to).Row); diff != "" {
			t.Errorf("the row (-before +after):\n%s", diff)
		}
	})
}

// A slice that somebody else may have started leaves what was tried since, be that
// stored already or in the very batch.
func TestReplayOfWhatWasBegun(t *testing.T) {
	for _, stored := range []bool{true, false} {
		bubble(t, Config{}, func(r *rig) {
			n := r.endpoint(app, nil)
			m := r.publish(n)
			r.drain(answer{code: 200}, 3)
			r.pass(time.Second)
			since := r.now()
			first := r.replay(n, anything, m)
			r.commit()
			r.say(answer{code: 200}, r.only())
			if stored {
				r.commit()
			}
			again := make(chan replayed, 1)
			go func() {
				taken, started, err := r.d.Replay(Slice{
					Replay: postern.ReplayID{7}, Application: app, Endpoint: n, Wants: anything, Messages: []postern.MessageID{m.ID}, Since: since,
				})
				again <- replayed{taken, started, err}
			}()
			synctest.Wait()
			if !stored { // the settle comes first
				r.mu.Lock()
				r.commands, r.settles = nil, append(r.settles, r.commands...)
				r.mu.Unlock()
			}
			r.commit()
			if a, b := <-first, <-again; a != (replayed{Taken: 1, Started: 1}) || b != a {
				t.Errorf("stored %t: %+v, then %+v", stored, a, b)
			}
			if s := r.standing(m, n); len(r.under()) > 0 || s.Attempts != 2 || s.State != postern.Delivered {
				t.Errorf("stored %t: %d under way, %+v", stored, len(r.under()), s)
			}
		})
	}
}

// TestReplayOfEachPhase replays one delivery as failed wherever it stands: only
// what failed is started, once, and its attempt bears the replay's mark.
func TestReplayOfEachPhase(t *testing.T) {
	for name, want := range map[string]int{
		"not in memory": 1, "queued row": 1, "dead": 1,
		"parked": 0, "queued first try": 0, "running": 0, "settling": 0, "delivered": 0, // a try decides by itself
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Places: 1}, func(r *rig) {
				n := r.endpoint(app, nil)
				m := phases()[name](r, n)
				result := r.replay(n, failed, m)
				r.commit()
				if diff := cmp.Diff(replayed{Taken: 1, Started: want}, <-result); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				record := r.record()
				if record == nil || record.Cursor != m.ID || record.Replayed != int64(want) || record.Skipped != int64(1-want) {
					t.Errorf("stored: %+v", record)
				}
				r.attempts = nil
				r.unblock()
				var marked int
				for _, a := range r.attempts {
					if a.Message != m.ID {
						continue
					}
					if !a.Replay.IsZero() && a.Trigger == postern.Manual && a.Replay == (postern.ReplayID{7}) {
						marked++
					}
				}
				if marked != want {
					t.Errorf("%d attempts are marked, want %d", marked, want)
				}
				if s := r.standing(m, n); s.State != postern.Delivered {
					t.Errorf("in the end it is %v", s.State)
				}
			})
		})
	}
}

// TestReplayToAnother sends messages to an endpoint that they were not routed
// to: the rows alone cover them, over a restart too.
func TestReplayToAnother(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		from, to := r.endpoint(app, nil), r.endpoint(app, paused)
		var messages []*postern.Message
		for range 5 {
			messages = append(messages, r.publish(from))
		}
		r.drain(answer{code: 200}, 3)
		result := r.replay(to, anything, messages...)
		r.commit()
		if got := <-result; got != (replayed{Taken: 5, Started: 5}) {
			t.Fatalf("%+v", got)
		}
		for range 2 {
			if err := storetest.CheckCover(t.Context(), r.st); err != nil {
				t.Error(err)
			}
			r.restart()
			if tries := r.under(); len(tries) > 0 {
				t.Fatalf("%d tries at a paused endpoint", len(tries))
			}
		}
		r.edit(to, resumed)
		if got := r.drain(answer{code: 200}, 3); got != 5 {
			t.Errorf("%d arrived, want 5", got)
		}
		r.restart()
		if got := r.drain(answer{code: 200}, 3); got != 0 {
			t.Errorf("%d arrived once more", got)
		}
	})
}

// TestReplayMarksRetries has a replayed delivery fail: its retries are
// scheduled ones that still tell the replay.
func TestReplayMarksRetries(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := phases()["dead"](r, n)
		r.replay(n, anything, m)
		r.commit()
		r.say(answer{code: 500}, r.only())
		r.commit()
		r.pass(15 * time.Second)
		a := r.only().attempt
		if a.N != 3 || a.Trigger != postern.Scheduled || a.Replay != (postern.ReplayID{7}) {
			t.Errorf("the retry is %+v", a)
		}
	})
}

// TestReplayBesideOthers has one batch hold a cancel, a slice and a second
// slice of the same delivery.
func TestReplayBesideOthers(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := phases()["not in memory"](r, n)
		canceled := r.order(r.d.Cancel, r.key(m, n))
		once := r.replay(n, failed, m) // sees it canceled
		again := r.replay(n, anything, m)
		third := r.replay(n, failed, m) // sees the row
		b := r.commit()
		if err := <-canceled; err != nil {
			t.Error(err)
		}
		if a, b, c := (<-once).Started, (<-again).Started, (<-third).Started; a != 0 || b != 1 || c != 1 {
			t.Errorf("started %d, %d, %d; want 0, 1, 1", a, b, c)
		}
		if got := b.Head.Rows; got != 1 {
			t.Errorf("%d rows are counted", got)
		}
		if got := r.drain(answer{code: 200}, 5); got != 1 {
			t.Errorf("%d arrived, want 1", got)
		}
	})
}

func TestReplayToWhatIsGone(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		m := r.publish(n)
		r.drain(answer{code: 200}, 2)
		r.edit(n, deleted)
		result := r.replay(n, anything, m)
		r.commit()
		if got := <-result; !errors.Is(got.Err, postern.ErrNotFound) || got.Taken != 0 {
			t.Errorf("to a deleted endpoint: %+v", got)
		}
		if r.record() != nil {
			t.Error("a record is stored")
		}
		other := r.endpoint(app, nil)
		gone := &postern.Message{ID: postern.NewMessageID(time.Now(), 0, 99, 1)}
		result = r.replay(other, anything, gone, m)
		r.commit()
		if got := <-result; got != (replayed{Taken: 2, Started: 1}) {
			t.Errorf("of a message that is gone: %+v", got)
		}
		r.drain(answer{code: 200}, 2)
	})
}

// blind is a store that cannot tell how one message stands.
type blind struct {
	store.Store
	message postern.MessageID
}

var errBlind = errors.New("read: input/output error")

func (b *blind) Standing(ctx context.Context, key store.DeliveryKey) (store.Standing, error) {
	if key.Message == b.message {
		return store.Standing{}, errBlind
	}
	return b.Store.Standing(ctx, key)
}

// TestReplayStopsWhereItCannotRead stores what came before, and says so.
func TestReplayStopsWhereItCannotRead(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		n := r.endpoint(app, nil)
		messages := []*postern.Message{r.publish(n), r.publish(n), r.publish(n)}
		r.drain(answer{code: 200}, 3)
		seeing := r.st.Store
		r.st.Store = &blind{seeing, messages[1].ID}
		result := r.replay(n, anything, messages...)
		r.commit()
		if got := <-result; got.Taken != 1 || got.Started != 1 || !errors.Is(got.Err, errBlind) {
			t.Errorf("%+v", got)
		}
		if got := r.record(); got == nil || got.Cursor != messages[0].ID {
			t.Errorf("stored: %+v", got)
		}
		r.st.Store = seeing
		if got := r.drain(answer{code: 200}, 3); got != 1 {
			t.Errorf("%d arrived, want 1", got)
		}
	})
}
