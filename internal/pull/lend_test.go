package pull

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

// lend lends what an endpoint has for half a minute.
func lend(t *testing.T, b *Book, e *postern.EndpointView, limit int) (ids []postern.LeaseID) {
	t.Helper()
	batch, err := b.Lend(t.Context(), e, postern.LeaseRequest{Limit: limit, Duration: 30 * time.Second})
	if err != nil || len(batch) != limit {
		t.Fatalf("%+v, %v", batch, err)
	}
	for i := range batch {
		ids = append(ids, batch[i].ID)
	}
	return ids
}

// back is how many were given back.
func (l *lanes) back() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.returned
}

// What a handler elsewhere was lent ends with what came of its call. A node that
// dies gives it back when the loan ends, and no try is used up.
func TestLend(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 3)
		ids := lend(t, b, e, 3)
		fill := func(a *postern.Attempt) { a.URL, a.Code, a.Timings.Total = "postern:handler/h", 200, time.Hour }
		if missing, err := b.Settle(t.Context(), e.Number, ids[0], fill); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		if missing, err := b.Settle(t.Context(), e.Number, ids[0], fill); err != nil || len(missing) != 1 {
			t.Error(missing, err)
		}
		if a := l.settled[0].attempt; a.URL != "postern:handler/h" || a.Code != 200 || a.Timings.Total != time.Hour {
			t.Errorf("%+v", a)
		}
		time.Sleep(20 * time.Second) // in the bubble
		if _, missing, err := b.Extend(e.Number, ids[1:2], 30*time.Second); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if b.Held() != 1 || l.back() != 1 {
			t.Errorf("%d held, %d returned", b.Held(), l.back())
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if b.Held() != 0 || l.back() != 2 || len(l.settled) != 1 {
			t.Errorf("%d held, %d returned, %d settled", b.Held(), l.back(), len(l.settled))
		}
	})
}

// A book that closes waits for what was lent, for as long as somebody is patient;
// consumers' leases it ends.
func TestDrain(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 4)
		held, ids := get(t, b, e, ask(1)), lend(t, b, e, 3)
		b.Close()
		if l.back() != 1 || b.Held() != 3 {
			t.Errorf("%d returned, %d held", l.back(), b.Held())
		}
		if _, err := b.Ack(t.Context(), e.Number, held); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("a consumer is told %v", err)
		}
		if _, err := b.Lend(t.Context(), e, ask(1)); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("a closed book lends: %v", err)
		}
		drained := make(chan error)
		patience, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		go func() { drained <- b.Drain(patience) }()
		if _, missing, err := b.Extend(e.Number, ids, time.Minute); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		if missing, err := b.Release(e.Number, ids[:1]); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		if err := <-drained; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained: %v", err)
		}
		go func() { drained <- b.Drain(t.Context()) }()
		if missing, err := b.Settle(t.Context(), e.Number, ids[1], func(*postern.Attempt) {}); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		synctest.Wait()
		b.Abort()
		if err := <-drained; err != nil || b.Held() != 0 || l.back() != 3 {
			t.Errorf("%v, %d held, %d returned", err, b.Held(), l.back())
		}
		if err := b.Drain(patience); err != nil {
			t.Errorf("nothing is lent: %v", err)
		}
	})
}

// What a consumer elsewhere may never have been told of is given back when it runs out,
// with no try used up, unless it turns out to be somebody's.
func TestForgive(t *testing.T) {
	book(t, func(t *testing.T, b *Book, l *lanes, e *postern.EndpointView) {
		l.publish(e, 4)
		ids := get(t, b, e, ask(4))
		b.Forgive(ids[:3])
		if missing, err := b.Ack(t.Context(), e.Number, ids[:1]); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		if _, missing, err := b.Extend(e.Number, ids[1:2], time.Second); err != nil || len(missing) != 0 {
			t.Error(missing, err)
		}
		time.Sleep(time.Hour) // in the bubble
		synctest.Wait()
		if b.Held() != 0 || l.back() != 1 || len(l.settled) != 3 {
			t.Errorf("%d held, %d returned, %d settled", b.Held(), l.back(), len(l.settled))
		}
		b.Forgive(ids)
	})
}
