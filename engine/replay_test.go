package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/store/storetest"
)

// TestSoakReplayPowerLoss cuts the power while a replay goes to an endpoint that
// the messages were not routed to: each of them is started there, exactly once.
func TestSoakReplayPowerLoss(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(12, 400) {
		m := &machine{t: t, r: rand.New(rand.NewPCG(seed, uint64(i))), fs: vfs.NewCrashableMem(), seed: fmt.Sprintf("seed %d run %d", seed, i)}
		m.run()
		if t.Failed() {
			return
		}
	}
}

// machine loses power while an engine on it replays.
type machine struct {
	t    *testing.T
	r    *rand.Rand
	seed string
	fs   *vfs.MemFS
	st   store.Store
	eng  *Engine
	stop func()

	mu       sync.Mutex
	number   int // how often the power went
	arrivals int
	arrived  chan struct{} // capacity 1
}

func (m *machine) run() {
	m.arrived = make(chan struct{}, 1)
	m.start()
	app, err := m.eng.catalogue.CreateApplication(m.t.Context(), postern.Application{Name: "a"})
	m.must(err)
	old := m.endpoint(app.Number)
	since := time.Now()
	messages := 100 + m.r.IntN(400)
	var published []postern.MessageID
	for range messages {
		msg, _, err := m.eng.Publish(m.t.Context(), postern.Publish{Application: app.Number, EventType: "a.b", ContentType: "application/json", Payload: []byte("{}")})
		m.must(err)
		published = append(published, msg.ID)
	}
	m.await("the first deliveries", func() bool { return m.delivered(app.Number, old, published) == messages })
	fresh := m.endpoint(app.Number)
	in := postern.Replay{Application: app.Number, To: fresh, Rate: []int{0, 2000, 20_000}[m.r.IntN(3)], Selection: postern.Selection{Since: since}}
	if in.Rate == 0 {
		in.Selection.From, in.Selection.Status = old, postern.StatusDelivered
	}
	record, err := m.eng.Replay(m.t.Context(), in)
	m.must(err)
	if record.Total != int64(messages) {
		m.t.Errorf("%s: it is to start %d of %d", m.seed, record.Total, messages)
	}
	for range 1 + m.r.IntN(4) {
		if m.r.IntN(4) > 0 {
			at := 1 + m.r.IntN(1+messages/4)
			m.mu.Lock()
			at += m.arrivals
			m.mu.Unlock()
			m.await("some deliveries", func() bool { return m.arrivals >= at || m.ended(record) })
		}
		m.crash()
	}
	m.await("the end", func() bool { return m.ended(record) })
	m.await("all deliveries", func() bool { return m.delivered(app.Number, fresh, published) == messages })
	record, err = m.eng.replays.Replay(app.Number, record.ID)
	m.must(err)
	if record.State != postern.ReplayFinished || record.Replayed != int64(messages) || record.Skipped != 0 || record.Examined != int64(messages) {
		m.t.Errorf("%s: of %d messages: %+v", m.seed, messages, record)
	}
	m.stop()
	m.must(storetest.CheckCover(m.t.Context(), m.st))
	m.must(m.st.Close())
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%s: %v", m.seed, err)
	}
}

func (m *machine) endpoint(app postern.ApplicationNumber) postern.EndpointNumber {
	e, err := m.eng.catalogue.CreateEndpoint(m.t.Context(), postern.Endpoint{Application: app, Kind: postern.HTTPEndpoint, URL: "https://example.com/"})
	m.must(err)
	return e.Number
}

func (m *machine) start() {
	var err error
	m.st, err = embedded.Open(m.t.Context(), "file:data", embedded.Options{FS: m.fs, ReserveBytes: -1})
	m.must(err)
	m.eng, err = New(m.t.Context(), Config{Store: m.st, sender: &machineSender{m, m.number}, Secrets: openSecrets{}, DrainTimeout: -1})
	m.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.eng.Run(ctx) }()
	m.stop = func() { cancel(); <-done }
}

// crash cuts the power, and starts again on what is left.
func (m *machine) crash() {
	m.mu.Lock()
	clone := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[m.r.IntN(3)], RNG: m.r})
	m.number++
	m.mu.Unlock()
	m.stop()
	m.must(m.st.Close())
	m.fs = clone
	m.start()
	m.must(storetest.CheckCover(m.t.Context(), m.st))
}

func (m *machine) ended(record *postern.Replay) bool {
	now, err := m.eng.replays.Replay(record.Application, record.ID)
	m.must(err)
	return now.State.Final()
}

// delivered counts the messages that an endpoint took in one recorded attempt;
// more attempts of one fail the test.
func (m *machine) delivered(app postern.ApplicationNumber, to postern.EndpointNumber, messages []postern.MessageID) (n int) {
	for _, id := range messages {
		s, err := m.st.Standing(m.t.Context(), store.DeliveryKey{Application: app, Endpoint: to, Message: id})
		m.must(err)
		if s.Attempts > 1 {
			m.t.Fatalf("%s: %s was started %d times", m.seed, id, s.Attempts)
		}
		if s.State == postern.Delivered {
			n++
		}
	}
	return n
}

// await looks at a condition whenever something arrived, and now and then.
func (m *machine) await(what string, holds func() bool) {
	m.t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !m.locked(holds) {
		select {
		case <-m.arrived:
		case <-look.C:
		case <-deadline:
			m.t.Fatalf("%s: waiting for %s: %d arrived; %+v", m.seed, what, m.arrivals, m.eng.shards.main.dispatcher.Stats())
		}
	}
}

func (m *machine) locked(holds func() bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return holds()
}

// machineSender reaches endpoints that always answer, while its machine lives.
type machineSender struct {
	m      *machine
	number int
}

func (s *machineSender) Prepare(*postern.EndpointView) (dispatch.Line, error) { return s, nil }

func (s *machineSender) Send(_ context.Context, _ *postern.Message, _ *postern.Content, a *postern.Attempt) bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.number != s.m.number {
		return false
	}
	s.m.arrivals++
	if a.Replay.IsZero() != (a.Trigger == postern.Scheduled) {
		s.m.t.Errorf("%s: an attempt is marked %v, by replay %q", s.m.seed, a.Trigger, a.Replay)
	}
	a.Code, a.Succeeded = 200, true
	select {
	case s.m.arrived <- struct{}{}:
	default:
	}
	return true
}

// TestReplayKeepsItsRate looks at when a capped replay starts its deliveries,
// over a restart, a pause, and a while in which its endpoint was paused.
func TestReplayKeepsItsRate(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		const messages, rate = 120, 10
		l.answers(200)
		since := l.now()
		for range messages {
			l.publish()
		}
		l.pass(time.Second)
		l.tried()
		record, err := l.eng.Replay(t.Context(), postern.Replay{
			Application: l.app, To: l.endpoint, Rate: rate,
			Selection: postern.Selection{From: l.endpoint, Status: postern.StatusDelivered, Since: since},
		})
		if err != nil {
			t.Fatal(err)
		}
		l.pass(3 * time.Second)
		l.stop()
		l.begin()
		l.pass(2 * time.Second)
		setState := func(state postern.ReplayState) {
			if _, err := l.eng.replays.SetReplayState(t.Context(), l.app, record.ID, state); err != nil {
				t.Error(err)
			}
		}
		setState(postern.ReplayPaused)
		l.pass(10 * time.Second)
		setState(postern.ReplayRunning)
		l.pass(time.Second)
		l.edit(func(e *postern.Endpoint) { e.Paused = true })
		l.pass(10 * time.Second)
		l.edit(func(e *postern.Endpoint) { e.Paused = false })
		l.pass(20 * time.Second)
		tries := l.tried()
		if len(tries) != messages {
			t.Errorf("%d deliveries, want %d", len(tries), messages)
		}
		for i := range tries {
			if i >= rate+1 && tries[i].Sub(tries[i-rate-1]) < time.Second-time.Millisecond {
				t.Errorf("%d deliveries in %v", rate+2, tries[i].Sub(tries[i-rate-1]))
			}
		}
		if pace := tries[len(tries)-1].Sub(tries[0]); pace < 25*time.Second || pace > 45*time.Second {
			t.Errorf("all of them took %v", pace)
		}
		if got, err := l.eng.replays.Replay(l.app, record.ID); err != nil || got.State != postern.ReplayFinished || got.Replayed != messages {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// edit changes the endpoint.
func (l *life) edit(fn func(e *postern.Endpoint)) {
	l.t.Helper()
	_, err := l.eng.catalogue.UpdateEndpoint(l.t.Context(), l.app, l.endpoint, false, func(e *postern.Endpoint) error { fn(e); return nil })
	if err != nil {
		l.t.Fatal(err)
	}
}

// TestReplayHeaderIsOurs: an inbound request cannot pass a delivery off as a
// replay's.
func TestReplayHeaderIsOurs(t *testing.T) {
	in := &postern.InboundRequest{Method: "POST", Path: "/in/x", Headers: []postern.Header{
		{Name: "Postern-Replay", Value: "rpl_forged"}, {Name: "X-Own", Value: "v"},
	}}
	got := forwarded(in, nil)
	if want := 4; len(got) != want { // X-Own, and ours of method, path and query
		t.Errorf("%d headers are passed on, want %d: %v", len(got), want, got)
	}
	if got := forwarded(in, []string{"x-OWN", "X-Other", "Postern-Replay"}); len(got) != 4 {
		t.Errorf("%d headers are passed on of those named: %v", len(got), got)
	}
	if got := forwarded(in, []string{"X-Other"}); len(got) != 3 {
		t.Errorf("%d headers are passed on when none named is there: %v", len(got), got)
	}
	if own := replayHeader(postern.ReplayID{1}); len(own) != 1 {
		t.Errorf("the header of a replay: %v", own)
	}
}
