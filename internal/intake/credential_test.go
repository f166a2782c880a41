package intake_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

const credential = "a-token/of the sender"

// bearing is a request that proves itself by a token in the header and in the
// query, and carries others as well.
func bearing(token1 string) *http.Request {
	const query = "?a=%2F&key=a-token%2Fof+the%20sender&b=2"
	r := httptest.NewRequest(http.MethodPost, "/in/"+token+query, strings.NewReader(`{"key":"`+credential+`"}`))
	r.Header["X-Key"] = []string{token1}
	r.Header.Set("X-Other", "other")
	return r
}

// tokenWorld has a source whose requests carry a token.
func tokenWorld(t *testing.T, header, secret string) *world {
	w := newWorld(t, nil)
	addressed(w, func(s *postern.Source) {
		s.Provider, s.Secrets = "token", w.seal(secret)
		s.Config = map[string]string{"header": header, "query": "key"}
	})
	return w
}

// wantMasked looks for the credential in what is kept of a request.
func wantMasked(t *testing.T, in *postern.InboundRequest) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(credential)) || bytes.Contains(text, []byte("a-token")) {
		t.Errorf("kept in plain text: %s", text)
	}
	if in.Query != "a=%2F&key=***&b=2" || in.URL != public+"/in/***?"+in.Query || !bytes.Contains(text, []byte(`{"Name":"X-Other","Value":"other"}`)) {
		t.Errorf("kept: %s", text)
	}
}

// TestAcceptedCredentials are masked, but for what is in the payload.
func TestAcceptedCredentials(t *testing.T) {
	w := tokenWorld(t, "X-Key", credential)
	if res, body := w.send(bearing(credential)); res.StatusCode != http.StatusAccepted {
		t.Fatalf("answered %d %s", res.StatusCode, body)
	}
	in := w.published[0]
	wantMasked(t, in.Request)
	if string(in.Payload) != `{"key":"`+credential+`"}` {
		t.Errorf("the payload became %s", in.Payload)
	}
}

// TestRefusedCredentials are sealed, so that the request verifies once the
// source has the right secret, or knows where to look.
func TestRefusedCredentials(t *testing.T) {
	for name, tt := range map[string]struct {
		header, secret string
		repair         func(*world, *postern.Source)
	}{
		"another secret": {"X-Key", "another", func(w *world, s *postern.Source) { s.Secrets = w.seal(credential) }},
		"both places": {"X-Key", "another", func(w *world, s *postern.Source) {
			s.Secrets = w.seal(credential)
			s.Config = map[string]string{"header": "X-Elsewhere", "query": "key"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := tokenWorld(t, tt.header, tt.secret)
			refusal := w.refuse(bearing(credential))
			wantMasked(t, &refusal.Request)
			if len(refusal.Credentials) == 0 || bytes.Contains(refusal.Credentials, []byte("a-token")) {
				t.Errorf("sealed: %q", []byte(refusal.Credentials))
			}
			w.replace(func(s *postern.Source) { tt.repair(w, s) })
			h, s := w.inbound()
			if found, err := h.Verify(t.Context(), s, refusal); err != nil || !found.Verified() {
				t.Errorf("verify: %v, %v", found, err)
			}
			if _, _, _, err := h.Release(t.Context(), s, refusal); err != nil {
				t.Fatal(err)
			}
			wantMasked(t, w.published[0].Request)
		})
	}
}

// TestMisplacedCredential: a token where the source did not look for one is
// masked at its release, once the source knows.
func TestMisplacedCredential(t *testing.T) {
	w := tokenWorld(t, "X-Elsewhere", credential)
	r := bearing(credential)
	r.URL.RawQuery = ""
	refusal := w.refuse(r)
	w.replace(func(s *postern.Source) { s.Config = map[string]string{"header": "X-Key"} })
	h, s := w.inbound()
	if _, found, _, err := h.Release(t.Context(), s, refusal); err != nil || !found.Verified() {
		t.Fatalf("release: %v, %v", found, err)
	}
	for _, header := range w.published[0].Request.Headers {
		if header.Name == "X-Key" && header.Value != "***" {
			t.Errorf("published with %q", header.Value)
		}
	}
	if got := refusal.Request.Headers; got[0].Value != credential {
		t.Errorf("the refusal was changed: %v", got)
	}
}

// TestBinaryCredential: a header need not be UTF-8.
func TestBinaryCredential(t *testing.T) {
	const raw = "sch\xf6n"
	w := tokenWorld(t, "X-Key", "another")
	r := bearing(raw)
	r.URL.RawQuery = ""
	refusal := w.refuse(r)
	w.replace(func(s *postern.Source) { s.Secrets = w.seal(raw) })
	h, s := w.inbound()
	if found, err := h.Verify(t.Context(), s, refusal); err != nil || !found.Verified() {
		t.Errorf("verify: %v, %v", found, err)
	}
	refusal.Credentials = postern.Sealed("of another ring")
	if _, err := h.Verify(t.Context(), s, refusal); err == nil {
		t.Error("verified without what it was refused with")
	}
}
