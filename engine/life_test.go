package engine

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// life is an engine with one endpoint, whose network is a function. It lives in
// a synctest bubble, where days go by at once.
type life struct {
	t        *testing.T
	st       store.Store
	cfg      Config
	eng      *Engine
	app      postern.ApplicationNumber
	endpoint postern.EndpointNumber
	stop     func()

	mu    sync.Mutex
	ahead time.Duration // of the clock; days are skipped, since the database's own timers make them long
	reply func(ctx context.Context, a *postern.Attempt) bool
	tries []time.Time
}

func inBubble(t *testing.T, cfg Config, test func(l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := embedded.Open(t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		l := &life{t: t, st: st, cfg: cfg}
		l.cfg.Store, l.cfg.sender, l.cfg.Secrets, l.cfg.Now = st, (*lifeSender)(l), openSecrets{}, l.now
		l.begin()
		defer func() {
			l.stop()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		a, err := l.eng.catalogue.CreateApplication(t.Context(), postern.Application{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		e, err := l.eng.catalogue.CreateEndpoint(t.Context(), postern.Endpoint{Application: a.Number, Kind: postern.HTTPEndpoint, URL: "https://example.com/"})
		if err != nil {
			t.Fatal(err)
		}
		l.app, l.endpoint = a.Number, e.Number
		test(l)
	})
}

// begin makes an engine of what the store holds, and runs it.
func (l *life) begin() {
	l.t.Helper()
	var err error
	if l.eng, err = New(l.t.Context(), l.cfg); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.eng.Run(ctx) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	})
}

type lifeSender life

func (s *lifeSender) Prepare(*postern.EndpointView) (dispatch.Line, error) { return s, nil }

func (s *lifeSender) Send(ctx context.Context, _ *postern.Message, _ *postern.Content, a *postern.Attempt) bool {
	s.mu.Lock()
	s.tries = append(s.tries, time.Now())
	reply := s.reply
	s.mu.Unlock()
	return reply(ctx, a)
}

// answers has every try from now on get a status.
func (l *life) answers(code int) {
	l.replies(func(_ context.Context, a *postern.Attempt) bool {
		a.Code, a.Succeeded = code, code/100 == 2
		return true
	})
}

func (l *life) replies(reply func(ctx context.Context, a *postern.Attempt) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reply = reply
}

// tried is when tries began, and forgets them.
func (l *life) tried() []time.Time {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	tries := l.tries
	l.tries = nil
	return tries
}

func (l *life) publish() store.DeliveryKey {
	l.t.Helper()
	m, _, err := l.eng.Publish(l.t.Context(), postern.Publish{Application: l.app, EventType: "a.b", ContentType: "application/json", Payload: []byte("{}")})
	if err != nil {
		l.t.Fatal(err)
	}
	return store.DeliveryKey{Application: l.app, Endpoint: l.endpoint, Message: m.ID}
}

func (l *life) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.ahead)
}

// skip sets the clock forward, and lets that be noticed.
func (l *life) skip(d time.Duration) {
	l.mu.Lock()
	l.ahead += d
	l.mu.Unlock()
	l.pass(time.Minute)
}

func (l *life) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (l *life) standing(d store.DeliveryKey) store.Standing {
	l.t.Helper()
	s, err := l.st.Standing(l.t.Context(), d)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// The waits of the schedule, and in the end nothing more.
func TestExhaustedDeliveriesAreDead(t *testing.T) {
	schedule := postern.RetrySchedule{5 * time.Second, 5 * time.Minute, 30 * time.Minute}
	inBubble(t, Config{RetrySchedule: schedule}, func(l *life) {
		l.answers(500)
		d := l.publish()
		l.pass(2 * time.Hour)
		tries := l.tried()
		if len(tries) != len(schedule)+1 {
			t.Fatalf("%d tries", len(tries))
		}
		for i, wait := range schedule {
			if got := tries[i+1].Sub(tries[i]); got < wait*79/100 || got > wait*121/100+time.Second {
				t.Errorf("wait %d was %v, want about %v", i+1, got, wait)
			}
		}
		if s := l.standing(d); s.State != postern.Dead || s.Reason != postern.ReasonExhausted || s.Row != nil {
			t.Errorf("%+v", s)
		}
		page, err := l.st.Dead(l.t.Context(), l.app, l.endpoint, store.Page{Limit: 10})
		if err != nil || len(page.Messages) != 1 {
			t.Errorf("%d dead, %v", len(page.Messages), err)
		}
	})
}

// Retry-After lengthens a wait, never shortens it, and has a bound.
func TestRetryAfterIsObeyed(t *testing.T) {
	for name, tc := range map[string]struct{ asked, least, most time.Duration }{
		"shorter":       {time.Second, 4 * time.Second, 7 * time.Second},
		"longer":        {time.Hour, time.Hour, time.Hour + time.Second},
		"out of bounds": {100 * time.Hour, postern.MaxRetryAfter, postern.MaxRetryAfter + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(l *life) {
				l.replies(func(_ context.Context, a *postern.Attempt) bool {
					a.Code, a.RetryAfter = 503, tc.asked
					return true
				})
				l.publish()
				first := l.tried()
				l.answers(200)
				l.pass(tc.most)
				second := l.tried()
				if len(first) != 1 || len(second) != 1 {
					t.Fatalf("%d and %d tries", len(first), len(second))
				}
				if wait := second[0].Sub(first[0]); wait < tc.least || wait > tc.most {
					t.Errorf("waited %v", wait)
				}
			})
		})
	}
}

// TestRetryAfterForms: seconds or a date, and what is larger than a number holds
// is much, not nothing.
func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "1.5": 0,
		"86401":                           postern.MaxRetryAfter,
		"99999999999999999999":            postern.MaxRetryAfter,
		"-99999999999999999999":           0,
		now.Format(http.TimeFormat):       0,
		"Tue, 10 Mar 2026 12:01:00 GMT":   time.Minute,
		"Tuesday, 10-Mar-26 12:01:00 GMT": time.Minute,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// 410 disables at once; what comes later is not routed there, and enabling
// goes on with what waited.
func TestGoneDisables(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		l.answers(500)
		waiting := l.publish()
		l.pass(time.Second)
		l.answers(410)
		gone := l.publish()
		l.pass(time.Second)
		l.answers(200)
		l.tried()
		m, _, err := l.eng.Publish(l.t.Context(), postern.Publish{Application: l.app, EventType: "a.b", Payload: []byte("{}")})
		if err != nil || len(m.Routes) != 0 {
			t.Errorf("routed to %v, %v", m.Routes, err)
		}
		l.skip(24 * time.Hour)
		if tries := l.tried(); len(tries) > 0 {
			t.Errorf("%d tries while disabled", len(tries))
		}
		view := l.eng.catalogue.EndpointByNumber(l.endpoint)
		if view.Health.Disabled != postern.DisabledGone {
			t.Errorf("%+v", view.Health)
		}
		if s := l.standing(gone); s.State != postern.Dead || s.Reason != postern.ReasonGone {
			t.Errorf("the one that was answered: %+v", s)
		}
		if _, err := l.eng.catalogue.UpdateEndpoint(l.t.Context(), l.app, l.endpoint, true, func(*postern.Endpoint) error { return nil }); err != nil {
			t.Fatal(err)
		}
		l.pass(time.Minute)
		if s := l.standing(waiting); s.State != postern.Delivered {
			t.Errorf("the one that waited: %+v", s)
		}
	})
}

// Five days of nothing but failure disable, less does not, and a success in
// between begins them anew.
func TestFiveDaysOfFailureDisable(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		disabled := func() string { return l.eng.catalogue.EndpointByNumber(l.endpoint).Health.Disabled }
		days := func(n int) {
			for range n * 4 {
				l.publish()
				l.skip(6 * time.Hour)
			}
		}
		l.answers(500)
		days(4)
		l.answers(200)
		l.publish()
		l.pass(10 * time.Minute) // for the probe that finds it well
		l.answers(500)
		days(4)
		if why := disabled(); why != "" {
			t.Fatalf("disabled after four days: %q", why)
		}
		days(2)
		if why := disabled(); why != postern.DisabledFailing {
			t.Errorf("after six days: %q", why)
		}
	})
}

func TestCancelWhileRetrying(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		l.answers(500)
		d := l.publish()
		l.pass(time.Minute)
		if err := l.eng.Cancel(l.t.Context(), d); err != nil {
			t.Fatal(err)
		}
		l.tried()
		l.skip(48 * time.Hour)
		if s := l.standing(d); len(l.tried()) > 0 || s.State != postern.Canceled || s.Row != nil {
			t.Errorf("tried again, or %+v", s)
		}
		if err := l.eng.Cancel(l.t.Context(), d); !errors.Is(err, postern.ErrConflict) {
			t.Errorf("canceled twice: %v", err)
		}
		l.answers(200)
		if err := l.eng.Resend(l.t.Context(), d); err != nil {
			t.Fatal(err)
		}
		l.pass(time.Minute)
		if s := l.standing(d); s.State != postern.Delivered {
			t.Errorf("resent after a cancel: %+v", s)
		}
	})
}

// Faults on our own side use up no tries, and disable nobody.
func TestOwnFaultsCountForNothing(t *testing.T) {
	inBubble(t, Config{RetrySchedule: postern.RetrySchedule{time.Second}}, func(l *life) {
		l.replies(func(context.Context, *postern.Attempt) bool { return false })
		d := l.publish()
		for range 12 {
			l.skip(12 * time.Hour)
		}
		if n := len(l.tried()); n < 50 {
			t.Errorf("tried %d times in six days", n)
		}
		if s := l.standing(d); s.State != postern.Pending || s.Attempts != 0 {
			t.Errorf("%+v", s)
		}
		l.answers(200)
		l.pass(time.Minute)
		if s := l.standing(d); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("in the end: %+v", s)
		}
	})
}

// A delivery that outlives its message ends, and is told as expired.
func TestExpiry(t *testing.T) {
	var ended []postern.Reason
	inBubble(t, Config{
		Retention: 24 * time.Hour, RetrySchedule: postern.RetrySchedule{time.Hour, time.Hour},
		Observer: Observer{Ended: func(reason postern.Reason) { ended = append(ended, reason) }},
	}, func(l *life) {
		l.answers(500)
		d := l.publish()
		l.pass(time.Second)
		if _, err := l.eng.catalogue.UpdateEndpoint(l.t.Context(), l.app, l.endpoint, false, func(e *postern.Endpoint) error { e.Paused = true; return nil }); err != nil {
			t.Fatal(err)
		}
		// Retention goes by new messages as well as by the clock, and not by one
		// that was set.
		l.pass(49 * time.Hour)
		l.publish()
		l.pass(2 * time.Hour)
		if s := l.standing(d); s.Message {
			t.Fatal("the message is still kept")
		}
		l.answers(200)
		if _, err := l.eng.catalogue.UpdateEndpoint(l.t.Context(), l.app, l.endpoint, false, func(e *postern.Endpoint) error { e.Paused = false; return nil }); err != nil {
			t.Fatal(err)
		}
		l.pass(time.Hour)
		if s := l.standing(d); s.Row != nil {
			t.Errorf("its row stays: %+v", s.Row)
		}
		if len(ended) != 1 || ended[0] != postern.ReasonExpired {
			t.Errorf("told %v", ended)
		}
	})
}

// A stop lets the attempt under way end, and stores it.
func TestStopDrains(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		l.replies(func(_ context.Context, a *postern.Attempt) bool {
			<-time.After(10 * time.Second)
			a.Code, a.Succeeded = 200, true
			return true
		})
		d := l.publish()
		l.pass(time.Second)
		begun := time.Now()
		l.stop()
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("stopped after %v", took)
		}
		if s := l.standing(d); s.State != postern.Delivered {
			t.Errorf("%+v", s)
		}
		if _, _, err := l.eng.Publish(l.t.Context(), postern.Publish{Application: l.app, EventType: "a.b"}); postern.KindOf(err) != postern.Unavailable {
			t.Errorf("publishing afterwards: %v", err)
		}
	})
}

// What has not ended by DrainTimeout is cut off, uses up no try, and goes on at
// the next start.
func TestStopCutsOff(t *testing.T) {
	inBubble(t, Config{DrainTimeout: 5 * time.Second}, func(l *life) {
		l.replies(func(context.Context, *postern.Attempt) bool {
			<-time.After(8 * time.Second) // as the client does that is closed meanwhile
			return false
		})
		d := l.publish()
		l.pass(time.Second)
		l.stop()
		if s := l.standing(d); s.State != postern.Pending || s.Attempts != 0 {
			t.Errorf("cut off: %+v", s)
		}
		l.answers(200)
		l.begin()
		l.pass(time.Second)
		if s := l.standing(d); s.State != postern.Delivered || s.Attempts != 1 {
			t.Errorf("after the next start: %+v", s)
		}
	})
}
