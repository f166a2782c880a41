// Command async-receiver answers GitHub's webhooks at once and works on them
// afterwards: it asks services side by side, gathers their answers, and tells
// others. A request that was answered is worked on, whatever happens in between.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

type options struct {
	listen string // address of this machine
	data   string // folder that keeps everything
	secret string // what GitHub signs with
	key    string // API key with all rights
	// services is where those are that are asked and told, each under its own
	// name; "" for stand-ins within this program.
	services string
	retries  postern.RetrySchedule // nil for the engine's
	log      *log.Logger
}

func main() {
	o := options{log: log.New(os.Stdout, "", log.Ltime)}
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&o.data, "data", "receiver-data", "folder that keeps everything")
	flag.StringVar(&o.secret, "secret", "demo-github-secret", "what GitHub signs with")
	flag.StringVar(&o.key, "key", "demo", "API key with all rights")
	flag.StringVar(&o.services, "services", "", "URL of the services (default stand-ins within this program)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		o.log.Fatal(err)
	}
}

// run receives and works until ctx is done.
func run(ctx context.Context, o options) (err error) {
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	url := "http://" + listener.Addr().String()
	if o.services == "" {
		o.services = url + "/services"
	}

	store, err := embedded.Open(ctx, "file:"+o.data, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	secrets, err := engine.LoadSecrets(o.data)
	if err != nil {
		return err
	}
	eng, err := engine.New(ctx, engine.Config{
		Store: store, Secrets: secrets, AdminKey: o.key, PublicURL: url, RetrySchedule: o.retries,
		// Deliveries reach public addresses only; the services of this example are
		// on this machine.
		EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return err
	}
	w := &worker{eng: eng, services: o.services, log: o.log}
	eng.Use(w.tellFailures)
	if err := engine.On(eng, "github.release", w.released); err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/", eng.Handler()) // GitHub's address, the API and a page
	mux.HandleFunc("POST /services/{name}", standIn(o.log))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()      // who has no answer yet sends again
	go func() { _ = server.Serve(listener) }() // until it is closed

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx) }()
	if err := setUp(ctx, eng, o); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	o.log.Print("ready: ", url)
	return <-ended
}

// setUp makes the source that GitHub posts to, and the endpoints that are told.
// Doing it again, at the next start, changes nothing.
func setUp(ctx context.Context, eng *engine.Engine, o options) error {
	app, err := eng.EnsureApplication(ctx, "")
	if err != nil {
		return err
	}
	api, err := client.New(client.Options{Handler: eng.Handler(), Key: o.key})
	if err != nil {
		return err
	}
	_, err = api.Sources.Put(ctx, app.UID, "github", client.SourceIn{
		Name: "GitHub", Provider: "github", Secrets: []string{o.secret}, EventTypePrefix: "github.",
	})
	for _, name := range []string{"chat", "mirror"} {
		_, made := api.Endpoints.Put(ctx, app.UID, name, client.EndpointIn{
			URL: o.services + "/" + name, EventTypes: []string{"release.*"},
		})
		err = errors.Join(err, made)
	}
	return err
}
