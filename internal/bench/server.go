package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	storeName   = "store"          // of the store's folder
	// creators is how many endpoints are created at once where many are wanted.
	creators = 16
)

// serverSubject is `postern serve` with one application, reached over its API.
type serverSubject struct {
	*child
	base   string // http://host:port
	client *http.Client
	app    string
	start  func(ctx context.Context) (*child, error)
}

// storeAt is the --store of the server whose store belongs to a folder.
func (o Options) storeAt(ctx context.Context, dir string) (string, error) {
	if o.database != nil {
		return o.database.storeAt(ctx, dir)
	}
	return "file:" + filepath.Join(dir, storeName), nil
}

// storeSize is how much the store that belongs to a folder holds, in bytes.
func (o Options) storeSize(ctx context.Context, dir string) (int64, error) {
	if o.database != nil {
		return o.database.size(ctx, dir)
	}
	return folderSize(filepath.Join(dir, storeName))
}

// startServer starts a server on the store that belongs to dir, waits until it is healthy, and
// creates the application and the event type of the load; but if the store comes
// from a template, app is its application.
func startServer(ctx context.Context, o Options, dir, app string) (*serverSubject, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startServerAt(ctx, o, addr, dir, app)
}

// startServerAt is startServer at an address that is known already.
func startServerAt(ctx context.Context, o Options, addr, dir, app string) (*serverSubject, error) {
	location, err := o.storeAt(ctx, dir)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", "--listen", addr, "--store", location,
		"--admin-key", benchKey, "--egress-allow", "127.0.0.0/8", "--log-level", "warn",
	}, o.ServerFlags...)
	s := &serverSubject{
		base: "http://" + addr,
		app:  app,
		client: &http.Client{
			Timeout:   callTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: creators},
		},
		start: func(ctx context.Context) (*child, error) {
			return startChild(ctx, "server", o.Exe, o.CPUs, false, args...)
		},
	}
	if s.child, err = s.start(ctx); err != nil {
		return nil, err
	}
	if err = s.awaitHealth(ctx); err == nil && app == "" {
		err = s.prepare(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// crash kills the process and starts another on the same store and address, which
// shares nothing with it; it returns when that one is healthy, and how long the
// start took.
func (s *serverSubject) crash(ctx context.Context, down func() error) (time.Duration, error) {
	_ = s.cmd.Process.Kill() // gone already is what we want
	<-s.exited
	s.client.CloseIdleConnections()
	if err := down(); err != nil {
		return 0, err
	}
	began := time.Now()
	c, err := s.start(ctx)
	if err != nil {
		return 0, err
	}
	s.child = c
	err = s.awaitHealth(ctx)
	return time.Since(began), err
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

// prepare creates what a publish needs: the application that the endpoints belong
// to, and the event type, as an unknown one may be refused.
func (s *serverSubject) prepare(ctx context.Context) error {
	app, err := s.newApplication(ctx, "bench")
	if err != nil {
		return err
	}
	s.app = app
	return s.call(ctx, http.MethodPost, "/api/v1/event-type",
		map[string]any{"name": eventType, "description": "load of the bench"}, nil)
}

// newApplication returns the id of another one.
func (s *serverSubject) newApplication(ctx context.Context, name string) (string, error) {
	var app created
	err := s.call(ctx, http.MethodPost, "/api/v1/app", map[string]any{"name": name}, &app)
	return app.ID, err
}

// created is what is needed of the API's answer to a creation.
type created struct {
	ID string `json:"id"`
}

// connect creates the endpoints in the application of the load. None names event
// types, so that each gets every message that its channels let through.
func (s *serverSubject) connect(ctx context.Context, endpoints []endpoint) error {
	for _, e := range endpoints {
		if _, err := s.newEndpoint(ctx, s.app, e); err != nil {
			return err
		}
	}
	return nil
}

// newEndpoint returns the id of one more endpoint.
func (s *serverSubject) newEndpoint(ctx context.Context, app string, e endpoint) (string, error) {
	e.Version, e.Description = 1, "bench"
	var ep created
	err := s.call(ctx, http.MethodPost, "/api/v1/app/"+app+"/endpoint", e, &ep)
	return ep.ID, err
}

// newEndpoints makes one endpoint per number from first on, several at once, in the
// applications in turn. The histogram has the time that each creation took.
func (s *serverSubject) newEndpoints(ctx context.Context, apps []string, first, count, atOnce int, url func(n int) string) (*Histogram, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	took := &Histogram{}
	var busy sync.WaitGroup
	for range atOnce {
		busy.Go(func() {
			for ctx.Err() == nil {
				n := first + int(next.Add(1)) - 1
				if n >= first+count {
					return
				}
				began := time.Now()
				_, err := s.newEndpoint(ctx, apps[n%len(apps)], endpoint{URL: url(n)})
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				took.Add(time.Since(began))
				mu.Unlock()
			}
		})
	}
	busy.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return took, nil
}

// disconnect deletes an endpoint.
func (s *serverSubject) disconnect(ctx context.Context, app, endpoint string) error {
	return s.call(ctx, http.MethodDelete, "/api/v1/app/"+app+"/endpoint/"+endpoint, nil, nil)
}

func (s *serverSubject) target() target { return s.targetOf(s.app) }

// targetOf is where messages of an application are published.
func (s *serverSubject) targetOf(app string) target {
	return target{
		Addr:     s.addr(),
		Path:     "/api/v1/app/" + app + "/msg",
		Token:    benchKey,
		Envelope: true,
	}
}

// addr is where it listens, host:port.
func (s *serverSubject) addr() string { return s.base[len("http://"):] }

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
	if out == nil || len(body) == 0 {
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
// take it meanwhile, the server does not start and says why. It is below those that
// systems give to clients: none must get it while the server is down after a crash.
func freeAddr() (string, error) {
	const lowest, count, tries = 20_000, 10_000, 100
	var last error
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(count)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("find a port: %w", last)
}
