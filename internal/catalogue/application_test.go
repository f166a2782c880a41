package catalogue_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func TestCreateApplication(t *testing.T) {
	w := newWorld(t)
	metadata := map[string]string{"plan": "free"}
	app, err := w.CreateApplication(t.Context(), postern.Application{
		Name: "Acme", UID: "acme", Rate: 5, Metadata: metadata, Number: 99, Version: 99,
	})
	if err != nil {
		t.Fatal(err)
	}
	metadata["plan"] = "changed"
	if app.Number != 1 || app.Version != 1 || app.ID.IsZero() || app.CreatedAt.IsZero() || app.Metadata["plan"] != "free" {
		t.Errorf("got %+v", app)
	}
	for _, ref := range []string{"acme", app.ID.String()} {
		if got, err := w.Application(ref); err != nil || got != app {
			t.Errorf("Application(%q) = %v, %v", ref, got, err)
		}
	}
	if w.Snapshot(1).Application != app || w.ApplicationByNumber(1) != app {
		t.Error("not found by number")
	}
	for _, ref := range []string{"", "Acme", "app_", "app_broken"} {
		_, err := w.Application(ref)
		wantKind(t, err, postern.NotFound)
	}
	if w.Snapshot(2) != nil || w.ApplicationByNumber(2) != nil {
		t.Error("an application that is not there")
	}
	if _, err = w.CreateApplication(t.Context(), postern.Application{Name: "Other", UID: "acme"}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("a uid in use: %v", err)
	}
}

// TestClaimsAreWaitedFor: who wants a uid that another change may get is told
// only once that is decided. A conflict can be found, then, and one that came to
// nothing is none.
func TestClaimsAreWaitedFor(t *testing.T) {
	for name, outcome := range map[string]error{"committed": nil, "failed": errDisk} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				hold := make(chan struct{})
				w.store.before = func([]store.Change) error {
					w.store.before = nil
					<-hold
					return outcome
				}
				create := func(ctx context.Context) <-chan error {
					done := make(chan error, 1)
					go func() {
						_, err := w.CreateApplication(ctx, postern.Application{Name: "Acme", UID: "acme"})
						done <- err
					}()
					synctest.Wait()
					return done
				}
				first, second := create(t.Context()), create(t.Context())
				impatient, cancel := context.WithCancel(t.Context())
				third := create(impatient)
				if len(first)+len(second)+len(third) > 0 {
					t.Fatal("one was told before anything was decided")
				}
				if _, err := w.Application("acme"); !errors.Is(err, postern.ErrNotFound) {
					t.Errorf("what is not stored is found: %v", err)
				}
				cancel()
				if err := <-third; !errors.Is(err, context.Canceled) {
					t.Errorf("nobody waits any more: %v", err)
				}
				close(hold)
				if err := <-first; !errors.Is(err, outcome) {
					t.Errorf("the first: %v, want %v", err, outcome)
				}
				if err := <-second; errors.Is(err, postern.ErrConflict) != (outcome == nil) {
					t.Errorf("the second: %v", err)
				}
				if _, err := w.Application("acme"); err != nil {
					t.Errorf("whoever got it: %v", err)
				}
			})
		})
	}
}

func TestUpdateApplication(t *testing.T) {
	w := newWorld(t)
	before := w.application("acme")
	w.application("taken")
	rename := func(uid string) (*postern.Application, error) {
		return w.UpdateApplication(t.Context(), before.Number, func(a *postern.Application) error {
			*a = postern.Application{Name: "New", UID: uid}
			return nil
		})
	}
	after, err := rename("renamed")
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.Number != before.Number || after.Version != 2 || after.Name != "New" {
		t.Errorf("got %+v", after)
	}
	if before.Name != "Test" {
		t.Error("a record that readers have was changed")
	}
	_, err = w.Application("acme")
	wantKind(t, err, postern.NotFound)
	_, err = rename("taken")
	wantKind(t, err, postern.Conflict)
	if got, err := w.Application("renamed"); err != nil || got != after {
		t.Errorf("after a failed renaming: %v, %v", got, err)
	}
	w.application("acme") // free again

	refused := errors.New("refused")
	_, err = w.UpdateApplication(t.Context(), before.Number, func(*postern.Application) error { return refused })
	if !errors.Is(err, refused) {
		t.Errorf("got %v, want fn's error", err)
	}
	_, err = w.UpdateApplication(t.Context(), 99, nil)
	wantKind(t, err, postern.NotFound)
}

func TestDeleteApplicationTakesAllWithIt(t *testing.T) {
	w := newWorld(t)
	app, other := w.application("acme"), w.application("other")
	first := w.endpoint(app, func(e *postern.Endpoint) { e.UID = "main" })
	second := w.endpoint(app, nil)
	kept := w.endpoint(other, nil)
	source := w.source(app, "github")
	key, err := w.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeApplication, Application: app.Number, Hash: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	entry := w.Entry(first.Number)
	w.tellings()
	if err := w.DeleteApplication(t.Context(), app.Number); err != nil {
		t.Fatal(err)
	}

	last := w.store.last()
	if len(last.changes) != 5 || len(last.health) != 2 {
		t.Errorf("%d changes and %d healths in the batch, want 5 and 2", len(last.changes), len(last.health))
	}
	for _, change := range last.changes {
		if !change.delete {
			t.Errorf("something was put: %s", change.record)
		}
	}
	if told := w.tellings(); !slices.Equal(told, []postern.EndpointNumber{first.Number, second.Number}) {
		t.Errorf("told %v", told)
	}
	if !entry.View().Deleted || w.Entry(first.Number) != nil || w.Snapshot(app.Number) != nil {
		t.Error("the application or an endpoint is still there")
	}
	if w.SourceByTokenHash(source.TokenHash) != nil || w.KeyByHash(key.Hash) != nil {
		t.Error("its source or key still works")
	}
	_, err = w.Application("acme")
	wantKind(t, err, postern.NotFound)
	_, err = w.CreateEndpoint(t.Context(), postern.Endpoint{Application: app.Number, URL: "https://example.com/"})
	wantKind(t, err, postern.NotFound)
	wantKind(t, w.DeleteApplication(t.Context(), app.Number), postern.NotFound)
	w.ApplyHealth(first.Number, postern.Health{Disabled: postern.DisabledGone}) // a settle that came late

	if w.EndpointByNumber(kept.Number) != kept {
		t.Error("another application lost an endpoint")
	}
	if again := w.application("acme"); again.Number != 3 {
		t.Errorf("number %d, want 3: numbers are never used again", again.Number)
	}
}

func TestNumbersGoOnFromTheHead(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	w.endpoint(app, nil)
	if err := w.DeleteApplication(t.Context(), app.Number); err != nil {
		t.Fatal(err)
	}
	applications, endpoints := w.Numbers()
	if applications != 1 || endpoints != 1 {
		t.Errorf("numbers %d and %d, want 1 and 1", applications, endpoints)
	}
	w.Catalogue = w.load(store.Head{Applications: applications, Endpoints: endpoints})
	w.store.target = w.Catalogue
	app = w.application("next")
	if view := w.endpoint(app, nil); app.Number != 2 || view.Number != 2 {
		t.Errorf("numbers %d and %d, want 2 and 2", app.Number, view.Number)
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	app := w.application("")
	var ids []string
	for range 5 {
		ids = append(ids, w.endpoint(app, nil).ID.String())
	}
	for _, test := range []struct {
		page postern.ListPage
		want []string
		more bool
	}{
		{postern.ListPage{Limit: 9}, ids, false},
		{postern.ListPage{Limit: 5}, ids, false},
		{postern.ListPage{Limit: 2}, ids[:2], true},
		{postern.ListPage{Limit: 2, After: ids[1]}, ids[2:4], true},
		{postern.ListPage{Limit: 2, After: ids[2]}, ids[3:], false},
		{postern.ListPage{Limit: 2, After: ids[4]}, nil, false},
		{postern.ListPage{Limit: 2, Descending: true}, []string{ids[4], ids[3]}, true},
		{postern.ListPage{Limit: 2, Descending: true, After: ids[2]}, []string{ids[1], ids[0]}, false},
		{postern.ListPage{Limit: 9, After: "ep_" + "0000000000000000000000000" + "01"}, ids, false},
		{postern.ListPage{Limit: 9, After: "nonsense"}, nil, false},
	} {
		views, more := w.Endpoints(app.Number, test.page)
		var got []string
		for _, view := range views {
			got = append(got, view.ID.String())
		}
		if !slices.Equal(got, test.want) || more != test.more {
			t.Errorf("%+v: got %v, %t; want %v, %t", test.page, got, more, test.want, test.more)
		}
	}
	if views, _ := w.Endpoints(99, postern.ListPage{Limit: 9}); views != nil {
		t.Error("endpoints of no application")
	}
}

func TestListApplications(t *testing.T) {
	w := newWorld(t)
	var want []*postern.Application
	for range 4 {
		want = append(want, w.application(""))
	}
	if err := w.DeleteApplication(t.Context(), want[1].Number); err != nil {
		t.Fatal(err)
	}
	// Behind one that was deleted since.
	got, more := w.Applications(postern.ListPage{Limit: 1, After: want[1].ID.String()})
	if diff := cmp.Diff(want[2:3], got); diff != "" || !more {
		t.Errorf("more %t, %s", more, diff)
	}
	got, more = w.Applications(postern.ListPage{Limit: 2, After: want[1].ID.String()})
	if diff := cmp.Diff(want[2:], got); diff != "" || more {
		t.Errorf("more %t, %s", more, diff)
	}
}

// TestFailedCommitChangesNothing walks every mutation into a failing commit.
func TestFailedCommitChangesNothing(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) { e.UID = "main" })
	source := w.source(app, "github")
	w.eventType("user.created")
	key, err := w.CreateKey(ctx, postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	before, batches := picture(w.Catalogue), w.store.count()
	w.tellings()
	mend := w.failing()
	for name, change := range map[string]func() error{
		"create application": func() error {
			_, err := w.CreateApplication(ctx, postern.Application{Name: "x", UID: "new"})
			return err
		},
		"update application": func() error {
			_, err := w.UpdateApplication(ctx, app.Number, func(a *postern.Application) error { a.UID = "new"; return nil })
			return err
		},
		"delete application": func() error { return w.DeleteApplication(ctx, app.Number) },
		"create endpoint": func() error {
			_, err := w.CreateEndpoint(ctx, postern.Endpoint{Application: app.Number, URL: "https://example.com/", UID: "new"})
			return err
		},
		"update endpoint": func() error {
			_, err := w.UpdateEndpoint(ctx, app.Number, view.Number, true, func(e *postern.Endpoint) error { e.UID = "new"; return nil })
			return err
		},
		"delete endpoint": func() error { return w.DeleteEndpoint(ctx, app.Number, view.Number) },
		"create source": func() error {
			_, err := w.CreateSource(ctx, postern.Source{Application: app.Number, Provider: "github"})
			return err
		},
		"update source": func() error {
			_, err := w.UpdateSource(ctx, app.Number, source.ID, func(s *postern.Source) error { s.Paused = true; return nil })
			return err
		},
		"delete source": func() error { return w.DeleteSource(ctx, app.Number, source.ID) },
		"put event type": func() error {
			_, _, err := w.PutEventType(ctx, postern.EventType{Name: "user.created"}, true)
			return err
		},
		"declare event type": func() error { return w.DeclareEventType(ctx, "user.deleted", "") },
		"delete event type":  func() error { return w.DeleteEventType(ctx, "user.created") },
		"create key": func() error {
			_, err := w.CreateKey(ctx, postern.Key{Scope: postern.ScopeAdmin, Hash: [32]byte{2}})
			return err
		},
		"delete key": func() error { return w.DeleteKey(ctx, key.ID) },
	} {
		if err := change(); !errors.Is(err, errDisk) {
			t.Errorf("%s: got %v, want the commit's error", name, err)
		}
		if diff := cmp.Diff(before, picture(w.Catalogue)); diff != "" {
			t.Errorf("%s changed the memory: %s", name, diff)
		}
	}
	if told := w.tellings(); told != nil || w.store.count() != batches {
		t.Errorf("told %v", told)
	}
	mend()
	// The uid that was claimed for the failed changes is free.
	w.application("new")
	w.endpoint(app, func(e *postern.Endpoint) { e.UID = "new" })
}

func TestCallerGoesAway(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.store.before = func([]store.Change) error {
		cancel() // while the commit is under way
		return nil
	}
	if _, err := w.CreateApplication(ctx, postern.Application{Name: "x"}); err != nil {
		t.Errorf("a change under way was given up: %v", err)
	}
	if _, err := w.CreateApplication(ctx, postern.Application{Name: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a change for nobody: %v", err)
	}
	if w.store.count() != 1 {
		t.Errorf("%d batches, want 1", w.store.count())
	}
}
