package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/sign"
)

// secretOut is what a receiver needs to check signatures.
type secretOut struct {
	Key string `json:"key"`
}

// rotateIn is a new secret, made here where none is given, and how long the one
// before signs too.
type rotateIn struct {
	Key                *string `json:"key"`
	GracePeriodSeconds *int64  `json:"gracePeriodSeconds"`
}

// getSecret answers the current secret; of an asymmetric one the public half.
func (h *handler) getSecret(c *call, _ none) (secretOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return secretOut{}, err
	}
	if len(v.Secrets) == 0 {
		return secretOut{}, postern.ErrNotFound
	}
	key, err := h.openKey(v.Secrets[0].Key)
	if err != nil {
		return secretOut{}, err
	}
	if public, ok := key.Public(); ok {
		key = public
	}
	return secretOut{key.Reveal()}, nil
}

// openKey fails where the key ring lacks the key that sealed.
func (h *handler) openKey(sealed postern.Sealed) (sign.Key, error) {
	plain, err := h.Secrets.Open(sealed)
	if err != nil {
		return sign.Key{}, fmt.Errorf("api: open the secret of an endpoint: %w", err)
	}
	return sign.ParseKey(string(plain))
}

// rotateSecret lets the old secret sign for a day more unless told otherwise,
// so that receivers can change over without refusing anything.
func (h *handler) rotateSecret(c *call, in rotateIn) (none, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return none{}, err
	}
	next := sign.GenerateSymmetric()
	if in.Key != nil {
		if next, err = signingKey(*in.Key, "key"); err != nil {
			return none{}, err
		}
	}
	grace := sign.DefaultGrace
	if in.GracePeriodSeconds != nil {
		// One second over the limit is as wrong as a year, and does not overflow.
		grace = time.Duration(min(max(*in.GracePeriodSeconds, -1), int64(sign.MaxGrace/time.Second)+1)) * time.Second
	}
	sealed, err := h.Secrets.Seal([]byte(next.Reveal()))
	if err != nil {
		return none{}, err
	}
	now := h.Now().UTC()
	_, err = h.Endpoints.UpdateEndpoint(c.r.Context(), c.app.Number, v.Number, false, func(e *postern.Endpoint) error {
		if err := h.checkRotation(e.Secrets, next, now, grace); err != nil {
			return err
		}
		e.Secrets = rotate(e.Secrets, sealed, now, grace)
		return nil
	})
	return none{}, err
}

// checkRotation asks the rules of package sign, which know keys in plain.
func (h *handler) checkRotation(secrets []postern.EndpointSecret, next sign.Key, now time.Time, grace time.Duration) error {
	var keys sign.Secrets
	for _, secret := range secrets {
		key, err := h.openKey(secret.Key)
		if err != nil {
			return err
		}
		if secret.ExpiresAt.IsZero() {
			keys.Current = key
			continue
		}
		keys.Old = append(keys.Old, sign.OldKey{Key: key, Until: secret.ExpiresAt})
	}
	_, err := keys.Rotate(next, now, grace)
	switch {
	case errors.Is(err, sign.ErrGrace):
		return postern.InvalidField("must be 0 to 604800", "body", "gracePeriodSeconds")
	case errors.Is(err, sign.ErrSameKey):
		return postern.InvalidField("is in use already", "body", "key")
	case errors.Is(err, sign.ErrTooManyKeys):
		return &postern.Error{Kind: postern.Invalid, Code: "limit_reached", Detail: "Too many old secrets are still live"}
	}
	return err
}

// rotate puts the new secret before those that still live.
func rotate(secrets []postern.EndpointSecret, next postern.Sealed, now time.Time, grace time.Duration) []postern.EndpointSecret {
	rotated := []postern.EndpointSecret{{Key: next, CreatedAt: now}}
	for _, secret := range secrets {
		if secret.ExpiresAt.IsZero() {
			secret.ExpiresAt = now.Add(grace)
		}
		if secret.Live(now) {
			rotated = append(rotated, secret)
		}
	}
	return rotated
}
