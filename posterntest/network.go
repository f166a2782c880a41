package posterntest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// dialFunc opens a connection, as net.Dialer's DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// network joins those who listen and those who dial within the process. It has
// no goroutines, and so nothing to stop.
type network struct {
	outside dialFunc // for addresses that nobody listened at

	mu        sync.Mutex
	listeners map[netip.AddrPort]*listener // the closed ones, too: those refuse
}

// firstPort is the API's; receivers follow.
const firstPort = 80

// inside are the addresses of the network: TEST-NET-1, which nobody has.
func inside() netip.Prefix { return netip.MustParsePrefix("192.0.2.0/24") }

// listen opens the next free address.
func (n *network) listen() *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := netip.AddrPortFrom(inside().Addr().Next(), firstPort+uint16(len(n.listeners)))
	l := &listener{at: at, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[at] = l
	return l
}

// dial connects to who listens at the address.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !inside().Contains(at.Addr()) {
		return n.outside(ctx, network, address)
	}
	n.mu.Lock()
	l := n.listeners[at]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(at), Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	near, far := pipe(at)
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// listener is one address of a network.
type listener struct {
	at    netip.AddrPort
	conns chan net.Conn
	done  chan struct{} // closed by Close
	once  sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: who dials from now on is refused.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// url is how the listener is reached over HTTP.
func (l *listener) url() string {
	if l.at.Port() == 80 {
		return "http://" + l.at.Addr().String()
	}
	return "http://" + l.at.String()
}

// conn is one end of a pipe that fails as a socket does.
type conn struct {
	net.Conn
	at     netip.AddrPort
	closed atomic.Bool  // this end
	broken *atomic.Bool // by either end, without a word
}

func pipe(at netip.AddrPort) (near, far *conn) {
	a, b := net.Pipe()
	broken := new(atomic.Bool)
	return &conn{Conn: a, at: at, broken: broken}, &conn{Conn: b, at: at, broken: broken}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.fault("read", err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.fault("write", err)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// Reset closes the connection so that the other end reads no orderly end.
func (c *conn) Reset() error {
	c.broken.Store(true)
	return c.Close()
}

// LocalAddr implements net.Conn. It is what both ends have: a pipe has no other.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.at) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.at) }

// fault is the error that a socket would have.
func (c *conn) fault(op string, err error) error {
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.closed.Load():
		err = net.ErrClosed
	case c.broken.Load():
		err = syscall.ECONNRESET
	case errors.Is(err, io.EOF):
		return io.EOF // readers compare it
	default:
		err = syscall.EPIPE
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: err}
}
