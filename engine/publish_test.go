package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func nothing(*Engine) error { return nil }

// What is published before Run has stored the handlers waits for that.
func TestPublishWaitsForTheHandlers(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		eng, err := New(p.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := eng.On("a.b", func(context.Context, *Message) error { p.note("handled"); return nil }); err != nil {
			t.Fatal(err)
		}
		impatient, leave := context.WithTimeout(p.Context(), time.Second)
		defer leave()
		if _, _, err := eng.Publish(impatient, postern.Publish{EventType: "a.b"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: %v", err)
		}
		go func() {
			m, _, err := eng.Publish(p.Context(), postern.Publish{EventType: "a.b"})
			p.note("published to %d, %v", len(m.Routes), err)
		}()
		synctest.Wait()
		ctx, stop := context.WithCancel(p.Context())
		ran := make(chan error)
		go func() { ran <- eng.Run(ctx) }()
		p.pass(time.Second)
		if calls := p.noted(); len(calls) != 2 {
			t.Errorf("%q", calls)
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatNobodyHandles(t *testing.T) {
	for policy, stored := range map[Unhandled]int{RecordUnhandled: 2, IgnoreUnhandled: 1, RefuseUnhandled: 1} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			inProgram(t, Config{Unhandled: policy}, func(p *program) {
				p.on("a.b", func(context.Context, *Message) error { p.note("handled"); return nil })
				p.publish("a.b", "{}")
				p.want("handled")
				m, duplicate, err := p.eng.Publish(p.Context(), postern.Publish{EventType: "c.d"})
				if refused := errors.Is(err, postern.ErrUnhandled); refused != (policy == RefuseUnhandled) || duplicate {
					t.Errorf("refused %t, %v", refused, err)
				}
				if m.ID.IsZero() != (policy != RecordUnhandled) || m.EventType != "c.d" {
					t.Errorf("published %+v", m)
				}
				if _, outcomes, err := p.eng.PublishWait(p.Context(), postern.Publish{EventType: "c.d"}); len(outcomes) > 0 || (err != nil) != (policy == RefuseUnhandled) {
					t.Errorf("waited for %d, %v", len(outcomes), err)
				}
				page, err := p.st.Messages(p.Context(), m.Application, store.MessageFilter{}, store.Page{Limit: 9})
				if n := len(page.Messages); err != nil || n != stored+b2i(policy == RecordUnhandled) {
					t.Errorf("%d stored, %v", n, err)
				}
				// What comes over HTTP is recorded, and a listener is somebody.
				if m, _, err := (inlet{p.eng}).Publish(p.Context(), postern.Publish{Application: m.Application, EventType: "c.d"}); err != nil || m.ID.IsZero() {
					t.Errorf("over HTTP: %+v, %v", m, err)
				}
				if _, err := p.eng.Listen("c.*", func(context.Context, *Message) { p.note("heard") }); err != nil {
					t.Fatal(err)
				}
				p.publish("c.d", "{}")
				p.want("heard")
			})
		})
	}
}

// A program is told of the names that the API would refuse, whoever listens.
func TestPublishRefusesNames(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.on("*", func(context.Context, *Message) error { return nil })
		for field, wrong := range map[string]postern.Publish{
			"EventType": {EventType: "not a name"},
			"EventID":   {EventType: "a.b", EventID: strings.Repeat("x", 257)},
			"Channels":  {EventType: "a.b", Channels: []string{"c", ""}},
			// An endpoint could not be sent it, whenever that is found out.
			"ContentType": {EventType: "a.b", ContentType: "text/plain\r\nX-Evil: 1"},
			"Only":        {EventType: "a.b", Only: 77},
			"Depth":       {EventType: "a.b", Depth: -1},
		} {
			for how, err := range publishBoth(p, wrong) {
				if !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), field) {
					t.Errorf("%s: a wrong %s: %v", how, field, err)
				}
			}
		}
	})
}

// An endpoint of another application gets nothing, named or not.
func TestPublishToAnothersEndpoint(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.on("a.b", func(context.Context, *Message) error { p.note("handled"); return nil })
		own := p.publish("a.b", "{}").Routes[0]
		other, err := p.eng.EnsureApplication(p.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		p.want("handled")
		for _, err := range publishBoth(p, postern.Publish{Application: other.Number, EventType: "a.b", Only: own}) {
			if !errors.Is(err, postern.ErrInvalid) {
				t.Errorf("another's endpoint: %v", err)
			}
		}
		if _, _, err := p.eng.Publish(p.Context(), postern.Publish{EventType: "c.d", Only: own}); err != nil {
			t.Error(err)
		}
		p.want("handled")
	})
}

// The engine's own application may get another uid: what is published goes on to
// the handlers in it.
func TestPublishInARenamedApplication(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.on("a.b", func(context.Context, *Message) error { p.note("handled"); return nil })
		app := p.publish("a.b", "{}").Application
		_, err := p.eng.catalogue.UpdateApplication(p.Context(), app, func(a *postern.Application) error { a.UID = "renamed"; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if m := p.publish("a.b", "{}"); m.Application != app {
			t.Errorf("published in application %d, not %d", m.Application, app)
		}
		p.want("handled", "handled")
	})
}

// With a context that has ended nothing is published: who gave it does not wait
// for an answer.
func TestPublishForNobody(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(nothing)
		app := p.publish("a.b", "{}").Application
		gone := errors.New("gone")
		ctx, leave := context.WithCancelCause(p.Context())
		leave(gone)
		for range 20 {
			if _, _, err := p.eng.Publish(ctx, postern.Publish{EventType: "a.b"}); !errors.Is(err, gone) {
				t.Errorf("alone: %v", err)
			}
			if _, err := p.eng.PublishBatch(ctx, []postern.Publish{{EventType: "a.b"}}); !errors.Is(err, gone) {
				t.Errorf("in a batch: %v", err)
			}
			if _, _, err := p.eng.PublishWait(ctx, postern.Publish{EventType: "a.b"}); !errors.Is(err, gone) {
				t.Errorf("waiting: %v", err)
			}
		}
		p.pass(time.Second)
		page, err := p.st.Messages(p.Context(), app, store.MessageFilter{}, store.Page{Limit: 99})
		if n := len(page.Messages); err != nil || n != 1 {
			t.Errorf("%d messages are stored, %v", n, err)
		}
	})
}

// publishBoth publishes alone and in a batch.
func publishBoth(p *program, one postern.Publish) map[string]error {
	_, _, alone := p.eng.Publish(p.Context(), one)
	_, batch := p.eng.PublishBatch(p.Context(), []postern.Publish{one})
	return map[string]error{"alone": alone, "in a batch": batch}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestPublishBatch(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.on("a.*", func(_ context.Context, m *Message) error { p.note("%s", m.Payload); return nil })
		synctest.Wait()
		other, err := p.eng.EnsureApplication(p.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		batch := make([]postern.Publish, 100)
		for i := range batch {
			batch[i] = postern.Publish{EventType: "a.b", Payload: fmt.Append(nil, i)}
		}
		receipts, err := p.eng.PublishBatch(p.Context(), batch)
		if err != nil || len(receipts) != 100 || receipts[7].Message.ID.Compare(receipts[8].Message.ID) >= 0 {
			t.Fatalf("%d receipts, %v", len(receipts), err)
		}
		p.pass(time.Second)
		if calls := p.noted(); len(calls) != 100 {
			t.Errorf("%d calls", len(calls))
		}
		receipts, err = p.eng.PublishBatch(p.Context(), []postern.Publish{
			{EventType: "a.b", EventID: "1", Payload: []byte("new")}, {EventType: "a.b", EventID: "1"}, {EventType: "a.b", Application: other.Number},
		})
		if !errors.Is(err, postern.ErrInvalid) || !errors.Is(receipts[2].Err, postern.ErrInvalid) || receipts[2].Message != nil {
			t.Errorf("of another application: %+v, %v", receipts[2], err)
		}
		if a, b := receipts[0], receipts[1]; a.Err != nil || b.Err != nil || a.Duplicate || !b.Duplicate || a.Message.ID != b.Message.ID {
			t.Errorf("a copy: %+v, %+v", a, b)
		}
		p.want("new")
		receipts, err = p.eng.PublishBatch(p.Context(), []postern.Publish{{EventType: "no name"}, {EventType: "a.b", Payload: []byte("behind a bad one")}})
		if !errors.Is(err, postern.ErrInvalid) || receipts[0].Err == nil || receipts[1].Err != nil {
			t.Errorf("behind one that is refused: %+v, %v", receipts, err)
		}
		p.want("behind a bad one")
		if receipts, err := p.eng.PublishBatch(p.Context(), nil); len(receipts) > 0 || err != nil {
			t.Errorf("nothing: %v, %v", receipts, err)
		}
		p.stop()
		if receipts, err := p.eng.PublishBatch(p.Context(), batch); !errors.Is(err, postern.ErrUnavailable) || receipts[99].Err == nil {
			t.Errorf("stopped: %v", err)
		}
	})
}

func TestPublishWait(t *testing.T) {
	inProgram(t, Config{RetrySchedule: postern.RetrySchedule{10 * time.Second, time.Hour}}, func(p *program) {
		takes := func(name string, d time.Duration, err error) func(eng *Engine) error {
			return func(eng *Engine) error {
				return eng.OnWith(HandlerOptions{Name: name, EventTypes: []string{"a.b"}}, func(context.Context, *Message) error {
					<-time.After(d)
					return err
				})
			}
		}
		p.begin(func(eng *Engine) error {
			return errors.Join(takes("fast", 0, nil)(eng), takes("slow", 2*time.Second, nil)(eng), takes("broken", 0, errors.New("no luck"))(eng))
		})
		wait := func(d time.Duration, in postern.Publish) (map[string]string, time.Duration) {
			ctx, leave := context.WithTimeout(p.Context(), d)
			defer leave()
			begun := time.Now()
			_, outcomes, err := p.eng.PublishWait(ctx, in)
			if err != nil {
				t.Error(err)
			}
			found := map[string]string{}
			for _, o := range outcomes {
				answer := ""
				if o.Last != nil {
					answer = fmt.Sprint(o.Last.Code, " ", string(o.Last.Response))
				}
				found[o.Endpoint.UID] = fmt.Sprint(o.State, " ", o.Attempts, " ", answer)
			}
			return found, time.Since(begun).Truncate(time.Second)
		}
		in := postern.Publish{EventType: "a.b", EventID: "1"}
		for _, test := range []struct {
			name  string
			wait  time.Duration
			in    postern.Publish
			want  map[string]string
			after time.Duration
		}{
			{"until the deadline", time.Second, in, map[string]string{"fast": "delivered 1 200 ", "slow": "pending 0 ", "broken": "retrying 1 500 no luck"}, time.Second},
			{"a copy, until none is tried any more", time.Hour / 2, in, map[string]string{"fast": "delivered 1 200 ", "slow": "delivered 1 200 ", "broken": "retrying 2 500 no luck"}, 0},
			{"until all have ended", 3 * time.Hour, postern.Publish{EventType: "a.b"}, map[string]string{"fast": "delivered 1 200 ", "slow": "delivered 1 200 ", "broken": "dead 3 500 no luck"}, 0},
		} {
			got, after := wait(test.wait, test.in)
			if diff := cmp.Diff(test.want, got); diff != "" || test.after > 0 && after != test.after || after >= test.wait+time.Second {
				t.Errorf("%s: after %v: %s", test.name, after, diff)
			}
		}
	})
}
