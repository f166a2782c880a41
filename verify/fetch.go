package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds of a fetched key.
const (
	// MaxFetch is the longest answer that is taken, in bytes.
	MaxFetch = 64 << 10
	// FetchTimeout bounds one fetch from its start to the last byte.
	FetchTimeout = 5 * time.Second
)

// Fetcher downloads keys and certificates. Fetch returns the whole body of a
// 200: over https, from port 443, without following redirects, at most MaxFetch
// bytes and FetchTimeout long. What may be fetched was decided before; what an
// address resolves to, such as a private network, is for Fetch to refuse. Its
// errors are shown to the operator of the source; they read on from "its
// address". It is called by many goroutines.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// FetchOptions are how a Fetcher reaches others. The zero value reaches all
// that this machine can.
type FetchOptions struct {
	// Dial opens connections; nil is net.Dialer's. A server gives one here that
	// refuses addresses of its own network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RootCAs are who vouches for servers; nil is whom the system trusts.
	RootCAs *x509.CertPool
	// Timeout is for one fetch; 0 is FetchTimeout.
	Timeout time.Duration
}

// NewFetcher returns a Fetcher on net/http. It keeps no connection open and
// goes through no proxy.
func NewFetcher(o FetchOptions) Fetcher {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Timeout == 0 {
		o.Timeout = FetchTimeout
	}
	return &httpFetcher{timeout: o.Timeout, transport: &http.Transport{
		DialContext:            o.Dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true, // what is bounded are the bytes on the wire
		MaxResponseHeaderBytes: 16 << 10,
	}}
}

type httpFetcher struct {
	transport *http.Transport
	timeout   time.Duration
}

// Fetch is a Fetcher's.
func (f *httpFetcher) Fetch(ctx context.Context, address string) ([]byte, error) {
	target, err := fetchable(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, errors.New("is no address")
	}
	// The transport by itself follows no redirect and keeps no cookie.
	res, err := f.transport.RoundTrip(req)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxFetch+1))
	if err == nil {
		err = ctx.Err() // a server that sees us hang up may end its answer as if that were all
	}
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if len(body) > MaxFetch {
		return nil, fmt.Errorf("answered more than %d bytes", MaxFetch)
	}
	return body, nil
}

// unreachable says no more than whether it took too long: what exactly became of
// a connection would tell a tenant about the network of the server. A dial has
// ctx's deadline as its own, and may see it pass a moment before ctx does.
func unreachable(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("did not answer in time")
	}
	return errors.New("could not be reached, or its answer broke off")
}

// fetchable takes an address apart and refuses all that a key never needs and
// an attacker might: other protocols and ports, user names, fragments.
func fetchable(address string) (*url.URL, error) {
	target, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("is no address")
	case target.Scheme != "https":
		return nil, errors.New("is not https")
	case target.User != nil:
		return nil, errors.New("has a user name")
	case target.Opaque != "" || target.Hostname() == "" || target.Fragment != "":
		return nil, errors.New("is no plain address")
	case target.Port() != "" && target.Port() != "443":
		return nil, errors.New("has a port other than 443")
	}
	return target, nil
}
