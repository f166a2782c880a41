package posterntest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-dev/postern/sign"
)

// maxReceived bounds the body of a request, in bytes.
const maxReceived = 32 << 20

// Receiver takes deliveries. Server.NewReceiver makes one; it is safe for
// concurrent use. It is an http.Handler, too, that httptest.NewServer puts on the
// real network.
type Receiver struct {
	// URL is where it listens within the process.
	URL string

	server *Server
	came   *signal
	done   chan struct{} // closed at the test's end: nothing is held any longer

	mu       sync.Mutex
	script   []Reply // one for each request to come
	standing Reply   // once there is no more script
	keys     []sign.Key
	received []Received
}

// Received is one request to a Receiver.
type Received struct {
	// At is when it had come in whole.
	At     time.Time
	Method string
	// Target is path and query, as they were sent.
	Target string
	Header http.Header
	Body   []byte
	// ID is the message's, from its header webhook-id.
	ID string
	// Err is nil if the signature is right under one of the receiver's keys; an
	// error of package sign. Without a key it is sign.ErrKeyEmpty.
	Err error
}

// NewReceiver starts a receiver that runs until the test's end. Its first requests
// get the replies of the script, one each, and those behind them 200.
func (s *Server) NewReceiver(script ...Reply) *Receiver {
	l := s.network.listen()
	r := &Receiver{URL: l.url(), server: s, script: slices.Clone(script), came: newSignal(), done: make(chan struct{})}
	serve(s.t, l, r)
	s.t.Cleanup(func() { close(r.done) })
	return r
}

// Then adds replies to the script.
func (r *Receiver) Then(script ...Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, script...)
}

// Always sets the reply to all requests for which the script has none.
func (r *Receiver) Always(reply Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.standing = reply
}

// Trust adds a secret (whsec_, whsk_ or whpk_ and base64) that signatures may be
// made with. Connect does it for the endpoint's.
func (r *Receiver) Trust(secret string) {
	r.server.t.Helper()
	key, err := sign.ParseKey(secret)
	if err != nil {
		r.server.t.Fatalf("posterntest: the receiver's secret: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, key)
}

// ServeHTTP keeps the request and answers with what is next in the script.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxReceived))
	if err != nil {
		return // cut off before it was here
	}
	reply := r.keep(Received{
		At: r.server.now(), Method: req.Method, Target: req.URL.RequestURI(),
		Header: req.Header, Body: body, ID: req.Header.Get("webhook-id"),
	})
	if reply.Hold != nil {
		select {
		case <-reply.Hold:
		case <-req.Context().Done():
			return
		case <-r.done:
			return
		}
	}
	reply.write(w)
}

// keep notes a request and takes a reply from the script.
func (r *Receiver) keep(got Received) Reply {
	defer r.came.fire()
	r.mu.Lock()
	defer r.mu.Unlock()
	got.Err = sign.Verifier{Keys: r.keys}.Verify(got.Header, got.Body, got.At)
	r.received = append(r.received, got)
	if len(r.script) == 0 {
		return r.standing
	}
	reply := r.script[0]
	r.script = r.script[1:]
	return reply
}

// Requests are those that came so far, in order. Nothing is judged.
func (r *Receiver) Requests() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.received)
}

// Await waits until n requests came in all, and returns the first n. One whose
// signature is not right fails the test.
func (r *Receiver) Await(n int) []Received {
	r.server.t.Helper()
	var got []Received
	r.server.await(fmt.Sprintf("%d requests", n), r.came, func() (bool, string) {
		got = r.Requests()
		return len(got) >= n, fmt.Sprintf("%d came", len(got))
	})
	got = got[:n]
	for i, req := range got {
		if req.Err != nil {
			r.server.t.Errorf("posterntest: request %d, of message %q: %v", i+1, req.ID, req.Err)
		}
	}
	return got
}

// now is the engine's clock, which signatures are made by.
func (s *Server) now() time.Time {
	if s.cfg.Now != nil {
		return s.cfg.Now()
	}
	return time.Now()
}
