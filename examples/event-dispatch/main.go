// Command event-dispatch finds the function for an event by the event's name: from
// a map, among the methods of a value, and from what was registered one by one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

type options struct {
	listen    string // address of this machine
	data      string // folder that keeps everything
	key       string // API key with all rights
	unhandled engine.Unhandled
	log       *log.Logger
}

func main() {
	o := options{log: log.New(os.Stdout, "", log.Ltime)}
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&o.data, "data", "dispatch-data", "folder that keeps everything")
	flag.StringVar(&o.key, "key", "demo", "API key with all rights")
	refuse := flag.Bool("refuse", false, "refuse events that nobody handles, instead of recording them")
	flag.Parse()
	if *refuse {
		o.unhandled = engine.RefuseUnhandled
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		o.log.Fatal(err)
	}
}

// run takes events and dispatches them until ctx is done.
func run(ctx context.Context, o options) (err error) {
	store, err := embedded.Open(ctx, "file:"+o.data, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	secrets, err := engine.LoadSecrets(o.data)
	if err != nil {
		return err
	}
	eng, err := engine.New(ctx, engine.Config{Store: store, Secrets: secrets, AdminKey: o.key, Unhandled: o.unhandled})
	if err != nil {
		return err
	}
	if err := register(eng, o.log); err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/", eng.Handler()) // the API, and a page
	mux.HandleFunc("POST /events/{type}", publish(eng))
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()      // what was published is durable
	go func() { _ = server.Serve(listener) }() // until it is closed
	o.log.Printf("ready: http://%s", listener.Addr())
	return eng.Run(ctx)
}

// register says which function gets which event, in three ways. They can be
// mixed, and an event can have several functions.
func register(eng *engine.Engine, log *log.Logger) error {
	return errors.Join(
		// From a map.
		eng.OnMap(map[string]engine.HandlerFunc{
			"order.placed": func(_ context.Context, msg *engine.Message) error {
				log.Printf("map: %s %s", msg.EventType, msg.Payload)
				return nil
			},
			"order.eaten": func(context.Context, *engine.Message) error {
				return postern.Permanent(errors.New("orders are not eaten")) // any other error is tried again
			},
		}),
		// Methods by their names.
		eng.OnMethods(invoices{log}, "invoice.paid", "invoice.voided"),
		// One by one: for all refunds, and for one kind of them with its payload read
		// into a type.
		eng.On("refund.*", func(_ context.Context, msg *engine.Message) error {
			log.Printf("registered for refund.*: %s", msg.EventType)
			return nil
		}),
		engine.On(eng, "refund.made", func(_ context.Context, msg engine.MessageOf[refund]) error {
			log.Printf("registered for refund.made: order %d", msg.Data.Order)
			return nil
		}),
	)
}

type refund struct {
	Order int `json:"order"`
}

// invoices has a method for each event type.
type invoices struct{ log *log.Logger }

type invoice struct {
	Number int `json:"number"`
}

// InvoicePaid handles "invoice.paid".
func (i invoices) InvoicePaid(_ context.Context, msg *engine.Message) error {
	var paid invoice
	if err := msg.Decode(&paid); err != nil {
		return err
	}
	i.log.Printf("method InvoicePaid: number %d", paid.Number)
	return nil
}

// InvoiceVoided handles "invoice.voided", whose payload was read already.
func (i invoices) InvoiceVoided(_ context.Context, msg engine.MessageOf[invoice]) error {
	if msg.Data.Number == 0 {
		return postern.Permanent(errors.New("which invoice?"))
	}
	i.log.Printf("method InvoiceVoided: number %d", msg.Data.Number)
	return nil
}

// publish answers with what became of an event at each function.
func publish(eng *engine.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "the payload is over 1 MiB, or broken off", http.StatusBadRequest)
			return
		}
		// Not waiting is eng.Publish. The event is handled all the same.
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		msg, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: r.PathValue("type"), Payload: payload})
		switch {
		case errors.Is(err, postern.ErrInvalid): // refused events among them
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case len(outcomes) == 0:
			fmt.Fprintf(w, "nobody handles %s: recorded as %s\n", msg.EventType, msg.ID)
		}
		for _, o := range outcomes {
			fmt.Fprintf(w, "%s: %v", o.Endpoint.UID, o.State)
			if o.Last != nil && !o.Last.Succeeded {
				fmt.Fprintf(w, ", because %s", o.Last.Response)
			}
			fmt.Fprintln(w)
		}
	}
}
