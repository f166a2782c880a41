package deliver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// endpoint is a receiver whose every byte a test decides.
type endpoint struct {
	addr  string
	conns atomic.Int32 // accepted so far
}

func (e *endpoint) url() string { return "http://" + e.addr + "/hook" }

// visit is one accepted connection.
type visit struct {
	net.Conn
	r *bufio.Reader
	n int32 // 1 for the first connection
}

// next reads one request and its body; false when the client has closed.
func (v *visit) next() ([]byte, bool) {
	req, err := http.ReadRequest(v.r)
	if err != nil {
		return nil, false
	}
	body, err := io.ReadAll(req.Body)
	return body, err == nil
}

func (v *visit) say(s string) { io.WriteString(v, s) }

// gone waits until the client closes the connection.
func (v *visit) gone() { io.Copy(io.Discard, v.r) }

// serve runs handle for each connection, on a goroutine that the test's end waits for.
func serve(tb testing.TB, handle func(*visit)) *endpoint {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	e := &endpoint{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var open sync.Map // of net.Conn; what handlers still read from when the test is over
	wg.Go(func() {
		defer open.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil || true })
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			n := e.conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				handle(&visit{Conn: c, r: bufio.NewReader(c), n: n})
			})
		}
	})
	tb.Cleanup(wg.Wait)
	tb.Cleanup(func() { l.Close() })
	return e
}

// answers serves the same answer to every request.
func answers(tb testing.TB, answer string) *endpoint {
	return serve(tb, func(v *visit) {
		for {
			if _, ok := v.next(); !ok {
				return
			}
			v.say(answer)
		}
	})
}

// newClient returns a client that reaches loopback and is closed with the test.
func newClient(tb testing.TB, cfg deliver.Config) *deliver.Client {
	tb.Helper()
	if cfg.Dialer == nil {
		d, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		if err != nil {
			tb.Fatal(err)
		}
		cfg.Dialer = d
	}
	c := deliver.New(cfg)
	tb.Cleanup(c.Close)
	return c
}

func target(tb testing.TB, raw string) *deliver.Target {
	tb.Helper()
	t, err := deliver.ParseTarget(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func request(tb testing.TB, raw string) *deliver.Request {
	tb.Helper()
	return &deliver.Request{
		Target: target(tb, raw), ID: "msg_1", Timestamp: 1_700_000_000, ContentType: "application/json", Body: []byte(`{"a":1}`),
	}
}

// post sends one request and fails the test unless the cause is want.
func post(tb testing.TB, c *deliver.Client, req *deliver.Request, want deliver.Cause) deliver.Result {
	tb.Helper()
	var res deliver.Result
	c.Post(tb.Context(), req, &res)
	if res.Cause != want || (res.Err == nil) != (want == deliver.None) {
		tb.Fatalf("cause %q (%v), status %d; want cause %q", res.Cause, res.Err, res.Status, want)
	}
	if want != deliver.None && res.Status != 0 {
		tb.Fatalf("cause %q with status %d", res.Cause, res.Status)
	}
	return res
}

// pipes is a dialer whose connections lead to handle, within a synctest bubble.
type pipes struct {
	handle func(*visit)
	wait   time.Duration // before a connection is made
	limit  int32         // connections that are made before they are refused; 0: no limit
	dials  int32
	wg     sync.WaitGroup
}

func (p *pipes) Dial(ctx context.Context, _ string, port uint16) (net.Conn, egress.Trace, error) {
	select {
	case <-time.After(p.wait):
	case <-ctx.Done():
		return nil, egress.Trace{}, &egress.Error{Kind: egress.Timeout, Err: fmt.Errorf("pipe: %w", ctx.Err())}
	}
	if p.limit > 0 && p.dials == p.limit {
		return nil, egress.Trace{}, &egress.Error{Kind: egress.Refused, Err: errors.New("pipe: refused")}
	}
	client, server := net.Pipe()
	p.dials++
	n := p.dials
	p.wg.Go(func() {
		defer server.Close()
		p.handle(&visit{Conn: server, r: bufio.NewReader(server), n: n})
	})
	return client, egress.Trace{Connect: p.wait, Addr: netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port)}, nil
}
