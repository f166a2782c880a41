package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Key is an API key.
type Key struct {
	ID            postern.KeyID          `json:"id"`
	Name          string                 `json:"name"`
	Scope         postern.Scope          `json:"scope"`
	ApplicationID *postern.ApplicationID `json:"applicationId"` // nil for all
	ExpiresAt     *time.Time             `json:"expiresAt"`     // nil for never
	LastUsedAt    *time.Time             `json:"lastUsedAt"`    // to some minutes; nil for never
	CreatedAt     time.Time              `json:"createdAt"`
	// Token opens with the key. It is there once, when the key is made.
	Token string `json:"token,omitempty"`
}

// KeyIn is a key to make. Name and Scope are needed, and Application, an id or
// uid, for scopes that are bound to one.
type KeyIn struct {
	Name        string        `json:"name"`
	Scope       postern.Scope `json:"scope"`
	Application string        `json:"application,omitempty"`
	ExpiresAt   *time.Time    `json:"expiresAt,omitempty"`
}

// Keys are the server's; they need an admin key.
type Keys struct{ c *Client }

// All walks all keys, the newest first unless told otherwise.
func (k Keys) All(ctx context.Context, p Page) iter.Seq2[Key, error] {
	return all[Key](ctx, k.c, "/key", p.values())
}

// Create makes one, and shows its token this once.
func (k Keys) Create(ctx context.Context, in KeyIn) (*Key, error) {
	return call[Key](ctx, k.c, request{method: http.MethodPost, path: "/key", body: in})
}

// Get finds one by its id.
func (k Keys) Get(ctx context.Context, key string) (*Key, error) {
	return call[Key](ctx, k.c, request{method: http.MethodGet, path: path("key", key)})
}

// Delete revokes one at once.
func (k Keys) Delete(ctx context.Context, key string) error {
	_, err := call[struct{}](ctx, k.c, request{method: http.MethodDelete, path: path("key", key)})
	return err
}
