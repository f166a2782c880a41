package engine

import (
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// NewKey makes an API key and returns its token, which is shown nowhere else.
// The key needs a Name and a Scope; Run must be running.
func (e *Engine) NewKey(ctx context.Context, k postern.Key) (token string, err error) {
	token = auth.NewToken()
	k.Hash = auth.HashToken(token)
	_, err = e.catalogue.CreateKey(ctx, k)
	return token, err
}

// HasKeys reports whether any API key is stored.
func (e *Engine) HasKeys() bool {
	keys, _ := e.catalogue.Keys(postern.ListPage{Limit: 1})
	return len(keys) > 0
}
