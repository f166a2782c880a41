package posterntest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/posterntest"
	"github.com/postern-dev/postern/verify"
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

// How do I test what happens when the receiver is in trouble?
func ExampleServer_NewReceiver() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	s := posterntest.New(t, engine.Config{})
	flaky := s.NewReceiver(
		posterntest.Reply{Fault: posterntest.Reset},
		posterntest.Reply{Status: 500, Body: "out of memory"},
		posterntest.Reply{Status: 204},
	)
	s.Connect(flaky)

	m := s.Publish("invoice.paid", map[string]int{"amount": 1200})
	delivered := s.AwaitState(m, postern.Delivered)
	fmt.Println(delivered[0].Attempts, "attempts")
	for _, got := range flaky.Requests() {
		fmt.Println(got.ID == m.ID.String(), got.Err)
	}
	// Output:
	// 3 attempts
	// true <nil>
	// true <nil>
	// true <nil>
}

// How do I test that a client's endpoint gets what it selected?
func ExampleServer_Call() {
	t := new(exampleT) // in a test, its *testing.T
	defer t.end()

	s := posterntest.New(t, engine.Config{})
	r := s.NewReceiver()
	s.Connect(r, "invoice.paid")
	var endpoints struct {
		Data []struct{ EventTypes []string }
	}
	s.Call("GET", "/app/default/endpoint", nil, &endpoints)
	fmt.Println(endpoints.Data[0].EventTypes)
	// Output: [invoice.paid]
}

// How do I test my endpoint with a request that Stripe signed an hour ago?
func ExampleSign_stripe() {
	stripe, err := verify.For("stripe", "whsec_test")
	if err != nil {
		fmt.Println(err)
		return
	}
	mine := verify.Middleware(stripe, verify.Options{
		OnRefusal: func(_ *http.Request, err error) {
			var refused *verify.Error
			fmt.Println(errors.As(err, &refused), refused.Reason)
		},
	})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		event, _ := verify.EventFrom(r.Context())
		fmt.Println(event.Type, event.DeliveryID)
	}))
	for _, age := range []time.Duration{0, time.Hour} {
		req, err := posterntest.Sign("stripe", "whsec_test", []byte(`{"id":"evt_1","type":"invoice.paid"}`),
			posterntest.SignOptions{At: time.Now().Add(-age)})
		if err != nil {
			fmt.Println(err)
			return
		}
		answer := httptest.NewRecorder()
		mine.ServeHTTP(answer, req)
		fmt.Println(answer.Code)
	}
	// Output:
	// invoice.paid evt_1
	// 200
	// true timestamp_outside_window
	// 401
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
