package cli

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// mostInbound bounds the connections that are open at once on any machine, at
// some 10 KB of memory each.
const mostInbound = 1 << 14

// boundedListener accepts as many connections as there are file descriptors to
// spare: what goes out and the store need the others. Further ones wait in the
// system's queue, and are served as soon as one ends.
type boundedListener struct {
	net.Listener
	log    *slog.Logger
	places chan struct{} // holds a value for each connection that is open
	closed chan struct{} // closed by Close
	close  sync.Once
	warned time.Time // when a shortage was last logged; Accept's alone
}

func newBoundedListener(l net.Listener, places int, log *slog.Logger) *boundedListener {
	return &boundedListener{Listener: l, log: log, places: make(chan struct{}, places), closed: make(chan struct{})}
}

// Accept implements net.Listener. It is called by one goroutine.
func (l *boundedListener) Accept() (net.Conn, error) {
	if len(l.places) == cap(l.places) {
		l.warn(errPlaces)
	}
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			l.warn(err)
		}
		return nil, err
	}
	return conn, nil
}

// connState is the server's hook of that name: it frees the places of
// connections that have ended. The connections themselves are not wrapped, as
// the server asks a TCP connection for more than net.Conn has.
func (l *boundedListener) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		<-l.places
	}
}

// Close implements net.Listener; it also ends an Accept that waits.
func (l *boundedListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

var errPlaces = errors.New("as many connections are open as the limit of files allows")

// warn tells the operator, once a minute.
func (l *boundedListener) warn(err error) {
	if now := time.Now(); now.Sub(l.warned) >= time.Minute {
		l.warned = now
		l.log.Warn("new connections wait", "open", len(l.places), "remedy", "raise the limit of open files (ulimit -n, or LimitNOFILE= of the service)", "error", err)
	}
}
