package postern

import "time"

// Scope says what an API key may do.
type Scope string

// The scopes of keys.
const (
	// ScopeAdmin may do everything.
	ScopeAdmin Scope = "admin"
	// ScopeApplication may do everything inside one application.
	ScopeApplication Scope = "application"
	// ScopeReadOnly may read.
	ScopeReadOnly Scope = "read-only"
	// ScopePublishOnly may publish messages.
	ScopePublishOnly Scope = "publish-only"
)

// Key is an API key. Its token is shown once and kept as a hash.
type Key struct {
	ID    KeyID
	Name  string
	Scope Scope
	// Application binds the key to one application; 0 for all of them.
	Application ApplicationNumber
	// Hash is SHA-256 of the token.
	Hash [32]byte
	// ExpiresAt is zero for a key without an end.
	CreatedAt, ExpiresAt time.Time
}
