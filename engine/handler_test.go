package engine_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// TestBeforeRunNothingSucceeds: requests that end before Run lets anything in
// are told that nothing was done, whatever they are for.
func TestBeforeRunNothingSucceeds(t *testing.T) {
	eng := unrun(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"/api/v1/app", "/in/some-token", "/", "/nowhere"} {
		r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(`{"name":"a"}`))
		r.Header.Set("Authorization", "Bearer admin")
		w := httptest.NewRecorder()
		eng.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"unavailable"`) {
			t.Errorf("%s: %d %v %q", path, w.Code, w.Header(), w.Body)
		}
	}
}

// TestBeforeRunWhoSaidAllStillListens: a sender that closes its half of the
// connection counts as gone, and reads the answer all the same. A body that
// nobody has read yet would hide that it did.
func TestBeforeRunWhoSaidAllStillListens(t *testing.T) {
	server := httptest.NewServer(unrun(t).Handler())
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/v1/app/a/endpoint/b/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 0\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if half, ok := conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
		t.Fatal("the connection has no halves")
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Body.Close(); err != nil || got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s, %v", got.Status, err)
	}
}

// unrun is an engine that nobody runs.
func unrun(t *testing.T) *engine.Engine {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	eng, err := engine.New(t.Context(), engine.Config{Store: st, AdminKey: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	return eng
}
