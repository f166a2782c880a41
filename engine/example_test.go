package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// newEngine is an engine in memory; "file:postern-data" would keep everything.
func newEngine(ctx context.Context) (eng *engine.Engine, closeStore func()) {
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if eng, err = engine.New(ctx, engine.Config{Store: st}); err != nil {
		log.Fatal(err)
	}
	return eng, func() { _ = st.Close() } // nothing of it is needed any more
}

// start runs an engine until the returned function is called.
func start(eng *engine.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			log.Print(err)
		}
	}
}

// A function handles an event. It is retried until it returns nil, over restarts
// of the program too.
func Example_handleAnEvent() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	done := make(chan struct{})
	err := eng.On("invoice.paid", func(_ context.Context, msg *engine.Message) error {
		fmt.Printf("attempt %d of %s: %s\n", msg.Attempt, msg.EventType, msg.Payload)
		close(done)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	if _, _, err := eng.Publish(ctx, postern.Publish{EventType: "invoice.paid", Payload: []byte(`{"number":7}`)}); err != nil {
		log.Fatal(err)
	}
	<-done // Publish returned once the message was durable; it is handled in the background
	// Output: attempt 1 of invoice.paid: {"number":7}
}

// The payload is read into a type of one's own.
func Example_readThePayloadIntoAType() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	type invoice struct {
		Number int `json:"number"`
	}
	err := engine.On(eng, "invoice.*", func(_ context.Context, msg engine.MessageOf[invoice]) error {
		fmt.Println("invoice", msg.Data.Number)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	for _, payload := range []string{`{"number":7}`, `{"number":"seven"}`} {
		_, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: "invoice.paid", Payload: []byte(payload)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v: %q\n", outcomes[0].State, outcomes[0].Last.Response)
	}
	// Output:
	// invoice 7
	// delivered: ""
	// dead: "the payload of invoice.paid does not fit: number is a JSON string, want int"
}

// Errors say whether a delivery is tried again, and when.
func Example_retryLaterOrNeverAgain() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	err := eng.OnMap(map[string]engine.HandlerFunc{
		"mail.wanted": func(context.Context, *engine.Message) error {
			return fmt.Errorf("the mail server is busy: %w", postern.RetryAfter(time.Hour))
		},
		"mail.bounced": func(context.Context, *engine.Message) error {
			return postern.Permanent(errors.New("no such address"))
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	for _, eventType := range []string{"mail.wanted", "mail.bounced"} {
		// What is to be tried in an hour is not waited for.
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: eventType, Payload: []byte("{}")})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s is %v: %s\n", eventType, outcomes[0].State, outcomes[0].Last.Response)
	}
	// Output:
	// mail.wanted is retrying: the mail server is busy: try again after 1h0m0s
	// mail.bounced is dead: no such address
}

// orders has a method for each event type.
type orders struct{}

// OrderPlaced handles "order.placed".
func (orders) OrderPlaced(context.Context, *engine.Message) error {
	fmt.Println("placed")
	return nil
}

// OrderShipped handles "order.shipped".
func (orders) OrderShipped(context.Context, *engine.Message) error {
	fmt.Println("shipped")
	return nil
}

// Methods are named after the event types that they handle. What nobody handles
// is refused here.
func Example_dispatchToMethodsByName() {
	ctx := context.Background()
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = st.Close() }() // nothing of it is needed any more
	eng, err := engine.New(ctx, engine.Config{Store: st, Unhandled: engine.RefuseUnhandled})
	if err != nil {
		log.Fatal(err)
	}
	if err := eng.OnMethods(orders{}, "order.placed", "order.shipped"); err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	for _, eventType := range []string{"order.placed", "order.shipped", "order.eaten"} {
		if _, _, err := eng.PublishWait(ctx, postern.Publish{EventType: eventType, Payload: []byte("{}")}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// placed
	// shipped
	// nobody listens for order.eaten
}

// Several handlers get the same event, side by side; whoever publishes can wait
// for what became of it at each.
func Example_gatherTheAnswersOfAll() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	err := errors.Join(
		eng.OnWith(engine.HandlerOptions{Name: "billing", EventTypes: []string{"order.placed"}}, func(context.Context, *engine.Message) error {
			return nil
		}),
		eng.OnWith(engine.HandlerOptions{Name: "stock", EventTypes: []string{"order.*"}, Concurrency: 4}, func(context.Context, *engine.Message) error {
			return postern.Permanent(errors.New("sold out"))
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	_, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: "order.placed", Payload: []byte("{}")})
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range outcomes {
		fmt.Printf("%s %v: %d %q\n", o.Endpoint.UID, o.State, o.Last.Code, o.Last.Response)
	}
	// Output:
	// billing delivered: 200 ""
	// stock dead: 500 "sold out"
}

// A listener is told of events at once, and nothing of it is stored.
func Example_listenWithoutDurability() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	defer start(eng)()
	stop, err := eng.Listen("link.*", func(_ context.Context, msg *engine.Message) {
		var click struct{ Path string }
		if err := json.Unmarshal(msg.Payload, &click); err == nil {
			fmt.Println("clicked", click.Path)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stop()

	if _, _, err := eng.Publish(ctx, postern.Publish{EventType: "link.clicked", Payload: []byte(`{"path":"/a"}`)}); err != nil {
		log.Fatal(err)
	}
	// Output: clicked /a
}
