// Package auth tells who a request comes from by its bearer token.
//
// Tokens are opaque and random; what is stored of one is its SHA-256. A lookup
// is one hash and one map access, so that it can stand before every publish.
// Where a secret is configured, JWTs as svix-server makes them are good too:
// they have dots, which tokens of ours have not.
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

// Applications finds applications by id or uid.
type Applications interface {
	Application(ref string) (*postern.Application, error)
}

// Config is what an Authenticator needs.
type Config struct {
	// Keys are the stored ones. Required.
	Keys Keys
	// AdminToken is accepted besides them, with all rights; "" for none. It is
	// hashed at once and not kept.
	AdminToken string
	// JWTSecret checks JWTs; "" accepts none. It needs Applications, which finds
	// whom a JWT names, by id or uid.
	JWTSecret    string
	Applications Applications
	// Now tells whether a key has expired; nil for time.Now.
	Now func() time.Time
}

// Principal is who a request comes from. The zero value is nobody and may do
// nothing.
type Principal struct {
	// Key is zero for the admin token of the configuration and for JWTs.
	Key   postern.KeyID
	Scope postern.Scope
	// Application is the only one that the principal sees; 0 for all.
	Application postern.ApplicationNumber
	// Portal is what a principal of ScopePortal may do; nil for others.
	Portal *postern.Portal
}

// Authenticator tells principals by their tokens. It is safe for concurrent
// use.
type Authenticator struct {
	keys     Keys
	admin    [32]byte
	hasAdmin bool
	jwts     *jwts // nil without a secret
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
	if config.JWTSecret != "" {
		a.jwts = newJWTs(config.JWTSecret, config.Applications, a.now)
	}
	return a
}

// maxToken bounds what is hashed of whoever comes along, in bytes: a JWT is
// longer than any key, and has about 250.
const maxToken = 8 << 10

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
	if a.jwts != nil && strings.Contains(token, ".") {
		return a.jwts.authenticate(token)
	}
	// The map is asked for a hash: how long that takes says nothing of a token.
	key := a.keys.KeyByHash(hash)
	if key == nil || subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1 {
		return Principal{}, unauthorized()
	}
	if !key.ExpiresAt.IsZero() && !key.Live(a.now()) {
		return Principal{}, unauthorized()
	}
	return Principal{Key: key.ID, Scope: key.Scope, Application: key.Application, Portal: key.Portal}, nil
}

// bearer takes the token out of the header; the scheme's case does not matter.
func bearer(authorization string) (string, bool) {
	const scheme = "bearer "
	if len(authorization) <= len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	token := strings.TrimSpace(authorization[len(scheme):])
	return token, token != "" && len(token) <= maxToken
}

func unauthorized() error {
	return &postern.Error{Kind: postern.Unauthorized, Detail: "Invalid or missing token"}
}
