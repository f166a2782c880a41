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

// Fault says what was short or missing on our side.
type Fault string

// The faults of our own side, a closed set.
const (
	Descriptors  Fault = "descriptors" // the limit of open files
	Memory       Fault = "memory"      // the kernel's, for sockets
	Ports        Fault = "ports"       // every local port towards the address is in use
	Route        Fault = "route"       // the routing table leads nowhere
	ResolverDown Fault = "resolver"    // no name server answers for any name
	ProxyDown    Fault = "proxy"       // the egress proxy cannot be used
)

// Error is a failed dial.
type Error struct {
	Kind  Kind
	Fault Fault // set for Local
	Err   error
}

// Error returns the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// FaultOf says which fault of our own side err is, of a dial or of a socket in use; ""
// when it is none. No endpoint causes such a fault, and the next try may not meet it.
func FaultOf(err error) Fault {
	var e *Error
	if errors.As(err, &e) {
		return e.Fault
	}
	return shortageOf(err)
}

// shortageOf finds a shortage on this machine in a socket's error; "" for none.
func shortageOf(err error) Fault {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return ""
	}
	return shortage(no)
}

// classify turns the error of a connect to addr into an *Error. The context decides
// before the error, since an interrupted connect reports whatever it was doing.
func classify(ctx context.Context, err error, addr netip.AddrPort) *Error {
	e := &Error{Err: err}
	var no syscall.Errno
	errors.As(err, &no)
	fault := shortage(no)
	switch {
	case errors.Is(err, ErrForbidden):
		e.Kind = Forbidden
	case ctx.Err() != nil:
		e.Kind = endKind(ctx)
	// Where IPv6 is switched off, it is the local address that is not there.
	case (slices.Contains(unreachable(), no) || fault == Ports) && !routed(addr):
		if e.Kind = Connect; noRoute(addr, routed) {
			e.Kind, e.Fault = Local, Route
		}
	case fault != "":
		e.Kind, e.Fault = Local, fault
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
