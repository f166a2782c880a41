package auth

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// keyring is a Keys over a map, as the engine's catalogue is one.
type keyring map[[32]byte]*postern.Key

func (k keyring) KeyByHash(hash [32]byte) *postern.Key { return k[hash] }

func (k keyring) add(key postern.Key) (token string) {
	token = NewToken()
	key.Hash = HashToken(token)
	k[key.Hash] = &key
	return token
}

func TestNewToken(t *testing.T) {
	form := regexp.MustCompile(`^pk_[0-9a-zA-Z]{43}$`)
	seen := map[string]bool{}
	for range 200 {
		token := NewToken()
		if !form.MatchString(token) {
			t.Fatalf("token %q does not match %s", token, form)
		}
		if seen[token] {
			t.Fatalf("token %q was made twice", token)
		}
		seen[token] = true
	}
}

func TestAuthenticate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	keys := keyring{}
	reader := keys.add(postern.Key{ID: postern.KeyID{1}, Scope: postern.ScopeReadOnly, Application: 7})
	expired := keys.add(postern.Key{Scope: postern.ScopeAdmin, ExpiresAt: now})
	fresh := keys.add(postern.Key{Scope: postern.ScopePublishOnly, ExpiresAt: now.Add(time.Nanosecond)})
	portal := &postern.Portal{Session: "s"}
	visitor := keys.add(postern.Key{ID: postern.KeyID{2}, Scope: postern.ScopePortal, Application: 7, ExpiresAt: now.Add(1), Portal: portal})
	// A catalogue that answers with another key than was asked for.
	odd := NewToken()
	keys[HashToken(odd)] = &postern.Key{Scope: postern.ScopeAdmin}
	long := strings.Repeat("x", maxToken+1)
	keys[HashToken(long)] = &postern.Key{Hash: HashToken(long), Scope: postern.ScopeAdmin}
	a := New(Config{Keys: keys, AdminToken: "the-admin", Now: func() time.Time { return now }})

	for name, test := range map[string]struct {
		header string
		want   Principal
		ok     bool
	}{
		"admin":            {"Bearer the-admin", Principal{Scope: postern.ScopeAdmin}, true},
		"scheme case":      {"bEaReR the-admin", Principal{Scope: postern.ScopeAdmin}, true},
		"stored key":       {"Bearer " + reader, Principal{Key: postern.KeyID{1}, Scope: postern.ScopeReadOnly, Application: 7}, true},
		"portal":           {"Bearer " + visitor, Principal{Key: postern.KeyID{2}, Scope: postern.ScopePortal, Application: 7, Portal: portal}, true},
		"not yet expired":  {"Bearer " + fresh, Principal{Scope: postern.ScopePublishOnly}, true},
		"expired":          {"Bearer " + expired, Principal{}, false},
		"hash differs":     {"Bearer " + odd, Principal{}, false},
		"unknown":          {"Bearer " + NewToken(), Principal{}, false},
		"admin's prefix":   {"Bearer the-admi", Principal{}, false},
		"no header":        {"", Principal{}, false},
		"no token":         {"Bearer ", Principal{}, false},
		"blank token":      {"Bearer    ", Principal{}, false},
		"another scheme":   {"Basic the-admin", Principal{}, false},
		"token by itself":  {"the-admin", Principal{}, false},
		"too long to hash": {"Bearer " + long, Principal{}, false},
		"longest":          {"Bearer " + long[1:], Principal{}, false},
		"scheme run on it": {"Bearerthe-admin", Principal{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := a.Authenticate(test.header)
			if got != test.want {
				t.Errorf("got principal %+v, want %+v", got, test.want)
			}
			if test.ok && err != nil || !test.ok && !errors.Is(err, postern.ErrUnauthorized) {
				t.Errorf("got error %v, want ok %t", err, test.ok)
			}
		})
	}
}

func TestWithoutAdminTokenNobodyIsAdmin(t *testing.T) {
	a := New(Config{Keys: keyring{}})
	for _, header := range []string{"", "Bearer ", "Bearer x"} {
		if got, err := a.Authenticate(header); err == nil {
			t.Errorf("Authenticate(%q) = %+v, want an error", header, got)
		}
	}
}

// TestAuthenticateAllocatesNothing holds the promise that lets it stand before
// every publish.
func TestAuthenticateAllocatesNothing(t *testing.T) {
	keys := keyring{}
	header := "Bearer " + keys.add(postern.Key{Scope: postern.ScopeApplication, Application: 1})
	a := New(Config{Keys: keys, AdminToken: "the-admin"})
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Authenticate(header); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("Authenticate allocates %v times, want 0", n)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	keys := keyring{}
	header := "Bearer " + keys.add(postern.Key{Scope: postern.ScopeApplication, Application: 1})
	a := New(Config{Keys: keys, AdminToken: "the-admin"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(header); err != nil {
			b.Fatal(err)
		}
	}
}
