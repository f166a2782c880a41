package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-dev/postern/verify"
)

const secret = "It's a Secret to Everybody"

func TestRoutes(t *testing.T) {
	github, err := verify.For("github", "the secret before", secret)
	if err != nil {
		t.Fatal(err)
	}
	handler := routes(github)
	for name, c := range map[string]struct {
		method, path, signedWith, body string
		want                           int
	}{
		"signed":           {http.MethodPost, "/hooks/github", secret, `{"action":"opened"}`, http.StatusAccepted},
		"signed, no JSON":  {http.MethodPost, "/hooks/github", secret, `{`, http.StatusBadRequest},
		"another's secret": {http.MethodPost, "/hooks/github", "mallory's", `{"action":"opened"}`, http.StatusUnauthorized},
		"not signed":       {http.MethodPost, "/hooks/github", "", `{"action":"opened"}`, http.StatusUnauthorized},
		"another path":     {http.MethodPost, "/elsewhere", secret, `{}`, http.StatusNotFound},
		"another method":   {http.MethodGet, "/hooks/github", "", "", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("X-GitHub-Event", "issues")
			if c.signedWith != "" {
				mac := hmac.New(sha256.New, []byte(c.signedWith))
				mac.Write([]byte(c.body))
				r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}
