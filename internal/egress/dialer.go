package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	maxAddrs    = 8                      // addresses of one host that are tried
	minShare    = 2 * time.Second        // of the time left, per address, before the next one is tried
	checkBudget = 500 * time.Millisecond // for the lookup of CheckURL
)

// Resolver looks names up. *[net.Resolver] implements it.
type Resolver interface {
	// LookupNetIP returns the addresses of host in the order to try them; network is
	// "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config says where a [Dialer] may go and how. The zero value reaches public addresses,
// directly.
type Config struct {
	// Allow lists the networks that are reachable besides public addresses.
	Allow []netip.Prefix
	// Proxy is an HTTP proxy ("http://[user:password@]host:port") that every connection
	// is tunnelled through. The proxy itself may be at any address. nil: none; the
	// environment is never asked.
	Proxy *url.URL
	// Resolver looks names up; nil: the system's.
	Resolver Resolver
	// Dial opens the connections that do not go through Proxy, to addresses that Allow
	// was asked about; nil: the system does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dialer opens guarded TCP connections. It holds no connection and starts nothing in
// the background; it is safe for concurrent use.
type Dialer struct {
	guard *Guard
	book  *book
	proxy *proxy // nil: direct
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// Trace tells what a dial did, as far as it got.
type Trace struct {
	DNS     time.Duration  // looking the name up; 0 for a literal address
	Connect time.Duration  // making the connection, a proxy's answer included
	Addr    netip.AddrPort // the endpoint's address that was tried last
}

// New returns a dialer, or an error when the proxy's URL is not one of an HTTP proxy.
func New(cfg Config) (*Dialer, error) {
	d := &Dialer{guard: NewGuard(cfg.Allow), book: newBook(cfg.Resolver)}
	if cfg.Proxy != nil {
		p, err := newProxy(cfg.Proxy)
		if err != nil {
			return nil, err
		}
		d.proxy = p
	}
	if d.dial = cfg.Dial; d.dial == nil {
		d.dial = (&net.Dialer{Control: d.control}).DialContext
	}
	return d, nil
}

// control asks the guard once more, about the address that a socket is about to be
// connected to.
func (d *Dialer) control(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, ErrForbidden)
	}
	return d.guard.Check(addr.Addr())
}

// CheckURL judges an endpoint's URL at its creation: its form, a literal address, and,
// as far as it can be looked up within 500 ms, what its name resolves to. The error
// wraps [ErrInvalidURL] or [ErrForbidden]. A name that does not resolve now passes:
// every connect is checked again.
func (d *Dialer) CheckURL(ctx context.Context, raw string) error {
	u, err := ParseURL(raw)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	_, err = d.resolve(ctx, u.Host)
	if errors.Is(err, ErrForbidden) {
		return err
	}
	return nil
}

// Dial connects to host, a name or an address without brackets. Addresses are tried in
// the resolver's order, those that policy refuses left out, until one answers or the
// context's deadline passes. The error is an *[Error]; the trace is filled in either
// way. The connection belongs to the caller.
func (d *Dialer) Dial(ctx context.Context, host string, port uint16) (net.Conn, Trace, error) {
	var t Trace
	start := time.Now()
	addrs, err := d.resolve(ctx, host)
	if _, literal := netip.ParseAddr(host); literal != nil {
		t.DNS = time.Since(start)
	}
	if err != nil {
		return nil, t, err
	}
	start = time.Now()
	var worst *Error
	for i, a := range addrs {
		t.Addr = netip.AddrPortFrom(a, port)
		conn, err := d.connect(ctx, t.Addr, len(addrs)-i)
		if err == nil {
			t.Connect = time.Since(start)
			return conn, t, nil
		}
		// What an endpoint's address answered outweighs a missing route to another of
		// its addresses.
		if worst == nil || worst.Kind == Local {
			worst = err
		}
		// Without time or descriptors the next address fares no better.
		if ctx.Err() != nil || err.Fault == Descriptors || err.Fault == Memory {
			break
		}
	}
	t.Connect = time.Since(start)
	return nil, t, worst
}

// connect opens one connection, directly or through the proxy, in its share of the time
// left.
func (d *Dialer) connect(ctx context.Context, addr netip.AddrPort, left int) (net.Conn, *Error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share := max(time.Until(deadline)/time.Duration(left), minShare)
		shared, cancel := context.WithTimeout(ctx, share)
		defer cancel()
		ctx = shared
	}
	if d.proxy != nil {
		return d.proxy.connect(ctx, addr)
	}
	conn, err := d.dial(ctx, "tcp", addr.String())
	if err != nil {
		return nil, classify(ctx, err, addr)
	}
	return conn, nil
}

// resolve returns the addresses of host that policy admits: at least one when the error
// is nil.
func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	all := []netip.Addr{}
	if addr, err := netip.ParseAddr(host); err == nil {
		all = append(all, addr)
	} else if all, err = d.book.lookup(ctx, host); err != nil {
		return nil, err
	}
	var refused error
	// Leaving out what is refused, instead of refusing the name, lets "localhost" work
	// where only 127.0.0.0/8 is open.
	admitted := make([]netip.Addr, 0, min(len(all), maxAddrs))
	for _, a := range all {
		a = a.Unmap()
		if err := d.guard.Check(a); err != nil {
			refused = err
		} else if len(admitted) < maxAddrs {
			admitted = append(admitted, a)
		}
	}
	switch {
	case len(admitted) > 0:
		return admitted, nil
	case refused != nil:
		return nil, &Error{Kind: Forbidden, Err: refused}
	}
	return nil, noAddresses(host)
}
