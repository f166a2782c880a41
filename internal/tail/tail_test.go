package tail

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// message is the n-th of an application, routed to endpoints 1 and 2.
func message(n uint64, app postern.ApplicationNumber) *postern.Message {
	return &postern.Message{
		ID: postern.NewMessageID(noon(), 0, n, 7), Application: app, EventType: "a",
		Routes: []postern.EndpointNumber{1, 2},
	}
}

// attempt is the n-th, of application 1.
func attempt(n uint64, endpoint postern.EndpointNumber, state postern.State) *postern.Attempt {
	return &postern.Attempt{
		ID: postern.NewAttemptID(noon(), 0, n, 0, endpoint), Message: message(n, 1).ID, Application: 1,
		Endpoint: endpoint, State: state, Response: []byte("long"),
	}
}

func listen(t *testing.T, h *Hub, f Filter) *Client {
	t.Helper()
	c, err := h.Listen(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// positions are those of a batch's events in the journal, attempts' negative.
func positions(b Batch) []int {
	list := []int{}
	for _, e := range b.Events {
		switch {
		case e.Message != nil:
			list = append(list, int(e.Message.ID.Position()))
		case e.Attempt != nil:
			list = append(list, -int(e.Attempt.ID.Position()))
		default:
			list = append(list, 0)
		}
	}
	return list
}

func TestFilters(t *testing.T) {
	canceled := store.DeliveryKey{Application: 1, Endpoint: 2, Message: message(1, 1).ID}
	for name, test := range map[string]struct {
		filter Filter
		want   []int
	}{
		"all":         {Filter{}, []int{1, 2, -3, -4, 0}},
		"application": {Filter{Application: 2}, []int{2}},
		"endpoint":    {Filter{Application: 1, Endpoint: 2}, []int{1, -4, 0}},
		"another":     {Filter{Endpoint: 3}, []int{}},
		"type":        {Filter{EventTypes: []string{"b"}}, []int{-3, -4, 0}},
		"dead":        {Filter{States: []postern.State{postern.Dead}}, []int{-4}},
		"canceled":    {Filter{States: []postern.State{postern.Canceled, postern.Delivered}}, []int{-3, 0}},
	} {
		h := New()
		c := listen(t, h, test.filter)
		h.Accepted(message(1, 1))
		h.Accepted(message(2, 2))
		h.Attempted(attempt(3, 1, postern.Delivered))
		h.Attempted(attempt(4, 2, postern.Dead))
		h.Canceled(canceled)
		b := c.Take()
		if diff := cmp.Diff(test.want, positions(b)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		want := Cursor{Message: message(2, 2).ID, Attempt: attempt(4, 2, postern.Dead).ID}
		if b.Last.String() != want.String() || b.Skipped != 0 {
			t.Errorf("%s: last %s, want %s; skipped %d", name, b.Last, want, b.Skipped)
		}
	}
}

// TestAttemptsAreCopied: the teller goes on using what it told of.
func TestAttemptsAreCopied(t *testing.T) {
	h := New()
	c := listen(t, h, Filter{})
	a := attempt(1, 1, postern.Delivered)
	h.Attempted(a)
	a.Endpoint, a.Response[0] = 9, 'X'
	if got := c.Take().Events[0].Attempt; got.Endpoint != 1 || got.Response != nil {
		t.Errorf("%+v", got)
	}
}

// TestFullBuffer: what finds no room is counted, and there is room again once
// the client takes.
func TestFullBuffer(t *testing.T) {
	h := New()
	slow, quick := listen(t, h, Filter{}), listen(t, h, Filter{})
	for n := range uint64(Buffer + 10) {
		h.Accepted(message(n+1, 1))
		if got := positions(quick.Take()); len(got) != 1 {
			t.Fatalf("the quick one got %v", got)
		}
	}
	b := slow.Take()
	if len(b.Events) != Buffer || b.Skipped != 10 || b.Last.Message.Position() != Buffer+10 {
		t.Errorf("%d events, %d skipped, last %s", len(b.Events), b.Skipped, b.Last)
	}
	h.Accepted(message(Buffer+11, 1))
	if b := slow.Take(); len(b.Events) != 1 || b.Skipped != 0 {
		t.Errorf("afterwards: %d events, %d skipped", len(b.Events), b.Skipped)
	}
}

// TestTooMany are refused, and one that leaves makes room.
func TestTooMany(t *testing.T) {
	h := New()
	var clients []*Client
	for range MaxClients {
		clients = append(clients, listen(t, h, Filter{}))
	}
	if _, err := h.Listen(Filter{}); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	clients[0].Close()
	listen(t, h, Filter{}).Close()
	h.Close()
	h.Close()
	<-h.Done()
	if _, err := h.Listen(Filter{}); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

// TestOneApplication leaves room for others, however many clients it has.
func TestOneApplication(t *testing.T) {
	h := New()
	var last *Client
	for range MaxOfOne {
		last = listen(t, h, Filter{Application: 1})
	}
	if _, err := h.Listen(Filter{Application: 1, Endpoint: 7}); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("one too many of an application: %v", err)
	}
	listen(t, h, Filter{Application: 2})
	listen(t, h, Filter{})
	last.Close()
	listen(t, h, Filter{Application: 1})
}

func TestWait(t *testing.T) {
	h := New()
	first, stopFirst := h.Wait(message(1, 1).ID)
	second, stopSecond := h.Wait(message(1, 1).ID)
	other, stopOther := h.Wait(message(2, 1).ID)
	h.Attempted(attempt(1, 1, postern.Retrying))
	h.Attempted(attempt(1, 2, postern.Delivered)) // one value for both
	<-first
	<-second
	stopFirst()
	h.Canceled(store.DeliveryKey{Message: message(1, 1).ID})
	<-second
	stopSecond()
	for name, wait := range map[string]<-chan struct{}{"first": first, "second": second, "other": other} {
		if len(wait) != 0 {
			t.Errorf("the %s was stirred", name)
		}
	}
	stopOther()
	if len(h.waits) != 0 || h.listening.Load() != 0 {
		t.Errorf("%d waits are left, %d listen", len(h.waits), h.listening.Load())
	}
}

// TestNobodyListens: telling costs no allocation, and nothing is kept.
func TestNobodyListens(t *testing.T) {
	h := New()
	c := listen(t, h, Filter{})
	c.Close()
	m, a := message(1, 1), attempt(1, 1, postern.Dead)
	if n := testing.AllocsPerRun(100, func() { h.Accepted(m); h.Attempted(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if h.last.String() != (Cursor{}).String() || len(c.events) != 0 {
		t.Error("something was kept")
	}
}

// TestSideBySide is for the race detector: one tells, others come, take and go.
// Each gets what it wants in order.
func TestSideBySide(t *testing.T) {
	h := New()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				c, err := h.Listen(Filter{Application: 1})
				if err != nil {
					t.Error(err)
					return
				}
				last := 0
				for range 3 {
					<-c.Ready()
					for _, n := range positions(c.Take()) {
						if n <= last {
							t.Errorf("%d comes behind %d", n, last)
						}
						last = n
					}
				}
				c.Close()
			}
		})
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for n := uint64(1); h.listening.Load() >= 0; n++ {
			select {
			case <-h.Done():
				return
			default:
				h.Accepted(message(n, 1+postern.ApplicationNumber(rand.N(2))))
			}
		}
	}()
	group.Wait()
	h.Close()
	<-told
}

func TestCursor(t *testing.T) {
	c := Cursor{Message: message(5, 1).ID, Attempt: attempt(9, 1, postern.Dead).ID}
	if got, err := Parse(c.String()); got.String() != c.String() || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", ".", "x.y", c.Message.String(), c.Message.String() + ".", "." + c.Attempt.String(), c.String() + "x"} {
		if _, err := Parse(text); postern.KindOf(err) != postern.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
	for name, test := range map[string]struct {
		event  Event
		before bool
	}{
		"an older message":  {Event{Message: message(4, 1)}, false},
		"the same message":  {Event{Message: message(5, 1)}, false},
		"a newer message":   {Event{Message: message(6, 1)}, true},
		"the same attempt":  {Event{Attempt: attempt(9, 1, postern.Dead)}, false},
		"another's attempt": {Event{Attempt: attempt(9, 2, postern.Dead)}, true},
		"a cancel":          {Event{Canceled: &store.DeliveryKey{}}, true},
	} {
		if c.Before(test.event) != test.before {
			t.Errorf("%s is taken to come after: %t", name, !test.before)
		}
	}
}

// TestHorizon: all that a head counts is below, all that comes later above.
func TestHorizon(t *testing.T) {
	head := store.Head{Batch: 9, Next: 6, LastTime: noon()}
	c := Horizon(head)
	newest := postern.NewAttemptID(noon(), 0, 9, 2000, 70_000)
	if c.Before(Event{Message: message(5, 1)}) || c.Before(Event{Attempt: &postern.Attempt{ID: newest}}) {
		t.Error("what is stored is taken to come later")
	}
	if !c.Before(Event{Message: message(6, 1)}) || !c.Before(Event{Attempt: attempt(10, 1, postern.Dead)}) {
		t.Error("what comes later is taken to be stored")
	}
	empty := Horizon(store.Head{})
	if got, err := Parse(empty.String()); got.String() != empty.String() || err != nil || !empty.Before(Event{Message: message(1, 1)}) {
		t.Errorf("of a new store: %s, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Horizon(store.Head{Batch: 1, LastTime: noon()}).String())
	f.Add("msg_.atmpt_")
	f.Add(Horizons([]store.Head{{Batch: 1, LastTime: noon()}, {Journal: 3, Batch: 9, Next: 7}}, func(uint16) time.Time { return noon() }).String())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse(text); err == nil && c.String() != text {
			t.Errorf("%q is read as %q", text, c)
		}
	})
}
