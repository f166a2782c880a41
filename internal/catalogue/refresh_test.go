package catalogue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (n *node) application(uid string) *postern.Application {
	n.t.Helper()
	return must[*postern.Application](n.t)(n.CreateApplication(n.t.Context(), postern.Application{Name: "Test", UID: uid}))
}

func (n *node) endpoint(app *postern.Application, uid string) *postern.EndpointView {
	n.t.Helper()
	return must[*postern.EndpointView](n.t)(n.CreateEndpoint(n.t.Context(), postern.Endpoint{
		Application: app.Number, URL: "https://example.com/", UID: uid,
	}))
}

// tellings empties and returns what OnChange was told.
func (n *node) tellings() []postern.EndpointNumber {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := n.changed
	n.changed = nil
	slices.Sort(told)
	return told
}

// pair are two nodes of a cluster.
func pair(t *testing.T) (one, two *node) {
	c := newCluster()
	return c.join(t), c.join(t)
}

// TestOthersChangesAreTakenOver walks each kind of record through its life on one
// node, and looks at another.
func TestOthersChangesAreTakenOver(t *testing.T) {
	one, two := pair(t)
	ctx := t.Context()
	app := one.application("acme")
	view := one.endpoint(app, "main")
	source := must[*postern.Source](t)(one.CreateSource(ctx, postern.Source{Application: app.Number, Name: "x", Provider: "github", UID: "hub"}))
	key := must[*postern.Key](t)(one.CreateKey(ctx, postern.Key{Scope: postern.ScopeApplication, Application: app.Number, Hash: [32]byte{1}}))
	visitor := must[*postern.Key](t)(one.CreateKey(ctx, postern.Key{
		Scope: postern.ScopePortal, Application: app.Number, Hash: [32]byte{2}, ExpiresAt: time.Now().Add(time.Hour), Portal: &postern.Portal{},
	}))
	strict := postern.EventType{Name: "user.made", EnforceSchema: true, Schemas: map[string][]byte{"1": []byte(`{"type":"object"}`)}}
	if _, _, err := one.PutEventType(ctx, strict, false); err != nil {
		t.Fatal(err)
	}
	if two.Version() != 0 {
		t.Fatal("the other knows already")
	}
	two.catchUp()
	if diff := cmp.Diff(picture(one.Catalogue), picture(two.Catalogue)); diff != "" {
		t.Error(diff)
	}
	if two.Version() != two.cluster.newest() {
		t.Errorf("version %d, want %d", two.Version(), two.cluster.newest())
	}
	if got, err := two.Application("acme"); err != nil || got.ID != app.ID {
		t.Errorf("Application: %v, %v", got, err)
	}
	if got, err := two.Endpoint(app.Number, "main"); err != nil || got.Number != view.Number {
		t.Errorf("Endpoint: %v, %v", got, err)
	}
	if two.SourceByTokenHash(source.TokenHash) == nil || two.KeyByHash(key.Hash) == nil || two.KeyByHash(visitor.Hash) == nil {
		t.Error("a token is not known")
	}
	if two.CheckPayload("user.made", []byte("1")) == nil {
		t.Error("a schema is not enforced")
	}
	if told := two.tellings(); !slices.Equal(told, []postern.EndpointNumber{view.Number}) {
		t.Errorf("told %v", told)
	}

	entry := two.Entry(view.Number)
	if err := errors.Join(one.DeleteKey(ctx, key.ID), one.ExpireVisitors(ctx, app.Number, nil, time.Time{}), one.DeleteEventType(ctx, "user.made")); err != nil {
		t.Fatal(err)
	}
	two.catchUp()
	if two.KeyByHash(key.Hash) != nil || two.KeyByHash(visitor.Hash) != nil || two.CheckPayload("user.made", []byte("1")) != nil {
		t.Error("a key or a type outlived its deletion")
	}
	if err := one.DeleteApplication(ctx, app.Number); err != nil {
		t.Fatal(err)
	}
	two.catchUp()
	if !entry.View().Deleted || two.Snapshot(app.Number) != nil || two.SourceByTokenHash(source.TokenHash) != nil {
		t.Error("something outlived the application")
	}
	if told := two.tellings(); !slices.Equal(told, []postern.EndpointNumber{view.Number}) {
		t.Errorf("told %v", told)
	}
	if next := two.application("acme"); next.Number != 2 || two.endpoint(next, "main").Number != 2 {
		t.Error("a number was used again")
	}
}

// TestDeletionTakesAllWithIt: of an application only its own deletion is told.
func TestDeletionTakesAllWithIt(t *testing.T) {
	one, two := pair(t)
	app := one.application("acme")
	view := one.endpoint(app, "main")
	key := must[*postern.Key](t)(one.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeApplication, Application: app.Number, Hash: [32]byte{1}}))
	two.catchUp()
	deletion := store.Change{Delete: &postern.Application{ID: app.ID, Number: app.Number}}
	if err := two.Refresh(t.Context(), given{two.Version() + 1, []any{deletion}}); err != nil {
		t.Fatal(err)
	}
	if two.Entry(view.Number) != nil || two.KeyByHash(key.Hash) != nil {
		t.Error("an endpoint or a key is left")
	}
	_, err := two.Application("acme")
	wantKind(t, err, postern.NotFound)
}

func TestWhatIsTheSameChangesNothing(t *testing.T) {
	one, two := pair(t)
	app := one.application("acme")
	one.endpoint(app, "main")
	two.catchUp()
	two.tellings()
	before := two.Snapshot(app.Number).Routes
	if err := two.Reload(t.Context(), two.cluster, two.cluster.numbers(), two.Version()); err != nil {
		t.Fatal(err)
	}
	same := *must[*postern.EndpointView](t)(two.Endpoint(app.Number, "main"))
	if err := two.Refresh(t.Context(), given{two.Version() + 1, []any{store.Change{Put: &same.Endpoint}}}); err != nil {
		t.Error(err)
	}
	if told := two.tellings(); told != nil || two.Snapshot(app.Number).Routes != before {
		t.Errorf("told %v", told)
	}
	// An older set, from a reader who was slower.
	gone := store.Change{Delete: app}
	if err := two.Refresh(t.Context(), given{two.Version(), []any{gone}}); err != nil || two.Snapshot(app.Number) == nil {
		t.Errorf("what is known already was applied: %v", err)
	}
}

// TestUIDsMoveWithinOneSet: three endpoints pass their uids on in a ring, as two
// applications do.
func TestUIDsMoveWithinOneSet(t *testing.T) {
	one, two := pair(t)
	app, other := one.application("acme"), one.application("other")
	views := []*postern.EndpointView{one.endpoint(app, "a"), one.endpoint(app, "b"), one.endpoint(app, "c")}
	two.catchUp()
	name := func(i int, uid string) {
		must[*postern.EndpointView](t)(one.UpdateEndpoint(t.Context(), app.Number, views[i].Number, false, func(e *postern.Endpoint) error {
			e.UID = uid
			return nil
		}))
	}
	name(0, "spare")
	name(2, "a")
	name(1, "c")
	name(0, "b")
	for i, uid := range []string{"spare", "acme", "other"} {
		must[*postern.Application](t)(one.UpdateApplication(t.Context(), []postern.ApplicationNumber{app.Number, other.Number, app.Number}[i],
			func(a *postern.Application) error { a.UID = uid; return nil }))
	}
	two.catchUp()
	for uid, i := range map[string]int{"b": 0, "c": 1, "a": 2} {
		if got, err := two.Endpoint(app.Number, uid); err != nil || got.Number != views[i].Number {
			t.Errorf("endpoint %s: %v, %v", uid, got, err)
		}
	}
	for uid, n := range map[string]postern.ApplicationNumber{"acme": other.Number, "other": app.Number} {
		if got, err := two.Application(uid); err != nil || got.Number != n {
			t.Errorf("application %s: %v, %v", uid, got, err)
		}
	}
	_, err := two.Application("spare")
	wantKind(t, err, postern.NotFound)
}

func TestRefreshRefusesWhatDoesNotFit(t *testing.T) {
	_, two := pair(t)
	before := two.application("before")
	for name, change := range map[string]any{
		"endpoint": store.Change{Put: &postern.Endpoint{Application: 7, Number: 7}},
		"source":   store.Change{Put: &postern.Source{Application: 7}},
	} {
		err := two.Refresh(t.Context(), given{9, []any{store.Change{Delete: before}, change}})
		if !errors.Is(err, postern.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, change := range []any{"text", store.Change{Put: "text"}, store.Change{}} {
		if err := two.Refresh(t.Context(), given{9, []any{change}}); err == nil || errors.Is(err, postern.ErrConflict) {
			t.Errorf("%v: %v", change, err)
		}
	}
	if two.Snapshot(before.Number) == nil || two.Version() != 0 {
		t.Error("part of it is shown")
	}
}

func TestHealthAndReplaysOfOthers(t *testing.T) {
	one, two := pair(t)
	app := one.application("acme")
	view := one.endpoint(app, "")
	two.catchUp()
	two.tellings()
	gone := postern.Health{Disabled: postern.DisabledGone, DisabledAt: time.Now().UTC()}
	one.settle(view.Number, postern.Health{Failures: 3})
	two.catchUp()
	one.settle(view.Number, gone)
	two.catchUp()
	two.catchUp()
	want := []store.HealthChange{{Endpoint: view.Number, Health: postern.Health{Failures: 3}}, {Endpoint: view.Number, Health: gone}}
	if diff := cmp.Diff(want, two.learned); diff != "" {
		t.Error(diff)
	}
	if told := two.tellings(); len(told) != 1 || len(two.Snapshot(app.Number).Routes.Match("a", nil)) != 0 {
		t.Errorf("told %v; a disabled endpoint is routed to", told)
	}
	if one.learned != nil {
		t.Errorf("what it stored itself: %v", one.learned)
	}
	replay := &postern.Replay{ID: postern.ReplayID{1}}
	if err := two.Refresh(t.Context(), given{two.Version() + 1, []any{store.Change{Put: replay}, store.Change{Delete: replay}}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"put " + replay.ID.String(), "deleted " + replay.ID.String()}; !slices.Equal(two.replays, want) {
		t.Errorf("replays %v", two.replays)
	}
}

// TestRefreshWaitsForNoCommit applies others' changes to everything that a change
// under way holds.
func TestRefreshWaitsForNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := pair(t)
		app := one.application("acme")
		two.catchUp()
		before := picture(two.Catalogue)
		hold := make(chan struct{})
		two.before = func() { <-hold }
		var group sync.WaitGroup
		group.Go(func() {
			_, err := two.CreateApplication(t.Context(), postern.Application{Name: "Test", UID: "new"})
			wantKind(t, err, postern.Conflict)
		})
		group.Go(func() {
			_, err := two.CreateEndpoint(t.Context(), postern.Endpoint{Application: app.Number, URL: "https://example.com/", UID: "main"})
			wantKind(t, err, postern.Conflict)
		})
		group.Go(func() {
			if err := two.DeclareEventType(t.Context(), "user.created", "ours"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if diff := cmp.Diff(before, picture(two.Catalogue)); diff != "" {
			t.Errorf("seen before it is stored: %s", diff)
		}

		theirs := one.application("new")
		main := one.endpoint(app, "main")
		if err := one.DeclareEventType(t.Context(), "user.created", "theirs"); err != nil {
			t.Error(err)
		}
		two.catchUp()
		for range 2 { // while ours are under way, and when they were refused
			if got, err := two.Application("new"); err != nil || got.ID != theirs.ID {
				t.Errorf("a claimed uid: %v, %v", got, err)
			}
			if got, err := two.Endpoint(app.Number, "main"); err != nil || got.ID != main.ID {
				t.Errorf("an endpoint of an application that is held: %v, %v", got, err)
			}
			if diff := cmp.Diff(picture(one.Catalogue), picture(two.Catalogue)); diff != "" {
				t.Error(diff)
			}
			if hold != nil {
				close(hold)
				group.Wait()
				hold = nil
			}
		}
		if two.refusals != 3 {
			t.Errorf("%d refusals, want 3", two.refusals)
		}
	})
}

// TestOvertakenChanges: a change is stored, another node knows it and goes on from
// it, and that is taken over before the first is shown.
func TestOvertakenChanges(t *testing.T) {
	rename := func(n *node, app postern.ApplicationNumber, uid string) error {
		_, err := n.UpdateApplication(n.t.Context(), app, func(a *postern.Application) error { a.UID = uid; return nil })
		return err
	}
	for name, test := range map[string]struct {
		ours, theirs func(n *node, app *postern.Application, e *postern.EndpointView) error
	}{
		"uid passed on": {
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				return rename(n, app.Number, "b")
			},
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				_, err := n.CreateApplication(n.t.Context(), postern.Application{Name: "x", UID: "a"})
				return errors.Join(rename(n, app.Number, "c"), err, rename(n, 2, "b"))
			},
		},
		"uid taken": {
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				return rename(n, app.Number, "b")
			},
			func(n *node, _ *postern.Application, _ *postern.EndpointView) error {
				_, err := n.CreateApplication(n.t.Context(), postern.Application{Name: "x", UID: "a"})
				return err
			},
		},
		"uid back again": {
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				return rename(n, app.Number, "b")
			},
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				return rename(n, app.Number, "a")
			},
		},
		"endpoint deleted": {
			func(n *node, app *postern.Application, e *postern.EndpointView) error {
				_, err := n.UpdateEndpoint(n.t.Context(), app.Number, e.Number, true, func(e *postern.Endpoint) error { e.UID = "x"; return nil })
				return err
			},
			func(n *node, app *postern.Application, e *postern.EndpointView) error {
				return n.DeleteEndpoint(n.t.Context(), app.Number, e.Number)
			},
		},
		"application deleted": {
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				_, err := n.CreateEndpoint(n.t.Context(), postern.Endpoint{Application: app.Number, URL: "https://example.com/", UID: "x"})
				return err
			},
			func(n *node, app *postern.Application, _ *postern.EndpointView) error {
				return n.DeleteApplication(n.t.Context(), app.Number)
			},
		},
		"new application deleted": {
			func(n *node, _ *postern.Application, _ *postern.EndpointView) error {
				_, err := n.CreateApplication(n.t.Context(), postern.Application{Name: "x", UID: "new"})
				return err
			},
			func(n *node, _ *postern.Application, _ *postern.EndpointView) error {
				return n.DeleteApplication(n.t.Context(), 2)
			},
		},
		"type made again": {
			func(n *node, _ *postern.Application, _ *postern.EndpointView) error {
				return n.DeleteEventType(n.t.Context(), "user.created")
			},
			func(n *node, _ *postern.Application, _ *postern.EndpointView) error {
				return n.DeclareEventType(n.t.Context(), "user.created", "theirs")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := pair(t)
			app := one.application("a")
			view := one.endpoint(app, "main")
			if err := one.DeclareEventType(t.Context(), "user.created", "ours"); err != nil {
				t.Fatal(err)
			}
			two.catchUp()
			two.after = func() {
				two.after = nil
				one.catchUp()
				if err := test.theirs(one, app, view); err != nil {
					t.Error(err)
				}
				two.catchUp()
			}
			if err := test.ours(two, app, view); err != nil {
				t.Fatal(err)
			}
			two.same(one)
		})
	}
}

// same holds that nodes that know everything show the same as one that starts.
func (n *node) same(other *node) {
	n.t.Helper()
	fresh := n.cluster.join(n.t)
	lastUse := cmpopts.IgnoreFields(postern.Key{}, "LastUsedAt") // two nodes note it as they like
	for _, n := range []*node{n, other} {
		n.catchUp()
		if diff := cmp.Diff(picture(fresh.Catalogue), picture(n.Catalogue), cmpopts.EquateEmpty(), lastUse); diff != "" {
			n.t.Errorf("(-a node that starts +one that runs)\n%s", diff)
		}
		for _, a := range picture(fresh.Catalogue).Applications {
			if got, err := n.Application(a.UID); a.UID != "" && (err != nil || got.ID != a.ID) {
				n.t.Errorf("Application(%q): %v, %v", a.UID, got, err)
			}
		}
		for _, e := range picture(fresh.Catalogue).Endpoints {
			if got, err := n.Endpoint(e.Application, e.UID); e.UID != "" && (err != nil || got.ID != e.ID) {
				n.t.Errorf("Endpoint(%q): %v, %v", e.UID, got, err)
			}
		}
		for uid := range 4 { // whatever is free can be had
			if a, err := n.CreateApplication(n.t.Context(), postern.Application{Name: "x", UID: fmt.Sprint("uid", uid)}); err == nil {
				if err := n.DeleteApplication(n.t.Context(), a.Number); err != nil {
					n.t.Error(err)
				}
			} else if _, taken := fresh.Application(fmt.Sprint("uid", uid)); taken != nil {
				n.t.Errorf("uid%d is neither there nor free: %v", uid, err)
			}
		}
	}
}

// TestNumbersAreGivenOutOnce: a number that another node used meanwhile is not
// stored, though what it was used for has nothing to do with the change.
func TestNumbersAreGivenOutOnce(t *testing.T) {
	one, two := pair(t)
	mine, yours := one.application("one"), one.application("two")
	two.catchUp()
	var theirs *postern.EndpointView
	two.before = func() {
		two.before = nil
		theirs = one.endpoint(mine, "")
		two.catchUp()
	}
	ours := two.endpoint(yours, "")
	if ours.Number == theirs.Number || two.refusals != 1 {
		t.Errorf("numbers %d and %d after %d refusals", ours.Number, theirs.Number, two.refusals)
	}
	two.same(one)
}

func TestNumbersOfWhatIsGoneAreTaken(t *testing.T) {
	_, two := pair(t)
	gone := given{5, []any{
		store.Change{Delete: &postern.Application{Number: 30}}, store.Change{Delete: &postern.Endpoint{Number: 40, Application: 30}},
	}}
	if err := two.Refresh(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if apps, endpoints := two.Numbers(); apps != 30 || endpoints != 40 {
		t.Errorf("numbers %d and %d", apps, endpoints)
	}
}

// TestUsesDoNotKeepKeys: another node notes the use of a key that is being revoked.
func TestUsesDoNotKeepKeys(t *testing.T) {
	one, two := pair(t)
	key := must[*postern.Key](t)(one.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{1}}))
	two.catchUp()
	two.before = func() {
		one.KeyByHash(key.Hash)
		if err := one.StoreKeyUse(t.Context()); err != nil {
			t.Error(err)
		}
		two.catchUp()
	}
	if err := two.DeleteKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if two.before = nil; two.KeyByHash(key.Hash) != nil {
		t.Error("a revoked key works")
	}
	two.same(one)
}

// TestReloadBesideChanges: a change is stored and not yet shown, and another waits
// for it, when everything is loaded anew. That one comes after what was loaded.
func TestReloadBesideChanges(t *testing.T) {
	one, two := pair(t)
	var second sync.WaitGroup
	two.after = func() {
		two.after = nil
		second.Go(func() {
			if err := two.DeleteEventType(t.Context(), "a.b"); err != nil {
				t.Error(err)
			}
		})
		for two.UnderWay() < 2 {
			runtime.Gosched()
		}
		if err := two.Reload(t.Context(), two.cluster, two.cluster.numbers(), two.cluster.newest()); err != nil {
			t.Error(err)
		}
	}
	if err := two.DeclareEventType(t.Context(), "a.b", "ours"); err != nil {
		t.Fatal(err)
	}
	second.Wait()
	two.same(one)
}

// TestRefusedChangesAreTold where nobody makes them again.
func TestRefusedChangesAreTold(t *testing.T) {
	one, two := pair(t)
	two.config.Refresh = nil
	var err error
	if two.Catalogue, err = catalogue.Load(t.Context(), two.cluster, store.Head{}, two.config); err != nil {
		t.Fatal(err)
	}
	theirs := one.application("acme")
	made, err := two.CreateApplication(t.Context(), postern.Application{Name: "x", UID: "mine"})
	known, is := errors.AsType[*postern.Error](err)
	if !is || known.Code != store.CodeMoved || made != nil {
		t.Errorf("%v, %v", made, err)
	}
	if _, err := two.CreateApplication(t.Context(), postern.Application{Name: "x", UID: "mine"}); err != nil {
		t.Errorf("the second try: %v", err)
	}
	if got, err := two.Application("acme"); err != nil || got.ID != theirs.ID {
		t.Errorf("%v, %v", got, err)
	}
	two.same(one)
}

// TestWhatWasReadMayBeOlder: while others' changes are read, this node stores a
// newer health and revokes a key whose use is among them.
func TestWhatWasReadMayBeOlder(t *testing.T) {
	one, two := pair(t)
	view := one.endpoint(one.application("acme"), "")
	key := must[*postern.Key](t)(one.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{1}}))
	two.catchUp()
	one.settle(view.Number, postern.Health{Failures: 1})
	one.KeyByHash(key.Hash)
	if err := one.StoreKeyUse(t.Context()); err != nil {
		t.Fatal(err)
	}
	two.between = func() {
		two.between = nil
		two.settle(view.Number, postern.Health{Failures: 2})
		if err := two.DeleteKey(t.Context(), key.ID); err != nil {
			t.Error(err)
		}
	}
	two.catchUp()
	if two.KeyByHash(key.Hash) != nil {
		t.Error("a revoked key works again")
	}
	if h := two.EndpointByNumber(view.Number).Health; h.Failures != 2 {
		t.Errorf("health %+v", h)
	}
	two.same(one)
}

// TestRevokedKeysStayRevoked though the last of the readings that were given up
// for others' health has a use of the key that is revoked meanwhile.
func TestRevokedKeysStayRevoked(t *testing.T) {
	one, two := pair(t)
	view := one.endpoint(one.application("acme"), "")
	key := must[*postern.Key](t)(one.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{1}}))
	two.catchUp()
	one.KeyByHash(key.Hash)
	if err := one.StoreKeyUse(t.Context()); err != nil {
		t.Fatal(err)
	}
	one.settle(view.Number, postern.Health{Failures: 1})
	readings := 0
	two.between = func() {
		readings++
		two.settle(view.Number, postern.Health{Failures: 2})
		one.settle(view.Number, postern.Health{Failures: 3 + readings})
		if readings == 4 {
			if err := two.DeleteKey(t.Context(), key.ID); err != nil {
				t.Error(err)
			}
		}
	}
	two.catchUp()
	if two.between = nil; readings != 4 {
		t.Errorf("%d readings, want 4", readings)
	}
	if two.KeyByHash(key.Hash) != nil {
		t.Error("a revoked key works again")
	}
	two.same(one)
}

// TestSlowReadersShowNothingOld: one reading is shown while another waits, whose
// version is higher for what this node stored, and then a change of this node.
func TestSlowReadersShowNothingOld(t *testing.T) {
	one, two := pair(t)
	view := one.endpoint(one.application("first"), "")
	two.catchUp()
	rename := func(n *node, uid string) {
		t.Helper()
		must[*postern.Application](t)(n.UpdateApplication(t.Context(), 1, func(a *postern.Application) error { a.UID = uid; return nil }))
	}
	var group sync.WaitGroup
	begin := func() (end func()) {
		s := slow{two, make(chan struct{}, 1), make(chan struct{})}
		done := make(chan error)
		group.Go(func() { done <- two.Refresh(t.Context(), s) })
		<-s.read
		return func() {
			close(s.goOn)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	rename(one, "second")
	endFirst := begin()
	two.settle(view.Number, postern.Health{Failures: 1})
	endSecond := begin()
	endFirst()
	rename(two, "third")
	endSecond()
	group.Wait()
	if _, err := two.Application("third"); err != nil {
		t.Errorf("the newest uid: %v", err)
	}
	two.same(one)
}

// TestReload has a node that missed everything know it, but for what it stored
// itself meanwhile.
func TestReload(t *testing.T) {
	one, two := pair(t)
	ctx := t.Context()
	gone, kept := one.application("gone"), one.application("kept")
	lost, changed, ill, well := one.endpoint(gone, "a"), one.endpoint(kept, "b"), one.endpoint(kept, "c"), one.endpoint(kept, "d")
	one.settle(well.Number, postern.Health{Failures: 5})
	key := must[*postern.Key](t)(one.CreateKey(ctx, postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{1}}))
	two.catchUp()
	two.tellings()
	one.settle(ill.Number, postern.Health{Failures: 1})
	one.settle(well.Number, postern.Health{})
	one.settle(changed.Number, postern.Health{Failures: 2})
	made := one.endpoint(kept, "e")
	_, err := one.UpdateEndpoint(ctx, kept.Number, changed.Number, false, func(e *postern.Endpoint) error { e.Paused = true; return nil })
	if err := errors.Join(err, one.DeleteApplication(ctx, gone.Number), one.DeleteKey(ctx, key.ID), one.DeclareEventType(ctx, "a.b", "")); err != nil {
		t.Fatal(err)
	}
	fails := errors.New("no connection")
	if err := two.Reload(ctx, failingLoad{fails}, store.Head{}, 99); !errors.Is(err, fails) || two.Version() == 99 {
		t.Errorf("a store that fails: %v", err)
	}
	two.cluster.loaded = func() { two.settle(changed.Number, postern.Health{Failures: 3}) }
	version := two.cluster.newest()
	if err := two.Reload(ctx, two.cluster, store.Head{Applications: 7, Endpoints: 9}, version); err != nil {
		t.Fatal(err)
	}
	two.cluster.loaded = nil
	if two.Version() != version {
		t.Errorf("version %d, want %d", two.Version(), version)
	}
	one.ApplyHealth(changed.Number, postern.Health{Failures: 3})
	if diff := cmp.Diff(picture(one.Catalogue), picture(two.Catalogue)); diff != "" {
		t.Errorf("(-who changed it +who loads it)\n%s", diff)
	}
	if told, want := two.tellings(), []postern.EndpointNumber{lost.Number, changed.Number, made.Number}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if apps, endpoints := two.Numbers(); apps != 7 || endpoints != 9 {
		t.Errorf("numbers %d and %d", apps, endpoints)
	}
	if two.KeyByHash(key.Hash) != nil {
		t.Error("a revoked key works")
	}
}

// failingLoad is a store that cannot be read.
type failingLoad struct{ err error }

func (f failingLoad) Load(context.Context, func(record any) error) error { return f.err }

// TestNodesAgreeInTheEnd has nodes change the same few records at once, each with
// several changes under way, while others' are taken over at any moment, now and
// then all anew.
func TestNodesAgreeInTheEnd(t *testing.T) {
	seed := testkit.Seed(t)
	one, two := pair(t)
	if err := one.DeclareEventType(t.Context(), "user.created", ""); err != nil {
		t.Fatal(err)
	}
	two.catchUp()
	done := make(chan struct{})
	var changes, refreshes sync.WaitGroup
	for i, n := range []*node{one, two} {
		for j := range uint64(3) {
			changes.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(i)<<8|j))
				for range testkit.Count(150, 10_000) {
					if err := randomNodeChange(n, random); err != nil {
						t.Error(err)
					}
				}
			})
		}
		refreshes.Go(func() {
			for random := rand.New(rand.NewPCG(seed, uint64(i)<<8|9)); ; {
				select {
				case <-done:
					return
				default:
				}
				refresh := func() error { return n.refresh(t.Context()) }
				if random.IntN(20) == 0 {
					version := n.cluster.newest()
					refresh = func() error { return n.Reload(t.Context(), n.cluster, n.cluster.numbers(), version) }
				}
				if err := refresh(); err != nil {
					t.Error(err)
				}
				picture(n.Catalogue)
			}
		})
	}
	changes.Wait()
	close(done)
	refreshes.Wait()
	t.Logf("%d and %d refusals in %d batches", one.refusals, two.refusals, one.cluster.newest())
	two.same(one)
}

// randomNodeChange is randomChange on a node of several, where a change may also
// find the catalogue moved too often.
func randomNodeChange(n *node, random *rand.Rand) error {
	w := &world{Catalogue: n.Catalogue, T: n.t}
	var err error
	switch hash := [32]byte{1 + byte(random.IntN(6))}; random.IntN(16) {
	case 0:
		_, err = n.CreateKey(n.t.Context(), postern.Key{Scope: postern.ScopeAdmin, Hash: hash})
	case 1:
		if k := n.KeyByHash(hash); k != nil {
			err = n.DeleteKey(n.t.Context(), k.ID)
		}
	case 2:
		n.KeyByHash(hash)
		err = n.StoreKeyUse(n.t.Context())
	case 3:
		err = n.DeleteEventType(n.t.Context(), fmt.Sprint("uid", random.IntN(4)))
	default:
		err = randomChange(w, n.settle, random)
	}
	known, is := errors.AsType[*postern.Error](err)
	if err == nil || is && (known.Code == store.CodeMoved || known.Kind == postern.Conflict || known.Kind == postern.NotFound) {
		return nil
	}
	return err
}
