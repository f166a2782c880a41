package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/telemetry"
)

// server is a listening socket, and the node that answers there.
type server struct {
	settings *config.Config
	version  string
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
	observer engine.Observer
	// node is nil while it is replaced.
	node atomic.Pointer[node]
}

const (
	// What a client may take its time for.
	headerTimeout = 10 * time.Second
	bodyTimeout   = time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeaders    = 64 << 10
)

// openServer opens the store and the socket, in this order: a folder that is
// in use is the commoner mistake, and its error says more.
func openServer(ctx context.Context, settings *config.Config, version string, log *slog.Logger) (*server, error) {
	s := &server{settings: settings, version: version, log: log}
	st, secrets, err := openStore(ctx, settings, identityOf(settings), log)
	if err != nil {
		return nil, diskCode(err)
	}
	l, err := listen(settings.Listen)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	s.build(l)
	if err := s.install(ctx, st, secrets); err != nil {
		return nil, diskCode(errors.Join(err, l.Close(), st.Close()))
	}
	return s, nil
}

// build makes everything but the node.
func (s *server) build(l net.Listener) {
	inbound := newBoundedListener(l, inboundPlaces(), s.log)
	s.listener = inbound
	observer, metrics := telemetry.NewPrometheus(s.stats)
	s.observer = observer
	s.http = &http.Server{
		ConnState:         inbound.connState,
		Handler:           withMetrics(http.HandlerFunc(s.answer), metrics),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaders,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// run serves until ctx ends, then drains. ready is called once requests are
// answered; its error ends the server.
func (s *server) run(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ran, served := make(chan error, 1), make(chan error, 1)
	if tuneProcess(s.settings.Store.Reveal() == "memory:") {
		go newThrift().watch(ctx) // ends with ctx, which is canceled below
	}
	go func() { ran <- s.work(ctx) }()
	go func() { served <- s.http.Serve(s.listener) }()
	var failure error
	ranErr := errStillRunning
	if failure = ready(ctx); failure == nil {
		select {
		case <-ctx.Done():
		case ranErr = <-ran:
		case failure = <-served:
		}
	}
	cancel(errServerStops)
	s.shutdown(ctx)
	if errors.Is(ranErr, errStillRunning) {
		ranErr = <-ran
	}
	if n := s.node.Load(); n != nil {
		failure = errors.Join(failure, n.store.Close())
	}
	return errors.Join(failure, ranErr)
}

var (
	errStillRunning = errors.New("the engine is running")
	errServerStops  = errors.New("the server stops")
)

// shutdown takes no new request and waits for those under way, as long as a
// drain may take.
func (s *server) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settings.DrainTimeout+time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests were cut off", "error", err)
		_ = s.http.Close() // nothing is left to be told
	}
}

// url is where the server answers on this machine.
func (s *server) url() string { return "http://" + s.listener.Addr().String() }

// engineConfig turns settings into the engine's.
func (s *server) engineConfig(st store.Store, secrets engine.Secrets) (engine.Config, error) {
	c := s.settings
	cfg := engine.Config{
		Store: st, Secrets: secrets, AdminKey: c.AdminKey.Reveal(), JWTSecret: c.JWTSecret.Reveal(),
		PublicURL: c.PublicURL, Version: s.version, Providers: c.Catalogue,
		RetrySchedule: c.RetrySchedule, Retention: c.Retention,
		MaxBody: int64(c.MaxBody), InboundMaxBody: int64(c.InboundMaxBody),
		DrainTimeout: c.DrainTimeout, EgressAllow: c.EgressAllow, TrustedProxies: c.TrustedProxies,
		Log: s.log, Observer: s.observer,
	}
	cfg.Backup = backupOf(st, c.Store.Reveal(), s.version)
	if cfg.PublicURL == "" {
		cfg.PublicURL = s.url()
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = -1 // zero means the default there
	}
	var err error
	if c.EgressProxy.IsSet() {
		if cfg.EgressProxy, err = url.Parse(c.EgressProxy.Reveal()); err != nil {
			return cfg, usage("egress-proxy: not a URL")
		}
	}
	if c.EgressCA != "" {
		cfg.EgressCA, err = loadCA(c.EgressCA)
	}
	return cfg, err
}

// openStore opens what --store names, and the key ring that goes with it.
func openStore(ctx context.Context, c *config.Config, as identity, log *slog.Logger) (store.Store, engine.Secrets, error) {
	location := c.Store.Reveal()
	if isPostgres(location) {
		return openPostgres(ctx, c, as, log)
	}
	var secrets engine.Secrets
	var err error
	dir, onDisk := strings.CutPrefix(location, "file:")
	switch {
	case c.SecretKey.IsSet():
		secrets, err = engine.ParseSecrets(c.SecretKey.Reveal())
	case onDisk:
		secrets, err = engine.LoadSecrets(dir)
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := embedded.Open(ctx, location, embedded.Options{Logger: log})
	if err != nil {
		return nil, nil, err
	}
	return st, secrets, nil
}

// listen opens the socket; a port that is taken is told with the way out.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w\nchoose another address with --listen HOST:PORT, or 127.0.0.1:0 for a free port", err)
	}
	return l, nil
}

// loadCA reads authorities into a copy of the system's.
func loadCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("egress-ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usage("egress-ca: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// withMetrics serves /metrics beside the engine's own paths.
func withMetrics(rest, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			metrics.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}
