// Command chi-embed is an application on chi, a small shop, that has taken the
// webhook engine in: its customers are told of orders, and Stripe tells it of
// payments.
//
// shop.go is the application as it was. This file is what came with the engine.
package main

import (
	"context"
	"encoding/json"
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

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"golang.org/x/sync/errgroup"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

type config struct {
	Password  string // of the shop's login
	AdminKey  string // opens the engine's API; "" for nobody
	Data      string // the folder where the engine keeps everything
	PublicURL string // how others reach this program; "" for its own address
	Local     bool   // webhooks may go to this machine, too
	Log       *slog.Logger
}

func main() {
	cfg := config{Password: os.Getenv("SHOP_PASSWORD"), AdminKey: os.Getenv("ADMIN_KEY"), Log: slog.Default()}
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&cfg.Data, "data", "webhooks", "folder of the webhook engine")
	flag.StringVar(&cfg.PublicURL, "public-url", "", "how others reach this program (default its own address)")
	flag.BoolVar(&cfg.Local, "local", false, "let webhooks go to this machine, to try them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		err = run(ctx, l, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chi-embed:", err)
		stop()
		os.Exit(1)
	}
}

// run serves on l, which it closes, until ctx is done.
func run(ctx context.Context, l net.Listener, cfg config) error {
	defer l.Close()
	if cfg.Password == "" {
		return errors.New("SHOP_PASSWORD is not set")
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://" + l.Addr().String()
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

	shop := newShop(cfg.Password, cfg.Log, func(ctx context.Context, o order) error {
		payload, err := json.Marshal(o)
		if err != nil {
			return err
		}
		_, _, err = eng.Publish(ctx, postern.Publish{EventType: "order.placed", Payload: payload})
		return err
	})
	eng.Use(engine.Log(cfg.Log)) // failures as warnings, the rest for who debugs
	if err := engine.On(eng, "stripe.checkout.session.completed", paid(shop)); err != nil {
		return err
	}

	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Group(shop.routes)
	mount(r, eng, shop.loggedIn)
	cfg.Log.Info("serving", "url", "http://"+l.Addr().String())
	return serve(ctx, l, r, eng, cfg.Log)
}

// prefix is where the engine is in the application.
const prefix = "/hooks"

// mount gives the engine its place beside the shop's routes, outside of their
// middleware: it reads bodies as they were signed and bounds them itself, and the
// path of an inbound request is a secret, which no access log should keep.
func mount(r chi.Router, eng *engine.Engine, loggedIn func(http.Handler) http.Handler) {
	hooks := http.StripPrefix(prefix, eng.Handler())
	r.Handle(prefix+"/in/*", hooks)                   // providers sign what they send
	r.Handle(prefix+"/api/*", hooks)                  // programs have an API key
	r.With(loggedIn).Get(prefix+"/", hooks.ServeHTTP) // people have the shop's login, for the page
}

// newEngine makes the engine with what it has to know of its place.
func newEngine(ctx context.Context, st *embedded.Store, cfg config) (*engine.Engine, error) {
	secrets, err := engine.LoadSecrets(cfg.Data)
	if err != nil {
		return nil, err
	}
	ec := engine.Config{
		Store: st, Secrets: secrets, Application: "shop", AdminKey: cfg.AdminKey, Log: cfg.Log,
		PublicURL: cfg.PublicURL + prefix, // the addresses that providers are given begin with it
	}
	if cfg.Local {
		ec.EgressAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return engine.New(ctx, ec)
}

// checkout is the part of Stripe's event that matters here.
type checkout struct {
	Data struct {
		Object struct {
			Order string `json:"client_reference_id"`
		} `json:"object"`
	} `json:"data"`
}

// paid handles a payment. Doing it twice changes nothing, as it has to be.
func paid(s *shop) func(context.Context, engine.MessageOf[checkout]) error {
	return func(_ context.Context, msg engine.MessageOf[checkout]) error {
		if number := msg.Data.Data.Object.Order; !s.pay(number) {
			return postern.Permanent(fmt.Errorf("no order %q", number)) // no other try will find it
		}
		return nil
	}
}

// stopWithin is how long requests under way may take once the program is to stop.
const stopWithin = 10 * time.Second

// serve runs server and engine until ctx is done, or one of them fails. The
// server stops first: its requests publish. Then the engine waits for deliveries
// under way, Config.DrainTimeout at most; those that wait go on at the next start.
func serve(ctx context.Context, l net.Listener, handler http.Handler, eng *engine.Engine, log *slog.Logger) error {
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	// A WriteTimeout would cut off the API's answers that stay open, such as the tail.
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
		<-ctx.Done()
		log.Info("stopping")
		limited, cancel := context.WithTimeout(engineCtx, stopWithin)
		defer cancel()
		if server.Shutdown(limited) != nil {
			return server.Close() // what is still open, a tail or a slow client, is cut off
		}
		return nil
	})
	return group.Wait()
}
