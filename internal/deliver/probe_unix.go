//go:build unix

package deliver

import (
	"errors"
	"syscall"
)

// probe asks a socket, without blocking or consuming anything, whether the peer has
// closed it or spoken out of turn.
type probe struct {
	sock syscall.RawConn
	peek func(fd uintptr) // bound once, so that asking allocates nothing
	idle bool             // peek's result
	one  [1]byte
}

func newProbe(sock syscall.RawConn) *probe {
	p := &probe{sock: sock}
	p.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		// Zero bytes are the peer's FIN; a byte answers a request that was not sent.
		p.idle = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	}
	return p
}

// alive reports whether a request may be written; a nil probe does not know and says
// yes.
func (p *probe) alive() bool {
	if p == nil {
		return true
	}
	p.idle = false
	return p.sock.Control(p.peek) == nil && p.idle
}
