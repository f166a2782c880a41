package egress

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// maxProxyHead bounds a proxy's answer to CONNECT in bytes.
const maxProxyHead = 8 << 10

// proxy opens tunnels through an HTTP proxy. Plain http endpoints are tunnelled too, so
// that there is one request form and the proxy never resolves a name.
type proxy struct {
	addr   string // host:port
	auth   string // the whole Proxy-Authorization line, or ""
	dialer net.Dialer
}

// newProxy reads a proxy's URL. Its errors do not quote it, since it may hold a
// password.
func newProxy(u *url.URL) (*proxy, error) {
	if u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("egress proxy: want http://[user:password@]host:port")
	}
	p := &proxy{addr: u.Host}
	if u.Port() == "" {
		p.addr = net.JoinHostPort(u.Hostname(), "80")
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Proxy-Authorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)) + "\r\n"
	}
	return p, nil
}

// connect returns a tunnel to target. That the proxy cannot be reached, or wants other
// credentials, is our fault; that it cannot reach the target is the endpoint's.
func (p *proxy) connect(ctx context.Context, target netip.AddrPort) (net.Conn, *Error) {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		e := p.fault(ctx, Local, err)
		if e.Kind == Timeout {
			e.Kind, e.Fault = Local, ProxyDown // nobody came to ask for the endpoint
		}
		return nil, e
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	kind, err := p.open(conn, target)
	if !stop() && err == nil {
		kind, err = Timeout, context.Cause(ctx) // the deadline set by AfterFunc would poison the tunnel
	}
	if err != nil {
		_ = conn.Close() // the tunnel's error is the one to tell
		return nil, p.fault(ctx, kind, err)
	}
	return conn, nil
}

// open sends CONNECT and reads the answer.
func (p *proxy) open(conn net.Conn, target netip.AddrPort) (Kind, error) {
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n%[2]s\r\n", target, p.auth); err != nil {
		return Local, err
	}
	head, err := readHead(conn)
	if err != nil {
		return Local, fmt.Errorf("reading the answer to CONNECT: %w", err)
	}
	code := ""
	if f := strings.Fields(head); len(f) > 1 && strings.HasPrefix(f[0], "HTTP/1.") && len(f[1]) == 3 {
		code = f[1]
	}
	switch {
	case strings.HasPrefix(code, "2"):
		return 0, nil
	case code == "407", code == "":
		return Local, fmt.Errorf("unusable answer to CONNECT, code %q", code)
	}
	return Connect, fmt.Errorf("answered CONNECT with code %q", code)
}

// readHead reads up to the empty line and not a byte further: what follows is the
// tunnel's. That takes a read per byte, which is little beside making a connection.
func readHead(r io.Reader) (string, error) {
	var head []byte
	for len(head) < maxProxyHead {
		head = append(head, 0)
		if _, err := io.ReadFull(r, head[len(head)-1:]); err != nil {
			return "", err
		}
		if bytes.HasSuffix(head, []byte("\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return string(head), nil
		}
	}
	return "", errors.New("too long")
}

// fault names the proxy in the error; the context decides about the kind first.
func (p *proxy) fault(ctx context.Context, kind Kind, err error) *Error {
	if ctx.Err() != nil {
		kind = endKind(ctx)
	}
	e := &Error{Kind: kind, Err: fmt.Errorf("proxy %s: %w", p.addr, err)}
	if kind == Local {
		if e.Fault = shortageOf(err); e.Fault == "" {
			e.Fault = ProxyDown
		}
	}
	return e
}
