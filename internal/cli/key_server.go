package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// serverKeys are the keys of a server, through its API.
type serverKeys struct{ api *caller }

var _ keyRing = (*serverKeys)(nil)

// create implements keyRing. What may be made is for the server to say.
func (s *serverKeys) create(ctx context.Context, in keyInput) (key apiKey, err error) {
	err = s.api.call(ctx, http.MethodPost, "/key", in, &key)
	return key, s.explain(err)
}

// list reads all pages.
func (s *serverKeys) list(ctx context.Context) ([]apiKey, error) {
	all := []apiKey{}
	after := ""
	for {
		var page struct {
			Data     []apiKey `json:"data"`
			Iterator *string  `json:"iterator"`
			Done     bool     `json:"done"`
		}
		if err := s.api.call(ctx, http.MethodGet, "/key?limit=250&iterator="+url.QueryEscape(after), nil, &page); err != nil {
			return nil, s.explain(err)
		}
		all = append(all, page.Data...)
		if page.Done || page.Iterator == nil || *page.Iterator == after {
			return all, nil
		}
		after = *page.Iterator
	}
}

// revoke implements keyRing.
func (s *serverKeys) revoke(ctx context.Context, id string) error {
	err := s.api.call(ctx, http.MethodDelete, "/key/"+url.PathEscape(id), nil, nil)
	if statusOf(err) == http.StatusNotFound {
		return noSuchKey(id)
	}
	return s.explain(err)
}

// Close implements io.Closer.
func (s *serverKeys) Close() error {
	s.api.client.CloseIdleConnections()
	return nil
}

// explain adds what to do to the failures that users meet.
func (s *serverKeys) explain(err error) error {
	switch status := statusOf(err); {
	case err == nil:
		return nil
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%w\nthe key does not open %s; if it is lost, stop the server and use --store file:DIR", err, s.api.url)
	case status == http.StatusForbidden:
		return fmt.Errorf("%w\nkeys are for admin keys only", err)
	case status == 0:
		return fmt.Errorf("%w\nis a server running at %s? --url names another; --store file:DIR works without one", err, s.api.url)
	}
	return err
}

// noSuchKey is told for what is revoked already, too: the list says which.
func noSuchKey(id string) error {
	return fmt.Errorf("there is no key %s; postern key list shows all", id)
}
