package verify

import "context"

// Fetcher fetches what a definition allows to be fetched. Fetch returns the
// whole body of a 200, bounded, over https, without following redirects.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// remoteKeys are the fetched keys of one scheme; safe for concurrent use.
type remoteKeys struct{ fetch Fetcher }

// remote resolves where a scheme's keys come from, nil for nowhere; path is
// where def stands.
func (c *compiler) remote(path string, kind Kind, def *RemoteKey) *remoteKeys {
	_, _ = path, kind
	if def == nil {
		return nil
	}
	return &remoteKeys{fetch: c.fetch}
}

// keys are those that the request names.
func (r *remoteKeys) keys(context.Context, *input) ([]key, *Error) {
	return nil, &Error{ReasonKeyUnavailable, "keys cannot be fetched yet"}
}
