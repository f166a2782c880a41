//go:build !windows

package egress

import "syscall"

// shortage names an error of this machine, whatever it was talking to; "" for any other.
func shortage(no syscall.Errno) Fault {
	switch no {
	case syscall.EMFILE, syscall.ENFILE:
		return Descriptors
	case syscall.ENOBUFS, syscall.ENOMEM:
		return Memory
	case syscall.EADDRNOTAVAIL:
		return Ports
	}
	return ""
}

// unreachable are errors that this machine or a router on the way may have reported.
func unreachable() []syscall.Errno {
	return []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN}
}

// refusals are the host's own answers.
func refusals() []syscall.Errno { return []syscall.Errno{syscall.ECONNREFUSED} }

// resets are the ways to learn that the peer is gone.
func resets() []syscall.Errno {
	return []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
}
