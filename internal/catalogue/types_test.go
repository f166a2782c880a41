package catalogue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

func TestEventTypes(t *testing.T) {
	w := newWorld(t)
	schedule := postern.RetrySchedule{time.Second}
	created, stored, err := w.PutEventType(t.Context(), postern.EventType{
		Name: "user.created", RetrySchedule: schedule, Schemas: map[string][]byte{"1": []byte(` {"type":"object"}`)},
	}, false)
	if err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	schedule[0] = time.Hour
	if got := w.RetrySchedule("user.created"); !slices.Equal(got, postern.RetrySchedule{time.Second}) {
		t.Errorf("schedule %v", got)
	}
	if w.RetrySchedule("unknown") != nil {
		t.Error("a schedule of no type")
	}
	if got, err := w.EventType("user.created"); err != nil || got != stored {
		t.Errorf("got %v, %v", got, err)
	}
	_, _, err = w.PutEventType(t.Context(), postern.EventType{Name: "user.created"}, false)
	if !errors.Is(err, &postern.Error{Kind: postern.Conflict, Code: "event_type_exists"}) {
		t.Errorf("a name in use: %v", err)
	}
	created, replaced, err := w.PutEventType(t.Context(), postern.EventType{Name: "user.created", Description: "new"}, true)
	if err != nil || created || replaced.Description != "new" || !replaced.CreatedAt.Equal(stored.CreatedAt) {
		t.Errorf("replaced: %t, %+v, %v", created, replaced, err)
	}
	updated, err := w.UpdateEventType(t.Context(), "user.created", func(t *postern.EventType) error {
		t.Name, t.Deprecated = "other", true
		return nil
	})
	if err != nil || updated.Name != "user.created" || !updated.Deprecated || replaced.Deprecated {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	if err := w.DeleteEventType(t.Context(), "user.created"); err != nil {
		t.Fatal(err)
	}
	_, err = w.EventType("user.created")
	wantKind(t, err, postern.NotFound)
	wantKind(t, w.DeleteEventType(t.Context(), "user.created"), postern.NotFound)
	_, err = w.UpdateEventType(t.Context(), "user.created", nil)
	wantKind(t, err, postern.NotFound)
}

func TestArchivedEventTypes(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"c", "a", "b"} {
		w.eventType(name)
	}
	_, err := w.UpdateEventType(t.Context(), "b", func(t *postern.EventType) error { t.Archived = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	list := func(p postern.ListPage, archived bool) []string {
		types, more := w.EventTypes(p, archived)
		var names []string
		for _, t := range types {
			names = append(names, t.Name)
		}
		if more {
			names = append(names, "...")
		}
		return names
	}
	for _, test := range []struct {
		page     postern.ListPage
		archived bool
		want     []string
	}{
		{postern.ListPage{Limit: 5}, false, []string{"a", "c"}},
		{postern.ListPage{Limit: 5}, true, []string{"a", "b", "c"}},
		{postern.ListPage{Limit: 1}, false, []string{"a", "..."}},
		{postern.ListPage{Limit: 1, After: "b"}, false, []string{"c"}},
		{postern.ListPage{Limit: 1, After: "bb"}, false, []string{"c"}},
		{postern.ListPage{Limit: 1, After: "bb", Descending: true}, true, []string{"b", "..."}},
	} {
		if diff := cmp.Diff(test.want, list(test.page, test.archived)); diff != "" {
			t.Errorf("%+v: %s", test.page, diff)
		}
	}
	created, revived, err := w.PutEventType(t.Context(), postern.EventType{Name: "b"}, false)
	if err != nil || !created || revived.Archived {
		t.Errorf("revived: %t, %+v, %v", created, revived, err)
	}
}

func TestDeclareEventType(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		if err := w.DeclareEventType(t.Context(), "push", "A push"); err != nil {
			t.Fatal(err)
		}
	}
	if w.store.count() != 1 {
		t.Errorf("%d batches, want 1", w.store.count())
	}
	if got, err := w.EventType("push"); err != nil || got.Description != "A push" {
		t.Errorf("got %+v, %v", got, err)
	}
	wantKind(t, w.DeclareEventType(t.Context(), "no name", ""), postern.Invalid)
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	create := func(k postern.Key) (*postern.Key, error) { return w.CreateKey(t.Context(), k) }
	admin, err := create(postern.Key{Name: "admin", Scope: postern.ScopeAdmin, Hash: [32]byte{1}})
	if err != nil || admin.ID.IsZero() || admin.CreatedAt.IsZero() {
		t.Fatalf("got %+v, %v", admin, err)
	}
	scoped, err := create(postern.Key{Scope: postern.ScopeApplication, Application: app.Number, Hash: [32]byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	if w.KeyByHash([32]byte{1}) != admin || w.KeyByHash([32]byte{9}) != nil {
		t.Error("found the wrong key")
	}
	if got, err := w.Key(scoped.ID); err != nil || got != scoped {
		t.Errorf("by id: %v, %v", got, err)
	}
	if list, more := w.Keys(postern.ListPage{Limit: 1}); !more || len(list) != 1 || list[0] != admin {
		t.Errorf("listed %v, %t", list, more)
	}
	for want, k := range map[postern.Kind]postern.Key{
		postern.Conflict: {Scope: postern.ScopeAdmin, Hash: [32]byte{1}},
		postern.NotFound: {Scope: postern.ScopeReadOnly, Application: 99, Hash: [32]byte{3}},
	} {
		_, err := create(k)
		wantKind(t, err, want)
	}
	for _, k := range []postern.Key{
		{Scope: "root", Hash: [32]byte{3}},
		{Scope: postern.ScopeAdmin},
		{Scope: postern.ScopeApplication, Hash: [32]byte{3}},
		{Scope: postern.ScopeAdmin, Application: app.Number, Hash: [32]byte{3}},
	} {
		_, err := create(k)
		wantKind(t, err, postern.Invalid)
	}
	if err := w.DeleteKey(t.Context(), admin.ID); err != nil {
		t.Fatal(err)
	}
	if w.KeyByHash([32]byte{1}) != nil {
		t.Error("a revoked key works")
	}
	_, err = w.Key(admin.ID)
	wantKind(t, err, postern.NotFound)
	wantKind(t, w.DeleteKey(t.Context(), admin.ID), postern.NotFound)
}
