package tail

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// at is a moment some seconds after noon.
func at(seconds int) time.Time { return noon().Add(time.Duration(seconds) * time.Second) }

// accepted and tried are events of a journal, at some second.
func accepted(journal uint16, position uint64, second int) Event {
	return Event{Message: &postern.Message{ID: postern.NewMessageID(at(second), journal, position, 7), Application: 1}}
}

func tried(journal uint16, batch uint64, index, second int) Event {
	m := accepted(journal, 1, second).Message
	return Event{Attempt: &postern.Attempt{ID: postern.NewAttemptID(at(second), journal, batch, index, 1), Message: m.ID, Application: 1, Endpoint: 1}}
}

func head(journal uint16, batch, next uint64, second int) store.Head {
	return store.Head{Journal: journal, Batch: batch, Next: next, LastTime: at(second)}
}

// heldAt has all journals be held at some second.
func heldAt(second int) func(uint16) time.Time {
	return func(uint16) time.Time { return at(second) }
}

// through is a cursor after what was told.
func through(c Cursor, events ...Event) Cursor {
	for _, e := range events {
		c.Advance(Of(e))
	}
	return c
}

// Of each journal it is known for itself what comes later, whatever the times in ids.
func TestPlaces(t *testing.T) {
	start := Horizons([]store.Head{head(3, 5, 10, 0), head(1, 7, 20, 9)}, heldAt(9))
	c := through(start, accepted(1, 22, 12), tried(3, 8, 4, 11))
	for name, test := range map[string]struct {
		event  Event
		before bool
	}{
		"below the horizon":           {accepted(3, 9, 30), false},
		"above it, of an older time":  {accepted(3, 10, 1), true},
		"told":                        {accepted(1, 22, 12), false},
		"not told, but before":        {accepted(1, 21, 12), false},
		"next":                        {accepted(1, 23, 12), true},
		"an attempt of the last head": {tried(1, 7, 900, 9), false},
		"one of the next batch":       {tried(1, 8, 0, 10), true},
		"the told one's neighbour":    {tried(3, 8, 5, 11), true},
		"one before it":               {tried(3, 8, 3, 11), false},
		"another journal's":           {accepted(2, 1, 1), true},
		"a cancel":                    {Event{Canceled: &store.DeliveryKey{}}, true},
	} {
		if c.Before(test.event) != test.before {
			t.Errorf("%s is taken to come after: %t", name, !test.before)
		}
	}
	if start.Before(accepted(1, 19, 9)) || !start.Before(accepted(1, 22, 12)) {
		t.Error("a cursor shares what another one changed")
	}
	if !start.Past(accepted(3, 10, 10)) || start.Past(accepted(3, 10, 9)) {
		t.Error("a horizon does not end with its newest time")
	}
}

// The text is what a client keeps: short, and read as it was written.
func TestPlacesAsText(t *testing.T) {
	var heads []store.Head
	for i := range 20 {
		heads = append(heads, head(uint16(i*i), rand.Uint64N(1<<30), rand.Uint64N(1<<30), i))
		c := through(Horizons(heads, heldAt(60)), tried(uint16(i), 1<<40, 65534, 70))
		got, err := Parse(c.String())
		if err != nil || cmp.Diff(c.places, got.places, cmp.AllowUnexported(place{})) != "" {
			t.Fatalf("%v is read as %v, %v", c, got, err)
		}
		if most := 20 + 24*(len(heads)+1); len(c.String()) > most {
			t.Errorf("%d characters for %d journals", len(c.String()), len(heads))
		}
	}
	empty := Cursor{places: []place{}}
	if got, err := Parse(empty.String()); err != nil || got.places == nil || len(got.places) != 0 {
		t.Errorf("of no journal: %v, %v", got, err)
	}
	text := Horizons(heads[:1], heldAt(60)).String()
	twice := Cursor{places: []place{{journal: 1, since: 5}, {journal: 1, since: 5}}}.text()
	for _, text := range []string{severalPrefix, severalPrefix + "!", text + "A", text[:len(text)-2], twice} {
		if _, err := Parse(text); postern.KindOf(err) != postern.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Where to look from is a time before all that may be missing, and no older than it
// has to be.
func TestPlacesFrom(t *testing.T) {
	quiet, busy, settling := head(1, 5, 10, 0), head(2, 50, 100, 1000), int(Settling/time.Second)
	start := Horizons([]store.Head{quiet, busy}, heldAt(1000))
	from := func(c, horizon Cursor) any {
		id, attempts, some := c.From(horizon)
		if !some {
			return false
		}
		if id != attempts {
			t.Errorf("messages from %x, attempts from %x", id, attempts)
		}
		return int(postern.MessageID(id).Time().Sub(noon()) / time.Second)
	}
	busier, louder := head(2, 60, 120, 1010), head(1, 6, 11, 1005)
	for name, test := range map[string]struct {
		c, horizon Cursor
		want       any
	}{
		"nothing new":                {start, start, false},
		"of the busy one":            {start, Horizons([]store.Head{quiet, busier}, heldAt(1010)), 1000},
		"of both":                    {start, Horizons([]store.Head{louder, busier}, heldAt(1010)), 1000 - settling},
		"of a new one":               {start, Horizons([]store.Head{quiet, busy, head(3, 1, 2, 1010)}, heldAt(1010)), 1000 - settling},
		"of one that did nothing":    {start, Horizons([]store.Head{quiet, busy, {Journal: 3}}, heldAt(1010)), false},
		"told":                       {through(start, tried(2, 60, 0xffff, 1010), accepted(2, 119, 1010)), Horizons([]store.Head{quiet, busier}, heldAt(1010)), false},
		"of a lease that ran out":    {Horizons([]store.Head{quiet}, heldAt(100)), Horizons([]store.Head{louder}, heldAt(1010)), 100 - settling},
		"of one younger than its id": {Horizons([]store.Head{busy}, heldAt(500)), Horizons([]store.Head{busier}, heldAt(500)), 1000},
	} {
		if got := from(test.c, test.horizon); got != test.want {
			t.Errorf("%s: from %v, want %v", name, got, test.want)
		}
	}
}

// A cursor that nothing is told to does not grow old for that.
func TestSettle(t *testing.T) {
	c := Horizons([]store.Head{head(1, 5, 10, 0), head(2, 5, 10, 0)}, heldAt(0))
	later := Horizons([]store.Head{head(1, 5, 10, 0), head(2, 6, 11, 1000)}, heldAt(2000))
	if c.Settle(later, time.Minute) {
		t.Error("there is something to look for, of long ago")
	}
	c.Advance(Of(accepted(2, 10, 1000)))
	c.Advance(Of(tried(2, 6, 0xffff, 1000)))
	if !c.Settle(later, time.Minute) {
		t.Error("there is nothing to look for")
	}
	last := Horizons([]store.Head{head(1, 6, 11, 2010), head(2, 6, 11, 1000)}, heldAt(2010))
	if id, _, _ := c.From(last); !postern.MessageID(id).Time().Equal(at(2000).Add(-Settling)) {
		t.Errorf("it is looked for from %v on", postern.MessageID(id).Time())
	}
	if !c.Settle(last, 2*Settling) || c.Before(accepted(1, 9, 0)) || !c.Before(accepted(1, 10, 2010)) {
		t.Error("it passes over what it was not told")
	}
}

// Cursors outlive a move from a store of one journal to a shared one, and back.
func TestLike(t *testing.T) {
	one := through(Cursor{}, accepted(0, 9, 100), tried(0, 4, 2, 101))
	horizon := Horizons([]store.Head{head(0, 9, 20, 200), head(1, 9, 20, 200)}, heldAt(200))
	several := one.Like(horizon)
	if several.Before(accepted(0, 9, 100)) || !several.Before(accepted(0, 10, 102)) || !several.Before(accepted(1, 1, 50)) {
		t.Errorf("%s became %v", one, several)
	}
	if from, _, _ := several.From(horizon); !postern.MessageID(from).Time().Equal(at(101).Add(-Settling)) {
		t.Errorf("from %v", postern.MessageID(from).Time())
	}
	back := several.Like(Horizon(head(0, 9, 20, 200)))
	if back.places != nil || !back.Before(accepted(0, 5, 99)) || back.Before(accepted(0, 1, 0)) {
		t.Errorf("and back: %s", back)
	}
	if same := one.Like(Horizon(head(0, 9, 20, 200))); same.String() != one.String() {
		t.Errorf("%s became %s", one, same)
	}
	if same := several.Like(horizon); same.String() != several.String() {
		t.Errorf("%s became %s", several, same)
	}
}
