// Command link-shortener shortens links. Whoever wants to know of a link that
// was made or clicked listens, in this program or by webhook; the code that
// makes links and follows them knows nobody.
//
// main.go starts and stops, links.go is the shortener, listeners.go is who
// listens within, webhooks.go lets others listen.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/inbox"
	"github.com/postern-dev/postern/outbox"
	"github.com/postern-dev/postern/store/embedded"
)

type config struct {
	Database string // postgres://..., where links and clicks are
	Data     string // the folder where the engine keeps events and deliveries
	AdminKey string // opens the engine's API
	Local    bool   // webhooks may go to this machine, too
	Log      *slog.Logger
}

func main() {
	cfg := config{Database: os.Getenv("DATABASE_URL"), AdminKey: os.Getenv("ADMIN_KEY"), Log: slog.Default()}
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&cfg.Data, "data", "link-shortener-data", "folder for events and deliveries")
	flag.BoolVar(&cfg.Local, "local", false, "let webhooks go to this machine, to try them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := listenAndRun(ctx, *listen, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "link-shortener:", err)
		stop()
		os.Exit(1)
	}
}

func listenAndRun(ctx context.Context, address string, cfg config) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return run(ctx, l, cfg)
}

// run serves on l, which it closes, until ctx is done.
func run(ctx context.Context, l net.Listener, cfg config) error {
	defer l.Close()
	if cfg.Database == "" {
		return errors.New("DATABASE_URL is not set")
	}
	if cfg.AdminKey == "" {
		cfg.AdminKey = rand.Text() // the program's own, then; nobody else uses the API
	}
	db, err := pgxpool.New(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createTables(ctx, db); err != nil {
		return err
	}
	st, err := embedded.Open(ctx, "file:"+cfg.Data, embedded.Options{Logger: cfg.Log})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // all it has acknowledged is on disk
	eng, err := newEngine(ctx, st, cfg)
	if err != nil {
		return err
	}
	if err := listen(eng, db, cfg.Log); err != nil {
		return err
	}
	relay, err := outbox.NewRelay(outbox.RelayConfig{DB: outbox.PGXDB(db), Publisher: eng, Log: cfg.Log})
	if err != nil {
		return err
	}
	api, err := client.New(client.Options{Handler: eng.Handler(), Key: cfg.AdminKey})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	(&links{db: db, events: eng, committed: relay.Wake, log: cfg.Log}).register(mux)
	(&webhooks{api}).register(mux)
	mux.Handle("/api/v1/", eng.Handler())
	cfg.Log.Info("serving", "url", "http://"+l.Addr().String())
	return serve(ctx, l, mux, eng, relay)
}

// newEngine makes the engine that keeps events and delivers them.
func newEngine(ctx context.Context, st *embedded.Store, cfg config) (*engine.Engine, error) {
	secrets, err := engine.LoadSecrets(cfg.Data)
	if err != nil {
		return nil, err
	}
	ec := engine.Config{Store: st, Secrets: secrets, Application: application, AdminKey: cfg.AdminKey, Log: cfg.Log}
	if cfg.Local {
		ec.EgressAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return engine.New(ctx, ec)
}

// application is whose events these are: the engine can keep many apart, and
// this program needs one.
const application = "links"

// stopWithin is how long requests under way may take once the program is to stop.
const stopWithin = 10 * time.Second

// serve runs server, engine and relay until ctx is done, or one of them fails.
// The engine stops last: requests and the relay publish with it.
func serve(ctx context.Context, l net.Listener, handler http.Handler, eng *engine.Engine, relay *outbox.Relay) error {
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}

	group, ctx := errgroup.WithContext(ctx) // done as well when one of them fails
	group.Go(func() error { return eng.Run(engineCtx) })
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		defer stopEngine()
		relay.Run(ctx) // until ctx is done; what it has not taken is there at the next start
		limited, cancel := context.WithTimeout(engineCtx, stopWithin)
		defer cancel()
		if server.Shutdown(limited) != nil {
			return server.Close() // what is still open, a tail or a slow client, is cut off
		}
		return nil
	})
	return group.Wait()
}

// createTables makes what is not there yet. The two last are Postern's: events
// of transactions that have committed, and messages that were handled.
func createTables(ctx context.Context, db *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			CREATE TABLE IF NOT EXISTS links (code text PRIMARY KEY, url text NOT NULL);
			CREATE TABLE IF NOT EXISTS clicks (code text PRIMARY KEY, count bigint NOT NULL)`); err != nil {
			return err
		}
		if err := new(outbox.Table).Create(ctx, outbox.PGX(tx)); err != nil {
			return err
		}
		return inbox.Table{}.Create(ctx, inbox.PGX(tx))
	})
}
