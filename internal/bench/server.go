package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

const (
	// benchKey is the admin key of a server that lives for one measurement on
	// loopback; it protects nothing.
	benchKey = "bench-key-of-a-throwaway-server"
	// readyPoll is short, since many short-lived servers are started.
	readyPoll   = 20 * time.Millisecond
	callTimeout = 10 * time.Second // of one API call or scrape
	maxAnswer   = 1 << 20          // bytes of an API answer
)

// serverSubject is `postern serve` with one application, reached over its API.
type serverSubject struct {
	*child
	base   string // http://host:port
	client *http.Client
	app    string
}

// startServer starts a server on an empty store below dir, waits until it is
// healthy, and creates the application and the event type of the load.
func startServer(ctx context.Context, exe string, cpus []int, dir string, flags []string) (*serverSubject, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{
		"serve", "--listen", addr, "--store", "file:" + filepath.Join(dir, "store"),
		"--admin-key", benchKey, "--egress-allow", "127.0.0.0/8", "--log-level", "warn",
	}
	c, err := startChild(ctx, "server", exe, cpus, false, append(args, flags...)...)
	if err != nil {
		return nil, err
	}
	s := &serverSubject{
		child:  c,
		base:   "http://" + addr,
		client: &http.Client{Timeout: callTimeout},
	}
	if err := s.awaitHealth(ctx); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// awaitHealth polls until the server is ready, ends, or takes too long.
func (s *serverSubject) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if err := s.call(ctx, http.MethodGet, "/api/v1/health", nil, nil); err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("server ended before it was ready: %w%s", s.err, s.stderr)
		case <-ctx.Done():
			return fmt.Errorf("server is not ready: %w%s", context.Cause(ctx), s.stderr)
		case <-time.After(readyPoll):
		}
	}
}

// prepare creates what a publish needs: the application that all endpoints belong
// to, and the event type, as an unknown one may be refused.
func (s *serverSubject) prepare(ctx context.Context) error {
	var app struct {
		ID string `json:"id"`
	}
	if err := s.call(ctx, http.MethodPost, "/api/v1/app", map[string]any{"name": "bench"}, &app); err != nil {
		return err
	}
	s.app = app.ID
	return s.call(ctx, http.MethodPost, "/api/v1/event-type",
		map[string]any{"name": eventType, "description": "load of the bench"}, nil)
}

// connect creates one endpoint per URL. None names event types, so that each gets
// every message.
func (s *serverSubject) connect(ctx context.Context, urls []string) error {
	for _, u := range urls {
		endpoint := map[string]any{"url": u, "version": 1, "description": "bench"}
		if err := s.call(ctx, http.MethodPost, "/api/v1/app/"+s.app+"/endpoint", endpoint, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *serverSubject) target() target {
	return target{
		Addr:     s.base[len("http://"):],
		Path:     "/api/v1/app/" + s.app + "/msg",
		Token:    benchKey,
		Envelope: true,
	}
}

// counters scrapes /metrics. This costs the server a few milliseconds of CPU, which is
// why the coordinator asks rarely.
func (s *serverSubject) counters(ctx context.Context) (counters, error) {
	request, err := s.request(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return counters{}, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return counters{}, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return counters{}, fmt.Errorf("read metrics: status %d", response.StatusCode)
	}
	read, err := parseMetrics(response.Body)
	return read.counters(), err
}

func (s *serverSubject) stop() {
	s.client.CloseIdleConnections()
	s.child.stop()
}

// call does one API operation; in and out are JSON and may be nil.
func (s *serverSubject) call(ctx context.Context, method, path string, in, out any) error {
	request, err := s.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: status %d: %.300s", method, path, response.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

func (s *serverSubject) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+benchKey)
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

// freeAddr is a loopback port that was free a moment ago. Should another program
// take it meanwhile, the server does not start and says why.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
