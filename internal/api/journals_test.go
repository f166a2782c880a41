package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// journals are those of two nodes in the store of one test. The second node is the
// one whose tail is asked.
type journals struct {
	*tailed
	shared *tail.Shared
	app    postern.ApplicationNumber
	heads  map[uint16]*store.Head
}

func newJournals(t *testing.T) *journals {
	f := &journals{tailed: newTailed(t), heads: map[uint16]*store.Head{1: {Journal: 1}, 2: {Journal: 2}}}
	app, err := f.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	f.app, f.shared = app.Number, f.tail.Share()
	f.shared.Tellers(map[uint16]tail.Teller{1: 1, 2: tail.Here})
	f.world.handler.(*handler).Horizon = func(context.Context) (tail.Cursor, error) { //nolint:forcetypeassert // it is
		f.mu.Lock()
		defer f.mu.Unlock()
		return tail.Horizons([]store.Head{*f.heads[1], *f.heads[2]}, func(uint16) time.Time { return f.now }), nil
	}
	return f
}

// stored is a message of a journal that nobody is told of, at some second.
func (f *journals) stored(journal uint16, second int) *postern.Message {
	f.t.Helper()
	var m *postern.Message
	err := f.commit(f.t.Context(), func(b *store.Batch) {
		m = &postern.Message{ID: postern.NewMessageID(f.now.Add(time.Duration(second)*time.Second), journal, f.head.Next, 7), Application: f.app, EventType: "a"}
		b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{}})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	head := f.heads[journal]
	head.Batch, head.Next, head.LastTime = head.Batch+1, m.ID.Position()+1, m.CreatedAt()
	return m
}

// stream is a client that stands somewhere, whose answer is kept.
func (f *journals) stream(cursor tail.Cursor) *stream {
	c := &call{r: httptest.NewRequest("GET", "/", nil), w: httptest.NewRecorder()}
	return &stream{h: f.world.handler.(*handler), c: c, control: http.NewResponseController(c.w), cursor: cursor} //nolint:forcetypeassert // it is
}

// wrote are the messages that were written since the last call, by the seconds of
// their ids, and what else.
func (f *journals) wrote(s *stream) (seconds []int) {
	f.t.Helper()
	for line := range strings.Lines(string(s.out)) {
		if strings.HasPrefix(line, "event: skipped") {
			seconds = append(seconds, -1)
		}
		if _, rest, ok := strings.Cut(line, `"id":"msg_`); ok {
			id, err := postern.ParseMessageID("msg_" + rest[:27])
			if err != nil {
				f.t.Fatal(err)
			}
			seconds = append(seconds, int(id.Time().Sub(f.now)/time.Second))
		}
	}
	s.out = s.out[:0]
	return seconds
}

// A client that comes back gets of each journal what it has not, though it be older
// than what it has of others, and nothing else.
func TestTailResumesJournals(t *testing.T) {
	f := newJournals(t)
	start, err := f.stream(tail.Cursor{}).horizon()
	if err != nil {
		t.Fatal(err)
	}
	f.stored(1, 10)
	f.stored(2, 12)
	f.stored(1, 14)
	s := f.stream(start)
	if err := s.resume(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{10, 12, 14}, f.wrote(s)); diff != "" {
		t.Error(diff)
	}
	f.stored(2, 13) // while the first one's last was stored already
	f.stored(1, 15)
	if s.cursor, err = tail.Parse(s.cursor.String()); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]int{{13, 15}, nil} {
		if err := s.resume(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.wrote(s)); diff != "" {
			t.Error(diff)
		}
	}
	one := f.stored(2, 20)
	s = f.stream(tail.Cursor{Message: one.ID}.Like(start)) // as an earlier version had them
	f.stored(2, 21)
	if err := s.resume(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{10, 14, 15, 21}, f.wrote(s)); diff != "" {
		t.Errorf("from a place in one journal: %s", diff)
	}
}

// What nobody was told of comes out of the store, before what was told behind it.
func TestTailOverGaps(t *testing.T) {
	f := newJournals(t)
	l := listen(t, f.url, adminToken, "", "")
	told := func(journal uint16, second int) (string, tail.Event) {
		m := f.stored(journal, second)
		return "message " + m.ID.String(), tail.Event{Message: m}
	}
	first, e := told(1, 1)
	f.shared.Tell(tail.Told{By: 1, Events: []tail.Event{e}})
	own, e := told(2, 2)
	f.tail.Accepted(e.Message)
	if diff := cmp.Diff([]string{first, own}, l.brief(2)); diff != "" {
		t.Error(diff)
	}
	lost, _ := told(1, 3)
	next, e := told(1, 4)
	f.shared.Tell(tail.Told{By: 1, Events: []tail.Event{e}, Gap: true})
	if diff := cmp.Diff([]string{lost, next}, l.brief(2)); diff != "" {
		t.Errorf("over a gap: %s", diff)
	}
	lost, _ = told(1, 5)
	adopted, e := told(1, 6)
	f.tail.Accepted(e.Message)
	if diff := cmp.Diff([]string{lost, adopted}, l.brief(2)); diff != "" {
		t.Errorf("of an adopted journal: %s", diff)
	}
	f.shared.Tellers(map[uint16]tail.Teller{1: tail.Here, 2: tail.Here})
	f.shared.Tell(tail.Told{By: 1, Missed: true})
	if got := l.next(); got.event != "skipped" || got.data["count"] != nil {
		t.Errorf("%+v", got)
	}
}

// A client that nothing is told to is brought up to what others were told long ago,
// and its place does not grow old.
func TestTailSettles(t *testing.T) {
	f := newJournals(t)
	f.stored(1, 0)
	s := f.stream(tail.Cursor{})
	start, err := s.horizon()
	if err != nil {
		t.Fatal(err)
	}
	s.cursor = start
	f.stored(2, 1)
	for _, want := range [][]int{nil, {1 - 600}, nil} {
		if err := s.settle(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.wrote(s)); diff != "" {
			t.Error(diff)
		}
		if want == nil && f.heads[2].LastTime.After(f.now) {
			f.mu.Lock()
			f.now = f.now.Add(10 * time.Minute)
			f.mu.Unlock()
		}
	}
	if s.cursor.String() == start.String() {
		t.Error("it stands where it stood")
	}
}
