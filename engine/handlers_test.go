package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/event"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// program embeds an engine, one after the other on the same store, in a bubble.
type program struct {
	*testing.T
	st   store.Store
	cfg  Config
	eng  *Engine
	stop func()

	mu    sync.Mutex
	calls []string
}

func inProgram(t *testing.T, cfg Config, test func(p *program)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := embedded.Open(t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		p := &program{T: t, st: st, cfg: cfg, stop: func() {}}
		p.cfg.Store, p.cfg.Secrets = st, openSecrets{}
		defer func() {
			p.stop()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(p)
	})
}

// begin runs a new engine with what register gives it.
func (p *program) begin(register func(eng *Engine) error) {
	p.Helper()
	p.stop()
	var err error
	if p.eng, err = New(p.Context(), p.cfg); err != nil {
		p.Fatal(err)
	}
	if err := register(p.eng); err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.eng.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.Errorf("Run: %v", err)
		}
	})
}

// on begins with one handler.
func (p *program) on(eventType string, fn HandlerFunc) {
	p.Helper()
	p.begin(func(eng *Engine) error { return eng.On(eventType, fn) })
}

// publish publishes in the engine's own application.
func (p *program) publish(eventType, payload string) *postern.Message {
	p.Helper()
	m, _, err := p.eng.Publish(p.Context(), postern.Publish{EventType: eventType, Payload: []byte(payload)})
	if err != nil {
		p.Fatal(err)
	}
	return m
}

// note takes a call down; noted returns those since it was last asked.
func (p *program) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
}

func (p *program) noted() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	return calls
}

func (p *program) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// want compares the calls.
func (p *program) want(calls ...string) {
	p.Helper()
	if diff := cmp.Diff(calls, p.noted()); diff != "" {
		p.Errorf("calls: %s", diff)
	}
}

// attempts are those of a message.
func (p *program) attempts(m *postern.Message) []*postern.Attempt {
	p.Helper()
	var list []*postern.Attempt
	if _, err := p.st.EachAttempt(p.Context(), m.Application, m.ID, func(a *postern.Attempt) bool { list = append(list, a); return true }); err != nil {
		p.Fatal(err)
	}
	return list
}

func (p *program) standing(m *postern.Message, endpoint int) store.Standing {
	p.Helper()
	s, err := p.st.Standing(p.Context(), store.DeliveryKey{Application: m.Application, Endpoint: m.Routes[endpoint], Message: m.ID})
	if err != nil {
		p.Fatal(err)
	}
	return s
}

func TestAHandlerGetsItsMessages(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		var got *Message
		p.begin(func(eng *Engine) error {
			return errors.Join(
				eng.On("invoice.paid", func(_ context.Context, m *Message) error { got = m; p.note("exact %s", m.EventType); return nil }),
				eng.On("invoice.*", func(_ context.Context, m *Message) error { p.note("pattern %s", m.EventType); return nil }),
			)
		})
		m, _, err := p.eng.Publish(p.Context(), postern.Publish{
			EventType: "invoice.paid", Payload: []byte(`{"a":1}`), EventID: "in_1", Channels: []string{"c"}, Tags: []string{"t"},
		})
		if err != nil {
			t.Fatal(err)
		}
		calls := p.noted()
		if slices.Sort(calls); !slices.Equal(calls, []string{"exact invoice.paid", "pattern invoice.paid"}) {
			t.Errorf("calls %q", calls)
		}
		want := &Message{
			ID: m.ID, Application: m.Application, EventType: "invoice.paid", ContentType: "application/json", Payload: []byte(`{"a":1}`),
			EventID: "in_1", Channels: []string{"c"}, Tags: []string{"t"}, Handler: "invoice.paid", Attempt: 1,
		}
		if diff := cmp.Diff(want, got); diff != "" || !got.CreatedAt().Equal(m.CreatedAt()) {
			t.Error(diff)
		}
		p.pass(time.Second)
		a := p.attempts(m)[0]
		if a.Code != 200 || !a.Succeeded || a.URL != "postern:handler/invoice.paid" || a.State != postern.Delivered {
			t.Errorf("%+v", a)
		}
		p.publish("order.made", "{}")
		p.want()
	})
}

// textError is an error that does not bear to be nil.
type textError struct{ text string }

func (e *textError) Error() string { return e.text }

// What a handler returns decides what becomes of the delivery.
func TestErrorsDecide(t *testing.T) {
	schedule := postern.RetrySchedule{time.Minute}
	for name, test := range map[string]struct {
		fail    func(ctx context.Context) error
		code    int
		failure string
		shows   string
		state   postern.State
		next    time.Duration // at least
	}{
		"an error":           {func(context.Context) error { return errors.New("no luck") }, 500, "", "no luck", postern.Retrying, 48 * time.Second},
		"retry after":        {func(context.Context) error { return fmt.Errorf("closed: %w", postern.RetryAfter(time.Hour)) }, 500, "", "closed", postern.Retrying, time.Hour},
		"permanent":          {func(context.Context) error { return postern.Permanent(errors.New("nonsense")) }, 500, "", "nonsense", postern.Dead, 0},
		"a panic":            {func(context.Context) error { panic("oh no") }, 0, "panic", "handlers_test.go", postern.Retrying, 48 * time.Second},
		"an exit":            {func(context.Context) error { runtime.Goexit(); return nil }, 500, "", "ended its goroutine", postern.Retrying, 48 * time.Second},
		"a deadline":         {func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, 0, "timeout", "deadline is over", postern.Retrying, 48 * time.Second},
		"a deadline ignored": {func(context.Context) error { <-time.After(time.Minute); return errors.New("late") }, 0, "timeout", "late", postern.Retrying, 48 * time.Second},
		"a nil of a type":    {func(context.Context) error { var none *textError; return none }, 0, "panic", "(*textError).Error", postern.Retrying, 48 * time.Second},
		"much to say":        {func(context.Context) error { return errors.New(strings.Repeat("x", 1<<20)) }, 500, "", "xxx", postern.Retrying, 48 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inProgram(t, Config{RetrySchedule: schedule}, func(p *program) {
				p.on("a.b", func(ctx context.Context, m *Message) error {
					p.note("%d", m.Attempt)
					if m.Attempt == 1 {
						return test.fail(ctx)
					}
					return nil
				})
				m := p.publish("a.b", "{}")
				p.pass(time.Minute + time.Second)
				a := p.attempts(m)[0]
				if a.Code != test.code || a.Failure != test.failure || !strings.Contains(string(a.Response), test.shows) || len(a.Response) > 20<<10 {
					t.Errorf("attempt %d %q: %.300s", a.Code, a.Failure, a.Response)
				}
				if a.State != test.state || test.next > 0 && a.Next.Sub(a.Started) < test.next {
					t.Errorf("%v, next after %v", a.State, a.Next.Sub(a.Started))
				}
				p.pass(2 * time.Hour)
				want := []string{"1", "2"}
				if test.state == postern.Dead {
					want = want[:1]
				}
				p.want(want...)
			})
		})
	}
}

// A handler that the program no longer has keeps its deliveries, also those that
// came meanwhile, and gets them when it is there again.
func TestARemovedHandlersDeliveriesWait(t *testing.T) {
	var text bytes.Buffer
	inProgram(t, Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, func(p *program) {
		failing := true
		handler := func(_ context.Context, m *Message) error {
			if p.note("%s", m.Payload); failing {
				return errors.New("not yet")
			}
			return nil
		}
		p.on("a.b", handler)
		before := p.publish("a.b", "1")
		p.pass(time.Second)
		p.want("1")
		failing = false

		p.begin(func(*Engine) error { return nil })
		synctest.Wait()
		during := p.publish("a.b", "2")
		p.pass(time.Hour)
		p.want()
		view := p.eng.catalogue.EndpointByNumber(before.Routes[0])
		stats, err := p.eng.Stats(p.Context())
		if err != nil || stats.Unattended != 1 || !view.Unattended || view.Deliverable() || !strings.Contains(text.String(), "handler=a.b") {
			t.Errorf("%d unattended, %v, %+v; logged %s", stats.Unattended, err, view, text.String())
		}
		if s := p.standing(before, 0); s.State != postern.Retrying {
			t.Errorf("what waited for a retry is %+v", s)
		}
		if _, err := p.eng.catalogue.UpdateEndpoint(p.Context(), view.Application, view.Number, false, func(e *postern.Endpoint) error { e.Description = "x"; return nil }); err != nil {
			t.Fatal(err)
		}
		p.pass(time.Minute)
		p.want() // a change is no function

		p.on("a.b", handler)
		p.pass(time.Minute)
		calls := p.noted()
		if slices.Sort(calls); !slices.Equal(calls, []string{"1", "2"}) {
			t.Errorf("calls %q", calls)
		}
		if a, b := p.standing(before, 0), p.standing(during, 0); a.State != postern.Delivered || b.State != postern.Delivered {
			t.Errorf("%+v, %+v", a, b)
		}
		if n := p.eng.unattended(); n != 0 {
			t.Errorf("%d unattended", n)
		}
	})
}

// The name is who a handler is: what it listens for may change, and what the API
// set of it stays.
func TestAHandlerKeepsItsNameOverChanges(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		handler := func(_ context.Context, m *Message) error { p.note("%s", m.EventType); return nil }
		begin := func(types ...string) *postern.EndpointView {
			p.begin(func(eng *Engine) error {
				return eng.OnWith(HandlerOptions{Name: "billing", EventTypes: types, Application: "shop", RetrySchedule: postern.RetrySchedule{time.Second}}, handler)
			})
			p.pass(time.Second) // a batch may wait for others
			app, err := p.eng.EnsureApplication(p.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			view, err := p.eng.catalogue.Endpoint(app.Number, "billing")
			if err != nil {
				t.Fatal(err)
			}
			return view
		}
		first := begin("a.b")
		if _, err := p.eng.catalogue.UpdateEndpoint(p.Context(), first.Application, first.Number, false, func(e *postern.Endpoint) error { e.Rate = 7; return nil }); err != nil {
			t.Fatal(err)
		}
		second := begin("c.d", "e.*")
		if second.ID != first.ID || second.Rate != 7 || len(second.RetrySchedule) != 1 || !slices.Equal(second.EventTypes, []string{"c.d", "e.*"}) {
			t.Errorf("%+v", second.Endpoint)
		}
		if third := begin("c.d", "e.*"); !third.UpdatedAt.Equal(second.UpdatedAt) {
			t.Error("stored anew without a change")
		}
		for _, eventType := range []string{"a.b", "c.d", "e.f"} {
			if _, _, err := p.eng.Publish(p.Context(), postern.Publish{Application: first.Application, EventType: eventType}); err != nil {
				t.Fatal(err)
			}
			p.noted()
		}
		ill := []store.HealthChange{{Endpoint: first.Number, Health: postern.Health{Disabled: postern.DisabledFailing}}}
		if err := (records{p.eng}).CommitChanges(p.Context(), nil, ill); err != nil {
			t.Fatal(err)
		}
		if fourth := begin("c.d", "e.*"); !fourth.Enabled() || fourth.Rate != 7 {
			t.Errorf("what the engine disabled stays so: %+v", fourth)
		}
		if fifth := begin("*"); fifth.EventTypes != nil {
			t.Errorf("%+v", fifth.EventTypes)
		}
	})
}

func TestRegistrationSaysWhatIsWrong(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		eng, err := New(p.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		fine := func(context.Context, *Message) error { return nil }
		if err := eng.On("a.b", fine); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			err error
			say string
		}{
			"twice":              {eng.On("a.b", fine), "registered already"},
			"twice under a name": {eng.OnWith(HandlerOptions{Name: "a.b", EventTypes: []string{"c"}}, fine), "registered already"},
			"twice at once":      {eng.OnMap(map[string]HandlerFunc{"x.*": fine, "x.any": fine}), "registered already"},
			"no function":        {eng.On("c.d", nil), "needs a function"},
			"no typed function":  {On[int](eng, "c.d", nil), "needs a function"},
			"no event type":      {eng.OnWith(HandlerOptions{Name: "x"}, fine), "needs an event type"},
			"no name":            {eng.OnWith(HandlerOptions{EventTypes: []string{"c", "d"}}, fine), "cannot be a handler's name"},
			"an id":              {eng.OnWith(HandlerOptions{Name: "ep_1", EventTypes: []string{"c"}}, fine), "cannot be a handler's name"},
			"a bad pattern":      {eng.OnWith(HandlerOptions{Name: "x", EventTypes: []string{"a*"}}, fine), "whole last part"},
			"a bad schedule":     {eng.OnWith(HandlerOptions{EventTypes: []string{"c"}, RetrySchedule: postern.RetrySchedule{0}}, fine), "retry schedule"},
			"a bad channel":      {eng.OnWith(HandlerOptions{EventTypes: []string{"c"}, Channels: []string{"a b"}}, fine), "Channels"},
			"a negative limit":   {eng.OnWith(HandlerOptions{EventTypes: []string{"c"}, Concurrency: -1}, fine), "negative"},
			"one of a map":       {eng.OnMap(map[string]HandlerFunc{"b": fine, "c.d": nil}), "needs a function"},
		} {
			if test.err == nil || !strings.Contains(test.err.Error(), test.say) {
				t.Errorf("%s: %v, want %q", name, test.err, test.say)
			}
		}
		if err := eng.On("b", fine); err != nil {
			t.Errorf("a map that was refused left something: %v", err)
		}
		if err := eng.OnWith(HandlerOptions{EventTypes: []string{"a.b"}, Application: "other"}, fine); err != nil {
			t.Errorf("the same name in another application: %v", err)
		}
		p.begin(func(*Engine) error { return nil })
		synctest.Wait()
		if err := p.eng.On("late", fine); !errors.Is(err, postern.ErrConflict) {
			t.Errorf("while it runs: %v", err)
		}
	})
}

// A name that belongs to an endpoint of another kind ends Run, and who publishes
// does not wait for ever.
func TestRunSaysWhichHandlerCannotBe(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(func(*Engine) error { return nil })
		app, err := p.eng.EnsureApplication(p.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.eng.catalogue.CreateEndpoint(p.Context(), postern.Endpoint{Application: app.Number, UID: "a.b", URL: "https://example.com/"}); err != nil {
			t.Fatal(err)
		}
		p.stop()
		eng, err := New(p.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := eng.On("a.b", func(context.Context, *Message) error { return nil }); err != nil {
			t.Fatal(err)
		}
		published := make(chan error)
		go func() {
			_, _, err := eng.Publish(p.Context(), postern.Publish{EventType: "a.b"})
			published <- err
		}()
		synctest.Wait()
		if err := eng.Run(p.Context()); !errors.Is(err, postern.ErrConflict) || !strings.Contains(err.Error(), "handler a.b") {
			t.Errorf("Run: %v", err)
		}
		if err := <-published; !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("published: %v", err)
		}
	})
}

// An application has an id besides its uid, and a handler's name is taken under
// either.
func TestRunFindsAHandlerThatIsThereTwice(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		app, err := p.eng.EnsureApplication(p.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		p.stop()
		eng, err := New(p.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		fine := func(context.Context, *Message) error { return nil }
		if err := errors.Join(eng.On("a.b", fine), eng.OnWith(HandlerOptions{EventTypes: []string{"a.b"}, Application: app.ID.String()}, fine)); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithTimeout(p.Context(), time.Minute)
		defer leave()
		if err := eng.Run(ctx); !errors.Is(err, postern.ErrConflict) {
			t.Errorf("one of two functions is never called: %v", err)
		}
	})
}

func TestConcurrencyIsLimited(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		var now, most, all int
		p.begin(func(eng *Engine) error {
			return eng.OnWith(HandlerOptions{EventTypes: []string{"a.b"}, Concurrency: 2}, func(context.Context, *Message) error {
				p.mu.Lock()
				now++
				all++
				most = max(most, now)
				p.mu.Unlock()
				<-time.After(100 * time.Millisecond)
				p.mu.Lock()
				now--
				p.mu.Unlock()
				return nil
			})
		})
		for range 20 {
			p.publish("a.b", "{}")
		}
		p.pass(2 * time.Second)
		if most != 2 || all != 20 {
			t.Errorf("%d calls, up to %d at once", all, most)
		}
	})
}

// A handler that does not end in time is cut off by its context, and tried again
// at the next start.
func TestStopCutsHandlersOff(t *testing.T) {
	inProgram(t, Config{DrainTimeout: 5 * time.Second, AttemptTimeout: time.Hour}, func(p *program) {
		p.on("a.b", func(ctx context.Context, m *Message) error {
			p.note("%d", m.Attempt)
			<-ctx.Done()
			return ctx.Err()
		})
		m := p.publish("a.b", "{}")
		p.want("1")
		begun := time.Now()
		p.stop()
		if took := time.Since(begun); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("stopped after %v", took)
		}
		if s := p.standing(m, 0); s.State != postern.Pending || s.Attempts != 0 {
			t.Errorf("%+v", s)
		}
		p.on("a.b", func(_ context.Context, m *Message) error { p.note("again %d", m.Attempt); return nil })
		p.pass(time.Second)
		p.want("again 1")
	})
}

// What a handler publishes says what caused it, and the chain has an end.
func TestHandlersThatPublish(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.on("a.b", func(ctx context.Context, m *Message) error {
			p.note("%d", m.Depth)
			_, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a.b", Tags: []string{m.ID.String()}})
			return err
		})
		first := p.publish("a.b", "{}")
		p.pass(time.Second)
		if calls := p.noted(); len(calls) != event.MaxDepth+1 || calls[event.MaxDepth] != "16" {
			t.Errorf("%d calls: %v", len(calls), calls)
		}
		page, err := p.st.Messages(p.Context(), first.Application, store.MessageFilter{}, store.Page{Limit: 100})
		if err != nil || len(page.Messages) != event.MaxDepth+1 {
			t.Fatalf("%d messages, %v", len(page.Messages), err)
		}
		for _, m := range page.Messages {
			if m.ID != first.ID && (m.Depth == 0 || m.CausedBy.String() != m.Tags[0]) {
				t.Errorf("%+v", m)
			}
		}
		last := page.Messages[0]
		if s := p.standing(last, 0); last.Depth != event.MaxDepth || s.State != postern.Dead || s.Reason != postern.ReasonPermanent {
			t.Errorf("depth %d, %+v", last.Depth, s)
		}
	})
}

// A chain has an end, too, where its handlers name the cause themselves.
func TestAChainThatNamesItsCauses(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		calls := 0
		p.on("a.b", func(ctx context.Context, m *Message) error {
			if calls++; calls > 2*event.MaxDepth {
				return nil
			}
			p.note("%d", m.Depth)
			_, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a.b", CausedBy: m.ID})
			return err
		})
		p.publish("a.b", "{}")
		p.pass(time.Second)
		if calls := p.noted(); len(calls) != event.MaxDepth+1 || calls[event.MaxDepth] != "16" {
			t.Errorf("%d calls: %v", len(calls), calls)
		}
	})
}

// Two engines of a program do not take each other's messages for causes.
func TestAnotherEnginesMessageIsNoCause(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		ctx := (&Engine{}).causing(p.Context(), &Message{Depth: event.MaxDepth})
		p.begin(func(*Engine) error { return nil })
		m, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a.b"})
		if err != nil || m.Depth != 0 || !m.CausedBy.IsZero() {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

func TestMiddlewareIsAroundHandlers(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inProgram(t, Config{}, func(p *program) {
		around := func(name string) Middleware {
			return func(next HandlerFunc) HandlerFunc {
				return func(ctx context.Context, m *Message) error {
					p.note("%s before", name)
					err := next(ctx, m)
					p.note("%s after: %v", name, err)
					return err
				}
			}
		}
		type key struct{}
		p.begin(func(eng *Engine) error {
			err := eng.On("a.b", func(ctx context.Context, m *Message) error {
				if p.note("handled in %v", ctx.Value(key{})); m.Attempt > 1 {
					return nil
				}
				panic("oh no")
			})
			eng.Use(around("outer"), around("inner"))
			eng.Use(Log(log), Trace(func(ctx context.Context, m *Message) (context.Context, func(error)) {
				return context.WithValue(ctx, key{}, "span of "+m.Handler), func(err error) { p.note("span ends: %v", err) }
			}))
			return err
		})
		m := p.publish("a.b", `"payload"`)
		p.want("outer before", "inner before", "handled in span of a.b", "span ends: panic: oh no", "inner after: panic: oh no", "outer after: panic: oh no")
		p.pass(10 * time.Second)
		p.want("outer before", "inner before", "handled in span of a.b", "span ends: <nil>", "inner after: <nil>", "outer after: <nil>")
		for _, want := range []string{"level=WARN", "level=DEBUG", "handler=a.b", "message=" + m.ID.String(), "attempt=2", "oh no"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s is not in the log: %s", want, text.String())
			}
		}
		if strings.Contains(text.String(), "payload") {
			t.Error("the payload is in the log")
		}
	})
}

// A middleware that panics is a failure like others.
func TestMiddlewareThatPanics(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(func(eng *Engine) error {
			eng.Use(func(HandlerFunc) HandlerFunc { return func(context.Context, *Message) error { panic("oh no") } })
			return eng.On("a.b", func(context.Context, *Message) error { return nil })
		})
		m := p.publish("a.b", "{}")
		p.pass(time.Second)
		if a := p.attempts(m)[0]; a.Failure != "panic" || a.Code != 0 {
			t.Errorf("%+v", a)
		}
	})
}

// Middleware that is around nothing is told of: a nil by Run, and what comes too
// late by the log.
func TestMiddlewareThatIsNone(t *testing.T) {
	var text bytes.Buffer
	inProgram(t, Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, func(p *program) {
		for name, none := range map[string]Middleware{"nil": nil, "makes a nil": func(HandlerFunc) HandlerFunc { return nil }} {
			eng, err := New(p.Context(), p.cfg)
			if err != nil {
				t.Fatal(err)
			}
			eng.Use(none)
			if err := eng.On("a.b", func(context.Context, *Message) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if err := eng.Run(p.Context()); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "Middleware") {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.on("a.b", func(context.Context, *Message) error { p.note("handled"); return nil })
		p.publish("a.b", "{}")
		p.want("handled")
		p.eng.Use(Recover)
		if !strings.Contains(text.String(), "Use came after Run") {
			t.Errorf("logged %s", text.String())
		}
	})
}

// What is handled stays so where there is nobody to be told of it.
func TestMiddlewareThatTellsNobody(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(func(eng *Engine) error {
			eng.Use(Log(nil), Trace(func(ctx context.Context, _ *Message) (context.Context, func(error)) { return ctx, nil }))
			return eng.On("a.b", func(context.Context, *Message) error { p.note("handled"); return nil })
		})
		m := p.publish("a.b", "{}")
		p.pass(time.Hour)
		p.want("handled")
		if s := p.standing(m, 0); s.State != postern.Delivered {
			t.Errorf("%+v", s)
		}
	})
}
