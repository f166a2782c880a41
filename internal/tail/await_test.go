package tail

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// stands is a store that knows how the deliveries of one message stand.
type stands struct {
	mu    sync.Mutex
	of    map[postern.EndpointNumber]store.Standing
	reads int
	err   error
}

func (s *stands) Standing(_ context.Context, d store.DeliveryKey) (store.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.of[d.Endpoint], s.err
}

func (s *stands) set(h *Hub, n postern.EndpointNumber, standing store.Standing) {
	s.mu.Lock()
	s.of[n] = standing
	s.mu.Unlock()
	h.Attempted(attempt(1, n, standing.State))
}

// await waits for endpoints 1 and 2, and says how they stand and after how long.
func await(ctx context.Context, t *testing.T, h *Hub, s *stands, wait time.Duration) ([]postern.State, time.Duration) {
	t.Helper()
	id, begun := message(1, 1).ID, time.Now()
	keys := []store.DeliveryKey{{Application: 1, Endpoint: 1, Message: id}, {Application: 1, Endpoint: 2, Message: id}}
	found, err := h.Await(ctx, s, Awaited{Message: id, Deliveries: keys, Wait: wait, Until: begun.Add(wait)})
	if !errors.Is(err, s.err) {
		t.Errorf("got %v, want %v", err, s.err)
	}
	states := make([]postern.State, len(found))
	for i := range found {
		states[i] = found[i].State
	}
	return states, time.Since(begun)
}

func TestAwaitEnds(t *testing.T) {
	delivered := store.Standing{State: postern.Delivered}
	later := func(d time.Duration) store.Standing {
		return store.Standing{State: postern.Retrying, Row: &postern.Row{Next: time.Now().Add(d)}}
	}
	for name, test := range map[string]struct {
		gone  bool // the caller
		event func(h *Hub, s *stands)
		want  postern.State // of endpoint 2
		after time.Duration
	}{
		"when all have ended":        {false, func(h *Hub, s *stands) { s.set(h, 2, delivered) }, postern.Delivered, time.Second},
		"when the next try is later": {false, func(h *Hub, s *stands) { s.set(h, 2, later(time.Hour)) }, postern.Retrying, time.Second},
		"with the wait":              {false, func(h *Hub, s *stands) { s.set(h, 2, later(2*time.Second)) }, postern.Retrying, 5 * time.Second},
		"with the hub":               {false, func(h *Hub, _ *stands) { h.Close() }, postern.Pending, time.Second},
		"with its caller":            {true, func(*Hub, *stands) {}, postern.Pending, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, s := New(), &stands{of: map[postern.EndpointNumber]store.Standing{1: delivered}}
				time.AfterFunc(time.Second, func() { test.event(h, s) })
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if test.gone {
					leave()
				}
				states, after := await(ctx, t, h, s, 5*time.Second)
				if diff := cmp.Diff([]postern.State{postern.Delivered, test.want}, states); diff != "" || after != test.after {
					t.Errorf("after %v, want %v: %s", after, test.after, diff)
				}
				if len(h.waits) > 0 || h.listening.Load() != 0 {
					t.Error("the hub goes on telling")
				}
				<-time.After(time.Minute)
			})
		})
	}
}

func TestAwaitTellsWhatItCouldNotRead(t *testing.T) {
	s := &stands{err: errors.New("input/output error")}
	if states, _ := await(t.Context(), t, New(), s, time.Minute); s.reads != 1 || len(states) != 2 {
		t.Errorf("%d reads, %v", s.reads, states)
	}
}

// What another node does with deliveries stirs nobody here, and is seen all the same.
func TestAwaitOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := New(), &stands{of: map[postern.EndpointNumber]store.Standing{}}
		h.Share()
		delivered := store.Standing{State: postern.Delivered}
		time.AfterFunc(7*time.Second, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.of[1], s.of[2] = delivered, delivered
		})
		states, took := await(t.Context(), t, h, s, time.Hour)
		if diff := cmp.Diff([]postern.State{postern.Delivered, postern.Delivered}, states); diff != "" || took > 7*time.Second+lookAgain {
			t.Errorf("%s after %v", diff, took)
		}
	})
}
