package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// attemptTimeout is the deadline of an attempt, and bodyRead how long an
// answer's body is read.
const (
	attemptTimeout = 15 * time.Second
	bodyRead       = 2 * time.Second
)

// rudeness is a way to answer a delivery, and what is to be made of it.
type rudeness struct {
	// answer gets the connection once the request was read; it is closed
	// afterwards. Nil where no server is asked.
	answer    func(conn net.Conn)
	code      int
	failure   string // "" where there is a code
	delivered bool
	// least and most bound how long the attempt takes.
	least, most time.Duration
}

// rudenesses are the endpoints that hang, drip, flood and so on.
func rudenesses(quit <-chan struct{}) map[string]rudeness {
	say := func(text string) func(net.Conn) { return func(conn net.Conn) { io.WriteString(conn, text) } }
	drip := func(conn net.Conn, text string) { // a byte a second
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for i := range len(text) {
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
			select {
			case <-second.C:
			case <-quit:
				return
			}
		}
	}
	const soon = 10 * time.Second // before the deadline, on a busy machine too
	return map[string]rudeness{
		"hang": {answer: func(net.Conn) { <-quit }, failure: "timeout", least: attemptTimeout, most: attemptTimeout + soon},
		"drip the head": {answer: func(conn net.Conn) { drip(conn, "HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 100)) },
			failure: "timeout", least: attemptTimeout, most: attemptTimeout + soon},
		// The status decides; a body that does not end takes nobody's time.
		"drip the body": {answer: func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n")
			drip(conn, strings.Repeat("x", 100))
		}, code: 500, least: bodyRead, most: bodyRead + soon},
		"answer 10 GB": {answer: func(conn net.Conn) { flood(conn, "HTTP/1.1 500 Oh\r\nContent-Length: 10737418240\r\n\r\n") }, code: 500, most: soon},
		"answer 10 GB and 200": {answer: func(conn net.Conn) { flood(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n") },
			code: 200, delivered: true, most: soon},
		"answer without end":    {answer: func(conn net.Conn) { flood(conn, "HTTP/1.1 503 Oh\r\nConnection: close\r\n\r\n") }, code: 503, most: soon},
		"headers without end":   {answer: func(conn net.Conn) { flood(conn, "HTTP/1.1 200 OK\r\nX-Long: ") }, failure: "header_too_large", most: soon},
		"answer garbage":        {answer: say("\x16\x03\x01 this is not the web\r\n\r\n"), failure: "malformed_response", most: soon},
		"answer another status": {answer: say("HTTP/1.1 abc OK\r\n\r\n"), failure: "malformed_response", most: soon},
		"redirect":              {answer: say("HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n"), code: 302, most: soon},
		"redirect for good":     {answer: say("HTTP/1.1 308 Permanent Redirect\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n"), code: 308, most: soon},
		"close early":           {answer: func(net.Conn) {}, failure: "closed_early", most: soon},
		"close in the head":     {answer: say("HTTP/1.1 200 OK\r\nContent-Le"), failure: "closed_early", most: soon},
		"reset":                 {answer: func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }, failure: "closed_early", most: soon},
		"not modified":          {answer: say("HTTP/1.1 304 Not Modified\r\n\r\n"), code: 304, most: soon},
		"switch protocol":       {answer: say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), code: 101, most: soon},
		// Not the server's doing: nobody listens, or speaks TLS.
		"refuse": {failure: "connect_refused", most: soon},
		"plain":  {failure: "tls", most: soon},

		"say nothing of it": {answer: say("HTTP/1.1 204 No Content\r\n\r\n"), code: 204, delivered: true, most: soon},
	}
}

// refusing is an address at which nobody listens, nor does anybody before the test's
// end: a connection has its port.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// flood writes until the other side has had enough.
func flood(conn net.Conn, head string) {
	io.WriteString(conn, head)
	block := []byte(strings.Repeat("x", 64<<10))
	for range 10 << 30 / len(block) {
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// rudeServer answers each path with the rudeness of that name.
type rudeServer struct {
	net.Listener
	ways  map[string]rudeness
	quit  chan struct{}
	conns sync.WaitGroup
	mu    sync.Mutex
	seen  map[string]int // requests by path
}

func newRudeServer(t *testing.T) *rudeServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rudeServer{Listener: listener, quit: make(chan struct{}), seen: map[string]int{}}
	r.ways = rudenesses(r.quit)
	r.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.conns.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(r.close)
	return r
}

func (r *rudeServer) close() {
	close(r.quit)
	r.Close()
	r.conns.Wait()
}

// serve reads one request and answers it.
func (r *rudeServer) serve(conn net.Conn) {
	defer conn.Close()
	in, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, in.Body) // to its end: closing with bytes unread resets
	name := strings.TrimPrefix(in.URL.Path, "/")
	r.mu.Lock()
	r.seen[name]++
	r.mu.Unlock()
	if way, ok := r.ways[name]; ok {
		way.answer(conn)
	}
}

// url is the address of a rudeness.
func (r *rudeServer) url(name string) string {
	return fmt.Sprintf("http://%s/%s", r.Addr(), strings.ReplaceAll(name, " ", "%20"))
}

// Whatever an endpoint does with a request, the attempt ends in time and says
// what happened, and the endpoint beside it does not notice.
func TestEndpointsThatMisbehave(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:", "--retry-schedule=none")
	rude := newRudeServer(t)
	good := newReceiver(t, nil)
	app := s.application("a")
	names := map[string]string{}
	for name, way := range rude.ways {
		if way.answer != nil {
			names[s.endpoint(app, rude.url(name), nil)] = name
		}
	}
	names[s.endpoint(app, "http://"+refusing(t)+"/", nil)] = "refuse"
	names[s.endpoint(app, strings.Replace(good.URL, "http:", "https:", 1), nil)] = "plain"
	names[s.endpoint(app, "http://no-such-host.invalid/", nil)] = "unknown host"
	healthy := s.endpoint(app, good.URL+"/good", nil)

	message := s.publish(app, "a.b", object{"n": 1})
	good.await(t, "/good", 1)
	// The good endpoint is served while the others are being rude.
	for i := range 50 {
		begun := time.Now()
		id := s.publish(s.quietApp(t, good.URL), "a.b", object{"i": i})
		await(t, "delivered beside rude endpoints", func() bool { return len(s.attempts("quiet", id)) == 1 })
		if took := time.Since(begun); took > attemptTimeout*2/3 {
			t.Errorf("a delivery beside rude endpoints took %v", took)
		}
	}
	delete(names, keyOf(names, "unknown host")) // where no resolver answers, the fault counts as ours
	want := len(names) + 1
	if !holds(attemptTimeout+patience, func() bool { return len(s.attempts(app, message)) >= want }) {
		t.Fatalf("%d of %d attempts have ended", len(s.attempts(app, message)), want)
	}
	for _, a := range s.attempts(app, message) {
		if a.EndpointID == healthy || names[a.EndpointID] == "" {
			continue
		}
		name := names[a.EndpointID]
		t.Run(name, func(t *testing.T) { rude.ways[name].check(t, &a) })
	}
	rude.mu.Lock()
	defer rude.mu.Unlock()
	for name, n := range rude.seen {
		if n != 1 {
			t.Errorf("%s was sent %d requests, want 1", name, n)
		}
	}
	if got := good.requests("/good"); len(got) != 1 {
		t.Errorf("/good was sent %d requests, want 1: redirects are not followed", len(got))
	}
}

// check compares an attempt with what the rudeness deserves.
func (w rudeness) check(t *testing.T, a *attempt) {
	failure := ""
	if a.Failure != nil {
		failure = *a.Failure
	}
	if a.ResponseStatusCode != w.code || failure != w.failure {
		t.Errorf("code %d, failure %q; want %d, %q", a.ResponseStatusCode, failure, w.code, w.failure)
	}
	if succeeded := a.Status == 0; succeeded != w.delivered {
		t.Errorf("status %d, state %s", a.Status, a.State)
	}
	if state := map[bool]string{true: "delivered", false: "dead"}[w.delivered]; a.State != state {
		t.Errorf("state %s, want %s", a.State, state)
	}
	if took := time.Duration(a.Timings.Total) * time.Microsecond; took < w.least-100*time.Millisecond || took > w.most {
		t.Errorf("took %v, want %v to %v", took, w.least, w.most)
	}
	if len(a.Response) > 20<<10 {
		t.Errorf("%d bytes of the answer are kept", len(a.Response))
	}
}

// quietApp is an application with a good endpoint of its own.
func (s *server) quietApp(t *testing.T, url string) string {
	t.Helper()
	if s.call("GET", "/app/quiet", nil).status == 404 {
		s.want(201, "POST", "/app", object{"name": "quiet", "uid": "quiet"}, nil)
		s.endpoint("quiet", url+"/quiet", nil)
	}
	return "quiet"
}

// keyOf finds a value's key.
func keyOf(m map[string]string, value string) string {
	for k, v := range m {
		if v == value {
			return k
		}
	}
	return ""
}
