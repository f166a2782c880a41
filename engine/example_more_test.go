package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// How do I mount the engine on my own mux, under a prefix?
func ExampleEngine_Handler() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	defer start(eng)()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "my own page") })
	mux.Handle("/hooks/", http.StripPrefix("/hooks", eng.Handler()))
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, path := range []string{"/", "/hooks/api/v1/health", "/hooks/nothing"} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(path, answer.StatusCode)
	}
	// Output:
	// / 200
	// /hooks/api/v1/health 200
	// /hooks/nothing 404
}

// How do I let providers reach the inbound addresses, and keep the API and the page
// to my own network?
func ExampleEngine_Handler_apart() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	defer start(eng)()

	public, internal := http.NewServeMux(), http.NewServeMux()
	public.Handle("/in/", eng.Handler())
	internal.Handle("/", eng.Handler())
	for _, mux := range []*http.ServeMux{public, internal} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/health", nil))
		fmt.Println(w.Code)
	}
	// Output:
	// 404
	// 200
}

// How do I publish many messages at once?
func ExampleEngine_PublishBatch() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	defer start(eng)()

	var batch []postern.Publish
	for _, id := range []string{"pay-1", "pay-2", "pay-1"} { // an event id makes it safe to publish again
		batch = append(batch, postern.Publish{EventType: "invoice.paid", EventID: id, Payload: []byte("{}")})
	}
	batch = append(batch, postern.Publish{EventType: "no spaces", Payload: []byte("{}")})
	receipts, err := eng.PublishBatch(ctx, batch)
	for _, r := range receipts {
		fmt.Println(r.Message != nil, r.Duplicate, r.Err != nil)
	}
	fmt.Println(errors.Is(err, postern.ErrInvalid))
	// Output:
	// true false false
	// true false false
	// true true false
	// false false true
	// true
}

// How do I put something around all handlers, such as a timer or a span?
func ExampleEngine_Use() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	eng.Use(func(next engine.HandlerFunc) engine.HandlerFunc {
		return func(ctx context.Context, msg *engine.Message) error {
			fmt.Println("before", msg.Handler)
			err := next(ctx, msg)
			fmt.Println("after", msg.Handler, err)
			return err
		}
	})
	if err := eng.On("invoice.paid", func(context.Context, *engine.Message) error { return nil }); err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	if _, _, err := eng.PublishWait(ctx, postern.Publish{EventType: "invoice.paid", Payload: []byte("{}")}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// before invoice.paid
	// after invoice.paid <nil>
}

// How does a handler publish, and how do I see what caused a message?
func ExampleEngine_Publish_withinAHandler() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	receipt := make(chan *engine.Message, 1)
	err := errors.Join(
		eng.On("invoice.paid", func(ctx context.Context, _ *engine.Message) error {
			// With the handler's own context: it carries what is being handled.
			_, _, err := eng.Publish(ctx, postern.Publish{EventType: "receipt.wanted", Payload: []byte("{}")})
			return err
		}),
		eng.On("receipt.wanted", func(_ context.Context, msg *engine.Message) error {
			receipt <- msg
			return nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	m, _, err := eng.Publish(ctx, postern.Publish{EventType: "invoice.paid", Payload: []byte("{}")})
	if err != nil {
		log.Fatal(err)
	}
	caused := <-receipt
	fmt.Println(caused.CausedBy == m.ID, caused.Depth)
	// Output: true 1
}

// How do I bound what one handler does: its time, its calls at once, its tries?
func ExampleEngine_OnWith() {
	ctx := context.Background()
	eng, closeStore := newEngine(ctx)
	defer closeStore()
	err := eng.OnWith(engine.HandlerOptions{
		Name:          "thumbnails", // keeps its deliveries, whatever becomes of the function
		EventTypes:    []string{"image.added", "image.changed"},
		Timeout:       20 * time.Millisecond,
		Concurrency:   2,
		RetrySchedule: postern.RetrySchedule{time.Millisecond}, // two tries
	}, func(ctx context.Context, _ *engine.Message) error {
		<-ctx.Done() // a slow library
		return context.Cause(ctx)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()

	_, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: "image.added", Payload: []byte("{}")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outcomes[0].State, outcomes[0].Reason, outcomes[0].Attempts)
	// Output: dead exhausted 2
}

// How do I see afterwards what happened to a message?
func Example_seeWhatHappened() {
	ctx := context.Background()
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = st.Close() }() // nothing of it is needed any more
	eng, err := engine.New(ctx, engine.Config{Store: st, AdminKey: "key of this example"})
	if err != nil {
		log.Fatal(err)
	}
	err = eng.OnWith(engine.HandlerOptions{EventTypes: []string{"invoice.paid"}, RetrySchedule: postern.RetrySchedule{time.Millisecond}},
		func(_ context.Context, msg *engine.Message) error {
			if msg.Attempt == 1 {
				return errors.New("the printer is out of paper")
			}
			return nil
		})
	if err != nil {
		log.Fatal(err)
	}
	defer start(eng)()
	m, _, err := eng.PublishWait(ctx, postern.Publish{EventType: "invoice.paid", Payload: []byte("{}")})
	if err != nil {
		log.Fatal(err)
	}

	// Everything is in the API, for programs, the page and the postern command.
	c, err := client.New(client.Options{Handler: eng.Handler(), Key: "key of this example"})
	if err != nil {
		log.Fatal(err)
	}
	for a, err := range c.Attempts.OfMessage(ctx, "default", m.ID.String(), client.History{Page: client.Page{Order: client.Ascending}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(a.Number, a.ResponseStatusCode, a.State, a.Response)
	}
	// Output:
	// 1 500 retrying the printer is out of paper
	// 2 200 delivered
}
