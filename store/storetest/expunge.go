package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testExpunge: a content that is deleted is gone for good, its message and its
// neighbours are not; a redacted attempt replaces the one it was.
func testExpunge(t *testing.T, h Harness) {
	w := newWorld(t, h)
	a, b := w.accept(1, 3), w.accept(1, 3)
	secret := w.attempt(a.Message, 3, 1, postern.Retrying)
	other := w.attempt(a.Message, 3, 2, postern.Delivered)
	w.commit(store.Batch{Accepts: []store.Accept{a, b}, Attempts: []*postern.Attempt{secret, other}})
	redacted := *secret
	redacted.Response = []byte("gone")
	w.commit(store.Batch{
		Expunged: []store.ContentKey{{Application: 1, Message: a.Message.ID}, {Application: 2, Message: b.Message.ID}},
		Redacted: []*postern.Attempt{&redacted},
	})
	check := func(t *testing.T) {
		ctx := t.Context()
		if _, err := w.s.Content(ctx, 1, a.Message.ID); !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("an expunged content: %v", err)
		}
		equal(t, "its message", a.Message, must[*postern.Message](t)(w.s.Message(ctx, 1, a.Message.ID)))
		equal(t, "another content", b.Content, must[*postern.Content](t)(w.s.Content(ctx, 1, b.Message.ID)))
		attempts, _, err := attemptsOf(ctx, w.s, 1, a.Message.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "attempts", []postern.Attempt{redacted, *other}, attempts)
		equal(t, "a redacted attempt is counted once", 2, len(outcomes(t, w.s, 3, time.Time{}, time.Time{}, 10)))
		if err := w.s.Purge(ctx); err != nil {
			t.Error(err)
		}
	}
	w.everywhere(check)
	check(t)
}
