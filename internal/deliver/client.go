package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Client].
type Config struct {
	// Dialer opens the connections. Required.
	Dialer Dialer
	// UserAgent is the whole User-Agent header, "Postern/1.0".
	UserAgent string
	// Timeout is the deadline of a request that brings none; 0: 15 s.
	Timeout time.Duration
	// IdleTimeout is how long a connection is kept for the next request; 0: 75 s.
	IdleTimeout time.Duration
	// MaxIdle bounds the connections kept so, over all hosts; 0: 2048.
	MaxIdle int
	// RootCAs verifies endpoints' certificates; nil: the system's. Extra authorities go
	// into a copy of the system's pool.
	RootCAs *x509.CertPool
	// TLSSessions bounds the session tickets that are kept, one per host name; 0: 4096.
	TLSSessions int
}

// Client sends requests and keeps connections between them. It is safe for concurrent
// use and runs no goroutine of its own.
type Client struct {
	dialer    Dialer
	agent     string // the rendered header line
	timeout   time.Duration
	tls       *tls.Config // without a server name
	pool      *pool
	exchanges sync.Pool // of *exchange: as many as run at once, given back to the collector when fewer do

	dials, redials, full, resumed atomic.Uint64
}

// Stats counts since the client was made; Open and Idle are as of now.
type Stats struct {
	Dials             uint64 // connections made
	Redials           uint64 // of them, in place of a reused one that had died
	FullHandshakes    uint64 // TLS handshakes with certificates
	ResumedHandshakes uint64 // TLS handshakes by session ticket
	Open, Idle        int    // connections in all, and those not in use
}

// New returns a client. Close it to give its connections back.
func New(cfg Config) *Client {
	c := &Client{
		dialer:  cfg.Dialer,
		timeout: orDefault(cfg.Timeout, 15*time.Second),
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            cfg.RootCAs,
			NextProtos:         []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(orDefault(cfg.TLSSessions, 4096)),
		},
		pool: newPool(orDefault(cfg.MaxIdle, 2048), orDefault(cfg.IdleTimeout, 75*time.Second)),
	}
	if cfg.UserAgent != "" {
		c.agent = "User-Agent: " + cfg.UserAgent + "\r\n"
	}
	c.exchanges.New = func() any { return new(exchange) }
	return c
}

// Post sends one request and fills in res, whatever res held before. It returns no
// error: res.Cause says what went wrong.
//
// When ctx can be cancelled, each call pays for watching it (about 0.3 us and two
// allocations). A caller that only ever cancels everything at once hands in a context
// without cancellation and calls [Client.Close].
func (c *Client) Post(ctx context.Context, req *Request, res *Result) {
	start := time.Now()
	res.reset()
	x := c.exchanges.Get().(*exchange)
	x.begin(start, req, c)
	x.run(ctx, res)
	x.finish()
	c.exchanges.Put(x)
	res.Timings.Total = time.Since(start)
}

// Close ends every exchange and dial under way with [Canceled], and closes all
// connections. Later calls of Post fail so at once. It does not wait for them to
// return, and may be called more than once.
func (c *Client) Close() { c.pool.close() }

// Stats returns the client's counters.
func (c *Client) Stats() Stats {
	c.pool.mu.Lock()
	open, idle := len(c.pool.open), c.pool.idle
	c.pool.mu.Unlock()
	return Stats{
		Dials: c.dials.Load(), Redials: c.redials.Load(),
		FullHandshakes: c.full.Load(), ResumedHandshakes: c.resumed.Load(),
		Open: open, Idle: idle,
	}
}

// connect makes a fresh connection, TLS included, by the deadline. On failure it has
// filled in the result.
func (c *Client) connect(ctx context.Context, key poolKey, deadline time.Time, res *Result) *conn {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// Close must end a dial as well, and there is no socket yet that it could close.
	d := &dial{cancel: cancel}
	if !c.pool.begin(d) {
		res.fail(Canceled, errClosed)
		return nil
	}
	defer c.pool.end(d)
	raw, trace, err := c.dialer.Dial(ctx, key.host, key.port)
	res.Timings.DNS, res.Timings.Connect = trace.DNS, trace.Connect
	if err != nil {
		res.fail(causeOf(c.pool.ended(ctx), err, Connect), err)
		return nil
	}
	res.RemoteAddr = trace.Addr.String()
	var secure net.Conn
	if key.tls {
		if secure, err = c.handshake(ctx, raw, key.host, res); err != nil {
			_ = raw.Close() // the handshake's error is the one to tell
			res.fail(causeOf(c.pool.ended(ctx), err, TLS), err)
			return nil
		}
	}
	cn := newConn(raw, secure, res.RemoteAddr)
	if !c.pool.add(key, cn) {
		res.fail(Canceled, errClosed)
		return nil
	}
	c.dials.Add(1)
	return cn
}

// handshake puts TLS over a socket, resuming the host's last session if the host
// agrees.
func (c *Client) handshake(ctx context.Context, raw net.Conn, name string, res *Result) (net.Conn, error) {
	start := time.Now()
	defer func() { res.Timings.TLS = time.Since(start) }()
	cfg := c.tls.Clone()
	cfg.ServerName = name
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	// The ticket for the next resumption comes with the first answer in TLS 1.3, and
	// reading that stores it.
	if conn.ConnectionState().DidResume {
		c.resumed.Add(1)
	} else {
		c.full.Add(1)
	}
	return conn, nil
}

var errClosed = errors.New("client is closed")

// orDefault returns def for a setting that was left at its zero value.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
