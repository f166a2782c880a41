package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
)

// Kind says whose fault a failed dial was.
type Kind uint8

// The kinds of a failed dial. The zero Kind is no kind.
const (
	Forbidden Kind = iota + 1 // every address of the host is refused by policy; nothing was connected to
	Resolve                   // the host does not exist, or its own name servers fail
	Refused                   // the host answered that nobody listens
	Connect                   // the connection could not be made for another reason on the way or at the host
	Timeout                   // the deadline passed
	Canceled                  // the caller gave up
	Local                     // a fault on our side: no descriptors, memory, ports, route, resolver or proxy; not the endpoint's attempt
)

// Error is a failed dial.
type Error struct {
	Kind Kind
	Err  error
}

// Error returns the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsLocal reports whether err comes from a shortage on this machine (descriptors,
// memory, buffers, ports), which no endpoint causes and which the next try may not
// meet.
func IsLocal(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && slices.Contains(shortages(), no)
}

// classify turns the error of a connect to addr into an *Error. The context decides
// before the error, since an interrupted connect reports whatever it was doing.
func classify(ctx context.Context, err error, addr netip.AddrPort) *Error {
	e := &Error{Err: err}
	var no syscall.Errno
	errors.As(err, &no)
	switch {
	case errors.Is(err, ErrForbidden):
		e.Kind = Forbidden
	case ctx.Err() != nil:
		e.Kind = endKind(ctx)
	case IsLocal(err), slices.Contains(unreachable(), no) && noRoute(addr, routed):
		e.Kind = Local
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Kind = Timeout
	case slices.Contains(refusals(), no):
		e.Kind = Refused
	default:
		e.Kind = Connect
	}
	return e
}

// endKind tells apart the two ways in which a context ends.
func endKind(ctx context.Context) Kind {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Timeout
	}
	return Canceled
}

// noRoute reports whether this machine lacks a route to addr. "Unreachable" also comes
// back from routers far away, and then it is the endpoint's. Connecting a UDP socket
// asks the routing table alone and sends nothing. A machine that has IPv4 but no IPv6
// will not get it by waiting: there an endpoint with only an IPv6 address is at fault.
func noRoute(addr netip.AddrPort, routed func(netip.AddrPort) bool) bool {
	if routed(addr) {
		return false
	}
	documentation := netip.AddrFrom4([4]byte{198, 51, 100, 1}) // assigned to nobody: only a default route leads there
	return addr.Addr().Is4() || !routed(netip.AddrPortFrom(documentation, 9))
}

// routed reports whether the routing table leads to addr.
func routed(addr netip.AddrPort) bool {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// IsReset reports whether err means that the peer tore the connection down.
func IsReset(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && slices.Contains(resets(), no)
}
