package cli

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// As many connections are served as there are places; the next waits for one,
// and the server's end does not wait for it.
func TestConnectionsWaitForAPlace(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(socket, 2, slog.New(slog.DiscardHandler))
	s := &http.Server{ConnState: l.connState, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	ask := func() (net.Conn, chan error) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				answered <- err
				return
			}
			_, err := conn.Read(make([]byte, 1))
			answered <- err
		}()
		return conn, answered
	}
	first, answered := ask()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	second, answered := ask()
	defer second.Close()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	third, answered := ask()
	defer third.Close()
	select {
	case err := <-answered:
		t.Fatalf("the third of two was served: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	if err := <-answered; err != nil {
		t.Errorf("not served when there was a place: %v", err)
	}
	fourth, _ := ask()
	defer fourth.Close()
	s.Close()
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
}

// exhausted is a listener without descriptors.
type exhausted struct{ net.Listener }

func (exhausted) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

// A failed accept takes no place.
func TestFailedAcceptsTakeNoPlace(t *testing.T) {
	l := newBoundedListener(exhausted{}, 1, slog.New(slog.DiscardHandler))
	for range 3 {
		if _, err := l.Accept(); err != syscall.EMFILE {
			t.Fatalf("%v", err)
		}
	}
	if len(l.places) != 0 {
		t.Errorf("%d places are taken", len(l.places))
	}
}
