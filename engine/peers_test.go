package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/pull"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// neighbour is a node with one other, of journal 2, which a function stands in for.
// It lives in a bubble.
type neighbour struct {
	store.Cluster
	*testing.T
	eng      *Engine
	other    *peer
	silent   bool          // the other one does not answer
	adopting chan struct{} // closed when the store is asked for a journal
	// answer is what the other one answers to an order; nil where it cannot be asked.
	answer func(o order) *result
	says   []error // to answers, one after the other
	// reading is how long a message takes to be read.
	reading time.Duration

	mu     sync.Mutex
	orders []order
}

func inNeighbourhood(t *testing.T, test func(n *neighbour)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &neighbour{T: t, adopting: make(chan struct{}), eng: &Engine{impatient: make(chan struct{})}, answer: func(order) *result { return &result{Pull: &pullResult{}} }}
		n.eng.cfg = Config{Store: n, Log: slog.New(slog.DiscardHandler)}
		n.eng.handlers.stopping = make(chan struct{})
		n.eng.shards.main = &shard{journal: 1, dispatcher: dispatch.New(dispatch.Config{Leased: n.Leased}, store.Head{Journal: 1})}
		n.eng.nodes = &nodes{engine: n.eng, cluster: n}
		n.eng.peers = n.eng.newPeers()
		n.other = &peer{
			journal: 2, changed: make(chan struct{}, 1), gone: make(chan struct{}),
			has: map[postern.EndpointNumber]struct{}{7: {}}, runs: map[postern.EndpointNumber]struct{}{},
		}
		test(n)
	})
}

func (n *neighbour) Leased() time.Time { return time.Now().Add(time.Minute) }

func (n *neighbour) Ask(ctx context.Context, _ uint16, body []byte) ([]byte, error) {
	if n.silent {
		<-ctx.Done()
		return nil, postern.ErrUnavailable
	}
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.orders = append(n.orders, o)
	n.mu.Unlock()
	r := n.answer(o)
	if r == nil {
		return nil, postern.ErrUnavailable
	}
	return json.Marshal(r)
}

func (n *neighbour) Answer(context.Context, uint64, []byte) error {
	err := n.says[0]
	n.says = n.says[1:]
	return err
}

func (n *neighbour) Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error) {
	select {
	case <-time.After(n.reading):
		return &postern.Message{ID: id, Application: app}, nil
	case <-ctx.Done():
		return nil, postern.ErrUnavailable
	}
}

func (n *neighbour) Content(context.Context, postern.ApplicationNumber, postern.MessageID) (*postern.Content, error) {
	return &postern.Content{Payload: []byte("{}")}, nil
}

// given are the orders of a kind so far.
func (n *neighbour) given(op orderOp) (list []order) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.orders {
		if o.Op == op {
			list = append(list, o)
		}
	}
	return list
}

// granted is an answer with so many leases.
func granted(many int) *result {
	r := &result{Pull: &pullResult{}}
	for i := range many {
		r.Pull.Granted = append(r.Pull.Granted, grant{
			Lease: postern.NewLeaseID(2, postern.LeaseID{byte(i)}), Message: postern.NewMessageID(time.Now(), 2, uint64(i), 7), Attempt: 1,
		})
	}
	return r
}

// What was leased and cannot be read is given back soon, and all at once: who stops
// waits for it.
func TestUnreadLeasesAreGivenBack(t *testing.T) {
	inNeighbourhood(t, func(n *neighbour) {
		const many = 50
		n.reading = 4 * time.Second
		n.answer = func(o order) *result {
			if o.Op == orderLease {
				return granted(many)
			}
			return &result{Pull: &pullResult{}}
		}
		begun := time.Now()
		view := &postern.EndpointView{Endpoint: postern.Endpoint{Number: 7, Application: 1}}
		batch, err := n.eng.peers.fetch(n.Context(), n.other, view, order{Op: orderLease, Endpoint: 7, Pull: &pullOrder{Limit: many}})
		if took := time.Since(begun); err != nil || len(batch) == 0 || took > orderWithin {
			t.Errorf("%d are read, after %v: %v", len(batch), took, err)
		}
		back := n.given(orderRelease)
		if len(back) != 1 || len(back[0].Pull.Leases)+len(batch) != many {
			t.Errorf("of %d, %d are read, and given back %d times", many, len(batch), len(back))
		}
	})
}

// handler is one of the program's, which is to be called for the other node.
func (n *neighbour) handler(concurrency int, call HandlerFunc) *registered {
	n.Helper()
	r := &registered{HandlerOptions: HandlerOptions{EventTypes: []string{"t"}, Name: "t", Timeout: time.Hour, Concurrency: concurrency}, call: call}
	if err := r.complete(&n.eng.cfg); err != nil {
		n.Fatal(err)
	}
	return r
}

// lent has a handler be called for what the other node lends, and waits for that.
func (n *neighbour) lent(r *registered) {
	n.Helper()
	view := &postern.EndpointView{Endpoint: postern.Endpoint{Number: 7, Application: 1}}
	if err := n.eng.peers.borrowSome(n.Context(), n.other, view, r, r.borrow(nil)); err != nil {
		n.Fatal(err)
	}
	n.eng.peers.calls.Wait()
}

// A handler is not called for a delivery that was lent for a time which is over, and
// its call ends with that.
func TestCallsEndWithTheLoan(t *testing.T) {
	lend := func(n *neighbour, late time.Duration, r *registered) {
		n.answer = func(o order) *result {
			switch o.Op {
			case orderLend:
				<-time.After(late)
				return granted(1)
			case orderExtend:
				return nil
			}
			return &result{Pull: &pullResult{}}
		}
		n.lent(r)
		if len(n.given(orderRelease)) != 1 {
			n.Error("it is not given back")
		}
	}
	t.Run("not where it is prolonged", func(t *testing.T) {
		inNeighbourhood(t, func(n *neighbour) {
			r := n.handler(0, func(ctx context.Context, _ *Message) error {
				<-time.After(3 * borrowFor)
				return ctx.Err()
			})
			n.answer = func(o order) *result {
				if o.Op == orderLend {
					<-time.After(borrowFor - time.Second)
					return granted(1)
				}
				return &result{Pull: &pullResult{}}
			}
			n.lent(r)
			if settled := n.given(orderSettle); len(settled) != 1 || !settled[0].Pull.Outcome.Succeeded {
				t.Errorf("%+v", settled)
			}
		})
	})
	t.Run("before it begins", func(t *testing.T) {
		inNeighbourhood(t, func(n *neighbour) {
			lend(n, borrowFor+time.Second, n.handler(0, func(context.Context, *Message) error {
				t.Error("it is called")
				return nil
			}))
		})
	})
	t.Run("while it waits for others", func(t *testing.T) {
		inNeighbourhood(t, func(n *neighbour) {
			r := n.handler(1, func(context.Context, *Message) error {
				t.Error("it is called")
				return nil
			})
			r.slots <- struct{}{}
			time.AfterFunc(borrowFor+time.Second, func() { <-r.slots })
			lend(n, 0, r)
		})
	})
	t.Run("while it runs", func(t *testing.T) {
		inNeighbourhood(t, func(n *neighbour) {
			lend(n, 0, n.handler(0, func(ctx context.Context, _ *Message) error {
				begun := time.Now()
				<-ctx.Done()
				if took := time.Since(begun); took > borrowFor || context.Cause(ctx) != errLent {
					t.Errorf("it ends after %v: %v", took, context.Cause(ctx))
				}
				return ctx.Err()
			}))
		})
	})
}

// What was done for another node is told when the store is there again. Where it says
// that nobody waits for it, and was never asked before, it is nobody's.
func TestAnswersWhileTheStoreIsAway(t *testing.T) {
	away, nobody := error(postern.ErrUnavailable), error(postern.ErrNotFound)
	for name, test := range map[string]struct {
		says  []error // by the store, to one try after the other
		to    told
		tries int
		fails bool
	}{
		"told":               {[]error{nil}, toldAsker, 1, false},
		"told in the end":    {[]error{away, away, nil}, toldAsker, 3, false},
		"nobody waits":       {[]error{nobody}, toldNobody, 1, false},
		"told, or gone":      {[]error{away, nobody}, toldUnsure, 2, false},
		"cannot be told":     {[]error{postern.ErrInvalid}, toldUnsure, 1, true},
		"away for very long": {slices.Repeat([]error{away}, 100), toldUnsure, 12, true},
	} {
		t.Run(name, func(t *testing.T) {
			inNeighbourhood(t, func(n *neighbour) {
				n.says = test.says
				to, err := n.eng.reply(n.Context(), 7, nil)
				if tries := len(test.says) - len(n.says); to != test.to || tries != test.tries || err != nil != test.fails {
					t.Errorf("told %d after %d tries, %v; want %+v", to, tries, err, test)
				}
			})
		})
	}
	inNeighbourhood(t, func(n *neighbour) {
		n.says = slices.Repeat([]error{away}, 100)
		close(n.eng.impatient)
		if _, err := n.eng.reply(n.Context(), 7, nil); err == nil || len(n.says) < 95 {
			t.Errorf("a stop waits for %d tries: %v", 100-len(n.says), err)
		}
	})
}

// Who stops, and has taken its time, waits for no other node.
func TestOrdersWhileStopping(t *testing.T) {
	inNeighbourhood(t, func(n *neighbour) {
		const patience = 3 * time.Second
		time.AfterFunc(patience, func() { close(n.eng.impatient) })
		n.silent = true
		begun := time.Now()
		view := &postern.EndpointView{Endpoint: postern.Endpoint{Number: 7, Application: 1}}
		if _, err := n.eng.peers.fetch(n.Context(), n.other, view, order{Op: orderLease, Endpoint: 7, Pull: &pullOrder{Limit: 1}}); err == nil {
			t.Error("it was answered")
		}
		n.silent, n.reading = false, time.Hour
		n.answer = func(order) *result { return granted(3) }
		if _, err := n.eng.peers.fetch(n.Context(), n.other, view, order{Op: orderLease, Endpoint: 7, Pull: &pullOrder{Limit: 3}}); err == nil {
			t.Error("it was read")
		}
		if took := time.Since(begun); took > patience {
			t.Errorf("it takes %v", took)
		}
	})
}

// A consumer for whom another node was too slow looks again once what came of that is
// given back.
func TestASlowNode(t *testing.T) {
	inNeighbourhood(t, func(n *neighbour) {
		n.eng.pulls = pull.New(pull.Config{
			Take:   func(context.Context, postern.EndpointNumber) (pull.Taken, *postern.Content) { return nil, nil },
			Attend: func(postern.EndpointNumber, bool) {}, Elsewhere: n.eng.peers.take, Now: time.Now,
		})
		defer n.eng.pulls.Close()
		n.eng.peers.all[2] = n.other
		slow := true
		n.answer = func(o order) *result {
			switch {
			case o.Op == orderRelease:
				return &result{Pull: &pullResult{}}
			case slow:
				slow = false
				<-time.After(consumerWaits + time.Second)
			}
			return granted(1)
		}
		begun := time.Now()
		view := &postern.EndpointView{Endpoint: postern.Endpoint{Number: 7, Application: 1}}
		batch, err := n.eng.pulls.Lease(n.Context(), view, postern.LeaseRequest{Limit: 1, Wait: time.Minute})
		if took := time.Since(begun); err != nil || len(batch) != 1 || took > 2*consumerWaits || len(n.given(orderRelease)) != 1 {
			t.Errorf("%d leases after %v, %v", len(batch), took, err)
		}
	})
}

// Adopt takes as long as the store is away.
func (n *neighbour) Adopt(ctx context.Context, _ uint16) (store.Cluster, error) {
	close(n.adopting)
	<-ctx.Done()
	return nil, postern.ErrUnavailable
}

func (n *neighbour) Wake() <-chan struct{} { return nil }

func (n *neighbour) Poll(context.Context) (store.ClusterState, error) {
	return store.ClusterState{}, postern.ErrUnavailable
}

// Who stops does not wait for a journal to be adopted that somebody asked for.
func TestStoppingEndsAdoptions(t *testing.T) {
	inNeighbourhood(t, func(n *neighbour) {
		n.eng.tail = tail.New()
		n.eng.nodes = n.eng.newNodes()
		settle, leave := n.eng.nodes.start(n.Context(), n.Context())
		asked := make(chan error)
		go func() {
			_, err := n.eng.nodes.adopt(n.Context(), 3)
			asked <- err
		}()
		<-n.adopting
		begun := time.Now()
		settle()
		if err := <-asked; !errors.Is(err, postern.ErrUnavailable) || time.Since(begun) > 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		leave()
	})
}
