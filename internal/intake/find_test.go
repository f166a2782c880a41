package intake_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
)

// A token that another node gave out this moment is looked for before it is said
// to be nobody's; one that is known is not, nor is what cannot be a token.
func TestFindsNewSources(t *testing.T) {
	hash, looks := sha256.Sum256([]byte(token)), 0
	var source *postern.Source
	var fails error
	w := newWorld(t, func(s *postern.Source, c *intake.Config) {
		s.Provider, s.Secrets, source = "none", nil, s
		c.Fresh = func(context.Context) error { looks++; return fails }
	})
	ask := func(path string) int {
		r := httptest.NewRequest("POST", path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec.Code
	}
	if code := ask("/in/" + token); code/100 != 2 || looks != 0 {
		t.Errorf("a known one: %d after %d looks", code, looks)
	}
	if code := ask("/in/"); code != 404 || looks != 0 {
		t.Errorf("no token: %d after %d looks", code, looks)
	}
	delete(w.sources, hash)
	fails = errors.New("away")
	if code := ask("/in/" + token); code != 503 || looks != 1 {
		t.Errorf("an unknown one while the database is away: %d after %d looks", code, looks)
	}
	w.config.Fresh = func(context.Context) error { w.sources[hash] = source; return nil }
	w.handler = intake.New(w.config)
	if code := ask("/in/" + token); code/100 != 2 {
		t.Errorf("one of another node: %d", code)
	}
}

// A secret, or a method, that another node was told of this moment holds here, and
// what has nobody's is refused after one look.
func TestKnowsNewSecrets(t *testing.T) {
	looks, change := 0, func() {}
	var fails error
	w := newWorld(t, func(_ *postern.Source, c *intake.Config) {
		c.Fresh = func(context.Context) error { looks++; change(); return fails }
	})
	ask := func(secret string) int {
		r := push("/in/"+token, "{}")
		r.Header.Set("X-Hub-Signature-256", "sha256="+mac(secret, "{}"))
		res, _ := w.send(r)
		return res.StatusCode
	}
	if code := ask(secret); code != 202 || looks != 0 {
		t.Errorf("with the secret that is known: %d after %d looks", code, looks)
	}
	if code := ask("newer"); code != 401 || looks != 1 || len(w.refused) != 1 {
		t.Errorf("with nobody's: %d after %d looks, %d refusals", code, looks, len(w.refused))
	}
	change = func() { w.replace(func(s *postern.Source) { s.Secrets = w.seal("newer") }) }
	if code := ask("newer"); code != 202 || looks != 2 || len(w.refused) != 1 {
		t.Errorf("with one of another node: %d after %d looks, %d refusals", code, looks, len(w.refused))
	}
	if code := ask("newer"); code != 202 || looks != 2 {
		t.Errorf("with one that is known by now: %d after %d looks", code, looks)
	}
	put := func() int {
		r := push("/in/"+token, "{}")
		r.Method = http.MethodPut
		res, _ := w.send(r)
		return res.StatusCode
	}
	change = func() {}
	if code := put(); code != 405 || looks != 3 {
		t.Errorf("by a method that is nowhere taken: %d after %d looks", code, looks)
	}
	change = func() { w.replace(func(s *postern.Source) { s.Methods, s.Secrets = []string{"PUT"}, w.seal(secret) }) }
	if code := put(); code != 202 || looks != 4 {
		t.Errorf("by one that another node was told of: %d after %d looks", code, looks)
	}
	change = func() { w.replace(func(s *postern.Source) { s.Paused = true }) }
	if code := ask("newest"); code != 503 || len(w.refused) != 1 {
		t.Errorf("to a source that another node has paused: %d, %d refusals", code, len(w.refused))
	}
	w.replace(func(s *postern.Source) { s.Paused = false })
	change, fails = func() {}, errors.New("away")
	if code := ask("newest"); code != 503 || len(w.refused) != 1 {
		t.Errorf("while the database is away: %d, %d refusals", code, len(w.refused))
	}
	change, fails = func() { delete(w.sources, sha256.Sum256([]byte(token))) }, nil
	if code := ask("newest"); code != 404 || len(w.refused) != 1 {
		t.Errorf("to a source that another node has deleted: %d, %d refusals", code, len(w.refused))
	}
}

// Tokens that nobody has, however many, are so many looks a second at most.
func TestLooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		w := newWorld(t, func(_ *postern.Source, c *intake.Config) {
			c.Fresh = func(context.Context) error { looks++; return nil }
		})
		for range 20 {
			for range 100 {
				w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/in/nobodys", nil))
			}
			time.Sleep(50 * time.Millisecond) // of the bubble
		}
		if looks < 25 || looks > 50 {
			t.Errorf("%d looks in a second", looks)
		}
	})
}
