package catalogue_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// TestSecretSettingsAreSealed: nothing that is stored has one in plain, and who
// validates a source sees it as if it were.
func TestSecretSettingsAreSealed(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	var seen map[string]string
	w.config.SecretSettings = func(provider string) []string { return []string{provider + "_token"} }
	w.config.ValidateSource = func(s *postern.Source, _ [][]byte) error { seen = s.Config; return nil }
	w.Catalogue = w.load(storeHead(w))
	s, err := w.CreateSource(t.Context(), postern.Source{
		Application: app.Number, Name: "n", Provider: "p", Config: map[string]string{"p_token": "s3cret", "topic": "t"},
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"p_token": "s3cret", "topic": "t"}
	if diff := cmp.Diff(all, seen); diff != "" {
		t.Error(diff)
	}
	check := func(s *postern.Source) {
		t.Helper()
		plain, err := w.secrets.Open(s.SealedConfig["p_token"])
		if diff := cmp.Diff(map[string]string{"topic": "t"}, s.Config); diff != "" || err != nil || string(plain) != "s3cret" {
			t.Errorf("%q, %v; %s", plain, err, diff)
		}
	}
	check(s)
	s, err = w.UpdateSource(t.Context(), app.Number, s.ID, func(s *postern.Source) error { s.Name = "other"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	check(s)
	if diff := cmp.Diff(all, seen); diff != "" {
		t.Error(diff)
	}
}

func TestStoreSecret(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	own, err := w.secrets.Seal([]byte("own"))
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string]postern.Source{
		"secret":  {Secrets: []postern.Sealed{own}},
		"setting": {Config: map[string]string{"stored_secret": "own"}},
	} {
		made.Application, made.Name, made.Provider = app.Number, "n", "notion"
		s, err := w.CreateSource(t.Context(), made)
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, w.StoreSecret(t.Context(), s, "stored_secret", "delivered"), postern.Conflict)
		if got, err := w.Source(app.Number, s.ID.String()); err != nil || got != s {
			t.Errorf("the source with a %s is another: %v", name, err)
		}
	}
	s, err := w.CreateSource(t.Context(), postern.Source{Application: app.Number, Name: "n", Provider: "notion"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.StoreSecret(t.Context(), s, "stored_secret", "delivered"); err != nil {
		t.Fatal(err)
	}
	// The one at hand is from before the first secret, as with two handshakes at once.
	wantKind(t, w.StoreSecret(t.Context(), s, "stored_secret", "another"), postern.Conflict)
	if got, err := w.Source(app.Number, s.ID.String()); err != nil || got.Config["stored_secret"] != "delivered" {
		t.Errorf("kept is %v, %v", got, err)
	}
}

func TestSourceFields(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	for field, s := range map[string]postern.Source{
		"answerContentType": {AnswerBody: "<p>", AnswerContentType: "text/html"},
		"answerBody":        {AnswerBody: strings.Repeat("x", 4097)},
		"eventTypes":        {EventTypes: map[string]string{"a": "b c"}},
		"forwardHeaders":    {ForwardHeaders: []string{"X-Ok", "a b"}},
	} {
		s.Application, s.Name, s.Provider = app.Number, "n", "github"
		_, err := w.CreateSource(t.Context(), s)
		wantKind(t, err, postern.Invalid)
		if err != nil && !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
