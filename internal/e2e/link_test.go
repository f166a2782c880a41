package e2e_test

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// link is the network between a server and its database, and can be had slow, or
// worse.
type link struct {
	listener net.Listener
	// address is the database's through the link, without a user.
	address url.URL

	mu     sync.Mutex
	socket string        // the database's
	delay  time.Duration // of all that passes, in either direction
	free   chan struct{} // closed while anything passes
	gone   bool          // nobody is let in
	conns  map[net.Conn]bool
	// lost is closed for the connections that are there, of which nothing passes
	// ever again: no end of them, either.
	lost chan struct{}
}

// newLink returns one to a database, which ends with the test.
func newLink(t *testing.T, database string) *link {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{
		listener: listener, socket: filepath.Join(config.Host, ".s.PGSQL.5432"), conns: map[net.Conn]bool{}, lost: make(chan struct{}),
		address: url.URL{Scheme: "postgres", Host: listener.Addr().String(), Path: config.Database, RawQuery: "sslmode=disable"},
	}
	l.free = make(chan struct{})
	close(l.free)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.join(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.thaw()
		l.cut()
		running.Wait()
	})
	return l
}

// slow delays what passes from now on.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// freeze holds everything up until thaw.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = make(chan struct{})
}

// thaw lets pass what was held up.
func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.free:
	default:
		close(l.free)
	}
}

// lose has the connections that are there never answer again, as when the machine
// at the other end is gone, or somebody between has forgotten them.
func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.lost)
	l.lost = make(chan struct{})
}

// cut breaks all connections. sever refuses more of them until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *link) sever() {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.cut()
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = false
}

// lead has the link lead to another server from now on.
func (l *link) lead(t *testing.T, database string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.socket = filepath.Join(config.Host, ".s.PGSQL.5432")
}

// join joins a client to the database until either ends.
func (l *link) join(client net.Conn) {
	l.mu.Lock()
	socket := l.socket
	l.mu.Unlock()
	server, err := net.Dial("unix", socket)
	if err != nil {
		_ = client.Close()
		return
	}
	l.mu.Lock()
	l.conns[client], l.conns[server] = true, true
	lost, gone := l.lost, l.gone
	l.mu.Unlock()
	if gone {
		_ = client.Close()
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(client, server, lost) })
	l.pass(server, client, lost)
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, client)
	delete(l.conns, server)
}

// pass copies one direction.
func (l *link) pass(to, from net.Conn, lost <-chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		delay, free := l.delay, l.free
		l.mu.Unlock()
		<-free
		if delay > 0 {
			<-time.After(delay)
		}
		select {
		case <-lost: // swallow the rest, and say nothing
			_, _ = io.Copy(io.Discard, from) // it ends with the connection
			return
		default:
		}
		if n > 0 && err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}
