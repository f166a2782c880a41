package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// serve runs an engine for an example until stop is called. A program elsewhere
// has the URL of a server in place of the Handler.
func serve(ctx context.Context) (c *client.Client, stop func()) {
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	const key = "key of this example"
	eng, err := engine.New(ctx, engine.Config{Store: st, AdminKey: key})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx) }()
	if c, err = client.New(client.Options{Handler: eng.Handler(), Key: key}); err != nil {
		log.Fatal(err)
	}
	return c, func() {
		cancel()
		if err := errors.Join(<-ended, st.Close()); err != nil {
			log.Print(err)
		}
	}
}

// How do I publish, and what if I publish again because I do not know whether I
// did?
func Example() {
	ctx := context.Background()
	c, stop := serve(ctx)
	defer stop()
	if _, err := c.Applications.GetOrCreate(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}); err != nil {
		log.Fatal(err)
	}
	paid := client.MessageIn{EventType: "invoice.paid", EventID: "inv-7-paid", Payload: json.RawMessage(`{"invoice":7}`)}
	if _, err := c.Messages.Create(ctx, "shop", paid); err != nil {
		log.Fatal(err)
	}
	_, err := c.Messages.Create(ctx, "shop", paid)
	fmt.Println(errors.Is(err, postern.ErrConflict))

	m, err := c.Messages.Get(ctx, "shop", "inv-7-paid") // by id or event id
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", m.EventType, m.Payload)
	// Output:
	// true
	// invoice.paid {"invoice":7}
}

// How does a program behind a firewall get its messages?
func ExampleClient_Consume() {
	ctx, done := context.WithCancel(context.Background())
	c, stop := serve(context.WithoutCancel(ctx))
	defer stop()
	if _, err := c.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Endpoints.Create(ctx, "shop", client.EndpointIn{Kind: "pull", UID: "warehouse"}); err != nil {
		log.Fatal(err)
	}
	for _, payload := range []string{`{"order":1}`, `{"order":"one"}`, `{"order":2}`} {
		if _, err := c.Messages.Create(ctx, "shop", client.MessageIn{EventType: "order.placed", Payload: json.RawMessage(payload)}); err != nil {
			log.Fatal(err)
		}
	}

	err := c.Consume(ctx, "shop", "warehouse", client.ConsumeOptions{}, func(_ context.Context, l *client.Lease) error {
		var order struct{ Order int }
		if err := json.Unmarshal(l.Payload, &order); err != nil {
			return postern.Permanent(err) // it would fail as well another time
		}
		fmt.Println("order", order.Order)
		if order.Order == 2 {
			done() // as a signal to stop would: what was begun is acknowledged
		}
		return nil
	})
	fmt.Println(err)
	dead := 0
	for _, err := range c.Deliveries.All(context.WithoutCancel(ctx), "shop", client.DeliveryFilter{State: "dead"}) {
		if err != nil {
			log.Fatal(err)
		}
		dead++
	}
	fmt.Println("dead:", dead)
	// Output:
	// order 1
	// order 2
	// <nil>
	// dead: 1
}

// How do I go through a long list?
func ExampleApplications_All() {
	ctx := context.Background()
	c, stop := serve(ctx)
	defer stop()
	for _, name := range []string{"Shop", "Depot", "Office"} {
		if _, err := c.Applications.Create(ctx, client.ApplicationIn{Name: name}); err != nil {
			log.Fatal(err)
		}
	}
	for app, err := range c.Applications.All(ctx, client.Page{Limit: 2}) { // two a page, all the same
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(app.Name)
	}
	// Output:
	// Shop
	// Depot
	// Office
}
