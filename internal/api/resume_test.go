package api

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// inVain is a history in which a filter finds nothing, however far it looks.
type inVain struct {
	store.History
	pages *int
	hold  chan struct{} // closed by the test; nil: nothing waits
}

func (h inVain) Messages(context.Context, postern.ApplicationNumber, store.MessageFilter, store.Page) (store.MessagePage, error) {
	if h.hold != nil {
		<-h.hold
	}
	*h.pages++
	return store.MessagePage{Next: [20]byte{1}}, nil
}

// TestTailGivesUpInVain: a filter that finds nothing is not followed for ever, and
// the client is told that it may have missed something.
func TestTailGivesUpInVain(t *testing.T) {
	f := newTailed(t)
	f.publish("shop", "a")
	h := f.world.handler.(*handler) //nolint:forcetypeassert // it is
	pages := 0
	h.History = inVain{h.History, &pages, nil}
	s := &stream{h: h, c: &call{r: httptest.NewRequest("GET", "/", nil), w: httptest.NewRecorder()}, filter: tail.Filter{EventTypes: []string{"b"}}}
	s.control = http.NewResponseController(s.c.w)
	if err := s.resume(); err != nil {
		t.Fatal(err)
	}
	if want := 2 * (resumeVain / 5); pages != want { // two applications and three endpoints have a share each
		t.Errorf("%d pages are read, want %d", pages, want)
	}
	if !bytes.Contains(s.out, []byte(`event: skipped`+"\n"+`data: {"count":null,`)) || s.cursor.String() != tail.Horizon(f.head).String() {
		t.Errorf("%q, at %s", s.out, s.cursor)
	}
}

// TestTailBeginsAtOnce: a client that comes back hears where it stands before
// anything is read for it.
func TestTailBeginsAtOnce(t *testing.T) {
	f := newTailed(t)
	f.publish("shop", "a")
	first := listen(t, f.url, adminToken, "", "")
	first.stop()
	h := f.world.handler.(*handler) //nolint:forcetypeassert // it is
	hold, pages := make(chan struct{}), 0
	t.Cleanup(func() { close(hold) })
	h.History = inVain{h.History, &pages, hold}
	if again := listen(t, f.url, adminToken, "", first.id); again.id != first.id {
		t.Errorf("it stands at %q, want %q", again.id, first.id)
	}
}

// TestFailuresAreReadAlone: of states that only failures lead to, the store is asked
// for failures.
func TestFailuresAreReadAlone(t *testing.T) {
	for _, tc := range []struct {
		states []postern.State
		failed bool
	}{
		{nil, false},
		{[]postern.State{postern.Dead}, true},
		{[]postern.State{postern.Retrying, postern.Dead}, true},
		{[]postern.State{postern.Dead, postern.Canceled}, false},
		{[]postern.State{postern.Delivered}, false},
	} {
		if got := succeeded(tc.states); (got != nil) != tc.failed || got != nil && *got {
			t.Errorf("%v: %v", tc.states, got)
		}
	}
}
