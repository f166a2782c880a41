package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/inbox"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/internal/userdb"
	"github.com/postern-dev/postern/outbox"
	"github.com/postern-dev/postern/store/embedded"
)

// A program whose handlers panic, hang, end their goroutines and return errors that
// are nil pointers, and which is stopped in the middle of it, again and again: what it
// was told is published has each effect once, and so has what its handlers published.
func TestSoakAProgramOfManyFaults(t *testing.T) {
	lives, each := testkit.Count(3, 40), testkit.Count(16, 200)
	random := testkit.Rand(t)
	for _, kind := range []string{"pgx", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			p := newFaulty(t, kind, random)
			for n := range lives {
				p.live(func(eng *engine.Engine, stop func()) { p.publishAll(eng, n, each, stop) })
			}
			p.faults = false
			p.live(func(_ *engine.Engine, stop func()) {
				untilEvery(t, 100*time.Millisecond, "all effects are there", func() bool { return len(p.effects()) >= len(p.want) })
				stop()
			})
			if diff := cmp.Diff(p.want, p.effects()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			t.Logf("%d effects", len(p.want))
		})
	}
}

// faulty is such a program, one engine after the other.
type faulty struct {
	*testing.T
	b           *base
	store, ring string
	faults      bool

	mu     sync.Mutex
	random *rand.Rand
	want   map[string]int // effects of what was published
	// unknown are those of what was published when the program stopped, and which may
	// have been accepted.
	unknown map[string]bool
}

func newFaulty(t *testing.T, kind string, random *rand.Rand) *faulty {
	t.Helper()
	p := &faulty{
		T: t, b: newBase(t, kind), store: "file:" + t.TempDir(), ring: keyring.New().Reveal(),
		faults: true, random: random, want: map[string]int{}, unknown: map[string]bool{},
	}
	p.b.create(t, new(outbox.Table))
	p.b.in(t, func(tx transaction) error {
		_, err := userdb.Exec(t.Context(), tx.Tx, "CREATE TABLE effects (name text NOT NULL)")
		return errors.Join(err, inbox.Table{}.Create(t.Context(), tx.Tx))
	})
	return p
}

// one reports true once in n times.
func (p *faulty) one(n int) bool { return p.number(n) == 0 }

func (p *faulty) number(below int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(below)
}

// live runs engine and relay while do works, until that stops them.
func (p *faulty) live(do func(eng *engine.Engine, stop func())) {
	p.Helper()
	st, err := embedded.Open(p.Context(), p.store, embedded.Options{ReserveBytes: -1})
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	secrets, err := engine.ParseSecrets(p.ring)
	if err != nil {
		p.Fatal(err)
	}
	soon := make(postern.RetrySchedule, 60)
	for i := range soon {
		soon[i] = 10 * time.Millisecond
	}
	eng, err := engine.New(p.Context(), engine.Config{
		Store: st, Secrets: secrets, RetrySchedule: soon, AttemptTimeout: 5 * time.Second,
		DrainTimeout: time.Duration(p.number(200)-50) * time.Millisecond,
	})
	if err != nil {
		p.Fatal(err)
	}
	_, err = eng.Listen("*", func(context.Context, *engine.Message) {
		if p.faults && p.one(10) {
			panic("a listener")
		}
	})
	if err := errors.Join(err, eng.On("first", p.handle), eng.On("second", p.handle)); err != nil {
		p.Fatal(err)
	}
	r, err := outbox.NewRelay(outbox.RelayConfig{DB: p.b.db, Publisher: eng, MaxPoll: 50 * time.Millisecond})
	if err != nil {
		p.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(p.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := eng.Run(ctx); err != nil {
			p.Error(err)
		}
	})
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer stop()
	do(eng, stop)
}

// publishAll publishes from several goroutines, half of it in transactions of which
// some roll back, and stops the program in the middle.
func (p *faulty) publishAll(eng *engine.Engine, life, each int, stop func()) {
	middle := p.number(each)
	var publishing sync.WaitGroup
	for w := range 4 {
		publishing.Go(func() {
			for n := range each {
				if w == 0 && n == middle {
					stop()
				}
				name := fmt.Sprintf("%d.%d.%d", life, w, n)
				in := postern.Publish{EventType: "first", Payload: []byte(name)}
				if w%2 == 0 {
					done := p.atOnce(eng, in)
					p.note(name, done, done)
				} else {
					p.note(name, p.inTransaction(in), true)
				}
			}
		})
	}
	publishing.Wait()
}

// note takes down what is to come of a publication.
func (p *faulty) note(name string, done, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, effect := range []string{"first " + name, "second " + name} {
		if done {
			p.want[effect] = 1
		}
		if !known {
			p.unknown[effect] = true
		}
	}
}

func (p *faulty) atOnce(eng *engine.Engine, in postern.Publish) bool {
	ctx, leave := context.WithTimeout(p.Context(), time.Minute)
	defer leave()
	_, _, err := eng.Publish(ctx, in)
	return err == nil
}

// inTransaction reports whether it has committed.
func (p *faulty) inTransaction(in postern.Publish) bool {
	tx := p.b.open(p.T)
	if _, err := outbox.Publish(p.Context(), tx.Tx, in); err != nil {
		p.Error(err)
		return false
	}
	if p.one(3) {
		return tx.rollback() != nil
	}
	return tx.commit() == nil
}

// silent is an error that does not bear to be nil.
type silent struct{ text string }

func (e *silent) Error() string { return e.text }

// handle has an effect and publishes another event in one transaction, unless
// something is wrong with it.
func (p *faulty) handle(ctx context.Context, m *engine.Message) error {
	switch wrong := p.number(12); {
	case !p.faults:
	case wrong == 0:
		panic("a handler")
	case wrong == 1:
		runtime.Goexit()
	case wrong == 2:
		var none *silent
		return none
	case wrong == 3:
		return errors.New("not now")
	case wrong == 4:
		limited, end := context.WithTimeout(ctx, 100*time.Millisecond)
		defer end()
		<-limited.Done()
		return limited.Err()
	}
	tx, err := p.b.begin(ctx)
	if err != nil {
		return err
	}
	if err := p.effect(ctx, tx, m); err != nil {
		return errors.Join(err, tx.rollback())
	}
	err = tx.commit()
	if p.faults && p.one(4) {
		return errors.New("after the effect")
	}
	return err
}

func (p *faulty) effect(ctx context.Context, tx transaction, m *engine.Message) error {
	first, err := inbox.Once(ctx, tx.Tx, inbox.Message{Handler: m.Handler, ID: m.ID.String()})
	if err != nil || !first {
		return err
	}
	_, err = userdb.Exec(ctx, tx.Tx, "INSERT INTO effects (name) VALUES ($1)", m.EventType+" "+string(m.Payload))
	if err == nil && m.EventType == "first" {
		_, err = outbox.Publish(ctx, tx.Tx, postern.Publish{EventType: "second", Payload: m.Payload})
	}
	return err
}

// effects counts them by name, without those that may be there and may not.
func (p *faulty) effects() map[string]int {
	p.Helper()
	found := map[string]int{}
	p.b.in(p.T, func(tx transaction) error {
		return userdb.Each(p.Context(), tx.Tx, func(scan func(...any) error) (bool, error) {
			var name string
			var n int
			err := scan(&name, &n)
			if n != 1 || !p.unknown[name] {
				found[name] = n
			}
			return true, err
		}, "SELECT name, count(*) FROM effects GROUP BY name")
	})
	return found
}
