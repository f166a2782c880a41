package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/event"
)

func (p *program) listen(o ListenOptions, fn ListenerFunc) (stop func()) {
	p.Helper()
	stop, err := p.eng.ListenWith(o, fn)
	if err != nil {
		p.Fatal(err)
	}
	return stop
}

func TestListenersAreCalledBeforePublishReturns(t *testing.T) {
	var text bytes.Buffer
	inProgram(t, Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, func(p *program) {
		p.begin(nothing)
		stop, err := p.eng.Listen("link.*", func(_ context.Context, m *Message) { p.note("first %s %s", m.EventType, m.Payload) })
		if err != nil {
			t.Fatal(err)
		}
		p.listen(ListenOptions{EventTypes: []string{"*"}}, func(_ context.Context, m *Message) { panic("about " + string(m.Payload)) })
		p.listen(ListenOptions{EventTypes: []string{"link.clicked"}}, func(context.Context, *Message) { p.note("last") })
		p.listen(ListenOptions{EventTypes: []string{"*"}, Application: "other"}, func(context.Context, *Message) { p.note("other") })
		m := p.publish("link.clicked", `"private"`)
		p.mu.Lock()
		if n := len(p.calls); n != 2 { // without a look at other goroutines
			t.Errorf("%d listeners heard by now", n)
		}
		p.mu.Unlock()
		p.want(`first link.clicked "private"`, "last")
		if logged := text.String(); !strings.Contains(logged, m.ID.String()) || !strings.Contains(logged, "listen_test.go") || strings.Contains(logged, "private") {
			t.Errorf("logged %s", logged)
		}
		p.publish("order.made", "{}")
		p.want()
		stop()
		p.publish("link.clicked", "{}")
		p.want("last")
		app, err := p.eng.EnsureApplication(p.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		in := postern.Publish{Application: app.Number, EventType: "a", EventID: "1"}
		for range 2 { // the second is a copy
			if _, _, err := (inlet{p.eng}).Publish(p.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		p.want("other")
	})
}

// A listener with a buffer holds nobody up, hears of messages in their order, and
// misses what finds no room.
func TestBufferedListeners(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		p.listen(ListenOptions{EventTypes: []string{"a"}, Buffer: 3}, func(ctx context.Context, m *Message) {
			<-time.After(time.Second)
			p.note("%s", m.Payload)
			if ctx.Err() != nil {
				t.Error("its publisher's context ended it")
			}
		})
		begun := time.Now()
		for _, payload := range []string{"1", "2", "3", "4", "5", "6"} {
			ctx, leave := context.WithCancel(p.Context())
			if _, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a", Payload: []byte(payload)}); err != nil {
				t.Fatal(err)
			}
			leave()
			synctest.Wait()
		}
		if took := time.Since(begun); took > time.Second/2 {
			t.Errorf("publishing took %v", took)
		}
		p.pass(time.Minute)
		p.want("1", "2", "3", "4")
		if s, err := p.eng.Stats(p.Context()); err != nil || s.ListenersDropped != 2 {
			t.Errorf("%d dropped, %v", s.ListenersDropped, err)
		}
		p.publish("a", "7")
		p.publish("a", "8")
		synctest.Wait()
		begun = time.Now()
		p.stop() // the call under way ends, and what waits is dropped
		if took := time.Since(begun); took < 900*time.Millisecond || took > 2*time.Second {
			t.Errorf("stopped after %v", took)
		}
		p.want("7")
		p.eng.listeners.tell(p.Context(), p.eng, &postern.Message{EventType: "a"}, nil, nil)
		p.pass(time.Minute)
		p.want() // it is over
	})
}

// A listener that ends its goroutine, as a test's does that fails, hears of what
// comes after.
func TestAListenerThatEndsItsGoroutine(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		p.listen(ListenOptions{EventTypes: []string{"a"}, Buffer: 3}, func(_ context.Context, m *Message) {
			p.note("%s", m.Payload)
			runtime.Goexit()
		})
		p.publish("a", "1")
		p.publish("a", "2")
		p.want("1", "2")
		p.publish("a", "3")
		p.want("3")
	})
}

// What a listener publishes was caused by what it heard of, and that ends.
func TestListenersThatPublish(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		p.listen(ListenOptions{EventTypes: []string{"a"}}, func(ctx context.Context, m *Message) {
			p.note("%d", m.Depth)
			_, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a"})
			if (err != nil) != (m.Depth == event.MaxDepth) {
				t.Errorf("at depth %d: %v", m.Depth, err)
			}
		})
		p.publish("a", "{}")
		if n := len(p.noted()); n != event.MaxDepth+1 {
			t.Errorf("heard of %d", n)
		}
	})
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		fine := func(context.Context, *Message) {}
		for say, err := range map[string]error{
			"needs a function":    second(p.eng.Listen("a", nil)),
			"needs an event type": second(p.eng.ListenWith(ListenOptions{}, fine)),
			"Buffer":              second(p.eng.ListenWith(ListenOptions{EventTypes: []string{"a"}, Buffer: -1}, fine)),
			"whole last part":     second(p.eng.Listen("a*", fine)),
		} {
			if !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), say) {
				t.Errorf("%v, want %q", err, say)
			}
		}
	})
}

func second(_ func(), err error) error { return err }

// A listener that does not return keeps nobody else from stopping: no attempt starts.
func TestAListenerThatHangsWhileStopping(t *testing.T) {
	inBubble(t, Config{DrainTimeout: 10 * time.Second, MaxInFlight: 1}, func(l *life) {
		if _, err := l.eng.ListenWith(ListenOptions{EventTypes: []string{"*"}, Buffer: 1}, func(context.Context, *Message) { <-time.After(time.Hour) }); err != nil {
			t.Fatal(err)
		}
		l.replies(func(ctx context.Context, a *postern.Attempt) bool {
			select {
			case <-time.After(3 * time.Second):
			case <-ctx.Done():
				t.Error("an attempt is cut off")
			}
			a.Code, a.Succeeded = 200, true
			return true
		})
		for range 10 {
			l.publish()
		}
		l.pass(time.Second)
		before := len(l.tried())
		l.stop()
		if after := len(l.tried()); after != 0 {
			t.Errorf("%d began before the stop, and %d after", before, after)
		}
		l.pass(2 * time.Hour)
	})
}
