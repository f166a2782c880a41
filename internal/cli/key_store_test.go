package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// What a store tells of a key is what a server does.
func TestStoredKeyIsShownWhole(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, time.January, day, 0, 0, 0, 0, time.UTC) }
	made, used, ends := at(1), at(2), at(3)
	app := &postern.Application{ID: postern.ApplicationID{1}, Number: 7}
	s := &storedKeys{apps: []*postern.Application{{ID: postern.ApplicationID{2}, Number: 8}, app}}
	got := s.render(&postern.Key{
		ID: postern.KeyID{3}, Name: "n", Scope: postern.ScopeReadOnly, Application: 7, Hash: [32]byte{9},
		CreatedAt: made, LastUsedAt: used, ExpiresAt: ends,
	})
	want := &client.Key{
		ID: postern.KeyID{3}, Name: "n", Scope: postern.ScopeReadOnly, ApplicationID: &app.ID,
		CreatedAt: made, LastUsedAt: &used, ExpiresAt: &ends,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	bare := s.render(&postern.Key{CreatedAt: made})
	if diff := cmp.Diff(&client.Key{CreatedAt: made}, bare); diff != "" {
		t.Error(diff)
	}
}
