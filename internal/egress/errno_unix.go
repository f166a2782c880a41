//go:build !windows

package egress

import "syscall"

// shortages are errors of this machine, whatever it was talking to.
func shortages() []syscall.Errno {
	return []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EADDRNOTAVAIL, // every local port towards the address is in use
	}
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
