package intake_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
)

// serve is the world behind a real server; the returned function opens a
// connection to it that ends with the test.
func serve(t *testing.T, w *world) (dial func() net.Conn) {
	t.Helper()
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	return func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

// head is a signed request without its body, by the framing header given.
func head(framing, body string) string {
	return "POST /in/" + token + " HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256=" + mac(secret, body) +
		"\r\n" + framing + "\r\n\r\n"
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func readAnswer(t *testing.T, conn net.Conn) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func small(_ *postern.Source, c *intake.Config) { c.MaxBody = 100 }

func TestBodyOverTheCap(t *testing.T) {
	long := strings.Repeat("x", 101)
	for name, request := range map[string]string{
		"with a length, unsent": head("Content-Length: 101", long),
		"with a length":         head("Content-Length: 101", long) + long,
		"an absurd length":      head("Content-Length: 9223372036854775807", long),
		"chunked":               head("Transfer-Encoding: chunked", long) + chunk(long) + chunk(""),
		"chunked, endless":      head("Transfer-Encoding: chunked", long) + strings.Repeat(chunk(long), 50),
	} {
		w := newWorld(t, small)
		conn := serve(t, w)()
		io.WriteString(conn, request)
		res, body := readAnswer(t, conn)
		wantError(t, res, body, http.StatusRequestEntityTooLarge, "payload_too_large")
		if !res.Close || len(w.published)+len(w.refused) > 0 {
			t.Errorf("%s: close %v, %d published, %d refused", name, res.Close, len(w.published), len(w.refused))
		}
	}
}

func TestBodyAtTheCap(t *testing.T) {
	body := strings.Repeat("x", 100)
	for _, request := range []string{
		head("Content-Length: 100", body) + body,
		head("Transfer-Encoding: chunked", body) + chunk(body[:1]) + chunk(body[1:]) + chunk(""),
	} {
		w := newWorld(t, small)
		conn := serve(t, w)()
		io.WriteString(conn, request)
		if res, answer := readAnswer(t, conn); res.StatusCode != http.StatusAccepted || string(w.published[0].Payload) != body {
			t.Errorf("answered %d %s", res.StatusCode, answer)
		}
	}
}

// What arrived of a body that broke off was rightly signed in each case.
func TestBodyThatBreaksOff(t *testing.T) {
	for name, request := range map[string]string{
		"with a length": head("Content-Length: 50", "{}") + "{}",
		"chunked":       head("Transfer-Encoding: chunked", "{}") + chunk("{}"),
		"in a chunk":    head("Transfer-Encoding: chunked", "{}") + "5\r\n{}",
		"bad chunk":     head("Transfer-Encoding: chunked", "{}") + chunk("{}") + "zz\r\n",
	} {
		w := newWorld(t, small)
		conn := serve(t, w)()
		io.WriteString(conn, request)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		res, body := readAnswer(t, conn)
		wantError(t, res, body, http.StatusBadRequest, "incomplete_body")
		if len(w.published)+len(w.refused)+len(w.reasons) > 0 {
			t.Errorf("%s: %d published, %d refused", name, len(w.published), len(w.refused))
		}
	}
}

func TestSlowBody(t *testing.T) {
	w := newWorld(t, func(_ *postern.Source, c *intake.Config) { c.BodyTimeout = 50 * time.Millisecond })
	dial := serve(t, w)
	conn := dial()
	io.WriteString(conn, head("Content-Length: 50", "{}")+"{}")
	res, body := readAnswer(t, conn)
	wantError(t, res, body, http.StatusRequestTimeout, "timeout")
	if len(w.published)+len(w.refused) > 0 {
		t.Error("something was stored")
	}
}

// The deadline of a body must not end a request that waits for its fsync, nor
// the next one on the connection.
func TestSlowPublishOutlivesTheBodysDeadline(t *testing.T) {
	const bodyTimeout = 20 * time.Millisecond
	w := newWorld(t, func(_ *postern.Source, c *intake.Config) { c.BodyTimeout = bodyTimeout })
	slow := &slowEventTypes{wait: 3 * bodyTimeout}
	w.config.EventTypes = slow
	w.handler = intake.New(w.config)
	conn := serve(t, w)()
	for range 2 {
		io.WriteString(conn, head("Content-Length: 2", "{}")+"{}")
		if res, body := readAnswer(t, conn); res.StatusCode != http.StatusAccepted {
			t.Fatalf("answered %d %s", res.StatusCode, body)
		}
	}
	if slow.ended != nil {
		t.Errorf("the request's context ended: %v", slow.ended)
	}
}
