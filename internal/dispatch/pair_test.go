package dispatch

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// TestSoakModelOfTwo is TestSoakModel for a node that holds two journals: each has
// its own power to lose and its own lease, and what they share is never too much.
func TestSoakModelOfTwo(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(20, 1500) {
		if !runPair(t, seed, uint64(i)) {
			return
		}
	}
}

func runPair(t *testing.T, seed, run uint64) bool {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, run))
		a := newModel(r, newCatalogue())
		b := newModel(r, a.cat)
		defer func() {
			if t.Failed() {
				t.Logf("seed %d run %d:\n%s\n\nthe other:\n%s", seed, run, a.last(300), b.last(300))
			}
		}()
		defer a.begin(t)()
		a.other, b.other = b, a
		defer b.begin(t)()
		a.endpoints()
		for range 400 {
			[]*model{a, b}[r.IntN(2)].step()
			if a.watch(); t.Failed() {
				return
			}
			if b.watch(); t.Failed() {
				return
			}
		}
		a.mend()
		b.mend()
		for quiet := 0; quiet < 12; quiet++ {
			if one, two := a.goOn(), b.goOn(); one || two {
				quiet = 0
			}
			a.pass(time.Minute)
			a.watch()
			b.watch()
		}
		a.judge()
		b.judge()
		if p := a.d.pool; p != b.d.pool || p.used != (use{}) || p.slow != 0 || len(p.rotas)+len(p.reaches)+p.apps.len() > 0 {
			t.Errorf("left of both: %+v, %d slow, %d applications, %d endpoints", p.used, p.slow, len(p.rotas), len(p.reaches))
		}
	})
	return !t.Failed()
}

// pair runs a test with the dispatchers of two journals on one node.
func pair(t *testing.T, cfg Config, test func(a, b *rig)) {
	t.Helper()
	bubble(t, cfg, func(a *rig) {
		st, err := embedded.Open(a.t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		b := &rig{t: a.t, st: &heldStore{Store: st}, cat: a.cat, cfg: cfg, head: store.Head{Next: 1, Low: 1}}
		b.cfg.Beside = a.d
		b.start()
		defer func() {
			b.end()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(a, b)
	})
}

// known has an endpoint answer often enough for its limit not to be that of one that
// has not answered yet.
func (r *rig) known(n postern.EndpointNumber) {
	r.t.Helper()
	r.publish(n)
	r.say(answer{code: 200}, r.only(n))
	r.commit()
}

// Attempts of both journals share the places, and take turns at those that are free.
func TestJournalsShareThePlaces(t *testing.T) {
	pair(t, Config{Places: 4}, func(a, b *rig) {
		one, two := a.endpoint(1, nil), a.endpoint(2, nil)
		a.known(one)
		b.known(two)
		for range 8 {
			a.publish(one)
			b.publish(two)
		}
		if n, m := len(a.under()), len(b.under()); n+m != 4 {
			t.Fatalf("%d and %d under way with four places", n, m)
		}
		for range 4 { // each place that is free goes to who waits
			a.say(answer{code: 200}, a.under()...)
			a.commit()
		}
		if n, m := len(a.under()), len(b.under()); n+m != 4 || m < 3 {
			t.Errorf("then %d and %d", n, m)
		}
		for len(a.under())+len(b.under()) > 0 {
			a.drain(answer{code: 200}, 1)
			b.drain(answer{code: 200}, 1)
		}
		if s, o := a.d.Stats(), b.d.Stats(); s.Queued+o.Queued+s.InFlight+o.InFlight > 0 {
			t.Errorf("left: %+v, %+v", s, o)
		}
	})
}

// An endpoint's limit holds for its deliveries of all journals, and so does what is
// known of it: it is probed from one of them, and comes back for both.
func TestJournalsShareAnEndpointsLimit(t *testing.T) {
	pair(t, Config{}, func(a, b *rig) {
		n := a.endpoint(app, nil)
		for range unknownLimit {
			a.publish(n)
			b.publish(n)
		}
		if one, two := len(a.under()), len(b.under()); one+two != unknownLimit {
			t.Errorf("%d and %d at an endpoint that has not answered yet", one, two)
		}
		for len(a.under())+len(b.under()) > 0 {
			a.drain(answer{code: 200}, 1)
			b.drain(answer{code: 200}, 1)
		}
		a.broken(n, 40)
		b.publish(n)
		if len(b.under()) > 0 {
			t.Error("an endpoint that is only probed from one journal is not from the other")
		}
		for range 3 { // both wait for the next probe
			a.publish(n)
			b.publish(n)
		}
		a.pass(maxPause)
		if one, two := len(a.under()), len(b.under()); one+two != 1 {
			t.Fatalf("%d and %d probes at once", one, two)
		}
		for range 20 {
			a.drain(answer{code: 200}, 1)
			b.drain(answer{code: 200}, 1)
		}
		if s, o := a.d.Stats(), b.d.Stats(); s.Probing+o.Probing+s.Queued+o.Queued > 0 {
			t.Errorf("after a success: %+v, %+v", s, o)
		}
	})
}

// What is queued of one journal makes room for the other's.
func TestJournalsShareTheRoom(t *testing.T) {
	pair(t, Config{Places: 1, MaxClaims: 8}, func(a, b *rig) {
		one, two := a.endpoint(1, nil), a.endpoint(2, nil)
		for range 12 {
			a.publish(one)
		}
		for range 2 {
			b.publish(two)
		}
		if s := a.d.Stats(); s.Queued > 6 || s.Behind != 1 {
			t.Errorf("the longest queue: %+v", s)
		}
		if s := b.d.Stats(); s.Queued != 2 || s.Behind != 0 {
			t.Errorf("the short one: %+v", s)
		}
		for len(a.under())+len(b.under()) > 0 {
			a.drain(answer{code: 200}, 1)
			b.drain(answer{code: 200}, 1)
		}
		if n := len(a.attempts) + len(b.attempts); n != 14 {
			t.Errorf("%d of 14 were tried", n)
		}
	})
}

// A journal that is let go gives back what it had: its queue at once, its places as
// attempts end. The other one goes on with them.
func TestAJournalLeaves(t *testing.T) {
	pair(t, Config{Places: 2, MaxClaims: 8}, func(a, b *rig) {
		one, two := a.endpoint(1, nil), a.endpoint(2, nil)
		for range 6 {
			b.publish(two)
		}
		if b.d.used != (use{places: 2, claims: 4, bytes: b.d.held.bytes}) {
			t.Errorf("both have %+v", b.d.used)
		}
		a.publish(one)
		tries := b.under()
		ended := make(chan error, 1)
		go func() { ended <- b.d.Stop(b.t.Context()) }()
		synctest.Wait()
		if u := a.d.used; u.places != 2 || u.claims != 1 || a.d.lengths.longest() != a.d.lanes[one] || len(a.under()) > 0 {
			t.Errorf("while its attempts are under way both have %+v", u)
		}
		b.say(answer{code: 200}, tries...)
		b.publish(one) // as it was on its way
		if err := <-ended; err != nil {
			t.Error(err)
		}
		a.say(answer{code: 200}, a.only())
		a.commit()
		a.pass(2 * time.Minute)
		if p := a.d.pool; p.used != (use{}) || len(p.rotas)+len(p.reaches) > 0 {
			t.Errorf("left: %+v, %d applications, %d endpoints", p.used, len(p.rotas), len(p.reaches))
		}
	})
}

// What was recovered starts with its journal, whoever looked for something to start
// before.
func TestAJournalComes(t *testing.T) {
	pair(t, Config{Places: 1}, func(a, b *rig) {
		n := a.endpoint(app, nil)
		b.publish(n)
		b.recovered = func() {
			a.known(n)
			if len(b.under()) > 0 {
				t.Error("it is tried before its journal starts")
			}
		}
		b.restart()
		b.drain(answer{code: 200}, 1)
		if len(b.attempts) != 1 {
			t.Errorf("%d attempts", len(b.attempts))
		}
	})
}

// Of a journal that cannot be written nothing more is tried, and its places are the
// other's.
func TestAJournalFails(t *testing.T) {
	pair(t, Config{Places: 1}, func(a, b *rig) {
		n := a.endpoint(app, nil)
		b.publish(n)
		b.publish(n)
		a.publish(n)
		b.say(answer{code: 200}, b.only())
		settle := b.settles[0]
		b.settles = nil
		b.visit(settle, func() { settle.Done(errors.ErrUnsupported) })
		if len(a.under()) != 1 || len(b.under()) > 0 {
			t.Errorf("%d of the other journal under way, %d of the one that failed", len(a.under()), len(b.under()))
		}
	})
}

// A journal whose lease is about to end starts nothing, and holds nobody up.
func TestOneJournalsLease(t *testing.T) {
	var held lease
	held.renew(time.Hour)
	pair(t, Config{Places: 2}, func(a, b *rig) {
		b.end()
		b.cfg.Leased = held.end
		b.start()
		n := a.endpoint(app, nil)
		held.without()
		for range 2 {
			b.publish(n)
		}
		a.publish(n)
		if len(b.under()) > 0 {
			t.Error("it starts without a lease")
		}
		a.say(answer{code: 200}, a.only())
		a.commit()
		held.renew(time.Hour)
		b.d.Renewed()
		if len(b.under()) != 2 {
			t.Errorf("%d under way with the lease", len(b.under()))
		}
		b.drain(answer{code: 200}, 5)
	})
}

// Consumers get the oldest of all journals first, whichever dispatcher they ask.
func TestTakeFromBothJournals(t *testing.T) {
	var held lease
	held.renew(time.Hour)
	pair(t, Config{}, func(a, b *rig) {
		b.end()
		b.cfg.Leased = held.end
		b.start()
		n := a.cat.add(app, func(v *postern.EndpointView) { v.Kind, v.URL = postern.PullEndpoint, "" })
		var want, got []postern.MessageID
		for i := range 8 {
			from := []*rig{a, b}[i/2%2]
			want = append(want, from.publish(n).ID)
			a.pass(time.Millisecond)
		}
		for range want[:4] {
			got = append(got, a.took(n).Message().ID)
		}
		held.without()
		for range 2 { // what the other has is nobody's to give
			got = append(got, b.took(n).Message().ID)
		}
		a.nothing(n)
		held.renew(time.Hour)
		b.d.Renewed()
		for range 2 {
			got = append(got, a.took(n).Message().ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("given out %v, published %v", got, want)
		}
	})
}
