package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// serverKeys are the keys of a server, through its API.
type serverKeys struct {
	keys client.Keys
	url  string
}

var _ keyRing = (*serverKeys)(nil)

// openServerKeys speaks to no server yet. One that is not there is tried once
// more and no longer: somebody waits for the command.
func openServerKeys(url, key, version string) (keyRing, error) {
	api, err := client.New(client.Options{URL: url, Key: key, Retries: 1, UserAgent: "postern/" + version})
	if err != nil {
		return nil, usage("--url and --key: %s", strings.TrimPrefix(err.Error(), "client: "))
	}
	return &serverKeys{api.Keys, url}, nil
}

// create implements keyRing. What may be made is for the server to say.
func (s *serverKeys) create(ctx context.Context, in client.KeyIn) (*client.Key, error) {
	key, err := s.keys.Create(ctx, in)
	return key, s.explain(err)
}

// list reads all pages.
func (s *serverKeys) list(ctx context.Context) ([]client.Key, error) {
	list := []client.Key{}
	for key, err := range s.keys.All(ctx, client.Page{Limit: 250, Order: client.Descending}) {
		if err != nil {
			return nil, s.explain(err)
		}
		list = append(list, key)
	}
	return list, nil
}

// revoke implements keyRing.
func (s *serverKeys) revoke(ctx context.Context, id string) error {
	err := s.keys.Delete(ctx, id)
	if errors.Is(err, &postern.Error{Kind: postern.NotFound, Code: "not_found"}) {
		return noSuchKey(id)
	}
	return s.explain(err)
}

// Close implements io.Closer.
func (s *serverKeys) Close() error { return nil }

// explain adds what to do to the failures that users meet.
func (s *serverKeys) explain(err error) error {
	_, refused := errors.AsType[*postern.Error](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, postern.ErrUnauthorized):
		return fmt.Errorf("%w\nthe key does not open %s; if it is lost, stop the server and use --store file:DIR", err, s.url)
	case errors.Is(err, postern.ErrForbidden):
		return fmt.Errorf("%w\nkeys are for admin keys only", err)
	case !refused:
		return fmt.Errorf("%w\nis a server running at %s? --url names another; --store file:DIR works without one", err, s.url)
	}
	return err
}

// noSuchKey is told for what is revoked already, too: the list says which.
func noSuchKey(id string) error {
	return fmt.Errorf("there is no key %s; postern key list shows all", id)
}
