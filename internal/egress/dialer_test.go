package egress_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern/internal/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resolver answers from a function.
type resolver func(ctx context.Context, host string) ([]netip.Addr, error)

func (r resolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return r(ctx, host)
}

func answer(addrs ...string) resolver {
	return func(context.Context, string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

func fails(err error) resolver {
	return func(context.Context, string) ([]netip.Addr, error) { return nil, err }
}

func dialer(t *testing.T, cfg egress.Config) *egress.Dialer {
	t.Helper()
	d, err := egress.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// listen accepts connections and hands each to serve; it returns the port.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func greet(c net.Conn) { fmt.Fprint(c, "hello") }

func wantKind(t *testing.T, err error, want egress.Kind) {
	t.Helper()
	var e *egress.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("got %T %v (%+v), want kind %d", err, err, e, want)
	}
}

// TestDialOfOnesOwn: it is asked for what the guard has passed, and for nothing else.
func TestDialOfOnesOwn(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	var asked []string
	d := dialer(t, egress.Config{
		Allow: prefixes("192.0.2.0/24"), Resolver: answer("10.0.0.1", "192.0.2.7", "192.0.2.8"),
		Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			if asked = append(asked, network+" "+address); len(asked) == 1 {
				return nil, syscall.ECONNREFUSED
			}
			return near, nil
		},
	})
	if conn, _, err := d.Dial(t.Context(), "receiver.example", 80); err != nil || conn != near {
		t.Errorf("%v, %v", conn, err)
	}
	if want := []string{"tcp 192.0.2.7:80", "tcp 192.0.2.8:80"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	_, _, err := d.Dial(t.Context(), "10.0.0.1", 80)
	if wantKind(t, err, egress.Forbidden); len(asked) != 2 {
		t.Errorf("a forbidden address was dialed: %q", asked)
	}
}

func TestDialLooksUpChecksAndConnects(t *testing.T) {
	at := listen(t, greet)
	d := dialer(t, egress.Config{Allow: prefixes("127.0.0.0/8"), Resolver: answer("10.0.0.1", "127.0.0.1")})
	conn, trace, err := d.Dial(t.Context(), "receiver.example", at.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, _ := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("read %q", got)
	}
	if trace.Addr != at || trace.DNS <= 0 || trace.Connect <= 0 {
		t.Errorf("trace %+v, want the admitted address and both times", trace)
	}
}

func TestDialTriesAddressesInOrder(t *testing.T) {
	at := listen(t, greet)
	// Nobody listens at .2; the listener is bound to .1 only.
	d := dialer(t, egress.Config{Allow: prefixes("127.0.0.0/8"), Resolver: answer("127.0.0.2", "127.0.0.1")})
	conn, trace, err := d.Dial(t.Context(), "receiver.example", at.Port())
	if err != nil || trace.Addr != at {
		t.Fatalf("got %v, %v, want the second address", trace.Addr, err)
	}
	conn.Close()
}

func TestDialRefusesForbidden(t *testing.T) {
	accepted := make(chan struct{}, 1)
	at := listen(t, func(net.Conn) { accepted <- struct{}{} })
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "rebound.example"} {
		d := dialer(t, egress.Config{Resolver: answer("127.0.0.1")})
		_, _, err := d.Dial(t.Context(), host, at.Port())
		wantKind(t, err, egress.Forbidden)
	}
	if len(accepted) > 0 {
		t.Error("a connection was made")
	}
}

func TestDialChecksEveryAnswer(t *testing.T) {
	at := listen(t, greet)
	var asked atomic.Int32
	rebinding := resolver(func(context.Context, string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return answer("8.8.8.8")(nil, "")
		}
		return answer("127.0.0.1")(nil, "")
	})
	d := dialer(t, egress.Config{Resolver: rebinding})
	if err := d.CheckURL(t.Context(), "http://rebinding.example/"); err != nil {
		t.Fatalf("at creation: %v", err)
	}
	_, _, err := d.Dial(t.Context(), "rebinding.example", at.Port())
	wantKind(t, err, egress.Forbidden)
}

func TestDialKinds(t *testing.T) {
	closed := listen(t, greet)
	own, err := net.Dial("tcp", closed.String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	unused := netip.MustParseAddrPort(own.LocalAddr().String()).Port() // nobody listens there, nor will
	notFound := &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}
	down := &net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancelLate()
	for name, c := range map[string]struct {
		ctx      context.Context
		resolver resolver
		port     uint16
		want     egress.Kind
	}{
		"nobody listens":      {t.Context(), answer("127.0.0.1"), unused, egress.Refused},
		"no such name":        {t.Context(), fails(notFound), 80, egress.Resolve},
		"no addresses":        {t.Context(), answer(), 80, egress.Resolve},
		"resolver is down":    {t.Context(), fails(down), 80, egress.Local},
		"resolver times out":  {t.Context(), fails(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), 80, egress.Local},
		"caller gave up":      {canceled, answer("127.0.0.1"), closed.Port(), egress.Canceled},
		"gave up on resolver": {canceled, fails(context.Canceled), 80, egress.Canceled},
		"deadline has passed": {late, answer("127.0.0.1"), closed.Port(), egress.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			d := dialer(t, egress.Config{Allow: prefixes("127.0.0.0/8"), Resolver: c.resolver})
			_, _, err := d.Dial(c.ctx, "receiver.example", c.port)
			wantKind(t, err, c.want)
		})
	}
}

func TestDialHangingResolverEndsAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := resolver(func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		d := dialer(t, egress.Config{Resolver: hang})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		start := time.Now()
		_, trace, err := d.Dial(ctx, "receiver.example", 80)
		wantKind(t, err, egress.Local)
		if took := time.Since(start); took != 15*time.Second || trace.DNS != took {
			t.Errorf("took %v, traced %v", took, trace.DNS)
		}
		start = time.Now()
		if err := d.CheckURL(t.Context(), "http://receiver.example/"); err != nil {
			t.Errorf("a name that does not resolve in time: %v", err)
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("the check took %v", took)
		}
	})
}

func TestCheckURL(t *testing.T) {
	d := dialer(t, egress.Config{Resolver: resolver(func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "public.example":
			return answer("8.8.8.8")(nil, "")
		case "inside.example":
			return answer("10.0.0.1", "::ffff:169.254.169.254")(nil, "")
		}
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	})})
	for raw, want := range map[string]error{
		"https://public.example/": nil, "https://unknown.example/": nil, "https://8.8.8.8/": nil,
		"https://inside.example/": egress.ErrForbidden, "http://127.0.0.1:8080/": egress.ErrForbidden, "http://[::1]/": egress.ErrForbidden,
		"http://169.254.169.254/latest/meta-data": egress.ErrForbidden, "http://[::ffff:10.0.0.1]/": egress.ErrForbidden,
		"http://2130706433/": egress.ErrInvalidURL, "http://a:b@public.example/": egress.ErrInvalidURL, "gopher://public.example/": egress.ErrInvalidURL,
	} {
		if err := d.CheckURL(t.Context(), raw); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", raw, err, want)
		}
	}
}

// connectProxy is an HTTP proxy that tunnels to where, whatever it is asked for, or
// answers with code.
func connectProxy(t *testing.T, where netip.AddrPort, code int, asked chan<- *http.Request) *url.URL {
	at := listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		asked <- req
		fmt.Fprintf(c, "HTTP/1.1 %d Whatever\r\nVia: test\r\n\r\n", code)
		if code == 200 {
			if up, err := net.Dial("tcp", where.String()); err == nil {
				io.Copy(c, up)
				up.Close()
			}
		}
	})
	return &url.URL{Scheme: "http", Host: at.String(), User: url.UserPassword("me", "pw")}
}

func TestProxyIsAskedForTheCheckedAddress(t *testing.T) {
	at := listen(t, greet)
	asked := make(chan *http.Request, 1)
	// The proxy itself is on a loopback address, which is not open to endpoints. The
	// environment's proxy leads nowhere.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	d := dialer(t, egress.Config{Proxy: connectProxy(t, at, 200, asked), Resolver: answer("8.8.8.8")})
	conn, trace, err := d.Dial(t.Context(), "receiver.example", 8443)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, _ := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("through the tunnel: %q", got)
	}
	req := <-asked
	if req.Method != "CONNECT" || req.RequestURI != "8.8.8.8:8443" || req.Header.Get("Proxy-Authorization") != "Basic bWU6cHc=" {
		t.Errorf("asked %s %s %v", req.Method, req.RequestURI, req.Header)
	}
	if trace.Addr != netip.MustParseAddrPort("8.8.8.8:8443") {
		t.Errorf("trace names %v", trace.Addr)
	}
	_, _, err = d.Dial(t.Context(), "10.0.0.1", 80)
	wantKind(t, err, egress.Forbidden)
}

func TestProxyKinds(t *testing.T) {
	at := listen(t, greet)
	for code, want := range map[int]egress.Kind{407: egress.Local, 502: egress.Connect, 403: egress.Connect} {
		asked := make(chan *http.Request, 1)
		d := dialer(t, egress.Config{Proxy: connectProxy(t, at, code, asked)})
		_, _, err := d.Dial(t.Context(), "8.8.8.8", 80)
		wantKind(t, err, want)
	}
	silent := make(chan struct{})
	mute := listen(t, func(net.Conn) { <-silent })
	d := dialer(t, egress.Config{Proxy: &url.URL{Scheme: "http", Host: mute.String()}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // enough to ask the proxy
	defer cancel()
	_, _, err := d.Dial(ctx, "8.8.8.8", 80)
	close(silent)
	wantKind(t, err, egress.Timeout)
	d = dialer(t, egress.Config{Proxy: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	_, _, err = d.Dial(t.Context(), "8.8.8.8", 80)
	wantKind(t, err, egress.Local)
	for _, bad := range []string{"https://p:1", "socks5://p:1", "p:1", "http://p:1/path"} {
		u, err := url.Parse(bad)
		if err != nil {
			continue
		}
		if _, err := egress.New(egress.Config{Proxy: u}); err == nil {
			t.Errorf("proxy %s was taken", bad)
		}
	}
}

// TestWorstAnswerWins: what one address answered outweighs our own trouble with
// another, whichever came first.
func TestWorstAnswerWins(t *testing.T) {
	for _, codes := range [][]int{{407, 502}, {502, 407}} {
		var n atomic.Int32
		at := listen(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				fmt.Fprintf(c, "HTTP/1.1 %d Whatever\r\n\r\n", codes[n.Add(1)-1])
			}
		})
		d := dialer(t, egress.Config{Proxy: &url.URL{Scheme: "http", Host: at.String()}, Resolver: answer("8.8.8.8", "8.8.4.4")})
		_, trace, err := d.Dial(t.Context(), "receiver.example", 80)
		wantKind(t, err, egress.Connect)
		if n.Load() != 2 || trace.Addr != netip.MustParseAddrPort("8.8.4.4:80") {
			t.Errorf("%v: asked %d times, last for %v", codes, n.Load(), trace.Addr)
		}
	}
}

// TestProxyAnswerIsBounded: an answer without end ends the dial.
func TestProxyAnswerIsBounded(t *testing.T) {
	for name, answer := range map[string]string{
		"endless": strings.Repeat("x", 1<<10),
		"no HTTP": "SSH-2.0-OpenSSH\r\n\r\n",
		"nothing": "",
	} {
		at := listen(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				for _, err = io.WriteString(c, answer); name == "endless" && err == nil; {
					_, err = io.WriteString(c, answer)
				}
			}
		})
		d := dialer(t, egress.Config{Proxy: &url.URL{Scheme: "http", Host: at.String()}})
		if _, _, err := d.Dial(t.Context(), "8.8.8.8", 80); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			wantKind(t, err, egress.Local)
		}
	}
}

func TestFaultOf(t *testing.T) {
	for no, want := range map[syscall.Errno]egress.Fault{
		syscall.EMFILE: egress.Descriptors, syscall.ENFILE: egress.Descriptors, syscall.ENOBUFS: egress.Memory,
		syscall.ENOMEM: egress.Memory, syscall.EADDRNOTAVAIL: egress.Ports,
		syscall.ECONNREFUSED: "", syscall.ECONNRESET: "", syscall.EHOSTUNREACH: "",
	} {
		err := fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", no)})
		if got := egress.FaultOf(err); got != want {
			t.Errorf("%v: got %q", no, got)
		}
	}
	if got := egress.FaultOf(fmt.Errorf("dialing: %w", &egress.Error{Kind: egress.Local, Fault: egress.Route, Err: io.EOF})); got != egress.Route {
		t.Errorf("a dial's fault: %q", got)
	}
}
