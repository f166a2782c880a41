// Package auth tells who a request comes from by its bearer token.
//
// Tokens are opaque and random; what is stored of one is its SHA-256. A lookup
// is one hash and one map access, so that it can stand before every publish.
// What a principal may do is decided by those who have something to protect.
package auth

import (
	"crypto/subtle"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// Keys finds keys by SHA-256 of their token.
type Keys interface {
	// KeyByHash is nil when there is none. Expiry is the caller's to check.
	KeyByHash(hash [32]byte) *postern.Key
}

// Config is what an Authenticator needs.
type Config struct {
	// Keys are the stored ones. Required.
	Keys Keys
	// AdminToken is accepted besides them, with all rights; "" for none. It is
	// hashed at once and not kept.
	AdminToken string
	// Now tells whether a key has expired; nil for time.Now.
	Now func() time.Time
}

// Principal is who a request comes from. The zero value is nobody and may do
// nothing.
type Principal struct {
	// Key is zero for the admin token of the configuration.
	Key   postern.KeyID
	Scope postern.Scope
	// Application is the only one that the principal sees; 0 for all.
	Application postern.ApplicationNumber
}

// Authenticator tells principals by their tokens. It is safe for concurrent
// use.
type Authenticator struct {
	keys     Keys
	admin    [32]byte
	hasAdmin bool
	now      func() time.Time
}

// New returns an Authenticator.
func New(config Config) *Authenticator {
	a := &Authenticator{keys: config.Keys, now: config.Now}
	if config.AdminToken != "" {
		a.admin, a.hasAdmin = HashToken(config.AdminToken), true
	}
	if a.now == nil {
		a.now = time.Now
	}
	return a
}

// Authenticate reads the value of an Authorization header. All its errors are
// of kind Unauthorized and read the same, so that they tell nothing about
// which tokens exist.
func (a *Authenticator) Authenticate(authorization string) (Principal, error) {
	token, ok := bearer(authorization)
	if !ok {
		return Principal{}, unauthorized()
	}
	hash := HashToken(token)
	if a.hasAdmin && subtle.ConstantTimeCompare(hash[:], a.admin[:]) == 1 {
		return Principal{Scope: postern.ScopeAdmin}, nil
	}
	// The map is asked for a hash: how long that takes says nothing of a token.
	key := a.keys.KeyByHash(hash)
	if key == nil || subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1 {
		return Principal{}, unauthorized()
	}
	if !key.ExpiresAt.IsZero() && !a.now().Before(key.ExpiresAt) {
		return Principal{}, unauthorized()
	}
	return Principal{Key: key.ID, Scope: key.Scope, Application: key.Application}, nil
}

// bearer takes the token out of the header; the scheme's case does not matter.
func bearer(authorization string) (string, bool) {
	const scheme = "bearer "
	if len(authorization) <= len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	token := strings.TrimSpace(authorization[len(scheme):])
	return token, token != ""
}

func unauthorized() error {
	return &postern.Error{Kind: postern.Unauthorized, Detail: "Invalid or missing token"}
}
