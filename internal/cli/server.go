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
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/telemetry"
)

// server is an engine behind a listening socket.
type server struct {
	settings *config.Config
	log      *slog.Logger
	store    store.Store
	engine   *engine.Engine
	listener net.Listener
	http     *http.Server
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
	s := &server{settings: settings, log: log}
	st, secrets, err := openStore(ctx, settings, log)
	if err != nil {
		return nil, diskCode(err)
	}
	s.store = st
	if err := s.build(ctx, version, secrets); err != nil {
		return nil, diskCode(errors.Join(err, st.Close()))
	}
	return s, nil
}

// build makes everything but the store.
func (s *server) build(ctx context.Context, version string, secrets engine.Secrets) error {
	var err error
	if s.listener, err = listen(s.settings.Listen); err != nil {
		return err
	}
	cfg, err := s.engineConfig(version, secrets)
	if err != nil {
		return errors.Join(err, s.listener.Close())
	}
	observer, metrics := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) { return s.engine.Stats(ctx) })
	cfg.Observer = observer
	if s.engine, err = engine.New(ctx, cfg); err != nil {
		return errors.Join(err, s.listener.Close())
	}
	inbound := newBoundedListener(s.listener, inboundPlaces(), s.log)
	s.listener = inbound
	s.http = &http.Server{
		ConnState:         inbound.connState,
		Handler:           withMetrics(s.engine.Handler(), metrics),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaders,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// run serves until ctx ends, then drains. ready is called once requests are
// answered; its error ends the server.
func (s *server) run(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ran, served := make(chan error, 1), make(chan error, 1)
	if tuneProcess() {
		go newThrift().watch(ctx) // ends with ctx, which is canceled below
	}
	go func() { ran <- s.engine.Run(ctx) }()
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
	if ranErr != nil {
		ranErr = withCode(ExitDisk, ranErr)
	}
	return errors.Join(failure, ranErr, s.store.Close())
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
func (s *server) engineConfig(version string, secrets engine.Secrets) (engine.Config, error) {
	c := s.settings
	cfg := engine.Config{
		Store: s.store, Secrets: secrets, AdminKey: c.AdminKey.Reveal(), JWTSecret: c.JWTSecret.Reveal(),
		PublicURL: c.PublicURL, Version: version, Providers: c.Catalogue,
		RetrySchedule: c.RetrySchedule, Retention: c.Retention,
		MaxBody: int64(c.MaxBody), InboundMaxBody: int64(c.InboundMaxBody),
		DrainTimeout: c.DrainTimeout, EgressAllow: c.EgressAllow, TrustedProxies: c.TrustedProxies,
		Log: s.log,
	}
	cfg.Backup = backupOf(s.store, c.Store.Reveal(), version)
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
func openStore(ctx context.Context, c *config.Config, log *slog.Logger) (store.Store, engine.Secrets, error) {
	location := c.Store.Reveal()
	if isPostgres(location) {
		return openPostgres(ctx, c, log)
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
