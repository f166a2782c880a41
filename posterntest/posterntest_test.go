package posterntest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/posterntest"
	"github.com/postern-dev/postern/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs a test on the machine's time, and on a bubble's.
func everywhere(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("outside", test)
	t.Run("in a bubble", func(t *testing.T) { synctest.Test(t, test) })
}

// failing is a test that may fail: what it says is kept.
type failing struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (f *failing) Helper() {}

func (f *failing) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	f.TB.Logf(format, args...)
	runtime.Goexit()
}

// saysOf runs what should fail a test, and returns what it says.
func saysOf(t *testing.T, f *failing, do func()) string {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
	f.mu.Lock()
	defer f.mu.Unlock()
	said := strings.Join(f.said, "\n")
	f.said = nil
	return said
}

func TestDeliveries(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		s := posterntest.New(t, engine.Config{})
		invoices, all := s.NewReceiver(), s.NewReceiver()
		s.Connect(invoices, "invoice.*")
		s.Connect(all)
		m := s.Publish("invoice.paid", map[string]int{"amount": 7})
		if d := s.AwaitState(m, postern.Delivered); len(d) != 2 || d[0].Attempts != 1 {
			t.Errorf("%+v", d)
		}
		s.AwaitEnded(s.Publish("user.created", nil))
		if got := all.Await(2); string(got[0].Body) != `{"amount":7}` || got[0].ID != m.ID.String() || got[0].Method != "POST" || got[0].Target != "/" {
			t.Errorf("%+v", got)
		}
		if n := len(invoices.Requests()); n != 1 {
			t.Errorf("%d requests of other types", n-1)
		}
	})
}

// TestFaults: what each fault makes of an attempt, and that the next one is not
// hurt by it.
func TestFaults(t *testing.T) {
	held := make(chan struct{})
	for name, tc := range map[string]struct {
		reply    posterntest.Reply
		code     int
		attempts int
		failure  bool // words instead of a code
	}{
		"status":           {posterntest.Reply{Status: 503, Body: "later"}, 503, 2, false},
		"redirect":         {posterntest.Redirect("http://192.0.2.1/"), 302, 2, false},
		"reset":            {posterntest.Reply{Fault: posterntest.Reset}, 0, 2, true},
		"reset mid-header": {posterntest.Reply{Fault: posterntest.ResetMidHeader}, 0, 2, true},
		"reset mid-body":   {posterntest.Reply{Status: 500, Fault: posterntest.ResetMidBody}, 500, 2, false},
		"reset in success": {posterntest.Reply{Fault: posterntest.ResetMidBody}, 200, 1, false},
		"garbage":          {posterntest.Reply{Fault: posterntest.Garbage}, 0, 2, true},
		"endless":          {posterntest.Reply{Status: 500, Fault: posterntest.Endless}, 500, 2, false},
		"endless success":  {posterntest.Reply{Fault: posterntest.Endless}, 200, 1, false},
		"timeout":          {posterntest.Reply{Hold: held}, 0, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T) {
				timeout := time.Minute
				reply := tc.reply
				if reply.Hold != nil {
					timeout = 3 * time.Second        // which the second attempt has too, on any machine
					reply.Hold = make(chan struct{}) // channels belong to their bubble
				}
				first := make(chan postern.Attempt, 10)
				s := posterntest.New(t, engine.Config{AttemptTimeout: timeout, Observer: engine.Observer{
					Attempted: func(a *postern.Attempt) { first <- *a },
				}})
				r := s.NewReceiver(reply)
				s.Connect(r)
				d := s.AwaitState(s.Publish("a.b", nil), postern.Delivered)
				if d[0].Attempts != tc.attempts {
					t.Errorf("%d attempts, want %d", d[0].Attempts, tc.attempts)
				}
				if a := <-first; a.Code != tc.code || (a.Failure != "") != tc.failure {
					t.Errorf("code %d, failure %q", a.Code, a.Failure)
				}
				r.Await(tc.attempts)
			})
		})
	}
}

// TestScheduleInABubble: the engine's own waits, in no time.
func TestScheduleInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := posterntest.New(t, engine.Config{})
		r := s.NewReceiver(posterntest.Reply{Status: 429, RetryAfter: time.Hour})
		r.Always(posterntest.Reply{Status: 500})
		s.Connect(r)
		m := s.Publish("a.b", nil)
		s.AwaitAttempts(m, 2)
		if got := r.Await(2); got[1].At.Sub(got[0].At) < time.Hour {
			t.Errorf("came again after %v", got[1].At.Sub(got[0].At))
		}
		if d := s.AwaitState(m, postern.Dead); d[0].Attempts != 8 || d[0].Reason != postern.ReasonExhausted {
			t.Errorf("%+v", d)
		}
		got := r.Await(8)
		if took := got[7].At.Sub(got[0].At); took < 20*time.Hour || took > 40*time.Hour {
			t.Errorf("eight tries took %v", took)
		}
	})
}

// TestHold: an answer waits for the test, and the test's end for nothing.
func TestHold(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		s := posterntest.New(t, engine.Config{})
		release := make(chan struct{})
		r := s.NewReceiver(posterntest.Reply{Hold: release}, posterntest.Reply{Hold: make(chan struct{})})
		s.Connect(r)
		m := s.Publish("a.b", nil)
		r.Await(1)
		if d := s.Standings(m); d[0].State.Final() {
			t.Errorf("before the answer: %+v", d)
		}
		close(release)
		s.AwaitState(m, postern.Delivered)
		s.Publish("a.b", nil)
		r.Await(2)
	})
}

func TestThen(t *testing.T) {
	s := posterntest.New(t, engine.Config{})
	r := s.NewReceiver(posterntest.Reply{Status: 500})
	r.Then(posterntest.Reply{Status: 500}, posterntest.Reply{Status: 204})
	r.Always(posterntest.Reply{Status: 410})
	s.Connect(r)
	if d := s.AwaitState(s.Publish("a.b", nil), postern.Delivered); d[0].Attempts != 3 {
		t.Errorf("%+v", d)
	}
	if d := s.AwaitState(s.Publish("a.b", nil), postern.Dead); d[0].Reason != postern.ReasonGone {
		t.Errorf("%+v", d)
	}
}

// TestWaitsThatFail: a wait says what it waited for and how far that came, and one
// that cannot end does not wait.
func TestWaitsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{TB: t}
		s := posterntest.New(f, engine.Config{})
		ok, down := s.NewReceiver(), s.NewReceiver()
		down.Always(posterntest.Reply{Status: 500})
		s.Connect(ok, "ok")
		s.Connect(down, "down")
		delivered, failed, lost := s.Publish("ok", nil), s.Publish("down", nil), s.Publish("nobody", nil)
		s.AwaitEnded(delivered)
		s.Patience = time.Minute
		for want, do := range map[string]func(){
			"waited 1m0s for 2 requests: 1 came":                               func() { ok.Await(2) },
			"the end of its deliveries: retrying after 2 attempts":             func() { s.AwaitEnded(failed) },
			"9 attempts: delivered after 1 attempts":                           func() { s.AwaitAttempts(delivered, 9) },
			"a delivery ended otherwise than dead: delivered after 1 attempts": func() { s.AwaitState(delivered, postern.Dead) },
			"of type nobody went to no endpoint":                               func() { s.AwaitEnded(lost) },
			"404":                                                              func() { s.Call("GET", "/app/none", nil, nil) },
			"the receiver's secret":                                            func() { ok.Trust("nonsense") },
			"publishing a.b":                                                   func() { s.Publish("a.b", func() {}) },
			"the engine's configuration is not usable":                         func() { posterntest.New(f, engine.Config{Retention: time.Hour}) },
			"registering: not today": func() {
				posterntest.New(f, engine.Config{}, func(*engine.Engine) error { return errors.New("not today") })
			},
		} {
			if said := saysOf(t, f, do); !strings.Contains(said, want) {
				t.Errorf("says %q, want %q", said, want)
			}
		}
	})
}

// TestSignaturesAreJudged: what another key signed is reported.
func TestSignaturesAreJudged(t *testing.T) {
	f := &failing{TB: t}
	s := posterntest.New(f, engine.Config{})
	r, stranger := s.NewReceiver(), s.NewReceiver()
	s.Connect(r)
	id := s.Connect(stranger)
	s.Call("POST", "/app/default/endpoint/"+id+"/secret/rotate", map[string]string{"key": sign.GenerateSymmetric().Reveal()}, nil)
	s.AwaitEnded(s.Publish("a.b", nil))
	if said := saysOf(t, f, func() { r.Await(1); stranger.Await(1) }); said != "" {
		t.Errorf("within the grace of the old secret: %s", said)
	}
	resp, err := s.Client().Post(r.URL+"/x?y=z", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	said := saysOf(t, f, func() { r.Await(2) })
	if got := r.Requests(); !errors.Is(got[1].Err, sign.ErrHeaderMissing) || got[1].Target != "/x?y=z" || !strings.Contains(said, "request 2") {
		t.Errorf("%v, %q", got[1].Err, said)
	}
}

// TestAnotherServersReceiver is not mistaken for one's own of the same address.
func TestAnotherServersReceiver(t *testing.T) {
	f := &failing{TB: t}
	s, other := posterntest.New(f, engine.Config{}), posterntest.New(t, engine.Config{})
	r, _ := other.NewReceiver(), s.NewReceiver()
	if said := saysOf(t, f, func() { s.Connect(r) }); !strings.Contains(said, "another Server") {
		t.Errorf("says %q", said)
	}
}

// TestHandlersAndAPI: what is registered runs, and the API answers within the
// process and outside it.
func TestHandlersAndAPI(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		handled := make(chan string, 1)
		s := posterntest.New(t, engine.Config{}, func(e *engine.Engine) error {
			return e.On("a.b", func(_ context.Context, m *engine.Message) error {
				handled <- string(m.Payload)
				return nil
			})
		})
		s.AwaitState(s.Publish("a.b", "hi"), postern.Delivered)
		if got := <-handled; got != `"hi"` {
			t.Errorf("handled %s", got)
		}
		healthy(t, s.Client(), s.URL)
	})
	healthy(t, http.DefaultClient, posterntest.New(t, engine.Config{}).Listen())
	http.DefaultClient.CloseIdleConnections()
}

func healthy(t *testing.T, client *http.Client, url string) {
	t.Helper()
	resp, err := client.Get(url + "/api/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode/100 != 2 {
		t.Errorf("%d, %v", resp.StatusCode, err)
	}
}

// TestRealNetwork: a receiver on a socket breaks it, too, and an address that
// nobody listens at is refused on either network.
func TestRealNetwork(t *testing.T) {
	s := posterntest.New(t, engine.Config{})
	r := s.NewReceiver(posterntest.Reply{Fault: posterntest.Reset}, posterntest.Reply{Fault: posterntest.Garbage})
	server := httptest.NewServer(r)
	defer server.Close()
	inside := r.URL
	r.URL = server.URL
	s.Connect(r)
	if d := s.AwaitState(s.Publish("a.b", nil), postern.Delivered); d[0].Attempts != 3 {
		t.Errorf("%+v", d)
	}
	r.Await(3)
	if resp, err := s.Client().Get(strings.Replace(inside, "192.0.2.1", "192.0.2.9", 1)); err == nil {
		t.Errorf("nobody answered %d", resp.StatusCode)
	}
}
