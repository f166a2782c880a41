package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

// TestSoakPowerLoss cuts the power at random points: the file system drops
// what was not synced, wholly, in part or not at all, also while a recovery is
// under way. Whatever was acknowledged must be there, covered, and arrive.
func TestSoakPowerLoss(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(40, 2000) {
		p := &power{t: t, r: rand.New(rand.NewPCG(seed, uint64(i))), seed: fmt.Sprintf("seed %d run %d", seed, i)}
		p.run()
		if t.Failed() {
			return
		}
	}
}

// power is one run: an engine whose machine loses power a few times.
type power struct {
	t    *testing.T
	r    *rand.Rand
	seed string
	fs   *vfs.MemFS

	apps   []postern.ApplicationNumber
	routes map[postern.ApplicationNumber]int

	mu       sync.Mutex
	healthy  bool
	acked    map[postern.MessageID][]postern.EndpointNumber
	received map[pair]int
	allowed  map[pair]int  // duplicates that a crash excuses
	inflight map[pair]int  // the attempt under way, by its number, until it is settled
	arrived  chan struct{} // capacity 1: something arrived
	machine  int           // how often the power went

	// meddle, when set, gives commands while the engine lives; heal undoes what
	// keeps deliveries from arriving, and excused says which need not.
	meddle  func(ctx context.Context, eng *Engine, r *rand.Rand)
	heal    func(eng *Engine)
	excused func(key pair) bool
	resent  map[pair]bool // its next attempt can start before the last one's end is told
}

type pair struct {
	message  postern.MessageID
	endpoint postern.EndpointNumber
}

func (p *power) run() {
	p.fs = vfs.NewCrashableMem()
	p.acked = map[postern.MessageID][]postern.EndpointNumber{}
	p.received, p.allowed, p.inflight = map[pair]int{}, map[pair]int{}, map[pair]int{}
	p.arrived = make(chan struct{}, 1)
	st := p.open()
	p.setUp(st)
	for range 1 + p.r.IntN(3) {
		st = p.live(st)
	}
	p.finish(st)
}

func (p *power) open() store.Store {
	st, err := embedded.Open(p.t.Context(), "file:data", embedded.Options{FS: p.fs, ReserveBytes: -1})
	if err != nil {
		p.t.Fatalf("%s: %v", p.seed, err)
	}
	return st
}

func (p *power) engine(st store.Store) *Engine {
	eng, err := New(p.t.Context(), Config{
		Store: st, sender: &powerSender{p, p.machine}, Secrets: openSecrets{}, DrainTimeout: -1,
		Observer:      Observer{Attempted: p.settled(p.machine)},
		RetrySchedule: slices.Concat(postern.RetrySchedule{time.Millisecond, 2 * time.Millisecond}, slices.Repeat(postern.RetrySchedule{5 * time.Millisecond}, 50)),
	})
	if err != nil {
		p.t.Fatalf("%s: %v", p.seed, err)
	}
	return eng
}

// openSecrets seals nothing: the machine that loses power has no ring.
type openSecrets struct{}

func (openSecrets) Seal(plain []byte) (postern.Sealed, error)  { return plain, nil }
func (openSecrets) Open(sealed postern.Sealed) ([]byte, error) { return sealed, nil }

// setUp makes two applications of three and two endpoints.
func (p *power) setUp(st store.Store) {
	eng := p.engine(st)
	stop := p.start(eng)
	ctx := p.t.Context()
	p.routes = map[postern.ApplicationNumber]int{}
	for a, endpoints := range []int{3, 2} {
		app, err := eng.catalogue.CreateApplication(ctx, postern.Application{Name: fmt.Sprint("app ", a)})
		if err != nil {
			p.t.Fatal(err)
		}
		p.apps = append(p.apps, app.Number)
		p.routes[app.Number] = endpoints
		for range endpoints {
			if _, err := eng.catalogue.CreateEndpoint(ctx, postern.Endpoint{Application: app.Number, Kind: postern.HTTPEndpoint, URL: "https://example.com/"}); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	stop()
}

// start runs an engine; the returned function cuts it off and waits.
func (p *power) start(eng *Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	return func() { cancel(); <-done }
}

// live publishes until the power goes, and returns the store as it is found
// afterwards.
func (p *power) live(st store.Store) store.Store {
	eng := p.engine(st)
	stop := p.start(eng)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	target := p.r.IntN(120)
	reached := make(chan struct{})
	var publishers sync.WaitGroup
	var acks, failed int
	for worker := range 6 {
		r := rand.New(rand.NewPCG(p.r.Uint64(), uint64(worker)))
		publishers.Go(func() {
			for ctx.Err() == nil {
				app := p.apps[r.IntN(len(p.apps))]
				m, _, err := eng.Publish(ctx, postern.Publish{Application: app, EventType: "a.b", ContentType: "application/json", Payload: fmt.Appendf(nil, `{"n":%d}`, r.Uint64())})
				p.mu.Lock()
				if err == nil && ctx.Err() == nil {
					p.acked[m.ID] = m.Routes
					acks++
				} else if err != nil && ctx.Err() == nil {
					failed++
				}
				if acks >= target && reached != nil {
					close(reached)
					reached = nil
				}
				p.mu.Unlock()
			}
		})
	}
	p.mu.Lock()
	wait := reached
	p.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-time.After(time.Minute):
			p.t.Fatalf("%s: %d of %d messages accepted, %d refused", p.seed, acks, target, failed)
		}
	}
	if p.meddle != nil {
		p.meddle(ctx, eng, p.r)
	}
	percent := []int{0, 50, 100}[p.r.IntN(3)]
	p.mu.Lock() // nothing is acknowledged or received while the power goes
	clone := p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: p.r})
	for key := range p.inflight {
		p.allowed[key]++
	}
	before := make(map[postern.MessageID]bool, len(p.acked))
	for id := range p.acked {
		before[id] = true
	}
	p.machine++ // what the old one still does, nobody sees
	cancel()
	p.mu.Unlock()
	stop()
	publishers.Wait()
	if err := st.Close(); err != nil {
		p.t.Errorf("%s: closing: %v", p.seed, err)
	}
	p.mu.Lock()
	for id := range p.acked { // acknowledged by the machine that is no more
		if !before[id] {
			delete(p.acked, id)
		}
	}
	p.inflight = map[pair]int{}
	p.fs = clone
	p.mu.Unlock()
	again := p.open()
	p.check(again)
	return again
}

// check asks for everything that was acknowledged, and for cover.
func (p *power) check(st store.Store) {
	p.t.Helper()
	if err := storetest.CheckCover(p.t.Context(), st); err != nil {
		p.t.Fatalf("%s: %v", p.seed, err)
	}
	for id := range p.acked {
		found := false
		for _, app := range p.apps {
			_, err := st.Message(p.t.Context(), app, id)
			found = found || err == nil
			if err != nil && !errors.Is(err, postern.ErrNotFound) {
				p.t.Fatalf("%s: %v", p.seed, err)
			}
		}
		if !found {
			p.t.Fatalf("%s: %s was acknowledged and is missing", p.seed, id)
		}
	}
}

// finish lets all endpoints answer, and waits until everything has arrived.
func (p *power) finish(st store.Store) {
	p.mu.Lock()
	p.healthy = true
	p.mu.Unlock()
	eng := p.engine(st)
	stop := p.start(eng)
	if p.heal != nil {
		p.heal(eng)
	}
	deadline := time.After(time.Minute)
	for missing := p.missing(); missing != ""; missing = p.missing() {
		select {
		case <-p.arrived:
		case <-deadline:
			p.t.Fatalf("%s: never arrived: %s; %+v", p.seed, missing, eng.shards.main.dispatcher.Stats())
		}
	}
	stop()
	if err := storetest.CheckCover(p.t.Context(), st); err != nil {
		p.t.Fatalf("%s: in the end: %v", p.seed, err)
	}
	for key, n := range p.received {
		if n > 1+p.allowed[key] {
			p.t.Errorf("%s: %s arrived %d times at %d, %d excused", p.seed, key.message, n, key.endpoint, p.allowed[key])
		}
	}
	if err := st.Close(); err != nil {
		p.t.Errorf("%s: closing: %v", p.seed, err)
	}
}

// missing names a delivery that has not arrived.
func (p *power) missing() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, routes := range p.acked {
		for _, endpoint := range routes {
			key := pair{id, endpoint}
			if p.received[key] == 0 && (p.excused == nil || !p.excused(key)) {
				return fmt.Sprint(id, " at ", endpoint)
			}
		}
	}
	return ""
}

// settled is told of each attempt that is durable.
func (p *power) settled(machine int) func(*postern.Attempt) {
	return func(a *postern.Attempt) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if a.Succeeded && machine == p.machine {
			// A resend can be under way already when the attempt before is told.
			if key := (pair{a.Message, a.Endpoint}); p.inflight[key] == a.N {
				delete(p.inflight, key)
			}
		}
	}
}

type powerSender struct {
	p       *power
	machine int
}

// Prepare implements dispatch.Sender.
func (s *powerSender) Prepare(v *postern.EndpointView) (dispatch.Line, error) {
	return &powerLine{s.p, v.Number, s.machine}, nil
}

// powerLine receives for one endpoint: the second of an application fails half
// of the time, the third is slow.
type powerLine struct {
	p        *power
	endpoint postern.EndpointNumber
	machine  int
}

func (l *powerLine) Send(_ context.Context, m *postern.Message, _ *postern.Content, a *postern.Attempt) bool {
	p := l.p
	key := pair{m.ID, l.endpoint}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.machine != p.machine {
		return false
	}
	if p.inflight[key] != 0 && !p.resent[key] {
		p.t.Errorf("%s: %s is tried twice at once at %d", p.seed, m.ID, l.endpoint)
	}
	p.inflight[key] = a.N
	healthy := p.healthy
	if !healthy && l.endpoint%3 == 0 {
		p.mu.Unlock()
		<-time.After(time.Millisecond)
		p.mu.Lock()
		if l.machine != p.machine {
			return false
		}
	}
	if !healthy && l.endpoint%3 == 2 && rand.IntN(2) == 0 {
		a.Code = 500
		delete(p.inflight, key) // it was not received
		return true
	}
	p.received[key]++
	a.Code, a.Succeeded = 200, true
	select {
	case p.arrived <- struct{}{}:
	default:
	}
	return true
}
