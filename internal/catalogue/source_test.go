package catalogue_test

import (
	"crypto/sha256"
	"errors"
	"regexp"
	"testing"

	"github.com/postern-dev/postern"
)

func TestCreateSource(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	source := w.source(app, "github")
	token, err := w.secrets.Open(source.Token)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9A-Za-z]{32}$`).Match(token) {
		t.Errorf("a token of %d bytes is not 32 letters and digits", len(token))
	}
	if w.SourceByTokenHash(sha256.Sum256(token)) != source {
		t.Error("not found by its token")
	}
	if w.SourceByTokenHash([32]byte{}) != nil {
		t.Error("found by no token")
	}
	for _, ref := range []string{"github", source.ID.String()} {
		if got, err := w.Source(app.Number, ref); err != nil || got != source {
			t.Errorf("Source(%q) = %v, %v", ref, got, err)
		}
	}
	other := w.application("other")
	for _, ref := range []string{"github", source.ID.String(), "src_broken", ""} {
		_, err := w.Source(other.Number, ref)
		wantKind(t, err, postern.NotFound)
	}
	_, err = w.CreateSource(t.Context(), postern.Source{Application: app.Number, Provider: "github", UID: "github"})
	wantKind(t, err, postern.Conflict)
	second := w.source(app, "")
	if second.TokenHash == source.TokenHash {
		t.Error("two sources have the same token")
	}
	if list, more := w.Sources(app.Number, postern.ListPage{Limit: 1, After: source.ID.String()}); more || len(list) != 1 || list[0] != second {
		t.Errorf("listed %v, %t", list, more)
	}
	if version := w.Snapshot(app.Number).Application.Version; version != 3 {
		t.Errorf("version %d, want 3", version)
	}
}

func TestUpdateAndDeleteSource(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	before := w.source(app, "github")
	other := w.source(app, "other")
	after, err := w.UpdateSource(t.Context(), app.Number, before.ID, func(s *postern.Source) error {
		*s = postern.Source{Name: "New", UID: "github", Provider: "stripe", Paused: true}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.TokenHash != before.TokenHash || len(after.Token) == 0 || after.Application != app.Number {
		t.Error("the identity changed")
	}
	if w.SourceByTokenHash(before.TokenHash) != after || before.Paused {
		t.Error("requests do not find the new record, or the old one changed")
	}
	_, err = w.UpdateSource(t.Context(), app.Number, before.ID, func(s *postern.Source) error { s.UID = "other"; return nil })
	wantKind(t, err, postern.Conflict)
	if err := w.DeleteSource(t.Context(), app.Number, before.ID); err != nil {
		t.Fatal(err)
	}
	if w.SourceByTokenHash(before.TokenHash) != nil {
		t.Error("a deleted source still takes requests")
	}
	_, err = w.Source(app.Number, "github")
	wantKind(t, err, postern.NotFound)
	wantKind(t, w.DeleteSource(t.Context(), app.Number, before.ID), postern.NotFound)
	_, err = w.UpdateSource(t.Context(), app.Number, before.ID, nil)
	wantKind(t, err, postern.NotFound)
	if got, err := w.Source(app.Number, "other"); err != nil || got != other {
		t.Errorf("the other source: %v, %v", got, err)
	}
}

func TestSourcesAreValidatedWithOpenSecrets(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	refused := errors.New("the secret of this provider begins with whsec_")
	var seen []string
	w.config.ValidateSource = func(s *postern.Source, secrets [][]byte) error {
		for _, secret := range secrets {
			seen = append(seen, s.Provider+" "+string(secret))
		}
		return refused
	}
	w.Catalogue = w.load(storeHead(w))
	sealed, err := w.secrets.Seal([]byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.CreateSource(t.Context(), postern.Source{Application: app.Number, Provider: "stripe", Secrets: []postern.Sealed{sealed}})
	if !errors.Is(err, refused) || len(seen) != 1 || seen[0] != "stripe plain" {
		t.Errorf("got %v, having shown %q", err, seen)
	}
	_, err = w.CreateSource(t.Context(), postern.Source{Application: app.Number, Provider: "stripe", Secrets: []postern.Sealed{{1, 2}}})
	if err == nil || errors.Is(err, refused) {
		t.Errorf("a secret that does not open: %v", err)
	}
}
