package posterntest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/posterntest"
)

// How do I test that my webhooks arrive?
func Example() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	s := posterntest.New(t, engine.Config{})
	r := s.NewReceiver(posterntest.Reply{Status: 503}) // the first time alone
	s.Connect(r, "invoice.*")

	m := s.Publish("invoice.paid", map[string]int{"amount": 1200})

	s.AwaitState(m, postern.Delivered)
	for _, got := range r.Await(2) {
		fmt.Println(got.Method, string(got.Body))
	}
	// Output:
	// POST {"amount":1200}
	// POST {"amount":1200}
}

// How do I test a handler?
func ExampleNew_handler() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	s := posterntest.New(t, engine.Config{}, func(e *engine.Engine) error {
		return e.On("invoice.paid", func(_ context.Context, msg *engine.Message) error {
			fmt.Println(msg.EventType, string(msg.Payload))
			return nil
		})
	})
	s.AwaitState(s.Publish("invoice.paid", "inv_1"), postern.Delivered)
	// Output: invoice.paid "inv_1"
}

// How do I test what happens after a day of failures, without waiting for a day?
func ExampleServer_AwaitState() {
	// As in func TestDeadAfterADay(t *testing.T).
	_ = func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := posterntest.New(t, engine.Config{})
			r := s.NewReceiver()
			r.Always(posterntest.Reply{Status: 500})
			s.Connect(r)

			m := s.Publish("invoice.paid", nil)

			if dead := s.AwaitState(m, postern.Dead); dead[0].Attempts != 8 {
				t.Errorf("%d attempts", dead[0].Attempts)
			}
		})
	}
}

// exampleT stands for a test where there is none.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper() {}

func (t *exampleT) Context() context.Context { return context.Background() }

func (t *exampleT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}
