package postern

import (
	"slices"
	"time"
)

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
	// ScopePortal may do in one application what its owner does in the portal;
	// see Portal.
	ScopePortal Scope = "portal"
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
	// LastUsedAt is when the key last opened something, to some minutes; zero
	// for never.
	LastUsedAt time.Time
	// Portal is what only keys of ScopePortal have; nil for others.
	Portal *Portal
}

// Live reports whether the key is good at a moment.
func (k *Key) Live(now time.Time) bool { return k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt) }

// Portal is what one visitor of the portal may do and see.
type Portal struct {
	// Capabilities are what the visitor may do; nil for everything that there
	// is. ViewBase is held by all.
	Capabilities []Capability
	// FeatureFlags show the event types that ask for one of them.
	FeatureFlags []string
	// Session names the visit to whoever opened it; "" for none.
	Session string
}

// Capability is one thing that a visitor of the portal may do.
type Capability string

// The capabilities, by their names in the API.
const (
	// ViewBase reads the application, its endpoints, messages and attempts, and
	// the event types.
	ViewBase Capability = "ViewBase"
	// ViewEndpointSecret reads secrets, ManageEndpointSecret rotates them too.
	ViewEndpointSecret   Capability = "ViewEndpointSecret"
	ManageEndpointSecret Capability = "ManageEndpointSecret"
	// ManageTransformations changes the transformations of endpoints.
	ManageTransformations Capability = "ManageTransformations"
	// CreateAttempts sends again, follows the tasks that do, and sends examples.
	CreateAttempts Capability = "CreateAttempts"
	// ManageEndpoint makes, changes and deletes endpoints, their secrets
	// included.
	ManageEndpoint Capability = "ManageEndpoint"
)

// Capabilities are all there are.
func Capabilities() []Capability {
	return []Capability{ViewBase, ViewEndpointSecret, ManageEndpointSecret, ManageTransformations, CreateAttempts, ManageEndpoint}
}

// May reports whether the visitor holds a capability; nil holds none.
func (p *Portal) May(c Capability) bool {
	if p == nil {
		return false
	}
	holds := func(c Capability) bool { return slices.Contains(p.Capabilities, c) }
	switch {
	case p.Capabilities == nil || c == ViewBase || holds(c):
		return true
	case c == ViewEndpointSecret:
		return holds(ManageEndpointSecret) || holds(ManageEndpoint)
	case c == ManageEndpointSecret:
		return holds(ManageEndpoint)
	}
	return false
}
