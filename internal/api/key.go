package api

import (
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// keyIn is a key as administrators write it. Application is an id or uid.
type keyIn struct {
	Name        string  `json:"name" api:"required"`
	Scope       string  `json:"scope" api:"required,admin|application|read-only|publish-only"`
	Application *string `json:"application"`
	ExpiresAt   *string `json:"expiresAt"` // RFC 3339
}

// keyOut is a key as administrators read it. Token is there once, when the key
// is made.
type keyOut struct {
	ID            postern.KeyID          `json:"id"`
	Name          string                 `json:"name"`
	Scope         string                 `json:"scope"`
	ApplicationID *postern.ApplicationID `json:"applicationId"`
	ExpiresAt     *time.Time             `json:"expiresAt"`
	LastUsedAt    *time.Time             `json:"lastUsedAt"` // to some minutes
	CreatedAt     time.Time              `json:"createdAt"`
	Token         string                 `json:"token,omitempty"`
}

// renderKey never shows the token: only its hash is known.
func (h *handler) renderKey(k *postern.Key) keyOut {
	out := keyOut{
		ID: k.ID, Name: k.Name, Scope: string(k.Scope),
		ExpiresAt: nullTime(k.ExpiresAt), LastUsedAt: nullTime(k.LastUsedAt), CreatedAt: k.CreatedAt.UTC(),
	}
	if k.Application == 0 {
		return out
	}
	if app := h.Applications.ApplicationByNumber(k.Application); app != nil {
		out.ApplicationID = &app.ID
	}
	return out
}

// newKey reads the input; which scopes go with an application is for the
// catalogue to say.
func (h *handler) newKey(in *keyIn) (postern.Key, error) {
	k := postern.Key{Name: in.Name, Scope: postern.Scope(in.Scope)}
	var f faults
	if strings.TrimSpace(in.Name) == "" {
		f.add("is required", "name")
	}
	if k.Scope == postern.ScopePortal {
		f.add("is not for keys: POST /auth/app-portal-access opens the portal", "scope")
	}
	if in.Application != nil {
		app, err := h.Applications.Application(*in.Application)
		if err != nil {
			f.add("does not exist", "application")
		} else {
			k.Application = app.Number
		}
	}
	if in.ExpiresAt != nil {
		at, err := time.Parse(time.RFC3339, *in.ExpiresAt)
		if err != nil || !at.After(h.Now()) {
			f.add("must be a time to come, such as 2030-01-31T15:04:05Z", "expiresAt")
		}
		k.ExpiresAt = at.UTC()
	}
	return k, f.err()
}

// createKey shows the token, this once.
func (h *handler) createKey(c *call, in keyIn) (keyOut, error) {
	k, err := h.newKey(&in)
	if err != nil {
		return keyOut{}, err
	}
	token := auth.NewToken()
	k.Hash = auth.HashToken(token)
	created, err := h.Keys.CreateKey(c.r.Context(), k)
	if err != nil {
		return keyOut{}, err
	}
	out := h.renderKey(created)
	out.Token = token
	return out, nil
}

// listKeys lists the newest first unless told otherwise.
func (h *handler) listKeys(c *call, _ none) (listing[keyOut], error) {
	w, err := c.window(true)
	if err != nil {
		return listing[keyOut]{}, err
	}
	page, err := listPage(w, postern.ParseKeyID)
	if err != nil {
		return listing[keyOut]{}, err
	}
	records, more := h.Keys.Keys(page)
	return listed(w, records, !more, "", func(k *postern.Key) string { return k.ID.String() }, h.renderKey), nil
}

// key finds the key in the path.
func (h *handler) key(c *call) (*postern.Key, error) {
	id, err := postern.ParseKeyID(c.param("key"))
	if err != nil {
		return nil, postern.ErrNotFound
	}
	return h.Keys.Key(id)
}

// getKey takes ids only: a key has no uid.
func (h *handler) getKey(c *call, _ none) (keyOut, error) {
	k, err := h.key(c)
	if err != nil {
		return keyOut{}, err
	}
	return h.renderKey(k), nil
}

// deleteKey revokes at once, also the key that is used for it.
func (h *handler) deleteKey(c *call, _ none) (none, error) {
	k, err := h.key(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Keys.DeleteKey(c.r.Context(), k.ID)
}
