package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const month = 31 * 24 * time.Hour

// endpointOf makes another endpoint of the application.
func (l *life) endpointOf(e postern.Endpoint) postern.EndpointNumber {
	l.t.Helper()
	e.Application, e.Kind, e.URL = l.app, postern.HTTPEndpoint, "https://example.com/"
	view, err := l.eng.catalogue.CreateEndpoint(l.t.Context(), e)
	if err != nil {
		l.t.Fatal(err)
	}
	return view.Number
}

func (l *life) pause(n postern.EndpointNumber, paused bool) {
	l.t.Helper()
	_, err := l.eng.catalogue.UpdateEndpoint(l.t.Context(), l.app, n, false, func(e *postern.Endpoint) error { e.Paused = paused; return nil })
	if err != nil {
		l.t.Fatal(err)
	}
}

// once publishes what a source would, and reports whether it was known.
func (l *life) once(digest byte) (known bool) {
	l.t.Helper()
	_, known, err := l.eng.Publish(l.t.Context(), postern.Publish{
		Application: l.app, EventType: "a.b", Payload: []byte("{}"),
		Duplicate: postern.DuplicateKey{Digest: [16]byte{digest}, Window: 24 * time.Hour},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return known
}

// days are those that messages are kept of.
func (l *life) days(messages ...store.DeliveryKey) (kept []store.Day) {
	for _, d := range messages {
		if l.standing(d).Message {
			kept = append(kept, store.DayOf(d.Message.Time()))
		}
	}
	return kept
}

// TestClockJump: a clock that goes forth by a month, stays there for hours with
// everything at work, and comes back, ends nothing: messages stay, deliveries
// and retries go on, what waits behind a pause is delivered, copies are known.
func TestClockJump(t *testing.T) {
	inBubble(t, Config{Retention: 24 * time.Hour, RetrySchedule: slices.Repeat(postern.RetrySchedule{4 * time.Hour}, 4)}, func(l *life) {
		failing, paused := l.endpointOf(postern.Endpoint{}), l.endpointOf(postern.Endpoint{Paused: true})
		well := false
		l.replies(func(_ context.Context, a *postern.Attempt) bool {
			a.Code, a.Succeeded = 500, a.Endpoint != failing || well
			return true
		})
		before := l.publish()
		on := func(d store.DeliveryKey, n postern.EndpointNumber) store.DeliveryKey { d.Endpoint = n; return d }
		if l.once(1) {
			t.Fatal("the first copy is known")
		}
		l.pass(time.Minute)

		l.skip(month)
		during := l.publish()
		if !l.once(1) {
			t.Error("a minute later, by a clock that leapt, the second copy is not known")
		}
		l.once(2)
		l.pass(3 * time.Hour)
		if s := l.standing(during); s.State != postern.Delivered {
			t.Errorf("published while the clock is ahead: %+v", s)
		}
		if !l.once(1) || !l.once(2) {
			t.Error("hours later copies are not known")
		}

		l.skip(-month)
		well = true
		l.pause(paused, false)
		after := l.publish()
		if !l.once(1) || !l.once(2) {
			t.Error("copies are not known once the clock is back")
		}
		l.pass(8 * time.Hour)
		for name, d := range map[string]store.DeliveryKey{"before": before, "during": during, "after": after} {
			for _, n := range []postern.EndpointNumber{l.endpoint, failing, paused} {
				if s := l.standing(on(d, n)); !s.Message || s.State != postern.Delivered {
					t.Errorf("published %s, to endpoint %d: %+v", name, n, s)
				}
			}
		}
	})
}

// TestDaysGoOneByOne: what is old goes a day in an hour, oldest first, over a
// restart as well; the day that is not old stays.
func TestDaysGoOneByOne(t *testing.T) {
	inBubble(t, Config{Retention: 24 * time.Hour, RetrySchedule: postern.RetrySchedule{time.Hour}}, func(l *life) {
		l.answers(200)
		l.pass(12 * time.Hour)
		var old []store.DeliveryKey
		for range 3 {
			old = append(old, l.publish())
			l.pass(24 * time.Hour)
		}
		if kept := l.days(old...); len(kept) != 2 {
			t.Fatalf("the days %v are kept while time goes by, want the last two of three", kept)
		}
		l.pass(24 * time.Hour)
		if kept := l.days(old...); len(kept) != 2 {
			t.Fatalf("the days %v are kept while nothing new comes, want two", kept)
		}
		last := l.publish()
		l.pass(10 * time.Minute)
		if kept := l.days(old...); len(kept) != 1 || kept[0] != store.DayOf(old[2].Message.Time()) {
			t.Errorf("the days %v are kept after a sweep, want the youngest", kept)
		}
		for range 3 {
			l.stop()
			l.begin()
			l.pass(5 * time.Minute)
		}
		if kept := l.days(old...); len(kept) != 1 {
			t.Errorf("the days %v are kept after three starts within the hour", kept)
		}
		l.pass(time.Hour)
		if kept := l.days(append(old, last)...); len(kept) != 1 || kept[0] != store.DayOf(last.Message.Time()) {
			t.Errorf("the days %v are kept in the end, want that of the last message", kept)
		}
	})
}

// TestRetentionAfterARestart: a day that is over is dropped although nothing has
// been accepted since the start, as on a full disk.
func TestRetentionAfterARestart(t *testing.T) {
	inBubble(t, Config{Retention: 24 * time.Hour, RetrySchedule: postern.RetrySchedule{time.Hour}}, func(l *life) {
		l.answers(200)
		old := l.publish()
		l.skip(4 * 24 * time.Hour)
		last := l.publish()
		l.pass(time.Minute)
		l.stop()
		if kept := l.days(old, last); len(kept) != 2 {
			t.Fatalf("the days %v are kept by a clock that leapt, want both", kept)
		}
		l.begin()
		l.pass(time.Minute)
		if kept := l.days(old, last); len(kept) != 1 || kept[0] != store.DayOf(last.Message.Time()) {
			t.Errorf("the days %v are kept, want that of the last message", kept)
		}
	})
}

// TestRefusalsOfIdleSourcesGo: nothing new pushes them out, and a clock that
// leaps does not either.
func TestRefusalsOfIdleSourcesGo(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		source, err := l.eng.catalogue.CreateSource(l.t.Context(), postern.Source{Application: l.app, Name: "s", Provider: "none"})
		if err != nil {
			l.t.Fatal(err)
		}
		refuse := func(age time.Duration) *postern.Refusal {
			ids := postern.IDSource{Now: func() time.Time { return l.now().Add(-age) }, Random: zeros{}}
			id, err := ids.Next()
			if err != nil {
				l.t.Fatal(err)
			}
			r := &postern.Refusal{ID: postern.RefusalID(id), Source: source.ID, Reason: "signature_mismatch", Body: []byte("{}")}
			if err := l.eng.keepRefusal(l.t.Context(), r, nil); err != nil {
				l.t.Fatal(err)
			}
			return r
		}
		kept := func(r *postern.Refusal) bool {
			_, err := l.st.Refusal(l.t.Context(), source.ID, r.ID)
			if err != nil && !errors.Is(err, postern.ErrNotFound) {
				l.t.Fatal(err)
			}
			return err == nil
		}
		const day = 24 * time.Hour
		var old []*postern.Refusal
		for i := range 600 { // more than go at once
			old = append(old, refuse(8*day+time.Duration(i)*time.Second))
		}
		young := refuse(7*day - 2*time.Hour)
		l.pass(time.Minute)
		if kept(old[0]) || kept(old[599]) || !kept(young) {
			l.t.Errorf("kept: %t and %t of eight days ago, %t of less than seven", kept(old[0]), kept(old[599]), kept(young))
		}
		l.skip(month)
		l.pass(time.Hour)
		if !kept(young) {
			l.t.Error("gone by a clock that leapt")
		}
		l.pass(2 * time.Hour)
		if kept(young) {
			l.t.Error("kept although its time is over")
		}
	})
}

// zeros is no source of randomness, for ids that differ by their times.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
