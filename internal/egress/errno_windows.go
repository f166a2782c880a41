package egress

import "syscall"

// The numbers below are Winsock's; the names of package syscall stand for invented ones
// there.

// shortage names an error of this machine, whatever it was talking to; "" for any other:
// WSAEMFILE, WSAENOBUFS, WSAEADDRNOTAVAIL.
func shortage(no syscall.Errno) Fault {
	switch no {
	case 10024:
		return Descriptors
	case 10055:
		return Memory
	case 10049:
		return Ports
	}
	return ""
}

// unreachable are errors that this machine or a router on the way may have reported:
// WSAENETDOWN, WSAENETUNREACH, WSAEHOSTUNREACH.
func unreachable() []syscall.Errno { return []syscall.Errno{10050, 10051, 10065} }

// refusals are the host's own answers: WSAECONNREFUSED.
func refusals() []syscall.Errno { return []syscall.Errno{10061} }

// resets are the ways to learn that the peer is gone: WSAECONNRESET, WSAECONNABORTED,
// WSAESHUTDOWN.
func resets() []syscall.Errno { return []syscall.Errno{10054, 10053, 10058} }
