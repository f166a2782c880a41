package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/telemetry"
)

// runPast is the role: a server of the engine as it is, whose clock is behind, so that
// what it stores is old. It takes no commands.
func runPast(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet(rolePast, flag.ContinueOnError)
	dir := flags.String("dir", "", "folder of the store")
	behind := flags.Duration("behind", 0, "how far the clock is behind")
	if err := flags.Parse(args); err != nil {
		return err
	}
	secrets, err := engine.LoadSecrets(*dir)
	if err != nil {
		return err
	}
	st, err := embedded.Open(ctx, "file:"+*dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return servePast(ctx, st, secrets, *behind, stdin, stdout)
}

// servePast serves until stdin ends, then stops in good order.
func servePast(ctx context.Context, st store.Store, secrets engine.Secrets, behind time.Duration, stdin io.Reader, stdout io.Writer) error {
	var eng *engine.Engine
	observer, metrics := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) { return eng.Stats(ctx) })
	eng, err := engine.New(ctx, engine.Config{
		Store: st, Secrets: secrets, AdminKey: benchKey, Observer: observer,
		EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Now:         func() time.Time { return time.Now().Add(-behind) },
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)
	mux.Handle("/", eng.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: callTimeout}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- eng.Run(running) }()
	go func() { served <- server.Serve(listener) }()
	err = serveCommands(ctx, stdin, stdout, []string{listener.Addr().String()}, func(_ context.Context, cmd command) (any, error) {
		return nil, unknown(cmd)
	})
	stop()
	err = errors.Join(err, <-ran, server.Close())
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// startPast starts the role on the store below dir, and creates the application and
// the event type of the load.
func startPast(ctx context.Context, o Options, dir string, behind time.Duration) (*serverSubject, error) {
	c, addrs, err := startRole(ctx, rolePast, o.Exe, o.CPUs, "--dir", filepath.Join(dir, storeName), "--behind", behind.String())
	if err != nil {
		return nil, err
	}
	s := &serverSubject{
		child: c, base: "http://" + addrs[0],
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: creators}},
	}
	if err = s.awaitHealth(ctx); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}
