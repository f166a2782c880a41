package tail

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// of is an event of another application than 1.
func of(app postern.ApplicationNumber, e Event) Event {
	if e.Message != nil {
		e.Message.Application = app
	}
	return e
}

// told is one event, of the second node.
func told(e ...Event) Told { return Told{By: 2, Events: e} }

// shared is a hub of two nodes; journal 1 is its own, 2 the other's.
func shared(t *testing.T) (*Hub, *Shared) {
	t.Helper()
	h := New()
	s := h.Share()
	s.Tellers(map[uint16]Teller{1: Here, 2: 2})
	return h, s
}

// Clients hear of both nodes. Where somebody else begins to tell of a journal there
// is a gap before.
func TestTwoTellers(t *testing.T) {
	h, s := shared(t)
	c := listen(t, h, Filter{})
	h.Accepted(accepted(1, 1, 0).Message)
	s.Tell(told(accepted(2, 1, 0), Event{Canceled: &store.DeliveryKey{Message: accepted(2, 1, 0).Message.ID}}))
	b := c.Take()
	if diff := cmp.Diff([]int{1, 1, 0}, positions(b)); diff != "" || b.Gap || b.Missed {
		t.Errorf("%s; gap %t, missed %t", diff, b.Gap, b.Missed)
	}
	if b.Last.Before(accepted(1, 1, 0)) || b.Last.Before(accepted(2, 1, 0)) || !b.Last.Before(accepted(2, 2, 0)) {
		t.Errorf("it stands at %v", b.Last)
	}
	for name, change := range map[string]func(){
		"a session that begins": func() { s.Tell(Told{By: 2, Gap: true}) },
		"an adopted journal":    func() { h.Accepted(accepted(2, 2, 0).Message) },
		"one of the other's":    func() { s.Tell(told(accepted(1, 2, 0))) },
		"a holder that is gone": func() { s.Tellers(map[uint16]Teller{1: Here}) },
		"a new one":             func() { s.Tellers(map[uint16]Teller{1: Here, 2: 3}) },
	} {
		c.Take()
		s.Tellers(map[uint16]Teller{1: Here, 2: 2})
		c.Take()
		change()
		select {
		case <-c.Ready():
		default:
			t.Errorf("%s: nobody is woken", name)
		}
		if b := c.Take(); !b.Gap || b.Missed {
			t.Errorf("%s: gap %t, missed %t", name, b.Gap, b.Missed)
		}
	}
	s.Tell(Told{By: 2, Missed: true})
	if b := c.Take(); !b.Missed || b.Gap {
		t.Errorf("gap %t, missed %t", b.Gap, b.Missed)
	}
	s.Tellers(map[uint16]Teller{1: Here, 2: 3})
	c.Take()
	s.Tellers(map[uint16]Teller{1: Here, 2: 3})
	if b := c.Take(); b.Gap {
		t.Error("a gap though nothing has changed")
	}
}

// How far another node has come counts for the journals that it tells of.
func TestTellersPlace(t *testing.T) {
	h, s := shared(t)
	c := listen(t, h, Filter{})
	last := through(Cursor{places: []place{}}, accepted(2, 8, 0), accepted(1, 8, 0), accepted(3, 8, 0))
	s.Tell(Told{By: 2, Last: last})
	b := c.Take()
	for journal, before := range map[uint16]bool{1: true, 2: false, 3: true} {
		if b.Last.Before(accepted(journal, 8, 0)) != before {
			t.Errorf("journal %d: the last is taken to be missing: %t", journal, !before)
		}
	}
}

// What another node was not asked for is not taken from it: who wants it would miss
// what came before.
func TestWanted(t *testing.T) {
	h, s := shared(t)
	if _, some := s.Wanted(); some {
		t.Error("nobody listens")
	}
	seven := listen(t, h, Filter{Application: 7})
	<-s.Moved()
	apps, some := s.Wanted()
	if diff := cmp.Diff(Applications{7}, apps); diff != "" || !some {
		t.Error(diff)
	}
	both := told(of(7, accepted(2, 1, 0)))
	both.Of = apps
	if !s.Tell(both) || len(seven.Take().Events) != 1 {
		t.Error("it is not told")
	}
	three := listen(t, h, Filter{Application: 3})
	both.Events, both.Last, both.Gap = []Event{of(7, accepted(2, 2, 0))}, Of(accepted(2, 2, 0)), true
	if b := three.Take(); s.Tell(both) || b.Gap || !b.Last.Before(accepted(2, 2, 0)) || len(seven.Take().Events) != 0 {
		t.Error("what is not all that clients want is told")
	}
	apps, _ = s.Wanted()
	if diff := cmp.Diff(Applications{3, 7}, apps); diff != "" {
		t.Error(diff)
	}
	three.Close()
	if !s.Tell(both) {
		t.Error("it is what clients want again")
	}
	all := listen(t, h, Filter{})
	if apps, some := s.Wanted(); apps != nil || !some {
		t.Errorf("%v", apps)
	}
	all.Close()
	seven.Close()
	for _, test := range []struct {
		a, b Applications
		want bool
	}{{nil, nil, true}, {nil, Applications{1}, true}, {Applications{1}, nil, false}, {Applications{1, 2}, Applications{2}, true}, {Applications{1}, Applications{1, 2}, false}} {
		if test.a.Cover(test.b) != test.want {
			t.Errorf("%v covers %v: %t", test.a, test.b, !test.want)
		}
	}
}

// A relay keeps what this node does, and nothing that another one told.
func TestRelay(t *testing.T) {
	h, s := shared(t)
	r := s.Relay(Applications{1, 3})
	h.Accepted(of(3, accepted(1, 1, 0)).Message)
	h.Accepted(of(2, accepted(1, 2, 0)).Message)
	h.Attempted(tried(1, 5, 0, 0).Attempt)
	s.Tell(told(accepted(2, 1, 0)))
	<-r.Ready()
	events, last, missed := r.Take()
	if diff := cmp.Diff([]int{1, -5}, positions(Batch{Events: events})); diff != "" || missed {
		t.Errorf("%s; missed %t", diff, missed)
	}
	if last.Before(accepted(1, 2, 0)) || last.Before(tried(1, 5, 0, 0)) || !last.Before(accepted(2, 1, 0)) {
		t.Errorf("it has come to %v", last)
	}
	for n := range uint64(RelayBuffer + 3) {
		h.Accepted(accepted(1, n+3, 1).Message)
	}
	if events, _, missed = r.Take(); len(events) != RelayBuffer || !missed {
		t.Errorf("%d events, missed %t", len(events), missed)
	}
	h.Accepted(accepted(1, 1<<20, 1).Message)
	if events, _, missed = r.Take(); len(events) != 1 || missed {
		t.Errorf("then %d events, missed %t", len(events), missed)
	}
	r.Close()
	if h.listening.Load() != 0 || len(s.relays) != 0 {
		t.Error("it is still kept")
	}
}

// TestEventsTravel: an event is the same at another node.
func TestEventsTravel(t *testing.T) {
	m := message(5, 9)
	m.EventID, m.ContentType, m.Channels, m.Tags, m.Size = "e", "application/json", []string{"c"}, []string{}, 17
	m.Source, m.ProviderEventType, m.CausedBy, m.Depth = postern.SourceID{1}, "p", message(4, 9).ID, 2
	a := attempt(7, 3, postern.Retrying)
	a.Response, a.Replay, a.URL, a.Code, a.Failure = nil, postern.ReplayID{5}, "https://example.com/", 503, "timeout"
	a.N, a.Trigger, a.RetryAfter, a.Permanent, a.Redialed = 4, postern.Manual, time.Minute, true, true
	a.Started, a.Next, a.Reason = noon().Add(1234567), noon().Add(time.Hour), postern.Reason("r")
	a.Timings = postern.Timings{DNS: 1, Connect: 2, TLS: 3, FirstByte: 4, Total: 5}
	for name, e := range map[string]Event{
		"a message": {Message: m}, "a plain one": {Message: message(1, 1)}, "an attempt": {Attempt: a}, "a plain attempt": {Attempt: &postern.Attempt{}},
		"a cancel": {Canceled: &store.DeliveryKey{Application: 1, Endpoint: 2, Message: m.ID}},
	} {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var got Event
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" || !got.Known() {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var later Event
	if err := json.Unmarshal([]byte(`{"else":{}}`), &later); err != nil || later.Known() {
		t.Errorf("of a later version: %v, %v", later, err)
	}
}
