package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// secrets opens what a source has sealed: its secrets, the previous one, and
// settings.
func (w *world) secrets(t *testing.T, uid string) (current []string, previous string, settings map[string]string) {
	t.Helper()
	s, err := w.cat.Source(1, uid)
	if err != nil {
		t.Fatal(err)
	}
	open := func(sealed postern.Sealed) string {
		if sealed == nil {
			return ""
		}
		plain, err := w.box.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain)
	}
	for _, sealed := range s.Secrets {
		current = append(current, open(sealed))
	}
	settings = map[string]string{}
	for name, sealed := range s.SealedConfig {
		settings[name] = open(sealed)
	}
	return current, open(s.Previous), settings
}

// TestPreviousSecret: the one that was rotated out last is kept beside those
// that verify, whichever way it went.
func TestPreviousSecret(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/source", `{"name":"n","provider":"github","uid":"gh","secrets":["one"]}`)
	for _, step := range []struct {
		method, path, body string
		current            []string
		previous           string
	}{
		{"POST", "/secret/rotate", `{"key":"two"}`, []string{"two", "one"}, ""},
		{"POST", "/secret/rotate", `{"key":"three"}`, []string{"three", "two"}, "one"},
		{"POST", "/secret/rotate", `{"key":"four","keepOld":false}`, []string{"four"}, "three"},
		{"PATCH", "", `{"secrets":["five","six"]}`, []string{"five", "six"}, "four"},
		{"PUT", "", `{"name":"n","provider":"github"}`, []string{"five", "six"}, "four"},
	} {
		if got := w.do(step.method, "/app/shop/source/gh"+step.path, step.body); got.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s", step.method, step.body, got.StatusCode, got.body)
		}
		current, previous, _ := w.secrets(t, "gh")
		if diff := cmp.Diff(step.current, current); diff != "" || previous != step.previous {
			t.Errorf("after %s %s: previous %q, want %q; %s", step.method, step.body, previous, step.previous, diff)
		}
	}
}

// TestSecretSettings: they are sealed and masked, and what was read can be
// written back.
func TestSecretSettings(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	config := func(status int, method, path, body string) any {
		return w.want(status, method, "/app/shop/source"+path, body)["config"]
	}
	shown := map[string]any{"verify_token": "***", "topic": "t"}
	if diff := cmp.Diff(shown, config(201, "POST", "", `{"name":"n","provider":"p","uid":"m","config":{"verify_token":"s3cret","topic":"t"}}`)); diff != "" {
		t.Error(diff)
	}
	for _, body := range []string{`{"name":"other"}`, `{"config":{"verify_token":"***","topic":"t"}}`} {
		if diff := cmp.Diff(shown, config(200, "PATCH", "/m", body)); diff != "" {
			t.Error(body, diff)
		}
		if _, _, settings := w.secrets(t, "m"); settings["verify_token"] != "s3cret" {
			t.Errorf("after %s the setting is %q", body, settings)
		}
	}
	list := w.do("GET", "/app/shop/source", "").body
	if strings.Contains(list, "s3cret") {
		t.Errorf("a secret setting is shown: %s", list)
	}
	if diff := cmp.Diff(map[string]any{"topic": "t"}, config(200, "PATCH", "/m", `{"config":{"verify_token":"","topic":"t"}}`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{}, config(200, "PATCH", "/m", `{"config":null}`)); diff != "" {
		t.Error(diff)
	}
}

// TestDeliveredSecret: it is kept once, survives a change of the settings that
// does not name it, and is told to those who may know secrets.
func TestDeliveredSecret(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/source", `{"name":"n","provider":"notion","uid":"n"}`)
	source := func() *postern.Source {
		s, err := w.cat.Source(1, "n")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if got := w.want(200, "GET", "/app/shop/source/n/secret", ""); got["key"] != nil {
		t.Errorf("before the handshake: %v", got)
	}
	if err := w.cat.StoreSecret(t.Context(), source(), "stored_secret", "first"); err != nil {
		t.Fatal(err)
	}
	if err := w.cat.StoreSecret(t.Context(), source(), "stored_secret", "second"); postern.KindOf(err) != postern.Conflict {
		t.Errorf("a second secret: %v", err)
	}
	w.want(200, "PATCH", "/app/shop/source/n", `{"config":{}}`)
	w.want(200, "PUT", "/app/shop/source/n", `{"name":"n","provider":"notion","uid":"n"}`)
	if got := w.want(200, "GET", "/app/shop/source/n/secret", ""); got["key"] != "first" {
		t.Errorf("the delivered secret is %v", got)
	}
	reader, _ := w.want(201, "POST", "/key", `{"name":"r","scope":"read-only","application":"shop"}`)["token"].(string)
	if got := w.as(reader, "GET", "/app/shop/source/n/secret", ""); got.StatusCode != 403 {
		t.Errorf("a reader was answered %d %s", got.StatusCode, got.body)
	}
	w.want(200, "PATCH", "/app/shop/source/n", `{"config":{"stored_secret":""}}`)
	if err := w.cat.StoreSecret(t.Context(), source(), "stored_secret", "third"); err != nil {
		t.Errorf("after it was forgotten: %v", err)
	}
}
