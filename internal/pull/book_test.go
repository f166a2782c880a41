package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lanes stands in for the dispatcher: a queue for each endpoint, and an account
// of what became of each delivery.
type lanes struct {
	t    *testing.T
	book *Book

	mu       sync.Mutex
	queue    map[postern.EndpointNumber][]*delivery
	settled  []*delivery
	returned int
	attended map[postern.EndpointNumber]bool
	size     int // of each payload
}

// delivery is one in the queue, or taken out of it.
type delivery struct {
	lanes    *lanes
	endpoint postern.EndpointNumber
	message  postern.Message
	attempt  postern.Attempt
	holders  int
	fail     error // what Settle ends with
}

func (d *delivery) Message() *postern.Message { return &d.message }
func (d *delivery) Attempt() *postern.Attempt { return &d.attempt }

func (d *delivery) Settle() <-chan error {
	l := d.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(d)
	l.settled = append(l.settled, d)
	stored := make(chan error, 1)
	stored <- d.fail
	return stored
}

func (d *delivery) Return() {
	l := d.lanes
	l.mu.Lock()
	l.drop(d)
	l.returned++
	l.queue[d.endpoint] = append([]*delivery{d}, l.queue[d.endpoint]...)
	l.book.Waiting(d.endpoint) // with the lock held, as the lanes do
	l.mu.Unlock()
}

func (l *lanes) drop(d *delivery) {
	if d.holders--; d.holders != 0 {
		l.t.Errorf("%d hold a delivery that one gave back", d.holders+1)
	}
}

// publish queues deliveries.
func (l *lanes) publish(e *postern.EndpointView, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		d := &delivery{lanes: l, endpoint: e.Number}
		d.attempt.N = 1
		l.queue[e.Number] = append(l.queue[e.Number], d)
		l.book.Waiting(e.Number)
	}
}

func (l *lanes) take(_ context.Context, n postern.EndpointNumber) (Taken, *postern.Content) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue[n]) == 0 || !l.attended[n] {
		return nil, nil
	}
	d := l.queue[n][0]
	l.queue[n] = l.queue[n][1:]
	if d.holders++; d.holders > 1 {
		l.t.Error("two hold a delivery")
	}
	return d, &postern.Content{Payload: make([]byte, l.size)}
}

func (l *lanes) attend(n postern.EndpointNumber, attended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attended[n] = attended
	if attended && len(l.queue[n]) > 0 {
		l.book.Waiting(n)
	}
}

// outcomes are the codes of what was settled.
func (l *lanes) outcomes() (codes []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.settled {
		codes = append(codes, d.attempt.Code)
	}
	return codes
}

// book runs a test in a bubble with a Book on lanes of its own, and an endpoint.
func book(t *testing.T, test func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lanes{t: t, queue: map[postern.EndpointNumber][]*delivery{}, attended: map[postern.EndpointNumber]bool{}}
		b := New(Config{Take: l.take, Attend: l.attend, IDs: &postern.IDSource{Now: time.Now, Random: rand.Reader}, Now: time.Now})
		l.book = b
		defer b.Close()
		test(t, b, l, endpoint(1))
	})
}

func endpoint(n postern.EndpointNumber) *postern.EndpointView {
	return &postern.EndpointView{Endpoint: postern.Endpoint{Number: n, Application: 7, Kind: postern.PullEndpoint}}
}

// get asks for leases, which must not fail.
func get(t *testing.T, b *Book, e *postern.EndpointView, r postern.LeaseRequest) []postern.LeaseID {
	t.Helper()
	leases, err := b.Lease(t.Context(), e, r)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]postern.LeaseID, len(leases))
	for i := range leases {
		ids[i] = leases[i].ID
	}
	return ids
}

func ask(limit int) postern.LeaseRequest { return postern.LeaseRequest{Limit: limit} }

func TestLeaseEnds(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 5)
		ids := get(t, b, e, ask(4))
		if len(ids) != 4 || b.Held() != 4 {
			t.Fatalf("%d leases, %d held", len(ids), b.Held())
		}
		for name, end := range map[string]func(id postern.LeaseID) ([]postern.LeaseID, error){
			"ack": func(id postern.LeaseID) ([]postern.LeaseID, error) {
				return b.Ack(t.Context(), 1, []postern.LeaseID{id})
			},
			"nack": func(id postern.LeaseID) ([]postern.LeaseID, error) {
				return b.Nack(t.Context(), 1, []postern.LeaseID{id}, postern.Nack{Delay: time.Hour, Permanent: true, Error: "no"})
			},
			"release": func(id postern.LeaseID) ([]postern.LeaseID, error) { return b.Release(1, []postern.LeaseID{id}) },
		} {
			id := ids[0]
			ids = ids[1:]
			if missing, err := end(id); err != nil || len(missing) != 0 {
				t.Errorf("%s: %v, %v", name, missing, err)
			}
			if missing, err := end(id); err != nil || len(missing) != 1 {
				t.Errorf("%s again: %v, %v", name, missing, err)
			}
		}
		time.Sleep(postern.DefaultLease + time.Second) // in the bubble: the last one's time
		synctest.Wait()
		codes := l.outcomes()
		slices.Sort(codes)
		if fmt.Sprint(codes) != "[0 200 500]" || l.returned != 1 || b.Held() != 0 {
			t.Errorf("settled %v, returned %d, held %d", codes, l.returned, b.Held())
		}
		for _, d := range l.settled {
			a := d.attempt
			if a.URL != URL || (a.Failure == expired) != (a.Code == 0) || a.Succeeded != (a.Code == http.StatusOK) || (a.RetryAfter == time.Hour) != (a.Code == 500) || a.Permanent != (a.Code == 500) {
				t.Errorf("%+v", a)
			}
		}
		if missing, err := b.Ack(t.Context(), 1, []postern.LeaseID{ids[0]}); err != nil || len(missing) != 1 {
			t.Errorf("after it expired: %v, %v", missing, err)
		}
	})
}

// TestLeaseOfAnother cannot be ended through another endpoint.
func TestLeaseOfAnother(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 1)
		ids := get(t, b, e, ask(1))
		if missing, err := b.Ack(t.Context(), 2, ids); err != nil || len(missing) != 1 {
			t.Errorf("%v, %v", missing, err)
		}
		if _, missing, err := b.Extend(2, ids, time.Hour); err != nil || len(missing) != 1 {
			t.Errorf("%v, %v", missing, err)
		}
		if b.Held() != 1 {
			t.Error("it ended")
		}
	})
}

func TestLeaseWaits(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		begun := time.Now()
		if ids := get(t, b, e, postern.LeaseRequest{Limit: 1, Wait: 20 * time.Second}); len(ids) != 0 || time.Since(begun) != 20*time.Second {
			t.Errorf("%d after %v", len(ids), time.Since(begun))
		}
		if ids := get(t, b, e, ask(1)); len(ids) != 0 {
			t.Error("something out of nothing")
		}
		got := make(chan int)
		for range 3 {
			go func() {
				leases, err := b.Lease(t.Context(), e, postern.LeaseRequest{Limit: 2, Wait: time.Minute})
				if err != nil {
					t.Error(err)
				}
				got <- len(leases)
			}()
		}
		synctest.Wait()
		begun = time.Now()
		l.publish(e, 5)
		if all := <-got + <-got + <-got; all != 5 || time.Since(begun) != 0 {
			t.Errorf("%d messages after %v: a sign was lost", all, time.Since(begun))
		}
	})
}

// TestLeaseForNobody gives back what a consumer would have got that has left.
func TestLeaseForNobody(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		ctx, leave := context.WithCancelCause(t.Context())
		left := errors.New("left")
		ended := make(chan error)
		go func() {
			_, err := b.Lease(ctx, e, postern.LeaseRequest{Limit: 1, Wait: time.Minute})
			ended <- err
		}()
		synctest.Wait()
		leave(left)
		l.publish(e, 1) // either of the two may come first
		if err := <-ended; !errors.Is(err, left) {
			t.Errorf("got %v", err)
		}
		if ids := get(t, b, e, ask(1)); len(ids) != 1 {
			t.Error("the message is gone with the consumer")
		}
	})
}

func TestExtend(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 1)
		ids := get(t, b, e, postern.LeaseRequest{Limit: 1, Duration: 10 * time.Second})
		for range 12 {
			time.Sleep(9 * time.Second) // in the bubble
			until, missing, err := b.Extend(1, ids, 10*time.Second)
			if err != nil || len(missing) != 0 || time.Until(until) != 10*time.Second {
				t.Fatalf("until %v, missing %v, %v", until, missing, err)
			}
		}
		begun := time.Now()
		for b.Held() == 1 {
			if _, _, err := b.Extend(1, ids, time.Hour); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Minute) // in the bubble
			synctest.Wait()
		}
		if held := time.Since(begun); held < 11*time.Hour || held > 13*time.Hour {
			t.Errorf("held for %v", held)
		}
		if codes := l.outcomes(); len(codes) != 1 || codes[0] != 0 {
			t.Errorf("settled %v", codes)
		}
	})
}

// TestBounds has each limit refuse, and free what it counted.
func TestBounds(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, mostHeld+10)
		var ids []postern.LeaseID
		for len(ids) < mostHeld {
			ids = append(ids, get(t, b, e, postern.LeaseRequest{Limit: postern.MaxLeases, Duration: time.Hour})...)
		}
		if len(ids) != mostHeld {
			t.Fatalf("%d leases", len(ids))
		}
		if _, err := b.Lease(t.Context(), e, ask(1)); !errors.Is(err, postern.ErrRateLimited) {
			t.Errorf("one more: %v", err)
		}
		if _, err := b.Ack(t.Context(), 1, ids[:5]); err != nil {
			t.Fatal(err)
		}
		if more := get(t, b, e, ask(10)); len(more) != 5 {
			t.Errorf("%d more, want the 5 that there is room for", len(more))
		}
		if _, err := b.Release(1, ids[5:]); err != nil {
			t.Fatal(err)
		}
		l.size = batchBytes / 2
		if batch := get(t, b, e, ask(10)); len(batch) != 2 {
			t.Errorf("%d large payloads in a batch, want 2", len(batch))
		}
		other := endpoint(2)
		var waiting sync.WaitGroup
		for range mostConsumers {
			waiting.Go(func() {
				if _, err := b.Lease(t.Context(), other, postern.LeaseRequest{Limit: 1, Wait: time.Minute}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := b.Lease(t.Context(), other, ask(1)); !errors.Is(err, postern.ErrRateLimited) {
			t.Errorf("one consumer more: %v", err)
		}
		waiting.Wait()
	})
}

// TestAttendance has an endpoint be attended while somebody asks, and a minute
// after.
func TestAttendance(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		attended := func() bool {
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.attended[1]
		}
		if attended() {
			t.Error("before anybody asked")
		}
		for range 5 {
			get(t, b, e, postern.LeaseRequest{Limit: 1, Wait: postern.MaxLeaseWait})
			if !attended() {
				t.Fatal("forgotten while somebody waited")
			}
			time.Sleep(gone / 2) // in the bubble
		}
		time.Sleep(gone) // in the bubble
		if attended() {
			t.Error("for ever")
		}
		l.publish(e, 1)
		if ids := get(t, b, e, postern.LeaseRequest{Limit: 1, Wait: time.Second}); len(ids) != 1 {
			t.Error("what waited does not come")
		}
	})
}

func TestClose(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 3)
		ids := get(t, b, e, ask(2))
		get(t, b, e, ask(1))
		ended := make(chan error)
		go func() {
			_, err := b.Lease(t.Context(), e, postern.LeaseRequest{Limit: 1, Wait: time.Minute})
			ended <- err
		}()
		synctest.Wait()
		l.mu.Lock()
		l.attended[1] = false // the lanes have stopped
		l.mu.Unlock()
		b.Close()
		if err := <-ended; !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("who waited: %v", err)
		}
		if _, err := b.Ack(t.Context(), 1, ids); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("an ack: %v", err)
		}
		if _, err := b.Lease(t.Context(), e, ask(1)); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("one more: %v", err)
		}
		if l.returned != 3 || len(l.settled) != 0 {
			t.Errorf("%d returned, %d settled", l.returned, len(l.settled))
		}
	})
}

// TestStoreFailed tells who acknowledges.
func TestStoreFailed(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		failed := errors.New("the store failed")
		l.publish(e, 1)
		l.queue[1][0].fail = failed
		ids := get(t, b, e, ask(1))
		if _, err := b.Ack(t.Context(), 1, ids); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestConsumersInARace end the same leases in all ways at once: each ends once.
func TestConsumersInARace(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		const messages = 2000
		l.publish(e, messages)
		var consumers sync.WaitGroup
		for worker := range 8 {
			consumers.Go(func() {
				for {
					leases, err := b.Lease(t.Context(), e, postern.LeaseRequest{Limit: 10, Wait: 2 * time.Second, Duration: time.Second})
					if err != nil || len(leases) == 0 {
						return
					}
					for i := range leases {
						ids := []postern.LeaseID{leases[i].ID}
						switch (worker + i) % 4 {
						case 0:
							_, _ = b.Release(1, ids)
						case 1:
							time.Sleep(time.Second) // in the bubble: as long as the lease
						case 2:
							_, _, _ = b.Extend(1, ids, time.Second)
						}
						_, _ = b.Ack(t.Context(), 1, ids)
					}
				}
			})
		}
		consumers.Wait()
		time.Sleep(time.Minute) // in the bubble
		synctest.Wait()
		if b.Held() != 0 || len(l.settled) != messages {
			t.Errorf("%d held, %d of %d settled", b.Held(), len(l.settled), messages)
		}
	})
}
