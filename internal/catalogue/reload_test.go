package catalogue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// everything is all that a catalogue shows, in its order.
type everything struct {
	Applications []*postern.Application
	Endpoints    []*postern.EndpointView
	Sources      []*postern.Source
	EventTypes   []*postern.EventType
	Keys         []*postern.Key
	// Routes of an event type by application.
	Routes map[postern.ApplicationNumber][]postern.EndpointNumber
}

func picture(c *catalogue.Catalogue) everything {
	all := postern.ListPage{Limit: 1 << 20}
	p := everything{Routes: map[postern.ApplicationNumber][]postern.EndpointNumber{}}
	p.Applications, _ = c.Applications(all)
	for _, a := range p.Applications {
		endpoints, _ := c.Endpoints(a.Number, all)
		sources, _ := c.Sources(a.Number, all)
		p.Endpoints, p.Sources = append(p.Endpoints, endpoints...), append(p.Sources, sources...)
		if s := c.Snapshot(a.Number); s != nil { // nil where it is deleted meanwhile
			p.Routes[a.Number] = s.Routes.Match("user.created", []string{"eu"})
		}
	}
	p.EventTypes, _ = c.EventTypes(all, true)
	p.Keys, _ = c.Keys(all)
	return p
}

func storeHead(w *world) (head store.Head) {
	head.Applications, head.Endpoints = w.Numbers()
	return head
}

// TestWhatIsCommittedIsWhatIsSeen makes random changes, some of which fail, and
// reads them back from the store.
func TestWhatIsCommittedIsWhatIsSeen(t *testing.T) {
	random := testkit.Rand(t)
	w := newWorld(t)
	w.eventType("user.created")
	w.store.before = func([]store.Change) error {
		if random.IntN(10) == 0 {
			return errDisk
		}
		return nil
	}
	for i := range testkit.Count(1000, 20_000) {
		err := randomChange(w, w.store.settle, random)
		if kind := postern.KindOf(err); err != nil && !errors.Is(err, errDisk) && kind != postern.Conflict && kind != postern.NotFound {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	again := w.load(storeHead(w))
	if diff := cmp.Diff(picture(w.Catalogue), picture(again), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	for _, a := range picture(w.Catalogue).Applications {
		if got, err := again.Application(a.UID); a.UID != "" && (err != nil || got.ID != a.ID) {
			t.Errorf("Application(%q) after a restart: %v, %v", a.UID, got, err)
		}
	}
}

// randomChange changes something small: few applications and few uids, so that
// changes meet.
func randomChange(w *world, settle func(postern.EndpointNumber, postern.Health), random *rand.Rand) error {
	ctx, app, uid := w.Context(), postern.ApplicationNumber(1+random.IntN(12)), fmt.Sprint("uid", random.IntN(4))
	switch random.IntN(12) {
	case 0:
		_, err := w.CreateApplication(ctx, postern.Application{Name: "x", UID: uid})
		return err
	case 1:
		_, err := w.UpdateApplication(ctx, app, func(a *postern.Application) error { a.UID = uid; return nil })
		return err
	case 2:
		if random.IntN(8) == 0 {
			return w.DeleteApplication(ctx, app)
		}
		return nil
	case 3, 4, 5:
		_, err := w.CreateEndpoint(ctx, postern.Endpoint{
			Application: app, URL: "https://example.com/", UID: uid + strings.Repeat("x", random.IntN(3)), Metadata: map[string]string{"k": "v"},
		})
		return err
	case 6:
		_, err := w.CreateSource(ctx, postern.Source{Application: app, Provider: "github", UID: uid})
		return err
	case 7:
		_, _, err := w.PutEventType(ctx, postern.EventType{Name: uid, RetrySchedule: postern.RetrySchedule{time.Second}}, true)
		return err
	}
	_, last := w.Numbers()
	n := postern.EndpointNumber(1 + random.IntN(int(last)+1))
	view := w.EndpointByNumber(n)
	if view == nil {
		return nil
	}
	switch random.IntN(4) {
	case 0:
		return w.DeleteEndpoint(ctx, view.Application, n)
	case 1:
		settle(n, postern.Health{Disabled: postern.DisabledGone, DisabledAt: time.Now().UTC().Truncate(time.Millisecond)})
		return nil
	}
	_, err := w.UpdateEndpoint(ctx, view.Application, n, random.IntN(2) == 0, func(e *postern.Endpoint) error {
		e.UID, e.Disabled = uid, random.IntN(4) == 0
		e.EventTypes, e.Channels = [][]string{nil, {"user.created"}, {"user.*"}}[random.IntN(3)], [][]string{nil, {"eu"}, {"us"}}[random.IntN(3)]
		return nil
	})
	return err
}

// TestReadersAndWritersTogether runs changes, settles and readers at once. What
// readers see is whole: routes lead only to endpoints that are known or gone,
// and versions never go back.
func TestReadersAndWritersTogether(t *testing.T) {
	w := newWorld(t)
	w.eventType("user.created")
	for i := range 4 {
		w.application(fmt.Sprint("uid", i))
	}
	seed := testkit.Seed(t)
	var writers, readers sync.WaitGroup
	done, stop := context.WithCancel(t.Context())
	for i := range uint64(4) {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, i))
			for range testkit.Count(300, 10_000) {
				if err := randomChange(w, w.store.settle, random); postern.KindOf(err) == postern.Internal && err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			var version uint64
			for done.Err() == nil {
				snapshot := w.Snapshot(1)
				if snapshot == nil {
					return
				}
				if v := snapshot.Application.Version; v < version {
					t.Errorf("version %d after %d", v, version)
				} else {
					version = v
				}
				for _, n := range snapshot.Routes.Match("user.created", []string{"eu"}) {
					if e := w.Entry(n); e != nil && e.View().Number != n {
						t.Errorf("entry %d is %d", n, e.View().Number)
					}
				}
				picture(w.Catalogue)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	if diff := cmp.Diff(picture(w.Catalogue), picture(w.load(storeHead(w))), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

// TestApplicationsCommitSideBySide holds one application's commit until
// another's has begun: a lock over both would never end.
func TestApplicationsCommitSideBySide(t *testing.T) {
	w := newWorld(t)
	one, two := w.application("one"), w.application("two")
	var both sync.WaitGroup
	both.Add(2)
	w.store.before = func([]store.Change) error {
		both.Done()
		both.Wait()
		return nil
	}
	var group sync.WaitGroup
	for _, app := range []*postern.Application{one, two} {
		group.Go(func() {
			if _, err := w.CreateEndpoint(t.Context(), postern.Endpoint{Application: app.Number, URL: "https://example.com/"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// TestReadersDoNotWaitForCommits reads everything while a commit hangs.
func TestReadersDoNotWaitForCommits(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, nil)
	before := picture(w.Catalogue)
	w.store.before = func([]store.Change) error {
		if diff := cmp.Diff(before, picture(w.Catalogue)); diff != "" {
			t.Errorf("seen before it is durable: %s", diff)
		}
		w.ApplyHealth(view.Number, postern.Health{})
		return nil
	}
	if err := w.DeleteEndpoint(t.Context(), app.Number, view.Number); err != nil {
		t.Error(err)
	}
	before = picture(w.Catalogue)
	if err := w.DeleteApplication(t.Context(), app.Number); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusesWhatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	w.endpoint(app, nil)
	w.store.batches = w.store.batches[1:]
	for i, b := range w.store.batches {
		w.store.batches[i].changes = b.changes[:1]
	}
	_, err := catalogue.Load(t.Context(), w.store, store.Head{}, w.config)
	if err == nil || !strings.Contains(err.Error(), "its application is not stored") {
		t.Errorf("got %v", err)
	}
}
