package postgres

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// What is read in parts is told whole and in order, also where it ends with a
// part.
func TestReadInParts(t *testing.T) {
	for _, n := range []int{2000, 2001} {
		b := newBook(t, open(t, cluster.Database(t), Options{}))
		var batch store.Batch
		var ids []postern.MessageID
		var keys []store.DeliveryKey
		var outcomes []store.Outcome // the newest first
		for i := range n {
			a := b.accept(5, 1, 2)
			ids = append(ids, a.Message.ID)
			keys = append(keys, store.DeliveryKey{Application: 5, Endpoint: 1, Message: a.Message.ID})
			tried := b.attempt(a.Message, 2, 1, postern.Delivered)
			outcomes = append([]store.Outcome{{At: tried.ID.Time(), Succeeded: true, State: postern.Delivered, Took: time.Millisecond}}, outcomes...)
			batch.Accepts, batch.Attempts = append(batch.Accepts, a), append(batch.Attempts, tried)
			batch.Rows = append(batch.Rows, b.row(a.Message, postern.EndpointNumber(10+i), time.Hour))
		}
		b.commit(batch)
		if n%journalRead > 1 || n%coveredRead > 1 || n%outcomesRead > 1 || n%schedulesRead > 1 {
			t.Fatalf("%d is not at the end of a part", n)
		}
		t.Run("recover", func(t *testing.T) { recoverInParts(t, b, ids) })
		t.Run("covered", func(t *testing.T) {
			var got []store.DeliveryKey
			err := b.s.Covered(t.Context(), []store.BehindRow{{Endpoint: 1, Application: 5}, {Endpoint: 2, Application: 5}}, store.DayOf(b.now), func(d store.DeliveryKey) error {
				got = append(got, d)
				return nil
			})
			same(t, keys, got, err)
		})
		t.Run("outcomes", func(t *testing.T) {
			var got []store.Outcome
			err := b.s.EachOutcome(t.Context(), 2, time.Time{}, time.Time{}, func(o store.Outcome) bool {
				got = append(got, o)
				return true
			})
			same(t, outcomes, got, err)
		})
		t.Run("schedules", func(t *testing.T) {
			var got []postern.EndpointNumber
			err := b.s.Schedules(t.Context(), func(row postern.Row) error {
				got = append(got, row.Endpoint)
				return nil
			})
			if len(got) != n || !slices.IsSorted(got) || err != nil {
				t.Errorf("%d endpoints, in order %t, %v", len(got), slices.IsSorted(got), err)
			}
		})
	}
}

// recoverInParts: what is committed meanwhile is not told, and an error of who is
// told ends it.
func recoverInParts(t *testing.T, b *book, ids []postern.MessageID) {
	var got []postern.MessageID
	err := b.s.Recover(t.Context(), 1, func(m *postern.Message, open []postern.EndpointNumber) error {
		if len(got) == 0 {
			b.commit(store.Batch{Accepts: []store.Accept{b.accept(6, 9)}})
		}
		if got = append(got, m.ID); len(open) != 1 || open[0] != 1 {
			t.Fatalf("open of %s: %v", m.ID, open)
		}
		return nil
	})
	same(t, ids, got, err)
	enough := errors.New("enough")
	if err := b.s.Recover(t.Context(), 1, func(*postern.Message, []postern.EndpointNumber) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of who is told is returned as %v", err)
	}
}

// A large fan-out and a long history of one message are read in parts, endpoint by
// endpoint, as far as they are wanted.
func TestAttemptsInParts(t *testing.T) {
	b := newBook(t, open(t, cluster.Database(t), Options{}))
	a := b.accept(5, 1, 2, 3)
	batch := store.Batch{Accepts: []store.Accept{a}}
	var all []postern.Attempt
	for e, n := range []int{attemptsRead - 1, attemptsRead + 1, attemptsRead} {
		for i := range n {
			try := b.attempt(a.Message, postern.EndpointNumber(e+1), i+1, postern.Retrying)
			batch.Attempts, all = append(batch.Attempts, try), append(all, *try)
		}
		batch.Finals = append(batch.Finals, postern.Final{
			Endpoint: postern.EndpointNumber(e + 1), Application: 5, Message: a.Message.ID, State: postern.Canceled, Attempts: n, At: b.now,
		})
	}
	b.commit(batch)
	for _, wanted := range []int{1, attemptsRead - 1, attemptsRead, 2 * attemptsRead, len(all), len(all) + 1} {
		var got []postern.Attempt
		finals, err := b.s.EachAttempt(t.Context(), 5, a.Message.ID, func(a *postern.Attempt) bool {
			got = append(got, *a)
			return len(got) < wanted
		})
		same(t, all[:min(wanted, len(all))], got, err)
		done := len(batch.Finals) // all of it was told
		if wanted <= len(all) {
			done = int(all[wanted-1].Endpoint) - 1
		}
		same(t, batch.Finals[:done], finals, nil)
	}
}

// A filter that looks something up for each entry gives up earlier, says where to
// go on, and misses nothing.
func TestLookUpsAreBounded(t *testing.T) {
	b := newBook(t, open(t, cluster.Database(t), Options{}))
	var batch store.Batch
	var want []postern.MessageID
	for i := range 2*examineBudget/lookUpCost + 1 {
		a := b.accept(5, 2)
		if i%1500 == 0 { // resent by hand to where it was not routed
			batch.Attempts = append(batch.Attempts, b.attempt(a.Message, 1, 1, postern.Delivered))
			want = append(want, a.Message.ID)
		}
		batch.Accepts = append(batch.Accepts, a)
	}
	b.commit(batch)
	var got []postern.MessageID
	p, pages := store.Page{Limit: 50, Ascending: true}, 0
	for ; ; pages++ {
		page, err := b.s.Messages(t.Context(), 5, store.MessageFilter{Endpoint: 1}, p)
		if err != nil || pages > 10 {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			got = append(got, m.ID)
		}
		if p.After = page.Next; page.Done {
			break
		}
	}
	same(t, want, got, nil)
	if pages != 2 {
		t.Errorf("ended after %d pages that were not the last, want 2", pages)
	}
}

func same[T any](t *testing.T, want, got []T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Fatalf("%d of them, want %d", len(got), len(want))
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i]); diff != "" {
			t.Fatalf("number %d of %d (-want +got):\n%s", i, len(want), diff)
		}
	}
}
