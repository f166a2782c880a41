package pull

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// watching is a Watch of a node, and when it was answered.
type watching struct {
	found []postern.EndpointNumber
	err   error
	took  time.Duration
}

// watch has a node watch an endpoint from now on.
func watch(t *testing.T, b *Book, asker uint16, wants ...postern.EndpointNumber) <-chan watching {
	t.Helper()
	told, begun := make(chan watching, 1), time.Now()
	go func() {
		found, err := b.Watch(t.Context(), Watch{Asker: asker, Attended: []postern.EndpointNumber{1, 2}, Wants: wants, Wait: 20 * time.Second})
		told <- watching{found, err, time.Since(begun)}
	}()
	synctest.Wait()
	return told
}

func (w watching) is(t *testing.T, found []postern.EndpointNumber, took time.Duration) {
	t.Helper()
	if diff := cmp.Diff(found, w.found); diff != "" || w.err != nil || w.took != took {
		t.Errorf("after %v, %v: %s", w.took, w.err, diff)
	}
}

// A node that watches has the endpoints attended, and is told at once of what waits:
// of what it wants to know, and as long as there is something.
func TestWatch(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		other := []postern.EndpointNumber{e.Number}
		(<-watch(t, b, 9, e.Number)).is(t, nil, 20*time.Second)
		if !l.attended[1] || !l.attended[2] {
			t.Error("nobody attends")
		}
		told := watch(t, b, 9, e.Number)
		time.Sleep(time.Second) // in the bubble
		l.publish(endpoint(2), 1)
		synctest.Wait()
		l.publish(e, 3)
		(<-told).is(t, other, time.Second)
		(<-watch(t, b, 9, e.Number)).is(t, other, 0)
		(<-watch(t, b, 9)).is(t, nil, 20*time.Second)

		if given, err := b.Give(t.Context(), e, ask(2)); err != nil || len(given) != 2 {
			t.Fatal(given, err)
		}
		(<-watch(t, b, 9, e.Number)).is(t, other, 0)
		if given, err := b.Give(t.Context(), e, ask(2)); err != nil || len(given) != 1 {
			t.Fatal(given, err)
		}
		told = watch(t, b, 9, e.Number)
		again := watch(t, b, 9, 2) // which ends the other one
		(<-told).is(t, nil, 0)
		(<-again).is(t, []postern.EndpointNumber{2}, 0)
	})
}

// Who watches a node that stops is told so, and not that there is nothing.
func TestWatchEndsWithTheBook(t *testing.T) {
	book(t, func(t *testing.T, b *Book, _ *lanes, e *postern.EndpointView) {
		told := watch(t, b, 9, e.Number)
		b.Close()
		if w := <-told; !errors.Is(w.err, postern.ErrUnavailable) || w.took != 0 {
			t.Errorf("%+v", w)
		}
		if w := <-watch(t, b, 9, e.Number); !errors.Is(w.err, postern.ErrUnavailable) {
			t.Errorf("%+v", w)
		}
	})
}

// What is given to a node is held here, under ids that lead here, and comes to one
// of those who ask, here or there.
func TestGive(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		b.cfg.Journal = 300
		b.cfg.Elsewhere = func(context.Context, *postern.EndpointView, postern.LeaseRequest) ([]postern.Lease, error) {
			return nil, nil
		}
		got := make(chan int)
		go func() {
			leases, err := b.Lease(t.Context(), e, postern.LeaseRequest{Limit: 2, Wait: time.Minute})
			if err != nil {
				t.Error(err)
			}
			got <- len(leases)
		}()
		synctest.Wait()
		l.mu.Lock()
		for range 3 {
			l.queue[e.Number] = append(l.queue[e.Number], &delivery{lanes: l, endpoint: e.Number})
		}
		l.mu.Unlock()
		given, err := b.Give(t.Context(), e, ask(1)) // which takes the sign along
		if err != nil || len(given) != 1 || given[0].ID.Journal() != 300 {
			t.Fatalf("%+v, %v", given, err)
		}
		if n := <-got; n != 2 || b.Held() != 3 {
			t.Errorf("%d for who waited, %d held", n, b.Held())
		}
		if missing, err := b.Ack(t.Context(), e.Number, []postern.LeaseID{given[0].ID}); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
	})
}

// A consumer gets what there is elsewhere, when it comes or is told to look, and
// leaves neither that nor what is here behind the other.
func TestElsewhere(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		there, refused := 0, errors.New("refused")
		var fails error
		b.cfg.Elsewhere = func(_ context.Context, of *postern.EndpointView, r postern.LeaseRequest) ([]postern.Lease, error) {
			if there == 0 || of != e || r.Limit != 1 {
				return nil, fails
			}
			there--
			return []postern.Lease{{Attempt: 7}}, fails
		}
		one := func() postern.Lease {
			leases, err := b.Lease(t.Context(), e, postern.LeaseRequest{Limit: 1, Wait: time.Minute})
			if err != nil || len(leases) != 1 {
				t.Errorf("%+v, %v", leases, err)
				return postern.Lease{}
			}
			return leases[0]
		}
		got := make(chan postern.Lease)
		go func() { got <- one() }()
		synctest.Wait()
		there = 1
		b.Wake(e.Number)
		if lease := <-got; lease.Attempt != 7 {
			t.Errorf("%+v", lease)
		}

		const many = 200
		there = many
		l.publish(e, many)
		from := map[bool]int{}
		for range many {
			from[one().Attempt == 7]++
		}
		if from[true] < many/4 || from[false] < many/4 {
			t.Errorf("%d from elsewhere, %d from here", from[true], from[false])
		}
		for range many {
			one()
		}
		fails = refused
		if _, err := b.Lease(t.Context(), e, ask(1)); !errors.Is(err, refused) {
			t.Error(err)
		}
	})
}
