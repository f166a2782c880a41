package catalogue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/store"
)

// visitor makes a token of the portal that is good for a time.
func visitor(t *testing.T, w *world, app postern.ApplicationNumber, hash byte, session string, lasts time.Duration) *postern.Key {
	t.Helper()
	k, err := w.CreateKey(t.Context(), postern.Key{
		Scope: postern.ScopePortal, Application: app, Hash: [32]byte{hash},
		ExpiresAt: time.Now().Add(lasts), Portal: &postern.Portal{Session: session},
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// alive are the first bytes of the hashes that still open something, in memory
// and after loading anew.
func alive(t *testing.T, w *world) []byte {
	t.Helper()
	loaded := w.load(store.Head{})
	var list []byte
	for hash := byte(1); hash < 10; hash++ {
		for _, c := range []*catalogue.Catalogue{w.Catalogue, loaded} {
			if k := c.KeyByHash([32]byte{hash}); k != nil && k.Live(time.Now()) {
				list = append(list, hash)
			}
		}
	}
	return list
}

func TestExpireVisitors(t *testing.T) {
	w := newWorld(t)
	app, other := w.application("acme").Number, w.application("other").Number
	visitor(t, w, app, 1, "one", time.Hour)
	visitor(t, w, app, 2, "two", time.Hour)
	visitor(t, w, app, 3, "", 2*time.Hour)
	visitor(t, w, other, 4, "one", time.Hour)
	if _, err := w.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeApplication, Application: app, Hash: [32]byte{5}}); err != nil {
		t.Fatal(err)
	}
	expire := func(at time.Time, want []byte, sessions ...string) {
		t.Helper()
		if err := w.ExpireVisitors(t.Context(), app, sessions, at); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, alive(t, w)); diff != "" {
			t.Error(diff)
		}
	}
	all := []byte{1, 1, 2, 2, 3, 3, 4, 4, 5, 5}
	expire(time.Now(), all, "nobody's")
	expire(time.Now().Add(90*time.Minute), all)
	if k := w.KeyByHash([32]byte{1}); time.Until(k.ExpiresAt) > time.Hour {
		t.Error("a token lasts longer than before")
	}
	if k := w.KeyByHash([32]byte{3}); time.Until(k.ExpiresAt) > 90*time.Minute {
		t.Error("a token was not cut short")
	}
	expire(time.Now(), []byte{2, 2, 3, 3, 4, 4, 5, 5}, "one")
	expire(time.Now(), []byte{4, 4, 5, 5})
}

// TestVisitorsAreNoKeys: they are neither listed nor found by id, and go when
// they have expired.
func TestVisitorsAreNoKeys(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme").Number
	k := visitor(t, w, app, 1, "", time.Hour)
	visitor(t, w, app, 2, "", -time.Hour)
	if list, more := w.Keys(postern.ListPage{Limit: 10}); len(list) != 0 || more {
		t.Errorf("listed %v", list)
	}
	_, err := w.Key(k.ID)
	wantKind(t, err, postern.NotFound)
	if err := w.DropVisitors(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.KeyByHash([32]byte{2}) != nil || w.KeyByHash([32]byte{1}) == nil {
		t.Error("not just the expired one went")
	}
	if err := w.DeleteKey(t.Context(), k.ID); err != nil || w.KeyByHash([32]byte{1}) != nil {
		t.Errorf("a visitor cannot log out: %v", err)
	}
	for _, k := range []postern.Key{
		{Scope: postern.ScopePortal, Hash: [32]byte{3}, ExpiresAt: time.Now().Add(1), Portal: &postern.Portal{}},
		{Scope: postern.ScopePortal, Hash: [32]byte{3}, Application: app, Portal: &postern.Portal{}},
		{Scope: postern.ScopePortal, Hash: [32]byte{3}, Application: app, ExpiresAt: time.Now().Add(1)},
	} {
		_, err := w.CreateKey(t.Context(), k)
		wantKind(t, err, postern.Invalid)
	}
}

func TestStoreKeyUse(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme").Number
	key := func(hash byte, expires time.Time) {
		t.Helper()
		if _, err := w.CreateKey(t.Context(), postern.Key{Scope: postern.ScopeApplication, Application: app, Hash: [32]byte{hash}, ExpiresAt: expires}); err != nil {
			t.Fatal(err)
		}
	}
	key(1, time.Time{})
	key(2, time.Time{})
	key(3, time.Now().Add(-time.Hour))
	visitor(t, w, app, 4, "", time.Hour)
	before := w.store.count()
	note := func() {
		t.Helper()
		if err := w.StoreKeyUse(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if note(); w.store.count() != before {
		t.Error("something is written though nobody used a key")
	}
	for _, hash := range []byte{1, 3, 4} {
		w.KeyByHash([32]byte{hash})
	}
	note()
	for _, c := range []*catalogue.Catalogue{w.Catalogue, w.load(store.Head{})} {
		var used []byte
		keys, _ := c.Keys(postern.ListPage{Limit: 10})
		for _, k := range keys {
			if !k.LastUsedAt.IsZero() {
				used = append(used, k.Hash[0])
			}
			if byHash := c.KeyByHash(k.Hash); byHash != k {
				t.Error("by token it is another record than by id")
			}
		}
		if diff := cmp.Diff([]byte{1}, used); diff != "" {
			t.Error(diff)
		}
	}
	if w.store.count() != before+1 {
		t.Errorf("%d batches for the uses of some minutes", w.store.count()-before)
	}
}

// TestKeyByHashAllocatesNothing: it stands before every publish.
func TestKeyByHashAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	visitor(t, w, w.application("acme").Number, 1, "", time.Hour)
	if n := testing.AllocsPerRun(100, func() { w.KeyByHash([32]byte{1}) }); n != 0 {
		t.Errorf("KeyByHash allocates %v times", n)
	}
}
