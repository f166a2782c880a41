package posterntest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// Server is an engine that runs until its test ends. Make one with New; it is
// safe for concurrent use, but its methods fail the test and so belong to the
// test's own goroutine.
type Server struct {
	// Engine is running: publish with it, or mount its Handler.
	Engine *engine.Engine
	// URL is where the engine listens within the process, without a slash at its
	// end: Client reaches it, and nobody else. Listen opens a real address.
	URL string
	// AdminKey is the API key with all rights.
	AdminKey string
	// Patience is how long an Await waits before it fails the test: 30 s, and in a
	// bubble 60 days, of the bubble's own.
	Patience time.Duration

	t       testing.TB
	cfg     engine.Config
	network *network
	stored  *signal
}

// New runs an engine on a store in memory, and stops it at the test's end. cfg
// is the engine's own; in place of these of its zero values there are others: a
// Store in memory, an AdminKey, a RetrySchedule of seven waits of 5 ms, outside a
// bubble, and a DrainTimeout of nothing. Addresses on this machine are allowed, too.
// register, if any, is called before the engine runs, which is when handlers have
// to be registered.
func New(t testing.TB, cfg engine.Config, register ...func(*engine.Engine) error) *Server {
	t.Helper()
	bubble := inBubble()
	s := &Server{t: t, Patience: 30 * time.Second, stored: newSignal(), network: &network{outside: cfg.Dial, listeners: map[netip.AddrPort]*listener{}}}
	if bubble {
		s.Patience = 60 * 24 * time.Hour
	} else if cfg.RetrySchedule == nil {
		cfg.RetrySchedule = slices.Repeat(postern.RetrySchedule{5 * time.Millisecond}, 7)
	}
	if s.network.outside == nil {
		s.network.outside = (&net.Dialer{}).DialContext
	}
	if cfg.Store == nil {
		cfg.Store = openStore(t)
	}
	s.AdminKey = cmp.Or(cfg.AdminKey, "posterntest-admin-key")
	cfg.AdminKey = s.AdminKey
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, -1)
	cfg.Dial = s.network.dial
	cfg.EgressAllow = append(slices.Clone(cfg.EgressAllow), inside(), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	cfg.Observer.Committed = s.committed(cfg.Observer.Committed)
	api := s.network.listen()
	s.URL = api.url()
	cfg.PublicURL = cmp.Or(cfg.PublicURL, s.URL)
	s.cfg = cfg
	var err error
	if s.Engine, err = engine.New(t.Context(), cfg); err != nil {
		t.Fatalf("posterntest: %v", err)
	}
	for _, do := range register {
		if err := do(s.Engine); err != nil {
			t.Fatalf("posterntest: registering: %v", err)
		}
	}
	s.run()
	serve(t, api, s.Engine.Handler())
	return s
}

// inBubble tries what works in a bubble alone.
func inBubble() (yes bool) {
	defer func() { yes = recover() == nil }()
	synctest.Wait()
	return yes
}

func openStore(t testing.TB) store.Store {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{Logger: slog.New(slog.DiscardHandler), ReserveBytes: -1})
	if err != nil {
		t.Fatalf("posterntest: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("posterntest: closing the store: %v", err)
		}
	})
	return st
}

// committed wakes who waits, after an observer of the test's own.
func (s *Server) committed(also func(engine.Batch)) func(engine.Batch) {
	return func(b engine.Batch) {
		if also != nil {
			also(b)
		}
		s.stored.fire()
	}
}

// run has the engine work until the test's end.
func (s *Server) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context())) // which ends before what is cleaned up
	ran := make(chan error, 1)
	go func() { ran <- s.Engine.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			s.t.Errorf("posterntest: the engine ended: %v", err)
		}
	})
}

// serve answers the connections of a listener until the test's end, and then
// waits for what it started.
func serve(t testing.TB, l net.Listener, h http.Handler) {
	var answering sync.RWMutex // held for reading by each request, and at the end
	ended := false
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answering.RLock()
			defer answering.RUnlock()
			if !ended {
				h.ServeHTTP(w, r)
			}
		}),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of what a test does on purpose
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends with the listener, and tells nothing else
	}()
	t.Cleanup(func() {
		_ = server.Close() // connections that are closed already
		<-done
		answering.Lock()
		defer answering.Unlock()
		ended = true
	})
}

// Client is an HTTP client for URL, and for receivers. It is made anew each time
// and keeps no connections.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.network.dial, DisableKeepAlives: true}}
}

// Listen has the engine listen on a port of this machine until the test's end, for
// programs outside the test, and returns its address, without a slash at its
// end. In a bubble it is of no use.
func (s *Server) Listen() string {
	server := httptest.NewServer(s.Engine.Handler())
	s.t.Cleanup(server.Close)
	return server.URL
}

// Call makes an API request as the admin, without a network: path is what follows
// /api/v1, in the body, in JSON, nil for none. The answer goes to out, where that is
// not nil. A status of 400 or more fails the test.
func (s *Server) Call(method, path string, in, out any) {
	s.t.Helper()
	answer := s.ask(method, path, in)
	if answer.Code >= http.StatusBadRequest {
		s.t.Fatalf("posterntest: %s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer.Body.Bytes(), out); err != nil {
		s.t.Fatalf("posterntest: %s %s: %v", method, path, err)
	}
}

// ask is Call for any answer.
func (s *Server) ask(method, path string, in any) *httptest.ResponseRecorder {
	s.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			s.t.Fatalf("posterntest: %s %s: %v", method, path, err)
		}
	}
	req := httptest.NewRequestWithContext(s.t.Context(), method, "/api/v1"+path, &body)
	req.Header.Set("Authorization", "Bearer "+s.AdminKey)
	answer := httptest.NewRecorder()
	s.Engine.Handler().ServeHTTP(answer, req)
	return answer
}

// Publish publishes in the engine's own application; payload becomes JSON.
func (s *Server) Publish(eventType string, payload any) *postern.Message {
	s.t.Helper()
	body, err := json.Marshal(payload)
	if err != nil {
		s.t.Fatalf("posterntest: publishing %s: %v", eventType, err)
	}
	m, _, err := s.Engine.Publish(s.t.Context(), postern.Publish{EventType: eventType, Payload: body})
	if err != nil {
		s.t.Fatalf("posterntest: publishing %s: %v", eventType, err)
	}
	return m
}

// Connect makes an endpoint in the engine's own application that delivers to r,
// which checks the endpoint's signatures from then on. Without eventTypes it gets
// all; those that there are not yet are made. It returns the endpoint's id.
func (s *Server) Connect(r *Receiver, eventTypes ...string) string {
	s.t.Helper()
	if r.server != s { // addresses are a network's own, and another's lead elsewhere here
		s.t.Fatalf("posterntest: the receiver belongs to another Server: make one with this one's NewReceiver")
	}
	app, err := s.Engine.EnsureApplication(s.t.Context(), "")
	if err != nil {
		s.t.Fatalf("posterntest: %v", err)
	}
	in := map[string]any{"url": r.URL}
	if len(eventTypes) > 0 {
		in["eventTypes"] = eventTypes
	}
	for _, name := range eventTypes {
		if strings.HasSuffix(name, ".*") {
			continue
		}
		made := s.ask("POST", "/event-type", map[string]string{"name": name, "description": name})
		if made.Code >= http.StatusBadRequest && made.Code != http.StatusConflict {
			s.t.Fatalf("posterntest: making the event type %s: %d %s", name, made.Code, made.Body)
		}
	}
	var endpoint struct{ ID string }
	s.Call("POST", "/app/"+app.ID.String()+"/endpoint", in, &endpoint)
	var secret struct{ Key string }
	s.Call("GET", "/app/"+app.ID.String()+"/endpoint/"+endpoint.ID+"/secret", nil, &secret)
	r.Trust(secret.Key)
	return endpoint.ID
}
